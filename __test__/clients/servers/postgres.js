'use strict'
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { account, certificateFiles, freePort, launch, temporaryFolder, versionOf } = require('./process')

const USER = 'postgres'
const PASSWORD = 'correct horse'

/** Debian keeps the programs of each major version apart, and off the PATH. */
function program(name) {
  const base = '/usr/lib/postgresql'
  const newest = fs
    .readdirSync(base)
    .sort((a, b) => Number(a) - Number(b))
    .at(-1)
  return path.join(base, String(newest), 'bin', name)
}

/** @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity */
async function start(identity) {
  const folder = temporaryFolder(USER, { ...certificateFiles(identity), 'password.key': PASSWORD }, USER)
  const data = path.join(folder, 'data')
  const port = await freePort()
  execFileSync(
    program('initdb'),
    ['-D', data, '-U', USER, '--pwfile', path.join(folder, 'password.key'), '--auth', 'scram-sha-256', '--no-sync'],
    { cwd: folder, stdio: 'pipe', ...account(USER) }
  )
  const settings = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: folder,
    ssl: 'on',
    ssl_cert_file: path.join(folder, 'server.crt'),
    ssl_key_file: path.join(folder, 'server.key'),
    ssl_min_protocol_version: 'TLSv1.2',
    fsync: 'off'
  }
  const args = ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
  // SIGINT: the fast shutdown, which does not wait for clients.
  return launch({ command: program('postgres'), args, folder, user: USER, port, signal: 'SIGINT' })
}

module.exports = {
  debian: ['postgresql'],
  product: 'PostgreSQL',
  version: () => versionOf(program('postgres'), ['--version']).split('.')[0],
  start
}

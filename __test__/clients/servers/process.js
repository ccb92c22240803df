'use strict'
// Programs of Debian as servers for one run: a folder of their own, a user that is not root, a port that is free.

const { execFileSync, spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { setTimeout } = require('node:timers/promises')

const ATTEMPTS = 300
const PAUSE = 50

/** A port of 127.0.0.1 that nothing listened on a moment ago: servers that cannot choose one themselves need a number. */
async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {net.AddressInfo} */ (server.address())
  server.close()
  await once(server, 'close')
  return port
}

/**
 * The user and group to run a server as: the given one where we are root, else the user that runs this.
 *
 * @param {string} user
 */
function account(user) {
  if (process.getuid?.() !== 0) return {}
  const id = (/** @type {string} */ option) => Number(execFileSync('id', [option, user]))
  return { uid: id('-u'), gid: id('-g') }
}

/**
 * A folder with the files of this table (a name ending in `.key` is for the owner's eyes only), owned by `user`.
 *
 * @param {string} name
 * @param {Record<string, string>} files
 * @param {string} user
 */
function temporaryFolder(name, files, user) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `tls-pinning-${name}-`))
  const { uid, gid } = account(user)
  for (const [file, content] of Object.entries(files)) {
    fs.writeFileSync(path.join(folder, file), content, { mode: file.endsWith('.key') ? 0o600 : 0o644 })
    if (uid !== undefined) fs.chownSync(path.join(folder, file), uid, gid)
  }
  if (uid !== undefined) fs.chownSync(folder, uid, gid)
  return folder
}

/**
 * The usual two files: the server's certificate with its chain, and its key.
 *
 * @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity
 */
function certificateFiles({ cert, chain }) {
  return { 'server.crt': [cert, ...chain].map(({ pem }) => pem).join(''), 'server.key': cert.key }
}

/**
 * Starts a server, waits until its port accepts connections, and returns what ends it and removes its folder.
 *
 * @param {object} options
 * @param {string} options.command
 * @param {string[]} options.args
 * @param {string} options.folder from `temporaryFolder`
 * @param {string} options.user
 * @param {number} options.port
 * @param {NodeJS.Signals} [options.signal] that ends it at once; default SIGTERM
 * @param {Record<string, string>} [options.env]
 */
async function launch({ command, args, folder, user, port, signal = 'SIGTERM', env }) {
  const log = path.join(folder, 'output.log')
  const output = fs.openSync(log, 'a')
  const child = spawn(command, args, {
    cwd: folder,
    stdio: ['ignore', output, output],
    env: { ...process.env, ...env },
    ...account(user)
  })
  fs.closeSync(output)
  const exited = Promise.race([once(child, 'exit'), once(child, 'error')])
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  const close = async () => {
    process.off('exit', kill)
    if (child.exitCode === null && child.signalCode === null && child.pid) child.kill(signal)
    await exited
    fs.rmSync(folder, { recursive: true, force: true })
  }
  try {
    await accepting(port, child)
  } catch (cause) {
    const said = fs.readFileSync(log, 'utf8').slice(-2000)
    await close()
    throw new Error(`${command} did not start: ${said}`, { cause })
  }
  return { port, close }
}

/** @param {number} port @param {import('node:child_process').ChildProcess} child */
async function accepting(port, child) {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (child.exitCode !== null || child.signalCode !== null || !child.pid) throw new Error('it has ended')
    const socket = net.connect(port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return
    } catch {
      // Nothing tells when a server listens but its port.
      await setTimeout(PAUSE)
    } finally {
      socket.destroy()
    }
  }
  throw new Error(`nothing listens on port ${port}`)
}

/**
 * Major and minor version in what a program prints.
 *
 * @param {string} command
 * @param {string[]} args
 */
function versionOf(command, args) {
  const { stdout, stderr } = require('node:child_process').spawnSync(command, args, { encoding: 'utf8' })
  return /(\d+\.\d+)/.exec(`${stdout}${stderr}`)?.[1] ?? 'unknown'
}

module.exports = { account, certificateFiles, freePort, launch, temporaryFolder, versionOf }

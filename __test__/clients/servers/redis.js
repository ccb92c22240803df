'use strict'
const path = require('node:path')
const { certificateFiles, freePort, launch, temporaryFolder, versionOf } = require('./process')

/** @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity */
async function start(identity) {
  const folder = temporaryFolder('redis', certificateFiles(identity), 'redis')
  const port = await freePort()
  const args = [
    ['--port', '0'],
    ['--bind', '127.0.0.1'],
    ['--tls-port', String(port)],
    ['--tls-cert-file', path.join(folder, 'server.crt')],
    ['--tls-key-file', path.join(folder, 'server.key')],
    // Only for clients' certificates, which nobody asks for; the server does not start without it.
    ['--tls-ca-cert-file', path.join(folder, 'server.crt')],
    ['--tls-auth-clients', 'no'],
    ['--tls-protocols', 'TLSv1.2 TLSv1.3'],
    ['--save', ''],
    ['--dir', folder]
  ].flat()
  return launch({ command: 'redis-server', args, folder, user: 'redis', port })
}

module.exports = {
  debian: ['redis-server'],
  product: 'Redis',
  version: () => versionOf('redis-server', ['--version']),
  start
}

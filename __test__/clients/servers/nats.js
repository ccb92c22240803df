'use strict'
const { certificateFiles, freePort, launch, temporaryFolder, versionOf } = require('./process')

/** @param {number} port */
const config = port => `
listen: "127.0.0.1:${port}"
tls { cert_file: "server.crt", key_file: "server.key", timeout: 10 }
`

/** @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity */
async function start(identity) {
  const port = await freePort()
  const folder = temporaryFolder('nats', { ...certificateFiles(identity), 'nats.conf': config(port) }, 'nats')
  return launch({ command: '/usr/sbin/nats-server', args: ['-c', 'nats.conf'], folder, user: 'nats', port })
}

module.exports = {
  debian: ['nats-server'],
  product: 'NATS',
  version: () => versionOf('/usr/sbin/nats-server', ['--version']),
  start
}

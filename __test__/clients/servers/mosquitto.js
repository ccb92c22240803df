'use strict'
const path = require('node:path')
const { certificateFiles, freePort, launch, temporaryFolder, versionOf } = require('./process')

/** @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity */
async function start(identity) {
  const port = await freePort()
  // Its `tls_version` is a least one: 1.2 and 1.3 are both offered.
  const config = folder => `
    listener ${port} 127.0.0.1
    certfile ${path.join(folder, 'server.crt')}
    keyfile ${path.join(folder, 'server.key')}
    tls_version tlsv1.2
    allow_anonymous true
    persistence false
  `
  const folder = temporaryFolder('mosquitto', { ...certificateFiles(identity), 'mosquitto.conf': '' }, 'mosquitto')
  const file = path.join(folder, 'mosquitto.conf')
  require('node:fs').writeFileSync(file, config(folder).replace(/^ +/gm, ''))
  return launch({ command: '/usr/sbin/mosquitto', args: ['-c', file], folder, user: 'mosquitto', port })
}

module.exports = {
  debian: ['mosquitto'],
  product: 'Mosquitto',
  version: () => versionOf('/usr/sbin/mosquitto', ['-h']),
  start
}

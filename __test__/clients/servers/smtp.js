'use strict'
// Exim, which takes mail for anyone and throws it away. TLS from the first byte on, as on port 465; with `starttls` after the
// command STARTTLS, as on port 587. It has to be started by root.

const fs = require('node:fs')
const path = require('node:path')
const { certificateFiles, freePort, launch, temporaryFolder, versionOf } = require('./process')

const USER = 'Debian-exim'

// No log of its own: the processes of its last connections would make the folder anew in order to write it.
/** @param {{ folder: string, port: number, starttls: boolean }} options */
const config = ({ folder, port, starttls }) => `
exim_user = ${USER}
exim_group = ${USER}
primary_hostname = localhost
keep_environment =
spool_directory = ${folder}/spool
log_file_path = syslog
pid_file_path = ${folder}/pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = ${port}
tls_on_connect_ports = ${starttls ? '' : port}
tls_advertise_hosts = *
tls_certificate = ${folder}/server.crt
tls_privatekey = ${folder}/server.key
host_lookup =
rfc1413_query_timeout = 0s
queue_only = true
acl_smtp_rcpt = accept
acl_smtp_data = discard
`

/** @param {{ cert: { pem: string, key: string }, chain: { pem: string }[], starttls?: boolean }} options */
async function start({ cert, chain, starttls = false }) {
  const folder = temporaryFolder('smtp', certificateFiles({ cert, chain }), USER)
  const port = await freePort()
  // Not the user's: exim reads no configuration that its own user could have changed.
  const file = path.join(folder, 'exim.conf')
  fs.writeFileSync(file, config({ folder, port, starttls }), { mode: 0o644 })
  // The daemon gives up root by itself, after it has read its configuration.
  return launch({ command: '/usr/sbin/exim4', args: ['-C', file, '-bdf'], folder, user: 'root', port })
}

module.exports = {
  debian: ['exim4-daemon-light'],
  product: 'Exim',
  version: () => versionOf('/usr/sbin/exim4', ['--version']),
  start
}

'use strict'
// slapd over LDAPS, with `starttls` over LDAP, with an empty directory below `dc=example,dc=com` and the password of its root.

const { certificateFiles, freePort, launch, temporaryFolder, versionOf } = require('./process')

const config = `
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile pid
argsfile args
TLSCertificateFile server.crt
TLSCertificateKeyFile server.key
TLSVerifyClient never
database mdb
suffix "dc=example,dc=com"
rootdn "cn=admin,dc=example,dc=com"
rootpw secret
directory .
maxsize 1048576
`

/** @param {{ cert: { pem: string, key: string }, chain: { pem: string }[], starttls?: boolean }} options */
async function start({ cert, chain, starttls = false }) {
  const folder = temporaryFolder('ldap', { ...certificateFiles({ cert, chain }), 'slapd.conf': config }, 'openldap')
  const port = await freePort()
  // `-d 0` keeps it in the foreground.
  const args = ['-f', 'slapd.conf', '-h', `${starttls ? 'ldap' : 'ldaps'}://127.0.0.1:${port}`, '-d', '0']
  return launch({ command: '/usr/sbin/slapd', args, folder, user: 'openldap', port })
}

module.exports = {
  debian: ['slapd'],
  product: 'OpenLDAP',
  version: () => versionOf('/usr/sbin/slapd', ['-VV']),
  start
}

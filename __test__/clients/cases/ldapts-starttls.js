'use strict'
const assert = require('node:assert/strict')
const { Client } = require('ldapts')
const { tlsOptions } = require('tls-pinning')

module.exports = {
  name: 'ldapts, StartTLS',
  package: 'ldapts',
  server: 'ldap-starttls',
  preamble: 'ldap',
  where: "`new Client({ url: 'ldap://…' })`, `client.startTLS(tlsOptions(pins))`",

  async operate({ host, port, ca, pins, hook }) {
    const client = new Client({ url: `ldap://${host}:${port}` })
    try {
      await client.startTLS(hook ? tlsOptions(pins, { ca }) : { ca })
      await client.bind('cn=admin,dc=example,dc=com', 'secret')
      const { searchEntries } = await client.search('', { scope: 'base', attributes: ['namingContexts'] })
      assert.equal(searchEntries[0].namingContexts, 'dc=example,dc=com')
    } finally {
      await client.unbind()
    }
  }
}

'use strict'
const assert = require('node:assert/strict')
const { Client } = require('ldapts')
const { tlsOptions } = require('tls-pinning')

module.exports = {
  package: 'ldapts',
  server: 'ldap',
  where: "`new Client({ url: 'ldaps://…', tlsOptions: tlsOptions(pins) })`",

  async operate({ host, port, ca, pins, hook }) {
    const client = new Client({
      url: `ldaps://${host}:${port}`,
      tlsOptions: hook ? tlsOptions(pins, { ca }) : { ca }
    })
    try {
      await client.bind('cn=admin,dc=example,dc=com', 'secret')
      const { searchEntries } = await client.search('', { scope: 'base', attributes: ['namingContexts'] })
      assert.equal(searchEntries[0].namingContexts, 'dc=example,dc=com')
    } finally {
      await client.unbind()
    }
  }
}

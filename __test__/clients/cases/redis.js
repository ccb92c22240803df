'use strict'
const assert = require('node:assert/strict')
const { createClient } = require('redis')
const { tlsOptions } = require('tls-pinning')

module.exports = {
  package: 'redis',
  server: 'redis',
  where: '`createClient({ socket: { tls: true, ...tlsOptions(pins) } })`',

  async operate({ host, port, ca, pins, hook }) {
    const options = hook ? tlsOptions(pins, { ca }) : { ca }
    const client = createClient({ socket: { host, port, tls: true, reconnectStrategy: false, ...options } })
    client.on('error', () => {})
    try {
      await client.connect()
      await client.set('greeting', 'hello')
      assert.equal(await client.get('greeting'), 'hello')
    } finally {
      client.destroy()
    }
  }
}

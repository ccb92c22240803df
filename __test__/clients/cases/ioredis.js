'use strict'
const assert = require('node:assert/strict')
const { Redis } = require('ioredis')
const { tlsOptions } = require('tls-pinning')

module.exports = {
  package: 'ioredis',
  server: 'redis',
  where: '`new Redis({ host, port, tls: tlsOptions(pins) })`',

  async operate({ host, port, ca, pins, hook }) {
    const tls = hook ? tlsOptions(pins, { ca }) : { ca }
    const client = new Redis({ host, port, tls, lazyConnect: true, retryStrategy: () => null })
    const failed = new Promise((_, reject) => client.on('error', reject))
    try {
      await Promise.race([client.connect(), failed])
      await client.set('greeting', 'hello')
      assert.equal(await client.get('greeting'), 'hello')
    } finally {
      client.disconnect()
    }
  }
}

'use strict'
const assert = require('node:assert/strict')
const { MongoClient } = require('mongodb')
const { createCheckServerIdentity } = require('tls-pinning')

/**
 * @param {string} url
 * @param {import('mongodb').MongoClientOptions} options
 */
async function ping(url, options) {
  // The driver looks for a server until this time is over, and says only then why it found none.
  const client = new MongoClient(url, { ...options, serverSelectionTimeoutMS: 1000 })
  try {
    const { ok } = await client.db('admin').command({ ping: 1 })
    assert.equal(ok, 1)
  } finally {
    await client.close()
  }
}

module.exports = {
  package: 'mongodb',
  server: 'mongodb',
  where: '`new MongoClient(url, { tls: true, ca, checkServerIdentity: createCheckServerIdentity(pins) })`',
  notes: [
    'without `tls: true` the pins are ignored, and all goes in plain text, under `register` too',
    'the error comes when `serverSelectionTimeoutMS` is over, 30 seconds by default; until then the client dials again'
  ],

  async operate({ host, port, ca, pins, hook }) {
    const verify = hook ? { checkServerIdentity: createCheckServerIdentity(pins, { ca }) } : {}
    await ping(`mongodb://${host}:${port}/`, { tls: true, ca, ...verify })
  },

  traps: [
    {
      text: '`?tlsInsecure=true` in the URL drops the pins, and verifies nothing',
      async operate({ host, port, ca, pins }) {
        const checkServerIdentity = createCheckServerIdentity(pins, { ca })
        await ping(`mongodb://${host}:${port}/?tls=true&tlsInsecure=true`, { ca, checkServerIdentity })
      },
      closed: 'ERR_TLS_PIN_UNSAFE'
    }
  ]
}

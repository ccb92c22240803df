'use strict'
const assert = require('node:assert/strict')
const { promisify } = require('node:util')
const { credentials } = require('@grpc/grpc-js')
const { createCheckServerIdentity } = require('tls-pinning')
const { Greeter } = require('../servers/grpc')

/**
 * @param {import('@grpc/grpc-js').ChannelCredentials} creds
 * @param {{ host: string, port: number, options?: object }} target
 */
async function greet(creds, { host, port, options }) {
  const client = new Greeter(`${host}:${port}`, creds, options)
  try {
    const reply = await promisify(client.greet.bind(client))('world')
    assert.equal(reply, 'hello world')
  } finally {
    client.close()
  }
}

module.exports = {
  package: '@grpc/grpc-js',
  server: 'grpc',
  where: '`credentials.createSsl(ca, null, null, { checkServerIdentity: createCheckServerIdentity(pins) })`',
  notes: [
    'an IP address as target fails in Node.js 26, with pins and without',
    'a policy by host is asked about `grpc.ssl_target_name_override` where that is set'
  ],

  async operate({ host, port, ca, pins, hook }) {
    const verify = hook ? { checkServerIdentity: createCheckServerIdentity(pins, { ca }) } : {}
    await greet(credentials.createSsl(Buffer.from(ca.join('')), null, null, verify), { host, port })
  },

  traps: [
    {
      text: 'among the options of the client, instead of those of the credentials, the pins are ignored',
      async operate({ host, port, ca, pins }) {
        const options = { checkServerIdentity: createCheckServerIdentity(pins, { ca }) }
        await greet(credentials.createSsl(Buffer.from(ca.join(''))), { host, port, options })
      }
    }
  ]
}

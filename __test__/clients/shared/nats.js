'use strict'
const assert = require('node:assert/strict')
const { tlsOptions } = require('tls-pinning')

/**
 * `operate` for both of the clients that NATS has: publishes a message and receives it.
 *
 * @param {(options: any) => Promise<any>} connect
 */
function publishWith(connect) {
  return async (/** @type {any} */ { host, port, ca, pins, hook }) => {
    const tls = hook ? tlsOptions(pins, { ca }) : { ca }
    const connection = await connect({ servers: `${host}:${port}`, tls, reconnect: false })
    try {
      const subscription = connection.subscribe('greeting', { max: 1 })
      connection.publish('greeting', 'hello')
      for await (const message of subscription) assert.equal(message.string(), 'hello')
    } finally {
      await connection.close()
    }
  }
}

module.exports = { publishWith }

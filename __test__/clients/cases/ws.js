'use strict'
const assert = require('node:assert/strict')
const { once } = require('node:events')
const https = require('node:https')
const tls = require('node:tls')
const WebSocket = require('ws')
const { tlsOptions } = require('tls-pinning')

module.exports = {
  package: 'ws',
  server: 'ws',
  where: '`new WebSocket(url, tlsOptions(pins))`',

  async operate({ host, port, ca, pins, hook }) {
    const socket = new WebSocket(`wss://${host}:${port}/`, hook ? tlsOptions(pins, { ca }) : { ca })
    await once(socket, 'open')
    socket.send('hello')
    const [message] = await once(socket, 'message')
    assert.equal(String(message), 'hello')
    socket.close()
    await once(socket, 'close')
  },

  traps: [
    {
      text: 'an `agent` with a `checkServerIdentity` of its own replaces the option',
      async operate({ host, port, ca, pins }) {
        const agent = new https.Agent({ checkServerIdentity: tls.checkServerIdentity })
        await once(new WebSocket(`wss://${host}:${port}/`, { ...tlsOptions(pins, { ca }), agent }), 'open')
      }
    }
  ]
}

'use strict'
const assert = require('node:assert/strict')
const { once } = require('node:events')
const tls = require('node:tls')
const { createCheckServerIdentity, tlsOptions } = require('tls-pinning')

const REQUEST = 'GET / HTTP/1.0\r\nHost: localhost\r\n\r\n'

module.exports = {
  name: 'tls',
  package: null,
  server: 'nginx',
  where: '`tls.connect({ host, port, ...tlsOptions(pins) })`',

  async operate({ host, port, ca, pins, hook }) {
    const socket = tls.connect({ host, port, ...(hook ? tlsOptions(pins, { ca }) : { ca }) })
    await exchange(socket)
  },

  traps: [
    {
      text: 'a `session` is resumed without asking `checkServerIdentity`, where that alone was given; `tlsOptions` refuses it',
      async operate({ host, port, ca, pins }) {
        const first = tls.connect({ host, port, ca })
        const [session] = await once(first, 'session')
        first.destroy()
        const checkServerIdentity = createCheckServerIdentity(pins, { ca })
        await exchange(tls.connect({ host, port, ca, checkServerIdentity, session }))
      }
    }
  ]
}

/** @param {tls.TLSSocket} socket */
async function exchange(socket) {
  socket.write(REQUEST)
  const chunks = await socket.setEncoding('utf8').toArray()
  assert.match(chunks.join(''), /hello over HTTP\/1\.0$/)
}

'use strict'
const assert = require('node:assert/strict')
const { Agent, request } = require('undici')
const { pinnedConnector } = require('tls-pinning')

module.exports = {
  name: 'undici, HTTP/2',
  package: 'undici',
  server: 'nginx',
  where: '`new Agent({ allowH2: true, connect: pinnedConnector(pins, { allowH2: true }) })`',

  async operate({ host, port, ca, pins, hook }) {
    const connect = hook ? pinnedConnector(pins, { ca, allowH2: true }) : { ca, allowH2: true }
    const dispatcher = new Agent({ allowH2: true, connect })
    try {
      const { body } = await request(`https://${host}:${port}/`, { dispatcher })
      assert.equal(await body.text(), 'hello over HTTP/2.0')
    } finally {
      await dispatcher.destroy()
    }
  }
}

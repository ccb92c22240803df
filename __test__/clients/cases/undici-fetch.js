'use strict'
const { Agent, fetch } = require('undici')
const { pinnedConnector, tlsOptions } = require('tls-pinning')
const { greeted } = require('../shared/http')

module.exports = {
  name: 'undici, fetch',
  package: 'undici',
  server: 'nginx',
  where: '`fetch(url, { dispatcher: new Agent({ connect: pinnedConnector(pins) }) })`',

  async operate({ host, port, ca, pins, hook }) {
    const dispatcher = new Agent({ connect: hook ? pinnedConnector(pins, { ca }) : { ca } })
    try {
      const response = await fetch(`https://${host}:${port}/`, { dispatcher })
      greeted(await response.text())
    } finally {
      await dispatcher.destroy()
    }
  },

  traps: [
    {
      text: 'a `checkServerIdentity` among the options of `fetch` is ignored',
      async operate({ host, port, ca, pins }) {
        const dispatcher = new Agent({ connect: { ca } })
        const options = /** @type {any} */ ({ dispatcher, ...tlsOptions(pins, { ca }) })
        await fetch(`https://${host}:${port}/`, options).finally(() => dispatcher.destroy())
      }
    }
  ]
}

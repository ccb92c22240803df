'use strict'
const https = require('node:https')
const { PinnedAgent, tlsOptions } = require('tls-pinning')
const { greeted } = require('../shared/http')

module.exports = {
  package: 'node-fetch',
  server: 'nginx',
  where: '`fetch(url, { agent: new PinnedAgent(pins) })`',

  async operate({ host, port, ca, pins, hook }) {
    const { default: fetch } = await import('node-fetch')
    const agent = hook ? new PinnedAgent(pins, { ca }) : new https.Agent({ ca })
    const response = await fetch(`https://${host}:${port}/`, { agent })
    greeted(await response.text())
    agent.destroy()
  },

  traps: [
    {
      text: 'a `checkServerIdentity` among the options of a request is ignored',
      async operate({ host, port, ca, pins }) {
        const { default: fetch } = await import('node-fetch')
        const options = /** @type {any} */ ({ agent: new https.Agent({ ca }), ...tlsOptions(pins, { ca }) })
        await fetch(`https://${host}:${port}/`, options)
      }
    }
  ]
}

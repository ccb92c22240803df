'use strict'
const { Agent } = require('undici7')
const { pinnedConnector } = require('tls-pinning')
const { greeted } = require('../shared/http')

module.exports = {
  name: 'fetch of Node 24',
  package: 'undici7',
  server: 'nginx',
  where: '`fetch(url, { dispatcher: new Agent({ connect: pinnedConnector(pins) }) })`, `Agent` of undici 7',
  notes: ['the `fetch` of Node 24 does not take an `Agent` of undici 8 (`invalid onRequestStart method`)'],

  async operate({ host, port, ca, pins, hook }) {
    const dispatcher = new Agent({ connect: hook ? pinnedConnector(pins, { ca }) : { ca } })
    try {
      const response = await fetch(`https://${host}:${port}/`, /** @type {any} */ ({ dispatcher }))
      greeted(await response.text())
    } finally {
      await dispatcher.destroy()
    }
  }
}

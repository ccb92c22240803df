'use strict'
// The same operations for each major version of undici.

const { pinnedConnector } = require('tls-pinning')
const { greeted, withProxy } = require('./http')

/** @param {any} undici */
const withAgent = undici =>
  async function operate({ host, port, ca, pins, hook }) {
    const dispatcher = new undici.Agent({ connect: hook ? pinnedConnector(pins, { ca }) : { ca } })
    try {
      const { body } = await undici.request(`https://${host}:${port}/`, { dispatcher })
      greeted(await body.text())
    } finally {
      await dispatcher.destroy()
    }
  }

/** @param {any} undici */
const withProxyAgent = undici =>
  function operate({ host, port, ca, pins, hook }) {
    return withProxy(async uri => {
      const requestTls = hook ? pinnedConnector(pins, { ca }) : { ca }
      const dispatcher = new undici.ProxyAgent({ uri, requestTls })
      try {
        const { body } = await undici.request(`https://${host}:${port}/`, { dispatcher })
        greeted(await body.text())
      } finally {
        await dispatcher.destroy()
      }
    })
  }

module.exports = { withAgent, withProxyAgent }

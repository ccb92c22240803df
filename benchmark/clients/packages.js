'use strict'
// Clients from npm. Those on `https` get its pinned agent; the native ones have no way to pin and verify nothing here.

const { load, pinnedAgent } = require('./shared.js')

/** @typedef {import('./index.js').Adapter} Adapter */

const note = 'has no pins, and verifies no certificate in this benchmark'

/** @type {Record<string, Adapter>} */
module.exports = {
  got: {
    package: 'got',
    make: async options => {
      const { default: got } = await load('got')
      const agent = pinnedAgent(options)
      return {
        text: url => got(url, { agent: { https: agent }, retry: { limit: 0 } }).text(),
        close: () => agent.destroy()
      }
    }
  },

  axios: {
    package: 'axios',
    make: async options => {
      const { default: axios } = await load('axios')
      const httpsAgent = pinnedAgent(options)
      return {
        text: async url => (await axios.get(url, { httpsAgent, responseType: 'text', proxy: false })).data,
        close: () => httpsAgent.destroy()
      }
    }
  },

  'node-fetch': {
    package: 'node-fetch',
    make: async options => {
      const { default: fetch } = await load('node-fetch')
      const agent = pinnedAgent(options)
      return {
        text: async url => (await fetch(url, { agent })).text(),
        close: () => agent.destroy()
      }
    }
  },

  'wreq-js': {
    package: 'wreq-js',
    note,
    make: async () => {
      const { createSession } = await load('wreq-js')
      const session = await createSession({ insecure: true })
      return {
        text: async url => (await session.fetch(url)).text(),
        close: () => session.close()
      }
    }
  },

  impit: {
    package: 'impit',
    note,
    make: async () => {
      const { Impit } = await load('impit')
      const impit = new Impit({ ignoreTlsErrors: true })
      return { text: async url => (await impit.fetch(url)).text(), close: () => {} }
    }
  }
}

'use strict'
const https = require('node:https')
const axios = require('axios')
const { PinnedAgent, tlsOptions } = require('tls-pinning')
const { greeted } = require('../shared/http')

module.exports = {
  name: 'axios',
  package: 'axios',
  server: 'nginx',
  where: '`axios.get(url, { httpsAgent: new PinnedAgent(pins) })`',

  async operate({ host, port, ca, pins, hook }) {
    const httpsAgent = hook ? new PinnedAgent(pins, { ca }) : new https.Agent({ ca })
    const { data } = await axios.get(`https://${host}:${port}/`, { httpsAgent })
    greeted(data)
    httpsAgent.destroy()
  },

  traps: [
    {
      text: 'a `checkServerIdentity` among the options of a request is ignored',
      async operate({ host, port, ca, pins }) {
        const options = /** @type {any} */ ({ httpsAgent: new https.Agent({ ca }), ...tlsOptions(pins, { ca }) })
        await axios.get(`https://${host}:${port}/`, options)
      }
    }
  ]
}

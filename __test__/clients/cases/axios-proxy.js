'use strict'
const https = require('node:https')
const axios = require('axios')
const { PinnedAgent } = require('tls-pinning')
const { greeted, withProxy } = require('../shared/http')

module.exports = {
  name: 'axios, through its own tunnel',
  package: 'axios',
  server: 'nginx',
  where: 'from 1.17 on: `axios.get(url, { httpsAgent: new PinnedAgent(pins), proxy })`; older ones lose the pins',

  async operate({ host, port, ca, pins, hook }) {
    const httpsAgent = hook ? new PinnedAgent(pins, { ca }) : new https.Agent({ ca })
    await withProxy(async url => {
      const { protocol, hostname, port: proxyPort } = new URL(url)
      const proxy = { protocol, host: hostname, port: Number(proxyPort) }
      const { data } = await axios.get(`https://${host}:${port}/`, { httpsAgent, proxy })
      greeted(data)
    })
    httpsAgent.destroy()
  }
}

'use strict'
const { PinnedAgent, tlsOptions } = require('tls-pinning')
const { get, greeted, withProxy } = require('../shared/http')

module.exports = {
  package: 'https-proxy-agent',
  server: 'nginx',
  where: '`new PinnedAgent(pins, { proxyAgent: new HttpsProxyAgent(proxy) })`',

  async operate({ host, port, ca, pins, hook }) {
    const { HttpsProxyAgent } = await import('https-proxy-agent')
    await withProxy(async proxy => {
      const proxyAgent = new HttpsProxyAgent(proxy)
      const agent = hook ? new PinnedAgent(pins, { ca, proxyAgent }) : proxyAgent
      greeted(await get(`https://${host}:${port}/`, { agent, ca }))
      agent.destroy()
    })
  },

  traps: [
    {
      text: 'pins in its constructor never reach the target',
      async operate({ host, port, ca, pins }) {
        const { HttpsProxyAgent } = await import('https-proxy-agent')
        await withProxy(async proxy => {
          const agent = new HttpsProxyAgent(proxy, tlsOptions(pins, { ca }))
          await get(`https://${host}:${port}/`, { agent, ca })
        })
      }
    }
  ]
}

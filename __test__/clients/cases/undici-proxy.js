'use strict'
const undici = require('undici')
const { pinnedConnector } = require('tls-pinning')
const { withProxy } = require('../shared/http')
const { withProxyAgent } = require('../shared/undici')

module.exports = {
  name: 'undici, ProxyAgent',
  package: 'undici',
  server: 'nginx',
  where: '`new ProxyAgent({ uri, requestTls: pinnedConnector(pins) })`',
  operate: withProxyAgent(undici),

  traps: [
    {
      text: '`ProxyAgent` ignores `connect`',
      operate({ host, port, ca, pins }) {
        return withProxy(async uri => {
          const connect = pinnedConnector(pins, { ca })
          const dispatcher = new undici.ProxyAgent({ uri, connect, requestTls: { ca } })
          await undici.request(`https://${host}:${port}/`, { dispatcher }).finally(() => dispatcher.destroy())
        })
      }
    }
  ]
}

'use strict'
const undici = require('undici5')
const { withProxyAgent } = require('../shared/undici')

module.exports = {
  name: 'undici 5, ProxyAgent',
  package: 'undici5',
  server: 'nginx',
  where: '`new ProxyAgent({ uri, requestTls: pinnedConnector(pins) })`',
  operate: withProxyAgent(undici)
}

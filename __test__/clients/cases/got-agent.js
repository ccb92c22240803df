'use strict'
const { PinnedAgent } = require('tls-pinning')
const { greeted } = require('../shared/http')

module.exports = {
  name: 'got, with an agent',
  package: 'got',
  server: 'nginx',
  where: '`got(url, { agent: { https: new PinnedAgent(pins) } })`',

  async operate({ host, port, ca, pins, hook }) {
    const { default: got } = await import('got')
    const options = hook ? { agent: { https: new PinnedAgent(pins, { ca }) } } : { https: { certificateAuthority: ca } }
    greeted(await got(`https://${host}:${port}/`, { retry: { limit: 0 }, ...options }).text())
    options.agent?.https.destroy()
  }
}

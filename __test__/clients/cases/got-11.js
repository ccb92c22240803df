'use strict'
const got = require('got11')
const { PinnedAgent } = require('tls-pinning')
const { greeted } = require('../shared/http')

module.exports = {
  name: 'got 11, with an agent',
  package: 'got11',
  server: 'nginx',
  where: '`got(url, { agent: { https: new PinnedAgent(pins) } })`',

  async operate({ host, port, ca, pins, hook }) {
    const options = hook ? { agent: { https: new PinnedAgent(pins, { ca }) } } : { https: { certificateAuthority: ca } }
    greeted(await got(`https://${host}:${port}/`, { retry: 0, ...options }).text())
    options.agent?.https.destroy()
  }
}

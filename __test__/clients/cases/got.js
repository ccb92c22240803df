'use strict'
const https = require('node:https')
const tls = require('node:tls')
const { createCheckServerIdentity } = require('tls-pinning')
const { greeted } = require('../shared/http')

module.exports = {
  package: 'got',
  server: 'nginx',
  where: '`got(url, { https: { checkServerIdentity: createCheckServerIdentity(pins) } })`',

  async operate({ host, port, ca, pins, hook }) {
    const { default: got } = await import('got')
    const pinned = hook ? { checkServerIdentity: createCheckServerIdentity(pins, { ca }) } : {}
    greeted(
      await got(`https://${host}:${port}/`, { ...NO_RETRY, https: { certificateAuthority: ca, ...pinned } }).text()
    )
  },

  traps: [
    {
      text: 'an `agent` with a `checkServerIdentity` of its own replaces that of `https`',
      async operate({ host, port, ca, pins }) {
        const { default: got } = await import('got')
        const agent = { https: new https.Agent({ checkServerIdentity: tls.checkServerIdentity }) }
        const checkServerIdentity = createCheckServerIdentity(pins, { ca })
        await got(`https://${host}:${port}/`, {
          ...NO_RETRY,
          agent,
          https: { certificateAuthority: ca, checkServerIdentity }
        })
      }
    }
  ]
}

const NO_RETRY = { retry: { limit: 0 } }

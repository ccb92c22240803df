'use strict'
const https = require('node:https')
const tls = require('node:tls')
const { PinnedAgent, tlsOptions } = require('tls-pinning')
const { get, greeted } = require('../shared/http')

module.exports = {
  name: 'https',
  package: null,
  server: 'nginx',
  where: '`https.get(url, { agent: new PinnedAgent(pins) })`',

  async operate({ host, port, ca, pins, hook }) {
    const agent = hook ? new PinnedAgent(pins, { ca }) : undefined
    try {
      greeted(await get(`https://${host}:${port}/`, hook ? { agent } : { ca }))
    } finally {
      agent?.destroy()
    }
  },

  traps: [
    {
      text: 'the `checkServerIdentity` of an `https.Agent` replaces that of a request',
      async operate({ host, port, ca, pins }) {
        const agent = new https.Agent({ checkServerIdentity: tls.checkServerIdentity })
        await get(`https://${host}:${port}/`, { ...tlsOptions(pins, { ca }), agent })
      }
    },
    {
      text: '`rejectUnauthorized: false` beside the check: its answer is ignored',
      async operate({ host, port, ca, pins }) {
        await get(`https://${host}:${port}/`, { ...tlsOptions(pins, { ca }), rejectUnauthorized: false })
      },
      closed: 'ERR_TLS_PIN_UNSAFE'
    }
  ]
}

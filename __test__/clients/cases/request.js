'use strict'
const { promisify } = require('node:util')
const request = require('request')
const { tlsOptions } = require('tls-pinning')
const { greeted } = require('../shared/http')

const get = promisify(request.get)

module.exports = {
  package: 'request',
  server: 'nginx',
  where: '`request.get({ url, agentOptions: tlsOptions(pins), pool: {} })`',

  async operate({ host, port, ca, pins, hook }) {
    const agentOptions = hook ? tlsOptions(pins) : {}
    const { body } = await get({ url: `https://${host}:${port}/`, ca, agentOptions, pool: {} })
    greeted(body)
  },

  traps: [
    {
      text: 'without a `pool` of its own a request gets the agent of an earlier one, without the pins',
      async operate({ host, port, ca, pins }) {
        await get({ url: 'https://localhost:1/', ca, agentOptions: { rejectUnauthorized: true } }).catch(() => {})
        await get({ url: `https://${host}:${port}/`, ca, agentOptions: tlsOptions(pins) })
      }
    }
  ]
}

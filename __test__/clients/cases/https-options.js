'use strict'
const https = require('node:https')
const { tlsOptions } = require('tls-pinning')
const { get, greeted } = require('../shared/http')

module.exports = {
  name: 'https, plain Agent',
  package: null,
  server: 'nginx',
  where: '`new https.Agent(tlsOptions(pins))`',

  async operate({ host, port, ca, pins, hook }) {
    const agent = new https.Agent(hook ? tlsOptions(pins, { ca }) : { ca })
    greeted(await get(`https://${host}:${port}/`, { agent }))
    agent.destroy()
  }
}

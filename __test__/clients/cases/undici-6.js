'use strict'
const undici = require('undici6')
const { withAgent } = require('../shared/undici')

module.exports = {
  name: 'undici 6, Agent',
  package: 'undici6',
  server: 'nginx',
  where: '`new Agent({ connect: pinnedConnector(pins) })`',
  operate: withAgent(undici)
}

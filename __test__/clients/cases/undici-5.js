'use strict'
const undici = require('undici5')
const { withAgent } = require('../shared/undici')

module.exports = {
  name: 'undici 5, Agent',
  package: 'undici5',
  server: 'nginx',
  where: '`new Agent({ connect: pinnedConnector(pins) })`',
  operate: withAgent(undici)
}

'use strict'
const undici = require('undici')
const { withAgent } = require('../shared/undici')

module.exports = {
  name: 'undici, Agent',
  package: 'undici',
  server: 'nginx',
  where: '`new Agent({ connect: pinnedConnector(pins) })`',
  operate: withAgent(undici)
}

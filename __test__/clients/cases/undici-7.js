'use strict'
const undici = require('undici7')
const { withAgent } = require('../shared/undici')

module.exports = {
  name: 'undici 7, Agent',
  package: 'undici7',
  server: 'nginx',
  where: '`new Agent({ connect: pinnedConnector(pins) })`',
  operate: withAgent(undici)
}

'use strict'
const superagent = require('superagent')
const { PinnedAgent } = require('tls-pinning')
const { greeted } = require('../shared/http')

module.exports = {
  package: 'superagent',
  server: 'nginx',
  where: '`superagent.get(url).agent(new PinnedAgent(pins))`',

  async operate({ host, port, ca, pins, hook }) {
    const agent = hook ? new PinnedAgent(pins, { ca }) : undefined
    const request = superagent.get(`https://${host}:${port}/`)
    const { text } = await (agent ? request.agent(agent) : request.ca(ca))
    greeted(text)
    agent?.destroy()
  }
}

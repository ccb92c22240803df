'use strict'
const { connect } = require('nats')
const { publishWith } = require('../shared/nats')

module.exports = {
  name: 'nats, by IP address',
  package: 'nats',
  server: 'nats',
  preamble: 'nats',
  host: '127.0.0.1',
  where: '`connect({ servers, tls: tlsOptions(pins) })`',
  notes: ['the hook is asked about `localhost`, whatever the address is: a policy by host needs an entry of that name'],
  operate: publishWith(connect)
}

'use strict'
const { connect } = require('@nats-io/transport-node')
const { publishWith } = require('../shared/nats')

module.exports = {
  package: '@nats-io/transport-node',
  server: 'nats',
  preamble: 'nats',
  where: '`connect({ servers, tls: tlsOptions(pins) })`',
  notes: [
    'the types of `tls` do not know the options: TypeScript needs a cast',
    'without `tls` a man in the middle who says that the server has no TLS gets the login in plain text, under `register` too'
  ],
  operate: publishWith(connect)
}

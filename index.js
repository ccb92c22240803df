'use strict'
const { PinnedAgent } = require('./lib/agent.js')
const { PinnedClient } = require('./lib/client.js')
const { pinnedConnector } = require('./lib/connector.js')
const { createPinnedFetch } = require('./lib/fetch.js')
const { PinInvalidError, PinMismatchError, PinPolicyError, TlsPinningError } = require('./lib/errors.js')
const { checkServerIdentity, createCheckServerIdentity } = require('./lib/identity.js')
const { inspect } = require('./lib/inspect.js')
const { parsePin, pinOf } = require('./lib/pins.js')
const { PinSet, verifyChain } = require('./lib/policy.js')
const { pinnedRequest } = require('./lib/request.js')
const { PinnedResponse } = require('./lib/response.js')
const { tlsOptions } = require('./lib/tls-options.js')

module.exports = {
  PinInvalidError,
  PinMismatchError,
  PinPolicyError,
  PinSet,
  PinnedAgent,
  PinnedClient,
  PinnedResponse,
  TlsPinningError,
  checkServerIdentity,
  createCheckServerIdentity,
  createPinnedFetch,
  inspect,
  parsePin,
  pinOf,
  pinnedConnector,
  pinnedRequest,
  tlsOptions,
  verifyChain
}

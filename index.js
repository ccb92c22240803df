'use strict'
const { PinnedClient } = require('./lib/client.js')
const { PinInvalidError, PinMismatchError, PinPolicyError, TlsPinningError } = require('./lib/errors.js')
const { inspect } = require('./lib/inspect.js')
const { parsePin, pinOf } = require('./lib/pins.js')
const { PinSet, verifyChain } = require('./lib/policy.js')
const { pinnedRequest } = require('./lib/request.js')
const { PinnedResponse } = require('./lib/response.js')

module.exports = {
  PinInvalidError,
  PinMismatchError,
  PinPolicyError,
  PinSet,
  PinnedClient,
  PinnedResponse,
  TlsPinningError,
  inspect,
  parsePin,
  pinOf,
  pinnedRequest,
  verifyChain
}

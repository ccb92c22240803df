'use strict'
// Loaded when it is first asked for: a program that only makes requests does not pay for Node's own TLS. But a missing addon
// is an error of the program's start, not of its first request.
require('./lib/native.js')

module.exports = {
  get PinInvalidError() {
    return require('./lib/errors.js').PinInvalidError
  },
  get PinMismatchError() {
    return require('./lib/errors.js').PinMismatchError
  },
  get PinPolicyError() {
    return require('./lib/errors.js').PinPolicyError
  },
  get PinSet() {
    return require('./lib/policy.js').PinSet
  },
  get PinnedAgent() {
    return require('./lib/agent.js').PinnedAgent
  },
  get PinnedClient() {
    return require('./lib/client.js').PinnedClient
  },
  get PinnedResponse() {
    return require('./lib/response.js').PinnedResponse
  },
  get TlsPinningError() {
    return require('./lib/errors.js').TlsPinningError
  },
  get checkServerIdentity() {
    return require('./lib/identity.js').checkServerIdentity
  },
  get createCheckServerIdentity() {
    return require('./lib/identity.js').createCheckServerIdentity
  },
  get createPinnedFetch() {
    return require('./lib/fetch.js').createPinnedFetch
  },
  get createReporter() {
    return require('./lib/reporter.js').createReporter
  },
  get inspect() {
    return require('./lib/inspect.js').inspect
  },
  get parsePin() {
    return require('./lib/pins.js').parsePin
  },
  get pinOf() {
    return require('./lib/pins.js').pinOf
  },
  get pinnedConnector() {
    return require('./lib/connector.js').pinnedConnector
  },
  get pinnedRequest() {
    return require('./lib/request.js').pinnedRequest
  },
  get scan() {
    return require('./lib/inspect.js').scan
  },
  get tlsOptions() {
    return require('./lib/tls-options.js').tlsOptions
  },
  get verifyChain() {
    return require('./lib/policy.js').verifyChain
  }
}

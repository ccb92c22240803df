import binding from './index.js'

export const {
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
  createReporter,
  inspect,
  parsePin,
  pinOf,
  pinnedConnector,
  pinnedRequest,
  scan,
  tlsOptions,
  verifyChain
} = binding

export default binding

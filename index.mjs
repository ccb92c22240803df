import binding from './index.js'

export const {
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
} = binding

export default binding

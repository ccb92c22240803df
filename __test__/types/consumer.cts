// The same declarations for a program that `require`s the package.

import tlsPinning = require('tls-pinning')

export const client: tlsPinning.PinnedClient = new tlsPinning.PinnedClient({ pins: ['sha256/…'] })

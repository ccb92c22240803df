'use strict'
// `fetch` with pins: the native client behind the platform's own signature.

const { PinnedClient } = require('./client.js')

/**
 * A `fetch` of its own connections, sessions and verifier. Its client is there as `fetch.client`, to be closed.
 * @param {Record<string, unknown>} options
 */
function createPinnedFetch(options) {
  return new PinnedClient(options).fetch
}

module.exports = { createPinnedFetch }

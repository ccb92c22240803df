'use strict'
// `fetch` with pins: the native client behind the platform's own signature.

const { PinnedClient } = require('./client.js')

/**
 * A `fetch` of its own connections, sessions and verifier. Its client is there as `fetch.client`, to be closed.
 * @param {Record<string, unknown>} options
 */
function createPinnedFetch(options) {
  const client = new PinnedClient(options)
  /**
   * @param {any} input
   * @param {any} [init]
   */
  const fetch = (input, init) => client.fetch(input, init)
  return Object.defineProperty(fetch, 'client', { value: client, enumerable: true })
}

module.exports = { createPinnedFetch }

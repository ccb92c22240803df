'use strict'
const { Agent } = require('undici7')
const { createPinnedFetch } = require('tls-pinning')

/**
 * The `fetch` to give to a client: with pins, or Node's own without.
 *
 * @param {any} context
 * @returns {{ fetch: typeof fetch, close: () => Promise<void> }}
 */
function fetchFor({ ca, pins, hook, version }) {
  if (hook) {
    const pinned = createPinnedFetch({ pins, ca, minVersion: version, maxVersion: version })
    return { fetch: pinned, close: () => pinned.client.close() }
  }
  const dispatcher = new Agent({ connect: { ca } })
  const unpinned = (/** @type {any} */ input, /** @type {any} */ init) =>
    globalThis.fetch(input, { ...init, dispatcher })
  return { fetch: unpinned, close: () => dispatcher.destroy() }
}

module.exports = { fetchFor }

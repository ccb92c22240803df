'use strict'
// What this is run by: Node (and Electron), or what has Node's modules and, beside them, clients of its own that those modules
// know nothing of, as Bun and Deno have.

const { isBuiltin } = require('node:module')
const { unsafe } = require('./errors.js')

/** Whether `fetch` is undici over `node:tls`, and so are all clients. */
const isNode = has('undici') && !has('bun') && !has('deno')

/** @param {string} name */
function has(name) {
  return Object.hasOwn(process.versions, name)
}

/**
 * Refuses to make a connector for an undici that the runtime does not ask: one that is only the name of another client, or that
 * is not its `fetch`. Where a dispatcher is ignored, a request leaves without its pins.
 */
function refuseIgnoredConnectors() {
  if (isNode && !isBuiltin('undici')) return
  throw unsafe(
    'fetch of this runtime takes no dispatcher and would connect without its pins; use createPinnedFetch, PinnedClient or PinnedAgent'
  )
}

module.exports = { isNode, refuseIgnoredConnectors }

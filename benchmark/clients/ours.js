'use strict'
// This package.

const { count } = require('./shared.js')

/** @typedef {import('./index.js').Adapter} Adapter */

/** @type {Adapter['make']} */
const client = ({ ca, pin, http2 }) => {
  const { PinnedClient } = require('../../index.js')
  const client = new PinnedClient({ pins: [pin], ca, allowH2: http2 })
  return {
    text: async url => (await client.request(url)).text(),
    bytes: async url => (await client.request(url)).bytes(),
    download: async url => count((await client.request(url)).body),
    upload: async (url, body, length) => {
      const headers = { 'content-length': String(length) }
      return (await client.request(url, { method: 'PUT', headers, body })).text()
    },
    close: () => client.close()
  }
}

/** @type {Adapter['make']} */
const fetch = ({ ca, pin }) => {
  const { createPinnedFetch } = /** @type {any} */ (require('../../index.js'))
  const fetch = createPinnedFetch({ pins: [pin], ca, allowH2: false })
  return { text: async url => (await fetch(url)).text(), close: () => {} }
}

/** Waits on native threads alone, where it could use Node's own loop. */
const env = { TLS_PINNING_DRIVER: 'threads' }

/** @type {Record<string, Adapter>} */
module.exports = {
  'tls-pinning': { make: client },
  'tls-pinning (threads)': { make: client, env },
  'tls-pinning fetch': { make: fetch },
  'tls-pinning fetch (threads)': { make: fetch, env }
}

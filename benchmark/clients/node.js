'use strict'
// Node's own clients, and undici, which is Node's as well.

const { checkPin, count, load, pinnedAgent, whole } = require('./shared.js')

/** @typedef {import('./index.js').Adapter} Adapter */
/** @typedef {import('./index.js').Options} Options */

/** @type {Adapter['make']} */
const https = options => {
  const https = require('node:https')
  const { Readable } = require('node:stream')
  const { pipeline } = require('node:stream/promises')
  const agent = pinnedAgent(options)
  /** @param {string} url @param {import('node:https').RequestOptions} [options] @param {AsyncIterable<Uint8Array>} [body] */
  const request = (url, options, body) =>
    /** @type {Promise<import('node:http').IncomingMessage>} */ (
      new Promise((resolve, reject) => {
        const request = https.request(url, { agent, ...options }, resolve).on('error', reject)
        if (body) pipeline(Readable.from(body), request).catch(reject)
        else request.end()
      })
    )
  return {
    text: async url => String(await whole(await request(url))),
    bytes: async url => whole(await request(url)),
    download: async url => count(await request(url)),
    upload: async (url, body, length) => {
      const options = { method: 'PUT', headers: { 'content-length': length } }
      return String(await whole(await request(url, options, body)))
    },
    close: () => agent.destroy()
  }
}

/** @type {Adapter['make']} */
const http2 = ({ ca, pin }) => {
  const http2 = require('node:http2')
  /** @type {import('node:http2').ClientHttp2Session | undefined} */
  let session
  return {
    text: async url => {
      const { origin, pathname } = new URL(url)
      // The error of a session that fails is also that of each of its streams.
      session ??= http2.connect(origin, { ca, checkServerIdentity: checkPin(pin) }).on('error', () => {})
      return String(await whole(session.request({ ':path': pathname })))
    },
    close: () => session?.destroy()
  }
}

/** @param {any} undici @param {Options} options */
function dispatcherOf({ Agent }, { ca, pin, resume, http2 }) {
  const connect = { ca, checkServerIdentity: checkPin(pin), ...(!resume && { maxCachedSessions: 0 }) }
  // Streams of one connection, as the others have it; undici would make a connection for each.
  return new Agent({ connect, allowH2: http2, ...(http2 && { connections: 1, pipelining: 64 }) })
}

/** @type {Adapter['make']} */
const undici = async options => {
  const { Readable } = require('node:stream')
  const undici = await load('undici')
  const { request } = undici
  const dispatcher = dispatcherOf(undici, options)
  return {
    text: async url => (await request(url, { dispatcher })).body.text(),
    bytes: async url => (await request(url, { dispatcher })).body.bytes(),
    download: async url => count((await request(url, { dispatcher })).body),
    upload: async (url, body, length) => {
      const headers = { 'content-length': String(length) }
      return (await request(url, { dispatcher, method: 'PUT', headers, body: Readable.from(body) })).body.text()
    },
    close: () => dispatcher.close()
  }
}

/** @type {Adapter['make']} */
const fetch = async options => {
  const undici = await load('undici')
  const dispatcher = dispatcherOf(undici, options)
  return {
    text: async url => (await undici.fetch(url, { dispatcher })).text(),
    close: () => dispatcher.close()
  }
}

const note = 'a resumed session skips its pin check'

/** @type {Record<string, Adapter>} */
module.exports = {
  https: { make: https, note },
  'node:http2': { make: http2 },
  undici: { package: 'undici', make: undici, note },
  'undici fetch': { package: 'undici', make: fetch, note }
}

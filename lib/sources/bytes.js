'use strict'
// The bytes of a signed policy: out of a file, from a URL, or from a function. Neither the way nor the place is trusted.

const { argumentError, fromFailure } = require('../errors.js')
const { readRegular } = require('../regular-file.js')
const { kind } = require('../trust.js')
const { MOST_BYTES } = require('./envelope.js')
const { pathOf } = require('./file.js')

/**
 * @typedef {object} Bytes
 * @property {string} name What errors call it.
 * @property {(signal: AbortSignal) => Promise<Uint8Array | string | undefined>} load `undefined`: as the time before.
 * @property {() => void} [keep] What was loaded last has been accepted.
 */

/**
 * @param {unknown} source
 * @returns {Bytes}
 */
function bytesOf(source) {
  if (typeof source === 'function') return { name: 'the loader', load: called(source) }
  const isUrl = source instanceof URL || (typeof source === 'string' && /^[a-z][a-z0-9+.-]+:\/\//i.test(source))
  if (!isUrl) return fileBytes(pathOf(source))
  const url = URL.canParse(String(source)) ? new URL(String(source)) : undefined
  if (url?.protocol === 'file:') return fileBytes(pathOf(url))
  if (url?.protocol === 'https:' && !url.username && !url.password) return urlBytes(url)
  throw argumentError(
    'ERR_INVALID_ARG_VALUE',
    'source must be a path, an https: URL without credentials, or a function'
  )
}

/**
 * @param {string} file
 * @returns {Bytes}
 */
function fileBytes(file) {
  return { name: file, load: signal => readRegular(file, MOST_BYTES, signal) }
}

/**
 * @param {Function} loader
 * @returns {Bytes['load']}
 */
function called(loader) {
  return async signal => {
    const loaded = await loader({ signal })
    if (typeof loaded === 'string' || loaded instanceof Uint8Array) return loaded
    const message = `the loader must answer with the bytes or the text of a signed policy, not ${kind(loaded)}`
    throw argumentError('ERR_INVALID_ARG_TYPE', message)
  }
}

/**
 * Asks with the entity tag of what was accepted last, so that the answer is short where nothing is new (RFC 9110, 13.1.2).
 * @param {URL} url
 * @returns {Bytes}
 */
function urlBytes(url) {
  // Its query may be secret.
  const name = url.origin + url.pathname
  /** @type {string | null} */
  let tag = null
  /** @type {string | null} */
  let next = null
  return {
    name,
    load: async signal => {
      /** @type {Response} */
      let response
      try {
        response = await fetch(url, { signal, headers: tag === null ? {} : { 'if-none-match': tag } })
      } catch (error) {
        throw reason(error)
      }
      if (response.status === 304 && tag !== null) {
        next = tag // not that of an answer that was refused meanwhile
        return undefined
      }
      if (response.status !== 200) {
        await response.body?.cancel()
        const message = `${name} answered with status ${response.status}`
        throw fromFailure({ code: 'ERR_OPERATION_FAILED', message, phase: 'policy' })
      }
      next = response.headers.get('etag')
      return response.body ? limited(response.body) : new Uint8Array()
    },
    keep: () => {
      tag = next
    }
  }
}

/** @param {AsyncIterable<Uint8Array>} pieces */
async function limited(pieces) {
  const read = []
  let size = 0
  for await (const piece of pieces) {
    size += piece.length
    if (size > MOST_BYTES) break // `open` says so
    read.push(piece)
  }
  return size > MOST_BYTES ? new Uint8Array(size) : Buffer.concat(read)
}

/**
 * `fetch` puts what has happened into the cause.
 * @param {any} error
 */
function reason(error) {
  return typeof error?.cause?.code === 'string' ? error.cause : error
}

module.exports = { bytesOf }

'use strict'
// What a request sends: bytes that go along with it, or pieces that follow at the network's pace.

const { argumentError } = require('./errors.js')
const { flush, port, wake, writable } = require('./port.js')
const { kind } = require('./trust.js')

/** What native code answers to a piece: more may follow, not yet, or nobody reads this body any more. */
const Write = { more: 0, wait: 1, unread: 2 }

/** Bodies up to this size go along with the request; larger ones follow in pieces of at most this size. */
const PIECE = 256 * 1024

/**
 * @typedef {object} Outgoing
 * @property {Uint8Array | null} bytes The whole body, where it goes along with the request.
 * @property {AsyncIterable<unknown> | Iterable<unknown> | null} pieces What follows otherwise.
 * @property {number | null} length In bytes, where it is known.
 * @property {string | null} type The content type that the body itself has.
 */

/**
 * @param {any} body
 * @returns {Outgoing}
 */
function outgoing(body) {
  if (body === undefined || body === null) return whole(null)
  if (typeof body === 'string') return whole(Buffer.from(body))
  if (body instanceof Uint8Array) return whole(body)
  if (body instanceof ArrayBuffer || body instanceof SharedArrayBuffer) return whole(new Uint8Array(body))
  if (ArrayBuffer.isView(body)) return whole(new Uint8Array(body.buffer, body.byteOffset, body.byteLength))
  if (body instanceof URLSearchParams) {
    return whole(Buffer.from(body.toString()), 'application/x-www-form-urlencoded;charset=UTF-8')
  }
  if (body instanceof Blob) return streamed(body.stream(), body.size, body.type || null)
  if (body instanceof FormData) {
    const encoded = new Response(body)
    const pieces = /** @type {AsyncIterable<unknown>} */ (/** @type {unknown} */ (encoded.body))
    return streamed(pieces, null, encoded.headers.get('content-type'))
  }
  // Loaded by need: most requests have no stream.
  const { Readable } = require('node:stream')
  if (body.locked || body.destroyed || Readable.isDisturbed(body)) {
    throw argumentError('ERR_INVALID_STATE', 'the body has been used already; give a fresh one for each request')
  }
  if (typeof body[Symbol.asyncIterator] === 'function' || typeof body[Symbol.iterator] === 'function') {
    return streamed(body, null, null)
  }
  throw argumentError('ERR_INVALID_ARG_TYPE', `body cannot be ${kind(body)}`)
}

/** Whether a body is there as a whole, and so can be read more than once. @param {unknown} body */
function isWhole(body) {
  return (
    typeof body === 'string' ||
    ArrayBuffer.isView(body) ||
    body instanceof ArrayBuffer ||
    body instanceof URLSearchParams ||
    body instanceof Blob
  )
}

/**
 * @param {Uint8Array | null} bytes
 * @param {string | null} [type]
 * @returns {Outgoing}
 */
function whole(bytes, type = null) {
  if (bytes && bytes.length > PIECE) return { bytes: null, pieces: [bytes], length: bytes.length, type }
  return { bytes, pieces: null, length: bytes?.length ?? 0, type }
}

/**
 * @param {any} pieces
 * @param {number | null} length
 * @param {string | null} type
 * @returns {Outgoing}
 */
function streamed(pieces, length, type) {
  return { bytes: null, pieces, length, type }
}

/**
 * Sends the pieces of a body, no faster than they are taken. Returns what ends it early and closes its source.
 * @param {number} id
 * @param {any} pieces
 * @param {(error: unknown) => void} onError
 */
function upload(id, pieces, onError) {
  const source = pieces instanceof ReadableStream ? fromStream(pieces) : fromIterable(pieces)
  let over = false
  const stop = () => {
    if (over) return
    over = true
    wake(id)
    source.close()
  }
  const run = async () => {
    for (let next = await source.next(); !next.done; next = await source.next()) {
      const bytes = asBytes(await next.value)
      for (let at = 0; at < bytes.length && !over; at += PIECE) {
        const answer = port.write(id, bytes.subarray(at, at + PIECE))
        if (answer === Write.unread) return stop()
        if (answer === Write.wait) await writable(id)
      }
      if (over) return
    }
    over = true
    port.write(id, null)
  }
  flush()
  run().catch(error => {
    // Once it is over, what its source has to say no longer matters.
    if (over) return
    stop()
    onError(error)
  })
  return stop
}

/** @param {ReadableStream} stream */
function fromStream(stream) {
  const reader = stream.getReader()
  return { next: () => reader.read(), close: () => void reader.cancel().catch(() => {}) }
}

/** @param {any} pieces */
function fromIterable(pieces) {
  const iterator = pieces[Symbol.asyncIterator]?.() ?? pieces[Symbol.iterator]()
  return {
    next: async () => iterator.next(),
    close: () => {
      // A stream that is silent would keep its file or socket until it speaks.
      if (typeof pieces.destroy === 'function') pieces.destroy()
      else void Promise.resolve(iterator.return?.()).catch(() => {})
    }
  }
}

/** @param {unknown} piece */
function asBytes(piece) {
  if (piece instanceof Uint8Array) return piece
  if (typeof piece === 'string') return Buffer.from(piece)
  if (piece instanceof ArrayBuffer) return new Uint8Array(piece)
  if (ArrayBuffer.isView(piece)) return new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength)
  throw argumentError('ERR_INVALID_ARG_TYPE', `a piece of the body cannot be ${kind(piece)}`)
}

module.exports = { isWhole, outgoing, upload }

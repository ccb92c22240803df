'use strict'
// Trust stores: handed to native code once and shared by all clients that use the same.

const fs = require('node:fs')
const binding = require('./native.js')
const { argumentError, unsafe, unwrapObject } = require('./errors.js')

/** @type {import('../binding.js').NativeTrust | undefined} */
let nodeStore

/** Node's own trust store: what `https` would trust, `NODE_EXTRA_CA_CERTS` and `--use-system-ca` included. */
function defaultTrust() {
  nodeStore ??= unwrapObject(binding.trustFromBundle(Buffer.from(nodeCertificates().join('\n'))))
  return nodeStore
}

/** Loaded by need: it costs some milliseconds, and a client with its own `ca` can do without. */
function nodeTls() {
  return require('node:tls')
}

/** @returns {readonly string[]} PEM */
function nodeCertificates() {
  const tls = nodeTls()
  // From Node 22.15 on; before, what it is made of.
  if (typeof tls.getCACertificates === 'function') return tls.getCACertificates('default')
  const extra = process.env.NODE_EXTRA_CA_CERTS
  if (!extra) return tls.rootCertificates
  try {
    return [...tls.rootCertificates, fs.readFileSync(extra, 'utf8')]
  } catch {
    // As in Node, which warns at start and goes on without them.
    return tls.rootCertificates
  }
}

/**
 * The trust store that the options mean; `undefined` where the pins are the only trust.
 * @param {{ trust?: unknown, ca?: unknown, crl?: unknown }} options
 */
function trustOf({ trust, ca, crl }) {
  if (trust === 'pin-only') {
    const needless = ca === undefined ? crl : ca
    if (needless === undefined) return undefined
    throw unsafe("trust: 'pin-only' makes the pins the only trust: no issuer is known, so neither ca nor crl can count")
  }
  if (trust !== 'ca') {
    throw argumentError(
      'ERR_INVALID_ARG_VALUE',
      `trust must be 'ca' or 'pin-only', not ${typeof trust === 'string' ? trust : kind(trust)}`
    )
  }
  return ca === undefined ? defaultTrust() : unwrapObject(binding.trustFromCa(byteList(ca, 'ca')))
}

/** Contexts that a program has made by itself, with their `ca`: they do not tell it. @type {WeakMap<object, unknown>} */
const contexts = new WeakMap()

/** Flags by which Node takes its anchors from elsewhere than it tells before `tls.getCACertificates`. */
const ELSEWHERE = /--use-(openssl|system)-ca/

/**
 * The anchors that Node verifies a connection of these options with, as far as they can be known.
 * @param {Record<string, any>} options
 * @returns {{ ca: unknown, anchors: 'same' | 'guessed' }}
 */
function anchorsOf({ ca, secureContext, pfx }) {
  const given = secureContext ? contexts.get(secureContext) : ca || undefined
  const flags = [...process.execArgv, process.env.NODE_OPTIONS ?? ''].join(' ')
  const told = typeof nodeTls().getCACertificates === 'function' || !ELSEWHERE.test(flags)
  // An archive brings anchors of its own.
  const known = given !== undefined || (told && (!secureContext || contexts.has(secureContext)))
  return { ca: given, anchors: known && !pfx ? 'same' : 'guessed' }
}

/** One line that ends in the name of a file. */
const PATH = /^[^\r\n]{0,4096}\.(pem|crt|cer|cert|der|key|crl|p12|pfx)$/i

/**
 * An option that is text or bytes, or a list of them.
 * @param {unknown} value
 * @param {string} name
 * @returns {Uint8Array[]}
 */
function byteList(value, name) {
  if (value === undefined) return []
  if (!Array.isArray(value)) return [bytes(value, name)]
  if (value.length === 0) throw argumentError('ERR_INVALID_ARG_VALUE', `${name} is an empty list`)
  return value.map((item, index) => bytes(item, `${name}[${index}]`))
}

/**
 * @param {unknown} value
 * @param {string} name
 * @returns {Uint8Array}
 */
function bytes(value, name) {
  if (typeof value === 'string') {
    if (!PATH.test(value)) return Buffer.from(value)
    // Not shown: what resembles a path may be a secret.
    const what = `${name} must be the content of a file, not its path; write fs.readFileSync(path)`
    throw argumentError('ERR_INVALID_ARG_VALUE', what)
  }
  if (value instanceof Uint8Array) return value
  if (value instanceof ArrayBuffer) return new Uint8Array(value)
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  throw argumentError('ERR_INVALID_ARG_TYPE', `${name} must be a string or bytes, not ${kind(value)}`)
}

/** @param {unknown} value */
function kind(value) {
  if (value === null) return 'null'
  return typeof value === 'object' ? `an instance of ${value.constructor?.name ?? 'Object'}` : typeof value
}

module.exports = { anchorsOf, contexts, trustOf, byteList, bytes, kind }

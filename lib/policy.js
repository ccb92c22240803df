'use strict'
// Policies that are in force, and the verifier that asks them.

const { EventEmitter } = require('node:events')
const binding = require('./native.js')
const { isCertificate } = require('./crypto-objects.js')
const { argumentError, certificate, date, own, unwrap, unwrapObject } = require('./errors.js')
const { expiryOf } = require('./expiry.js')
const { recheck } = require('./live.js')
const { policyText } = require('./pins.js')
const { byteList, kind, trustOf } = require('./trust.js')

/**
 * A live policy. What holds for a connection is what the pin set says when it is written to.
 */
class PinSet extends EventEmitter {
  #native

  /** @param {unknown} pins */
  constructor(pins) {
    super()
    this.#native = unwrapObject(binding.pinSet(textOf(pins)))
    handles.set(this, this.#native)
    expiryOf(this)
  }

  /** How long before its expiry an entry is told of, in milliseconds. */
  get warnBefore() {
    return expiryOf(this).warnBefore
  }

  set warnBefore(milliseconds) {
    expiryOf(this).warnBefore = milliseconds
  }

  /**
   * The policy in a file.
   * @param {string | URL} file
   * @param {Record<string, any>} [options]
   * @returns {PinSet}
   */
  static fromFile(file, options) {
    return require('./sources/file.js').fromFile(file, options)
  }

  /**
   * The policy in a variable of the environment, or in the file that it names.
   * @param {string} name
   * @param {Record<string, any>} [options]
   * @returns {PinSet}
   */
  static fromEnv(name, options) {
    return require('./sources/file.js').fromEnv(name, options)
  }

  /**
   * The policy that a function brings, again and again.
   * @param {(context: { signal: AbortSignal }) => unknown} loader
   * @param {Record<string, any>} [options]
   * @returns {Promise<PinSet>}
   */
  static async fromLoader(loader, options) {
    return require('./sources/loader.js').fromLoader(loader, options)
  }

  /**
   * A policy that is signed, from wherever.
   * @param {Record<string, any>} options
   * @returns {Promise<PinSet>}
   */
  static async fromSigned(options) {
    return require('./sources/signed.js').fromSigned(options)
  }

  /** Stops following where the policy came from. The policy stays in force. */
  close() {
    require('./sources/keep.js').close(this)
  }

  [Symbol.dispose ?? Symbol.for('nodejs.dispose')]() {
    this.close()
  }

  /**
   * The entry that decides about a host, or null where the policy has none.
   * @param {string} host
   * @param {number} [port]
   */
  match(host, port = 443) {
    if (typeof host !== 'string')
      throw argumentError('ERR_INVALID_ARG_TYPE', `host must be a string, not ${kind(host)}`)
    const entry = unwrap(this.#native.entry(host, checkPort(port)))
    return entry && { ...entry, expires: date(entry.expires) }
  }

  /**
   * Decides about a chain as a connection would.
   * @param {string} host
   * @param {unknown} chain
   * @param {Record<string, unknown>} [options]
   */
  check(host, chain, options = {}) {
    return verifyChain({ ...options, hostname: host, chain, pins: this })
  }

  /**
   * Puts another policy into force, as a whole. If it is malformed, nothing changes.
   * @param {unknown} pins
   */
  replace(pins) {
    unwrap(this.#native.replace(textOf(pins)))
    // Before any listener: what one throws must not keep a refused connection open.
    recheck(this)
    expiryOf(this).changed()
    this.emit('change')
  }

  /** What is valid in the policy and still unwise. */
  get warnings() {
    return JSON.parse(this.#native.warnings())
  }

  /** The policy in canonical form. */
  toJSON() {
    return JSON.parse(this.#native.toJson())
  }

  /**
   * What `console.log` shows.
   * @param {number} depth
   * @param {import('node:util').InspectOptions} options
   * @param {typeof import('node:util').inspect} inspect
   */
  [Symbol.for('nodejs.util.inspect.custom')](depth, options, inspect) {
    return `PinSet ${inspect(this.toJSON(), { ...options, depth })}`
  }
}

/** @type {WeakMap<PinSet, import('../binding.js').NativePinSet>} */
const handles = new WeakMap()

/**
 * The native side of a pin set.
 * @param {PinSet} pins
 */
function handleOf(pins) {
  return /** @type {import('../binding.js').NativePinSet} */ (handles.get(pins))
}

/**
 * Whatever the option `pins` is, as a pin set.
 * @param {unknown} pins
 */
function asPinSet(pins) {
  return pins instanceof PinSet ? pins : new PinSet(pins)
}

/** A policy as it stands in a file: native code reads it more strictly than `JSON.parse`, which keeps the last of two keys. */
class PolicyText {
  /** @param {string} text */
  constructor(text) {
    this.text = text
  }
}

/**
 * Whatever the option `pins` is, as text.
 * @param {unknown} pins
 */
function textOf(pins) {
  if (pins instanceof PolicyText) return pins.text
  return pins instanceof PinSet ? handleOf(pins).toJson() : policyText(pins)
}

const CHAIN_OPTIONS = ['chain', 'hostname', 'port', 'pins', 'ca', 'crl', 'trust', 'time', 'maxIntermediates']

/**
 * The native verifier without a connection: the verified path and the pin that matched on it, or the error thrown.
 * @param {Record<string, any>} options
 */
function verifyChain(options) {
  const { chain, hostname, port = 443, pins, ca, crl, trust = 'ca', time, maxIntermediates } = own(options)
  for (const name of Object.keys(options ?? {})) {
    if (!CHAIN_OPTIONS.includes(name)) throw argumentError('ERR_INVALID_ARG_VALUE', `unknown option ${name}`)
  }
  if (typeof hostname !== 'string') {
    throw argumentError('ERR_INVALID_ARG_TYPE', `hostname must be a string, not ${kind(hostname)}`)
  }
  const certificates = (Array.isArray(chain) ? chain : [chain]).map(certificate =>
    isCertificate(certificate) ? certificate.raw : certificate
  )
  const given = {
    chain: byteList(certificates, 'chain'),
    hostname,
    port: checkPort(port),
    time: seconds(time),
    crl: byteList(crl, 'crl'),
    maxIntermediates: checkDepth(maxIntermediates)
  }
  const store = trustOf({ trust, ca, crl })
  const { path, pattern, matched, excused } = unwrap(binding.verifyChain(given, handleOf(asPinSet(pins)), store))
  return { path: path.map(certificate), pattern, matched, excused }
}

/**
 * @param {unknown} time
 * @returns {number | undefined}
 */
function seconds(time) {
  if (time === undefined) return undefined
  const milliseconds = time instanceof Date ? time.getTime() : time
  if (typeof milliseconds === 'number' && Number.isFinite(milliseconds)) return milliseconds / 1000
  throw argumentError('ERR_INVALID_ARG_VALUE', 'time must be a Date or milliseconds')
}

/**
 * @param {unknown} depth
 * @returns {number | undefined}
 */
function checkDepth(depth) {
  if (depth === undefined || (Number.isInteger(depth) && Number(depth) >= 0 && Number(depth) < 2 ** 32)) {
    return /** @type {number | undefined} */ (depth)
  }
  throw argumentError('ERR_INVALID_ARG_VALUE', 'maxIntermediates must be an integer, 0 or more')
}

/** @param {unknown} port */
function checkPort(port) {
  if (Number.isInteger(port) && Number(port) > 0 && Number(port) < 65_536) return Number(port)
  throw argumentError(
    'ERR_INVALID_ARG_VALUE',
    `port must be an integer from 1 to 65535, not ${typeof port === 'number' ? port : kind(port)}`
  )
}

module.exports = { PinSet, PolicyText, asPinSet, checkPort, handleOf, verifyChain }

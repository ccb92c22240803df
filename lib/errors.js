'use strict'
// Every error of this package: made here, of data, with a stable code.

/**
 * @typedef {object} Failure What native code says of a failure.
 * @property {string} code
 * @property {string} message
 * @property {string} [phase]
 * @property {string | null} [host]
 * @property {number | null} [port]
 * @property {string | null} [syscall]
 * @property {string | null} [cause]
 * @property {string | null} [pattern]
 * @property {string[] | null} [expected]
 * @property {NativeCertificate[] | null} [path]
 * @property {string[] | null} [chain] Base64 of DER.
 * @property {NativeCertificate | null} [certificate]
 * @property {string | null} [pinned]
 * @property {string} [place]
 * @property {string} [redirectedFrom]
 */

/**
 * @typedef {object} NativeCertificate
 * @property {string} subject
 * @property {string | null} issuer
 * @property {string} spkiPin
 * @property {string | null} fingerprint256
 * @property {number | null} validFrom Unix seconds
 * @property {number | null} validTo Unix seconds
 * @property {string} [raw] Base64 of its DER, where it is going to be reported.
 */

class TlsPinningError extends Error {
  /** @param {Failure} failure */
  constructor(failure) {
    super(messageOf(failure), failure.cause ? { cause: new Error(failure.cause) } : undefined)
    this.code = failure.code
    if (failure.phase) this.phase = failure.phase
    if (failure.host) this.host = failure.host
    if (failure.port) this.port = failure.port
    if (failure.syscall) this.syscall = failure.syscall
    if (failure.redirectedFrom) this.redirectedFrom = failure.redirectedFrom
    if (failure.certificate) {
      this.certificate = certificate(failure.certificate)
      this.pinned = failure.pinned ?? null
    }
  }

  get name() {
    return this.constructor.name
  }
}

class PinMismatchError extends TlsPinningError {
  /** @param {Failure} failure */
  constructor(failure) {
    super(failure)
    this.pattern = failure.pattern ?? null
    this.expected = failure.expected ?? []
    this.path = (failure.path ?? []).map(certificate)
    /** @type {Buffer[]} */
    this.chain = []
    hidden(this, 'chain', () => chainOf(failure.chain))
  }
}

class PinPolicyError extends TlsPinningError {
  /** @param {Failure} failure */
  constructor(failure) {
    // In the message too: some clients put a code of their own in the place of an error's.
    const { code, message } = failure
    super({ ...failure, message: code.startsWith('ERR_TLS_PIN_') ? `${code}: ${message}` : message })
  }
}

class PinInvalidError extends TlsPinningError {
  /** @param {Failure} failure */
  constructor(failure) {
    super(failure)
    this.place = failure.place ?? ''
  }
}

/**
 * In the first line: others may follow, with a path and pins.
 * @param {Failure} failure
 */
function messageOf({ message, redirectedFrom }) {
  if (!redirectedFrom) return message
  const [first, ...others] = message.split('\n')
  return [`${first} (redirected here from ${new URL(redirectedFrom).origin})`, ...others].join('\n')
}

/** @type {Record<string, new (failure: Failure) => TlsPinningError>} */
const CLASSES = {
  ERR_TLS_PIN_MISMATCH: PinMismatchError,
  ERR_TLS_PIN_UNLISTED: PinPolicyError,
  ERR_TLS_PIN_EXPIRED: PinPolicyError,
  ERR_TLS_PIN_UNSAFE: PinPolicyError,
  ERR_TLS_PIN_POLICY_SIGNATURE: PinPolicyError,
  ERR_TLS_PIN_POLICY_ROLLBACK: PinPolicyError,
  ERR_TLS_PIN_POLICY_EXPIRED: PinPolicyError,
  ERR_TLS_PIN_POLICY_NOT_YET_VALID: PinPolicyError,
  ERR_TLS_PIN_INVALID: PinInvalidError
}

/**
 * The error for what native code reports.
 * @param {Failure} failure
 */
function fromFailure(failure) {
  const Class = CLASSES[failure.code] ?? TlsPinningError
  return new Class(failure.phase === 'proxy' ? ofProxy(failure) : failure)
}

/**
 * Who reads only the message must not take the proxy for the server.
 * @param {Failure} failure
 */
function ofProxy(failure) {
  const [, code, rest] = /** @type {RegExpExecArray} */ (/^(ERR_\w+: )?(.*)$/s.exec(failure.message))
  const message = `${code ?? ''}the proxy ${rest.replace('The pins of this request:', 'The pins of the proxy:')}`
  return { ...failure, message }
}

/**
 * What a native function answers in JSON: `ok`, or `error`. The other is missing, and a polluted prototype must not put it in
 * its place.
 * @param {string} text
 * @returns {Record<string, any>}
 */
function outcomeOf(text) {
  return own(JSON.parse(text))
}

/**
 * The value of a native function that answers in JSON, or its error thrown.
 * @param {string} text
 */
function unwrap(text) {
  const { ok, error } = outcomeOf(text)
  if (error) throw fromFailure(error)
  return ok
}

/**
 * A native object, or the error that came in its place thrown.
 * @template T
 * @param {T | string} answer
 * @returns {T}
 */
function unwrapObject(answer) {
  if (typeof answer === 'string') throw fromFailure(JSON.parse(answer))
  return answer
}

/**
 * An object's own properties and nothing of its prototype, where one polluted name could add an anchor or a pin.
 * @param {object | null | undefined} options
 * @returns {Record<string, any>}
 */
function own(options) {
  return { __proto__: null, ...options }
}

/**
 * Whether all there is to an object is its own: an option that a class has as a getter would be passed over in silence.
 * @param {object} value
 */
function isPlain(value) {
  const prototype = Object.getPrototypeOf(value)
  // `Object.prototype` of whatever realm, or none.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/**
 * A malformed pin, with the place it stands at.
 * @param {string} place
 * @param {string} problem What is wrong, and what to write.
 */
function invalidPin(place, problem) {
  const message = `${place}: ${problem}`
  return new PinInvalidError({ code: 'ERR_TLS_PIN_INVALID', message, phase: 'policy', place })
}

/**
 * An argument of the wrong type or value, with Node's codes for it.
 * @param {'ERR_INVALID_ARG_TYPE' | 'ERR_INVALID_ARG_VALUE' | 'ERR_INVALID_URL' | 'ERR_INVALID_PROTOCOL' |
 *   'ERR_INVALID_STATE' | 'ERR_INVALID_CHAR' | 'ERR_HTTP_CONTENT_LENGTH_MISMATCH'} code
 * @param {string} message
 * @param {unknown} [cause]
 */
function argumentError(code, message, cause) {
  const error = new TypeError(message, cause === undefined ? undefined : { cause })
  return Object.assign(error, { code })
}

/**
 * Options that would switch pinning off.
 * @param {string} message
 */
function unsafe(message) {
  return new PinPolicyError({ code: 'ERR_TLS_PIN_UNSAFE', message, phase: 'policy' })
}

/**
 * A certificate of a path as users see it.
 * @param {NativeCertificate} native
 */
function certificate(native) {
  const { subject, issuer, spkiPin, fingerprint256, raw } = native
  const validFrom = date(native.validFrom)
  const told = { subject, issuer, spkiPin, fingerprint256, validFrom, validTo: date(native.validTo) }
  if (raw === undefined) return told
  return hidden(told, 'raw', () => Buffer.from(raw, 'base64'))
}

/** @param {string[] | null} [chain] */
function chainOf(chain) {
  return (chain ?? []).map(der => Buffer.from(der, 'base64'))
}

/**
 * What is made when it is first asked for, and does not fill the screen where the object is shown.
 * @template {object} T
 * @param {T} object
 * @param {string} name
 * @param {() => unknown} make
 */
function hidden(object, name, make) {
  /** @type {unknown} */
  let made
  const get = () => {
    made ??= make()
    return made
  }
  return Object.defineProperty(object, name, { configurable: true, enumerable: false, get })
}

/** @param {number | null} seconds */
function date(seconds) {
  return seconds === null ? null : new Date(seconds * 1000)
}

module.exports = {
  TlsPinningError,
  PinMismatchError,
  PinPolicyError,
  PinInvalidError,
  fromFailure,
  outcomeOf,
  unwrap,
  unwrapObject,
  own,
  isPlain,
  invalidPin,
  argumentError,
  unsafe,
  certificate,
  chainOf,
  date,
  hidden
}

'use strict'
// The identity of a server on a connection of Node's own TLS: its name by Node's rules, then the pins.

const tls = require('node:tls')
const { types } = require('node:util')
const binding = require('./native.js')
const { tellAccepted, tellRefused, wantsVerified } = require('./diagnostics.js')
const { argumentError, fromFailure, outcomeOf, own, unsafe } = require('./errors.js')
const { asPinSet, checkPort, handleOf } = require('./policy.js')
const { kind, trustOf } = require('./trust.js')

// Taken when this loads: a program may put our own function in its place.
const nodeCheck = tls.checkServerIdentity

/** So many certificates are collected: native code looks at no more. */
const MOST = 16

/** @typedef {import('node:tls').PeerCertificate} PeerCertificate */
/** @typedef {(hostname: string, cert: PeerCertificate) => unknown} Check */
/** @typedef {InstanceType<typeof import('./policy.js').PinSet>} Pins */

/**
 * What decides about the connections to one host, or to whatever host Node names.
 */
class Identity {
  #pins
  #handle
  #host
  #port
  #ca
  #anchors
  #trust
  #source
  /** @type {import('../binding.js').NativeTrust | undefined} */
  #store
  /** The certificates accepted last. @type {Uint8Array[]} */
  #last = []

  /**
   * @param {{
   *   pins: Pins, host?: string, port?: number, ca?: unknown, anchors?: 'same' | 'guessed', trust?: 'ca' | 'pin-only',
   *   source: import('./diagnostics.js').Source
   * }} options
   */
  constructor(options) {
    const { pins, host, port, ca, trust = 'ca', source, ...more } = /** @type {typeof options} */ (own(options))
    const { anchors = ca === undefined ? 'guessed' : 'same' } = own(more)
    this.#pins = pins
    this.#handle = handleOf(pins)
    this.#host = host
    this.#port = port
    this.#ca = ca
    this.#anchors = anchors
    this.#trust = trust
    this.#source = source
    // Both are read when a path has to be verified, which the pin of a server's own key does not need.
    if (trust !== 'ca') trustOf({ trust, ca })
  }

  /**
   * Name and pins. Throws nothing that a caller could miss: callers of Node's make an answer of it.
   * @param {Check} verifyHostname
   * @param {unknown} hostname
   * @param {any} cert
   * @returns {Error | undefined}
   */
  check(verifyHostname, hostname, cert) {
    // As Node does; a symbol throws.
    // biome-ignore lint/style/useTemplate: a template literal would ask an object for another text.
    const name = typeof hostname === 'string' ? hostname : '' + /** @type {any} */ (hostname)
    return answer(verifyHostname(name, cert)) ?? this.#otherHost(name) ?? this.#pinned(this.#host ?? name, cert)
  }

  /**
   * The pins alone, for certificates that were shown before.
   * @param {Uint8Array[]} shown The server's own first.
   * @returns {Error | undefined}
   */
  recheck(shown) {
    return this.#decide(/** @type {string} */ (this.#host), shown)
  }

  /** @param {string} name */
  #otherHost(name) {
    if (this.#host === undefined || name === this.#host || binding.isSameHost(name, this.#host)) return undefined
    return fromFailure({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
      message: `the connection is for ${this.#host}, but the certificate was to be checked for ${name}`,
      phase: 'handshake',
      host: this.#host,
      port: this.#port
    })
  }

  /**
   * @param {string} host
   * @param {any} cert
   */
  #pinned(host, cert) {
    const { raw } = cert
    // Most servers are pinned by their own key, and most programs do not listen to the channel.
    if (types.isUint8Array(raw) && !wantsVerified()) {
      if (binding.ownCertificateIsPinned(this.#handle, host, this.#port, raw)) return undefined
    }
    const shown = this.#completed(collect(cert))
    const error = this.#decide(host, shown)
    if (!error) this.#last = shown
    return error
  }

  /**
   * Some clients ask twice, the second time with the server's own certificate alone: its issuers are those of before.
   * @param {Uint8Array[]} shown
   */
  #completed(shown) {
    const [own] = shown
    return shown.length === 1 && this.#last.length > 1 && Buffer.compare(own, this.#last[0]) === 0 ? this.#last : shown
  }

  /**
   * @param {string} host
   * @param {Uint8Array[]} shown
   */
  #decide(host, shown) {
    if (this.#trust === 'ca') this.#store ??= trustOf({ trust: 'ca', ca: this.#ca })
    const guessed = this.#anchors === 'guessed'
    const text = binding.checkShown(this.#handle, host, this.#port, shown, this.#store, guessed)
    const { ok, error: failure } = outcomeOf(text)
    if (failure || !ok) {
      const error = fromFailure(failure)
      tellRefused(this.#pins, this.#source, error)
      return error
    }
    tellAccepted(this.#pins, this.#source, ok)
    return undefined
  }
}

/**
 * The certificates that Node shows, the server's own first: each of its objects has the next as `issuerCertificate`, the last
 * one itself.
 * @param {any} cert
 */
function collect(cert) {
  const seen = new Set()
  const shown = []
  for (let at = cert; at && !seen.has(at) && shown.length < MOST; at = at.issuerCertificate) {
    seen.add(at)
    const { raw } = at
    if (!types.isUint8Array(raw)) break
    shown.push(raw)
  }
  return shown
}

/**
 * What a user's check answered, as Node takes it, but never without words: `undefined`, `null` and `false` accept, an error
 * refuses, and so does anything else.
 * @param {unknown} given
 * @returns {Error | undefined}
 */
function answer(given) {
  if (!given) return undefined
  if (given instanceof Error || types.isNativeError(given)) return /** @type {Error} */ (given)
  return argumentError(
    /** @type {any} */ ('ERR_INVALID_RETURN_VALUE'),
    `a checkServerIdentity must return an Error or undefined, not ${kind(given)}`
  )
}

/**
 * Runs a check for Node: what it throws is its answer, for a throw fails open where the process has an `uncaughtException`
 * handler.
 * @param {() => Error | undefined} check
 */
function guarded(check) {
  try {
    return check()
  } catch (error) {
    return answer(error) ?? new Error('the check of the server’s identity failed', { cause: error })
  }
}

const OPTIONS = ['host', 'port', 'ca', 'verifyHostname']

/**
 * @param {unknown} pins
 * @param {Record<string, any>} [options]
 */
function createCheckServerIdentity(pins, options = {}) {
  if (typeof options !== 'object' || options === null) {
    throw argumentError('ERR_INVALID_ARG_TYPE', `options must be an object, not ${kind(options)}`)
  }
  for (const name of Object.keys(options)) {
    if (!OPTIONS.includes(name)) throw argumentError('ERR_INVALID_ARG_VALUE', `unknown option ${name}`)
  }
  const { host, port, ca, verifyHostname = nodeCheck } = own(options)
  if (verifyHostname === false) throw unsafe('without a check of the name, any certificate below a pinned CA would do')
  if (typeof verifyHostname !== 'function') {
    throw argumentError('ERR_INVALID_ARG_TYPE', `verifyHostname must be a function, not ${kind(verifyHostname)}`)
  }
  checkHost(host)
  if (ca !== undefined) trustOf({ trust: 'ca', ca })
  const identity = new Identity({
    pins: asPinSet(pins),
    host,
    port: port === undefined ? port : checkPort(port),
    ca,
    source: 'checkServerIdentity'
  })
  /** @param {string} hostname @param {PeerCertificate} cert */
  return (hostname, cert) => guarded(() => identity.check(verifyHostname, hostname, cert))
}

/**
 * Node's own check, its errors returned; with pins, those too.
 * @param {string} hostname
 * @param {PeerCertificate} cert
 * @param {unknown[]} pins One, or none.
 */
function checkServerIdentity(hostname, cert, ...pins) {
  if (pins.length === 0) return guarded(() => answer(nodeCheck(hostname, cert)))
  // Pins that turn out to be undefined are a mistake, not none.
  return guarded(() => createCheckServerIdentity(pins[0])(hostname, cert))
}

/** @param {unknown} host */
function checkHost(host) {
  if (host !== undefined && (typeof host !== 'string' || !binding.isSameHost(host, host))) {
    const shown = typeof host === 'string' ? JSON.stringify(host) : kind(host)
    throw argumentError('ERR_INVALID_ARG_VALUE', `host must be a host name or an IP address, not ${shown}`)
  }
}

module.exports = {
  Identity,
  answer,
  checkHost,
  checkServerIdentity,
  collect,
  createCheckServerIdentity,
  guarded,
  nodeCheck
}

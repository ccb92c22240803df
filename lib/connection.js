'use strict'
// One connection of Node's own TLS that has to satisfy the pins: its options, and what is watched over once it is made.

const { fromFailure, own, unsafe } = require('./errors.js')
const { end, gate } = require('./gate.js')
const { isSameHost } = require('./native.js')
const { Identity, answer, collect, guarded, nodeCheck } = require('./identity.js')
const { watch } = require('./live.js')
const { handleOf } = require('./policy.js')
const { kind } = require('./trust.js')

/** @typedef {import('./identity.js').Check} Check */
/** @typedef {InstanceType<typeof import('./policy.js').PinSet>} Pins */

/** The longest that a timer can wait. */
const MOST_DELAY = 2 ** 31 - 1

/** Marks options whose `rejectUnauthorized: false` is ours: the pins are the only trust. */
const kPinOnly = Symbol('pins are the only trust')

const UNSAFE = {
  rejectUnauthorized:
    "rejectUnauthorized: false switches verification off, and with it the pins; for a self-signed server give its certificate as ca, or say trust: 'pin-only'",
  checkServerIdentity: 'checkServerIdentity must be a function'
}

/**
 * Refuses options that would switch pinning off.
 * @param {Record<string, any>} options
 */
function refuseUnsafe(options) {
  if (options.rejectUnauthorized === false && !(kPinOnly in options)) throw unsafe(UNSAFE.rejectUnauthorized)
  const { checkServerIdentity: check } = options
  if (check !== undefined && typeof check !== 'function') throw unsafe(UNSAFE.checkServerIdentity)
}

/**
 * Whom a connection is made to: the name that Node sends and checks, unless only the address has an entry.
 * @param {Pins} pins
 * @param {unknown[]} names
 * @param {number} [port] Where it is not known, the entries of all ports count.
 * @returns {{ host: string, port: number | undefined, listed: boolean }}
 */
function target(pins, names, port) {
  // Without any name it is Node's own default.
  const given = names.filter(Boolean).map(hostIn)
  const known = given.length > 0 ? given : ['localhost']
  for (const host of known) {
    if (handleOf(pins).lists(host, port)) return { host, port, listed: true }
  }
  return { host: known[0], port, listed: false }
}

/**
 * A name that is no host is nobody's, and must not pass for one that the policy does not list: Node may know whom it means.
 * @param {unknown} name
 */
function hostIn(name) {
  // The zone of an address says which way, not who.
  const host = typeof name === 'string' && name.includes(':') ? name.replace(/%.*$/, '') : name
  if (typeof host === 'string' && isSameHost(host, host)) return host
  throw unsafe(`${typeof host === 'string' ? JSON.stringify(host) : kind(host)} is not a host name or an IP address`)
}

/**
 * A connection to be made, and then made.
 */
class PinnedConnection {
  #pins
  #identity
  #checks
  #pinOnly
  #whom
  /** Whether the check was made since the last handshake. */
  #asked = false
  /** The certificates it was decided by. @type {Uint8Array[]} */
  #shown = []

  /**
   * @param {{
   *   pins: Pins, names: unknown[], port?: number, ca?: unknown, anchors?: 'same' | 'guessed',
   *   trust?: 'ca' | 'pin-only', checks?: (Check | undefined)[], source: import('./diagnostics.js').Source
   * }} given `names`, `port`: as {@link target} takes them. `checks`: those of others, which run besides.
   */
  constructor(given) {
    const { names, port, checks = [], ...options } = /** @type {typeof given} */ (own(given))
    const { pins, trust } = own(options)
    this.#pins = pins
    this.#whom = () => target(pins, names, port)
    const whom = this.#whom()
    this.host = whom.host
    this.port = whom.port
    this.#identity = new Identity({ ...options, host: whom.host, port: whom.port })
    this.#pinOnly = trust === 'pin-only'
    this.#checks = /** @type {Check[]} */ (checks.filter(check => check !== undefined))
  }

  /**
   * The options to connect with.
   * @template {Record<string, any>} T
   * @param {T} options
   */
  options(options) {
    return {
      ...options,
      // Spelled out: the environment may say otherwise. Self-signed servers are decided about in `accept`.
      rejectUnauthorized: !this.#pinOnly,
      // A resumed session shows no certificate.
      session: undefined,
      checkServerIdentity: this.check,
      ...(this.#pinOnly && { [kPinOnly]: true })
    }
  }

  /** @type {(hostname: string, cert: import('node:tls').PeerCertificate) => Error | undefined} */
  check = (hostname, cert) =>
    guarded(() => {
      for (const check of this.#checks) {
        const error = answer(check(hostname, cert))
        if (error) return error
      }
      // The name that Node would have checked, where it is another one than that which decides.
      const other = hostname !== this.host && this.#checks.length === 0
      const error =
        (other ? answer(nodeCheck(hostname, cert)) : undefined) ?? this.#identity.check(nodeCheck, this.host, cert)
      if (!error) {
        this.#shown = collect(cert)
        this.#asked = true
      }
      return error
    })

  /**
   * Lets nothing out of a socket that Node connects, and does not let it be called secure, before it has been checked; and
   * watches over it then.
   * @param {import('node:tls').TLSSocket} socket
   * @param {(error: Error | undefined) => void} [onReplaced]
   */
  guard(socket, onReplaced) {
    // @ts-expect-error Not declared.
    socket.setSession = () => {}
    gate(
      socket,
      'secureConnect',
      () => this.accept(socket),
      error => socket.destroy(error)
    )
    this.watch(socket, onReplaced)
  }

  /**
   * Asks about a socket again when the policy has changed and when its entry expires, until it has closed.
   * @param {import('node:tls').TLSSocket} socket
   * @param {(error: Error | undefined) => void} [onReplaced] What to do with the answer. Default: an error ends the connection.
   */
  watch(socket, onReplaced = error => error && end(socket, error)) {
    watch(this.#pins, socket, () => {
      // What is still in its handshake will be checked by the policy in force then.
      if (this.#shown.length > 0) onReplaced(this.recheck())
      this.#awaitExpiry(socket, onReplaced)
    })
    this.#awaitExpiry(socket, onReplaced)
  }

  /** @type {NodeJS.Timeout | undefined} */
  #timer

  /**
   * @param {import('node:tls').TLSSocket} socket
   * @param {(error: Error | undefined) => void} onExpired
   */
  #awaitExpiry(socket, onExpired) {
    clearTimeout(this.#timer)
    const expires = handleOf(this.#pins).expires(this.host, this.port)
    if (typeof expires !== 'number' || socket.destroyed) return
    const left = expires * 1000 - Date.now()
    if (left < 0) return
    this.#timer = setTimeout(
      () => {
        if (this.#shown.length > 0) onExpired(this.recheck())
        this.#awaitExpiry(socket, onExpired)
      },
      Math.min(left, MOST_DELAY)
    )
    this.#timer.unref()
    socket.once('close', () => clearTimeout(this.#timer))
  }

  /**
   * The decision about a socket that has shaken hands.
   * @param {import('node:tls').TLSSocket} socket
   * @param {boolean} [ask] Whether Node has not asked. It does not where the pins are the only trust, since it cannot verify.
   * @returns {Error | undefined}
   */
  accept(socket, ask = this.#pinOnly) {
    if (ask && !socket.isSessionReused()) {
      const error = this.check(this.host, socket.getPeerCertificate(true))
      if (error) return error
      Object.assign(socket, { authorized: true, authorizationError: null })
    }
    const asked = this.#asked
    this.#asked = false
    return asked ? undefined : this.#unchecked()
  }

  /**
   * Hands a socket over when it has satisfied the pins, or why it has not; once.
   * @param {import('node:tls').TLSSocket} socket
   * @param {(...args: [error: null, socket: import('node:tls').TLSSocket] | [error: Error, socket: null]) => void} done
   */
  handOver(socket, done) {
    /** @param {Error | undefined} error */
    const settle = error => {
      socket.off('secureConnect', onSecure).off('close', onClose)
      // It stays: somebody has to hear of errors until the new owner does.
      if (error) socket.destroy()
      const answer = done
      done = () => {}
      error ? answer(error, null) : answer(null, socket)
    }
    const onSecure = () => settle(undefined)
    const onClose = () => settle(Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' }))
    socket.once('secureConnect', onSecure).once('close', onClose)
    socket.on('error', error => settle(error))
  }

  /** What the policy in force says of the certificates. */
  recheck() {
    return guarded(() => {
      const { host, port } = this.#whom()
      if (host === this.host) return this.#identity.recheck(this.#shown)
      const message = `the policy now decides about ${this.host} as ${host}, which this connection was not checked for`
      return fromFailure({ code: 'ERR_TLS_PIN_UNLISTED', message, phase: 'policy', host, port })
    })
  }

  #unchecked() {
    return fromFailure({
      code: 'ERR_TLS_PIN_UNSAFE',
      message: `${this.host}: the connection was made without a check of the server's certificate, by a resumed session or a pre-shared key`,
      phase: 'handshake',
      host: this.host
    })
  }
}

module.exports = { PinnedConnection, kPinOnly, refuseUnsafe, target }

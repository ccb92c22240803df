'use strict'
// One connection of Node's own TLS that has to satisfy the pins: its options, and what is watched over once it is made.

const { fromFailure, unsafe } = require('./errors.js')
const { Identity, answer, collect, guarded, nodeCheck } = require('./identity.js')
const { watch } = require('./live.js')
const { handleOf } = require('./policy.js')

/** @typedef {import('node:tls').TLSSocket} TLSSocket */
/** @typedef {import('./identity.js').Check} Check */
/** @typedef {InstanceType<typeof import('./policy.js').PinSet>} Pins */

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
 * @param {(string | undefined)[]} names
 * @param {number} port
 * @param {boolean} [guessed] The port may be another: any that the policy names for the host will do.
 * @returns {{ host: string, port: number, listed: boolean }}
 */
function target(pins, names, port, guessed = false) {
  const known = /** @type {string[]} */ (names.filter(name => typeof name === 'string' && name !== ''))
  for (const host of known) {
    const listed = handleOf(pins).listedPort(host, port, guessed)
    if (listed !== null) return { host, port: listed, listed: true }
  }
  // As Node has it where there is no name at all.
  const [host = 'localhost'] = known
  return { host, port, listed: false }
}

/**
 * A connection to be made, and then made.
 */
class PinnedConnection {
  #pins
  #identity
  #checks
  #pinOnly
  /** The certificates it was decided by. @type {Uint8Array[] | undefined} */
  #shown

  /**
   * @param {{
   *   pins: Pins, host: string, port: number, ca?: unknown, trust?: 'ca' | 'pin-only', checks?: (Check | undefined)[],
   *   source: import('./diagnostics.js').Source
   * }} options `checks`: those of others, which run besides.
   */
  constructor({ checks = [], ...options }) {
    const { pins, host, trust } = options
    this.#pins = pins
    this.host = host
    this.#identity = new Identity(options)
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
      if (!error) this.#shown ??= collect(cert)
      return error
    })

  /**
   * Sees to it that a socket which Node connects has been checked when it says that it is secure, and watches over it.
   * @param {TLSSocket} socket
   * @param {(error: Error | undefined) => void} [onReplaced]
   */
  guard(socket, onReplaced) {
    // @ts-expect-error Not declared.
    socket.setSession = () => {}
    const release = this.#pinOnly ? hold(socket) : () => {}
    socket.prependListener('secureConnect', () => {
      const error = this.accept(socket)
      error ? socket.destroy(error) : release()
    })
    this.watch(socket, onReplaced)
  }

  /**
   * Asks about a socket again when the policy has changed, until it has closed.
   * @param {TLSSocket} socket
   * @param {(error: Error | undefined) => void} [onReplaced] What to do with the answer. Default: an error ends the connection.
   */
  watch(socket, onReplaced = error => error && socket.destroy(error)) {
    watch(this.#pins, socket, () => {
      // What is still in its handshake will be checked by the policy in force then.
      if (this.#shown) onReplaced(this.recheck())
    })
  }

  /**
   * The decision about a socket that has shaken hands.
   * @param {TLSSocket} socket
   * @param {boolean} [ask] Whether Node has not asked. It does not where the pins are the only trust, since it cannot verify.
   * @returns {Error | undefined}
   */
  accept(socket, ask = this.#pinOnly) {
    if (!this.#shown && ask && !socket.isSessionReused()) {
      const error = this.check(this.host, socket.getPeerCertificate(true))
      if (error) return error
      Object.assign(socket, { authorized: true, authorizationError: null })
    }
    return this.#shown ? undefined : this.#unchecked()
  }

  /**
   * Hands a socket over when it has satisfied the pins, or why it has not; once.
   * @param {TLSSocket} socket
   * @param {(...args: [error: null, socket: TLSSocket] | [error: Error, socket: null]) => void} done
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
    // The check has been made before, and has destroyed what it refused.
    const onSecure = () => !socket.destroyed && settle(undefined)
    const onClose = () => settle(Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' }))
    socket.once('secureConnect', onSecure).once('close', onClose)
    socket.on('error', error => settle(error))
  }

  /** What the policy in force says of the certificates. */
  recheck() {
    return guarded(() => this.#identity.recheck(this.#shown ?? []))
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

/**
 * Keeps back whatever is written to a socket that Node would let through unverified. A stream has one write under way at a
 * time, so that what follows waits behind the first.
 * @param {any} socket
 * @returns {() => void} Lets it go.
 */
function hold(socket) {
  /** @type {(() => void)[]} */
  const held = []
  /** @type {(() => void)[]} */
  const restore = []
  for (const name of ['_write', '_writev', '_final']) {
    const method = socket[name]
    restore.push(() => (socket[name] = method))
    socket[name] = (/** @type {any[]} */ ...args) => held.push(() => method.apply(socket, args))
  }
  return () => {
    for (const step of [...restore, ...held]) step()
  }
}

module.exports = { PinnedConnection, hold, kPinOnly, refuseUnsafe, target }

'use strict'
// Puts a policy before every TLS client connection that this thread makes from now on, whatever options it is made with.

const { syncBuiltinESMExports } = require('node:module')
const tls = require('node:tls')
const { pinBare } = require('./bare.js')
const { PinnedConnection, kPinOnly, refuseUnsafe, target } = require('./connection.js')
const { fromFailure } = require('./errors.js')
const { refused } = require('./gate.js')
const { Identity, collect, guarded } = require('./identity.js')
const { handleOf } = require('./policy.js')
const { anchorsOf, contexts } = require('./trust.js')

/** @typedef {InstanceType<typeof import('./policy.js').PinSet>} Pins */

const { TLSSocket, connect: nodeConnect, createSecureContext } = tls

/** Of `node:tls`; not declared any more. @type {string} */
const OLDER_NAME = '_tls_wrap'

/**
 * @param {Pins} pins
 * @param {(message: string) => void} warn What cannot be pinned and was seen.
 */
function pinEverywhere(pins, warn) {
  const { unlisted } = pins.toJSON()

  /** @param {any[]} args */
  function connect(...args) {
    const { options, callback } = normalize(args)
    try {
      return secure(options, callback)
    } catch (error) {
      return refuse(error, options)
    }
  }

  /**
   * @param {Record<PropertyKey, any>} options
   * @param {(() => void) | undefined} callback
   */
  function secure(options, callback) {
    const names = namesIn(options)
    const port = portIn(pins, options, names)
    const whom = target(pins, names, port)
    if (!whom.listed) {
      if (unlisted === 'deny') throw unlistedError(pins, whom)
      const socket = nodeConnect(options, callback)
      if (unlisted === 'report') reportOnce(pins, whom, socket)
      return socket
    }
    refuseUnsafe(options)
    const connection = new PinnedConnection({
      pins,
      names,
      port,
      ...anchorsOf(options),
      trust: options[kPinOnly] ? 'pin-only' : 'ca',
      checks: [options.checkServerIdentity],
      source: 'register'
    })
    const socket = nodeConnect(connection.options(options), callback)
    connection.guard(socket)
    return socket
  }

  tls.connect = /** @type {any} */ (connect)
  tls.createSecureContext = options => {
    const context = createSecureContext(options)
    contexts.set(context, options?.ca || undefined)
    return context
  }
  const Bare = new Proxy(TLSSocket, {
    construct: (Socket, [below, options, ...rest], newTarget) =>
      bare(Reflect.construct(Socket, [below, withoutSession(options), ...rest], newTarget), below, options),
    // Inheritance as before there were classes.
    apply(Socket, self, [below, options, ...rest]) {
      const made = Reflect.apply(/** @type {any} */ (Socket), self, [below, withoutSession(options), ...rest])
      return bare(made ?? self, below, options) && made
    }
  })
  tls.TLSSocket = Bare
  Bare.prototype.constructor = Bare

  /**
   * A client without tls.connect. Whom it is connected to may be known only when it says that it is secure.
   * @param {any} socket
   * @param {any} below
   * @param {Record<string, any>} [options]
   */
  function bare(socket, below, options = {}) {
    if (options.isServer) return socket
    return pinBare(socket, options, servername => {
      const known = { servername, socket: below ?? socket }
      const names = [servername, ...namesIn({ socket: below ?? socket })]
      const port = portIn(pins, known, names)
      const whom = target(pins, names, port)
      if (whom.listed || unlisted === 'deny') {
        return new PinnedConnection({ pins, names, port, ...anchorsOf(options), source: 'register' })
      }
      if (unlisted === 'report') reportOnce(pins, whom, socket, 'secure')
      return undefined
    })
  }

  const old = /** @type {any} */ (tls)
  const { createSecurePair } = old
  // Until Node 22.
  if (typeof createSecurePair === 'function') {
    old.createSecurePair = (/** @type {any[]} */ ...args) => {
      if (!args[1]) warn('tls.createSecurePair(…) makes a TLS client that is not pinned; only tls.connect(…) does')
      return createSecurePair(...args)
    }
  }
  replaceOlderName()
  syncBuiltinESMExports()
}

/** Node's older name of the module has functions of its own, and warns of itself. */
function replaceOlderName() {
  const { noDeprecation } = process
  // With the flag of that name it is read-only.
  if (!noDeprecation) process.noDeprecation = true
  try {
    const { connect, TLSSocket: Socket } = tls
    Object.assign(require(OLDER_NAME), { connect, TLSSocket: Socket })
  } catch {
    // It is gone.
  } finally {
    if (!noDeprecation) process.noDeprecation = noDeprecation
  }
}

/** @param {any} options */
function withoutSession(options) {
  return options && !options.isServer ? { ...options, session: undefined } : options
}

/**
 * The forms of `tls.connect`: options; port, host, options; path, options; each with a callback.
 * @param {any[]} args
 * @returns {{ options: Record<PropertyKey, any>, callback: (() => void) | undefined }}
 */
function normalize(args) {
  const [first, second, third] = args
  const last = args.at(-1)
  const more = isObject(second) ? second : isObject(third) ? third : {}
  return { options: { ...leading(first, second), ...more }, callback: typeof last === 'function' ? last : undefined }
}

/**
 * @param {any} first
 * @param {any} second
 */
function leading(first, second) {
  if (isObject(first)) return first
  if (typeof first === 'string' && !(Number(first) >= 0)) return { path: first }
  return { port: first, ...(typeof second === 'string' && { host: second }) }
}

/** @param {unknown} value */
function isObject(value) {
  return typeof value === 'object' && value !== null
}

/**
 * The names of whom a connection is for. On a socket that exists already there may be none but that of its other end.
 * @param {Record<string, any>} options
 * @returns {unknown[]}
 */
function namesIn({ servername, host, hostname, socket }) {
  // Through a proxy an address may be known by `hostname` alone, which is no option of Node's.
  if (servername || host || hostname || !socket) return [servername, host, hostname]
  // Node's own default is the first of them; a name that was looked up is kept there.
  return [socket._host, socket.remoteAddress]
}

/**
 * The port. It is not known of a socket that is there already: through a proxy its other end is the proxy's. Where that is the
 * host itself, and the policy names the port, it is the one.
 * @param {Pins} pins
 * @param {Record<string, any>} options
 * @param {unknown[]} names
 * @returns {number | undefined}
 */
function portIn(pins, { port, socket }, names) {
  const number = Number(port)
  if (number > 0 && number < 65_536) return number
  if (!socket) return 443
  const host = names.find(Boolean)
  const isDirect = typeof host === 'string' && [socket._host, socket.remoteAddress].includes(host)
  return isDirect && handleOf(pins).namesPort(host, socket.remotePort ?? 443) ? socket.remotePort : undefined
}

/**
 * @param {unknown} error
 * @param {{ socket?: import('node:net').Socket }} options
 */
function refuse(error, { socket }) {
  return refused(/** @type {Error} */ (error), socket)
}

/**
 * @param {Pins} pins
 * @param {{ host: string, port?: number }} whom
 */
function unlistedError(pins, { host, port }) {
  const error = guarded(() => new Identity({ pins, host, port, source: 'register' }).recheck([]))
  return error ?? fromFailure({ code: 'ERR_TLS_PIN_UNLISTED', message: `${host} is not listed`, host, port })
}

const reported = new Set()

/**
 * @param {Pins} pins
 * @param {{ host: string, port?: number }} whom
 * @param {import('node:tls').TLSSocket} socket
 * @param {string} [event]
 */
function reportOnce(pins, { host, port }, socket, event = 'secureConnect') {
  const name = `${host}:${port ?? ''}`
  if (reported.has(name)) return
  socket.once(event, () => {
    if (reported.has(name) || socket.isSessionReused()) return
    reported.add(name)
    guarded(() =>
      new Identity({ pins, host, port, source: 'register' }).recheck(collect(socket.getPeerCertificate(true)))
    )
  })
}

module.exports = { pinEverywhere }

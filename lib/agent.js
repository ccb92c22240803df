'use strict'
// An agent for `https` and whatever is built on it: its connections satisfy the pins, now and when the pins change.

const { EventEmitter } = require('node:events')
const https = require('node:https')
const net = require('node:net')
const tls = require('node:tls')
const { PinnedConnection, refuseUnsafe } = require('./connection.js')
const { argumentError, fromFailure, own, unsafe } = require('./errors.js')
const { end, refused } = require('./gate.js')
const { Identity, answer, guarded, nodeCheck } = require('./identity.js')
const { asPinSet } = require('./policy.js')
const { anchorsOf, kind, trustOf } = require('./trust.js')

/** @typedef {(error: Error | null, socket?: any) => void} Callback */

/** Where is kept what a request says itself: Node puts an agent's options over a request's. */
const kRequestCheck = Symbol('the check of a request')
const kRequestUnsafe = Symbol('whether a request has said rejectUnauthorized: false')
const kRequestNumber = Symbol('a number for each request with a check')

let lastNumber = 0

class PinnedAgent extends https.Agent {
  #pins
  #trust
  #proxyAgent
  #check
  #copied

  /**
   * @param {unknown} pins
   * @param {Record<string, any>} [options]
   */
  constructor(pins, options = {}) {
    const { trust = 'ca', proxyAgent, checkServerIdentity, ...rest } = own(options)
    refuseUnsafe(options)
    if (rest.session !== undefined) throw unsafe('session resumes a connection, whose certificate is not checked again')
    if (rest.proxyEnv !== undefined) {
      throw argumentError(
        'ERR_INVALID_ARG_VALUE',
        'proxyEnv is not supported: give proxyAgent, such as an HttpsProxyAgent'
      )
    }
    trustOf({ trust, ca: rest.ca })
    if (proxyAgent !== undefined && !connectOf(proxyAgent)) {
      throw argumentError(
        'ERR_INVALID_ARG_TYPE',
        `proxyAgent must be an agent built on agent-base, not ${kind(proxyAgent)}`
      )
    }
    super({ ...rest, maxCachedSessions: 0 })
    this.#pins = asPinSet(pins)
    this.#trust = trust
    this.#proxyAgent = proxyAgent
    this.#check = checkServerIdentity
    const identity = new Identity({ pins: this.#pins, ca: rest.ca, source: 'agent' })
    // For a client that takes over the options of an agent, and not the agent, such as axios for a tunnel of its own. Without
    // the first, NODE_TLS_REJECT_UNAUTHORIZED=0 would have Node ignore what the check answers.
    this.options.rejectUnauthorized = true
    this.options.checkServerIdentity = this.#copied = (/** @type {string} */ hostname, /** @type {any} */ cert) =>
      guarded(() => answer(checkServerIdentity?.(hostname, cert)) ?? identity.check(nodeCheck, hostname, cert))
  }

  get pins() {
    return this.#pins
  }

  /**
   * @param {import('node:http').ClientRequest} request
   * @param {any} options
   * @param {unknown[]} rest
   */
  addRequest(request, options, ...rest) {
    const check = options.checkServerIdentity
    const isOwn = Boolean(check) && check !== nodeCheck
    // No other may use its connection. Not before it has one: of one that is new Node says too that it is free.
    if (isOwn) request.once('socket', socket => this.#stale.add(/** @type {tls.TLSSocket} */ (socket)))
    const own = {
      ...options,
      [kRequestCheck]: check,
      [kRequestUnsafe]: options.rejectUnauthorized === false,
      [kRequestNumber]: isOwn && ++lastNumber
    }
    // @ts-expect-error Not declared.
    super.addRequest(request, typeof options === 'object' ? own : options, ...rest)
  }

  /**
   * Node's key of a pool. A request with a check of its own has one of its own: what another has accepted, it has not.
   * So has one that says `rejectUnauthorized: false`, so that it is refused whatever connections are open.
   * @param {any} [options]
   */
  getName(options = {}) {
    const name = super.getName(options)
    if (options[kRequestUnsafe]) return `${name}:unsafe`
    return options[kRequestNumber] ? `${name}:check ${options[kRequestNumber]}` : name
  }

  /**
   * The checks beside the pins: the agent's, the request's, and one that somebody has put among the agent's options since.
   * @param {any} options
   * @returns {any[]}
   */
  #checksOf({ [kRequestCheck]: requests, checkServerIdentity: merged }) {
    return [this.#check, requests, merged === this.#copied || merged === requests ? undefined : merged]
  }

  /**
   * @param {any} options
   * @param {Callback} [callback]
   * @returns {any}
   */
  createConnection(options, callback) {
    if (!this.#proxyAgent) return this.#connect(options)
    if (!callback) throw unsafe('a connection through a proxy is handed over later, and needs a callback')
    const [place, release] = reserve(this, options._agentKey)
    tunnel(this.#proxyAgent, options)
      .then(socket => {
        // By `agent.destroy()`.
        if (place.destroyed) return refused(new Error('the agent was destroyed'), socket)
        return this.#connect(socket ? { ...options, socket } : options)
      }, refused)
      .then(socket => {
        release()
        callback(null, socket)
      })
  }

  /** @param {any} options */
  #connect(options) {
    try {
      return this.#make(options)
    } catch (error) {
      // As a socket that fails: of a callback's error Node's queue of requests does not hear.
      return refused(/** @type {Error} */ (error), options.socket)
    }
  }

  /** @param {any} options */
  #make(options) {
    const checks = this.#checksOf(options)
    for (const checkServerIdentity of checks) refuseUnsafe({ checkServerIdentity })
    refuseUnsafe(options[kRequestUnsafe] ? { rejectUnauthorized: false } : options)
    const connection = new PinnedConnection({
      pins: this.#pins,
      names: [options.servername, options.host],
      port: Number(options.port) || 443,
      ...anchorsOf(options),
      trust: this.#trust,
      checks,
      source: 'agent'
    })
    const socket = tls.connect(connection.options(options))
    connection.guard(socket, error => this.#replaced(socket, error))
    // Before the agent's own listener, which would give it to the next request.
    socket.on('free', () => this.#stale.has(socket) && socket.destroy())
    return socket
  }

  /** Connections that are for no further request: made under an earlier policy, or with a request's own check. @type {WeakSet<tls.TLSSocket>} */
  #stale = new WeakSet()

  /**
   * @param {tls.TLSSocket} socket
   * @param {Error | undefined} error
   */
  #replaced(socket, error) {
    this.#stale.add(socket)
    const idle = Object.values(this.freeSockets).some(sockets => sockets?.includes(socket))
    if (idle) socket.destroy()
    else if (error) end(socket, error)
  }
}

/**
 * A place among the connections of a pool, for Node counts only those that have been handed over.
 * @param {any} agent
 * @param {string} name
 * @returns {[place: net.Socket, release: () => void]}
 */
function reserve(agent, name) {
  const place = new net.Socket()
  agent.sockets[name] ??= []
  agent.sockets[name].push(place)
  agent.totalSocketCount += 1
  const release = () => {
    const sockets = agent.sockets[name]
    sockets?.splice(sockets.indexOf(place), 1)
    agent.totalSocketCount -= 1
  }
  return [place, release]
}

/**
 * The connection below TLS. `undefined`: none is needed for this host, it is reached directly.
 * @param {any} agent
 * @param {any} options
 * @returns {Promise<any>}
 */
async function tunnel(agent, options) {
  const connect = connectOf(agent)
  if (!connect) return undefined
  // Not the request itself, on which the agent would play a proxy's refusal as if it were the server's answer.
  const events = new EventEmitter()
  const { checkServerIdentity: _, ...rest } = options
  const socket = await connect.call(agent, events, { ...rest, secureEndpoint: false })
  // Some answer with another agent, which has the proxy for this host.
  if (typeof socket.addRequest === 'function') return tunnel(socket, options)
  if (socket.writable) return socket
  socket.destroy()
  throw fromFailure({
    code: 'ERR_PROXY_TUNNEL',
    message: `the proxy refused to connect to ${options.host}:${options.port}`,
    phase: 'proxy',
    host: options.host,
    port: Number(options.port)
  })
}

/**
 * `connect` of agent-base from version 7 on, `callback` before.
 * @param {any} agent
 */
function connectOf(agent) {
  return [agent?.connect, agent?.callback].find(method => typeof method === 'function')
}

module.exports = { PinnedAgent }

'use strict'
// The native client: one policy, one pool, one set of sessions.

const { outgoing, upload } = require('./body.js')
const { tellAccepted, tellRefused } = require('./diagnostics.js')
const { argumentError, fromFailure, own, unsafe, unwrap, unwrapObject } = require('./errors.js')
const { fetchOf } = require('./fetch-call.js')
const { headerList, TOKEN } = require('./headers.js')
const { REQUEST_OPTIONS, checkObject, checkSignal, clientOptions } = require('./options.js')
const { lookups } = require('./lookup.js')
const { handleOf } = require('./policy.js')
const { abort, flush, hold, port, register, release, send, watchers } = require('./port.js')
const { checkRedirect, discard, isRedirect, nextHop } = require('./redirects.js')
const { Arrived, PinnedResponse } = require('./response.js')
const { byteList, kind } = require('./trust.js')
const { parseUrl } = require('./url.js')

/** Marks a request that does not keep the process alive. */
const kUnheld = Symbol('does not keep the process alive')

/** Parsed URLs that a client remembers: most programs ask for a few again and again. */
const URLS = 256

/** @typedef {InstanceType<typeof import('./response.js').PinnedResponse>} Response */
/** @typedef {InstanceType<typeof import('./policy.js').PinSet>} Pins */
/** @typedef {InstanceType<typeof Arrived>} Body */

let lastClient = 0
const forgotten = new FinalizationRegistry((/** @type {number} */ id) => {
  watchers.delete(id)
  lookups.delete(id)
})

class PinnedClient {
  #id
  #native
  #pins
  /** Of an `https:` proxy. @type {Pins | undefined} */
  #proxyPins
  /** @type {(() => void) | undefined} */
  #stopReading
  #pinOnly
  /** @type {string | undefined} */
  #servername
  #closed = false
  /** What looks names up, kept by nobody else. @type {{ lookup: import('./lookup.js').Lookup } | undefined} */
  #names
  /** What ends each request under way, and what has arrived for it. @type {Map<(reason: unknown) => void, Body>} */
  #underWay = new Map()
  /** @type {(() => void)[]} */
  #whenIdle = []
  #sent = 0
  #failed = 0
  /** What native code said of a client that is closed. @type {any} */
  #last = null
  /** @type {Map<string, { href: string, host: string, port: number, path: string }>} */
  #urls = new Map()
  /** @type {ReturnType<typeof fetchOf> | undefined} */
  #fetch

  /** @param {Record<string, unknown>} options */
  constructor(options) {
    const { pins, trust, native, lookup, proxy, crlFiles } = clientOptions(options ?? {})
    this.#id = ++lastClient
    this.#pins = pins
    this.#proxyPins = proxy?.pins
    this.#pinOnly = trust === undefined
    this.#servername = native.servername
    this.#native = unwrapObject(port.client(this.#id, native, handleOf(pins), trust, proxy?.native))
    if (lookup) {
      this.#names = { lookup }
      lookups.set(this.#id, new WeakRef(this.#names))
    }
    const weak = new WeakRef(pins)
    const weakProxy = proxy?.pins && new WeakRef(proxy.pins)
    watchers.set(this.#id, (info, isProxy) => tellAccepted((isProxy ? weakProxy : weak)?.deref(), 'client', info))
    this.#stopReading = crlFiles?.watch(this)
    forgotten.register(this, this.#id)
  }

  /** The pin set in force for this client. */
  get pins() {
    return this.#pins
  }

  /**
   * @param {string | URL} url
   * @param {Record<string, any>} [options]
   * @returns {Promise<Response>}
   */
  request(url, options = {}) {
    // Not an async function: one promise a request is enough, and what is wrong with the arguments rejects it too.
    return new Promise((resolve, reject) => {
      checkObject(options, REQUEST_OPTIONS)
      const given = own(options)
      checkRedirect(given)
      this.#start(this.#target(url), given, resolve, reject)
    })
  }

  /** Bound: libraries that take a `fetch` call it detached. */
  get fetch() {
    this.#fetch ??= fetchOf(this)
    return this.#fetch
  }

  /** What the client has done so far, and what its pools hold now. */
  stats() {
    const { handshakes, retried, onLoop, bytes, pools } = this.#nativeStats()
    /** @type {Record<string, { idle: number, active: number, waiting: number, streams: number }>} */
    const hosts = {}
    const connections = { open: 0, idle: 0, active: 0, made: handshakes.full + handshakes.resumed }
    for (const [host, { idle, active, waiting, shared, streams }] of Object.entries(pools)) {
      const busy = active + (streams > 0 ? shared : 0)
      hosts[host] = { idle: idle + shared - (busy - active), active: busy, waiting, streams }
      connections.open += idle + active + shared
      connections.idle += hosts[host].idle
      connections.active += busy
    }
    const requests = { sent: this.#sent, failed: this.#failed, retried, onLoop, underWay: this.#underWay.size }
    return { connections, handshakes, requests, bytes, hosts }
  }

  /**
   * Puts other revocation lists into force, as a whole. If one of them cannot be used, nothing changes.
   * @param {unknown} crl
   */
  replaceCrl(crl) {
    if (this.#pinOnly) throw unsafe("with trust: 'pin-only' no issuer is known, so no crl can count")
    if (crl === undefined) throw argumentError('ERR_INVALID_ARG_TYPE', 'crl must be given, as a string or bytes')
    unwrap(this.#native.replaceCrls(byteList(crl, 'crl')))
  }

  /**
   * Refuses new requests and closes idle connections. Resolves when the requests under way are over, and the bodies that
   * are being read. A body that nobody has begun to read keeps its connection, but not this waiting.
   */
  async close() {
    this.#end()
    while (this.#isBusy()) await new Promise(resolve => this.#whenIdle.push(() => resolve(undefined)))
  }

  /**
   * Ends everything now: requests under way and bodies that are being read fail.
   * @param {unknown} [reason]
   */
  async destroy(reason = fromFailure({ code: 'ERR_CLIENT_DESTROYED', message: 'the client has been destroyed' })) {
    this.#end()
    for (const end of [...this.#underWay.keys()]) end(reason)
  }

  #end() {
    this.#closed = true
    this.#stopReading?.()
    flush()
    this.#last ??= this.#nativeStats()
    this.#native.close()
  }

  #nativeStats() {
    const stats = this.#native.stats()
    // What a closed client has done stays; of what it had, nothing is known any more.
    return stats === null ? { ...this.#last, pools: {} } : JSON.parse(stats)
  }

  async [Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]() {
    await this.close()
  }

  /**
   * What `console.log` shows.
   * @param {number} depth
   * @param {import('node:util').InspectOptions} options
   * @param {typeof import('node:util').inspect} inspect
   */
  [Symbol.for('nodejs.util.inspect.custom')](depth, options, inspect) {
    const { connections, requests } = this.stats()
    const shown = { pins: this.#pins, closed: this.#closed, connections, requests }
    return `PinnedClient ${inspect(shown, { ...options, depth })}`
  }

  /**
   * @param {{ href: string, host: string, port: number, path: string }} target
   * @param {Record<string, any>} options
   * @param {(response: Response) => void} resolve
   * @param {(error: unknown) => void} reject
   * @param {import('./redirects.js').Chain} [chain] The redirects that led here.
   */
  #start(target, options, resolve, reject, chain) {
    if (this.#closed) throw argumentError('ERR_INVALID_STATE', 'the client has been closed')
    const { signal } = options
    if (signal !== undefined && signal !== null) checkSignal(signal)
    if (signal?.aborted) throw signal.reason
    const method = checkMethod(options.method)
    const body = outgoing(options.body)
    const headers = headerList(options.headers, body, method)

    const isHeld = options[/** @type {any} */ (kUnheld)] !== true
    let settled = false
    const settle = () => {
      if (settled) return false
      settled = true
      if (isHeld) release()
      return true
    }
    // Up to Node 24 what settled a promise keeps the value, and so would keep a response whose body nobody reads.
    const respond = (/** @type {Response} */ response) => {
      resolve(response)
      resolve = reject = () => {}
    }
    /** @param {unknown} reason */
    const end = reason => {
      abort(id)
      if (settle()) reject(reason)
      arrived.fail(reason)
    }
    const stop = () => end(signal.reason)
    /** @type {(() => void) | undefined} */
    let stopUpload
    const arrived = new Arrived(() => {
      this.#underWay.delete(end)
      this.#look()
      stopUpload?.()
      try {
        signal?.removeEventListener('abort', stop)
      } catch {
        // A signal of somebody's own making; nothing depends on its answer.
      }
    })
    const id = register({
      // A client that nobody else refers to is still wanted here: its connections are reported to it.
      client: this,
      redirectedFrom: chain?.from,
      onHead: head => {
        arrived.start(head)
        if (!settle()) return
        const response = new PinnedResponse(head, target.href, arrived, chain !== undefined)
        this.#look()
        if (!isRedirect(head.status) || options.redirect === 'manual') return respond(response)
        const from = chain ?? {
          first: target,
          hops: 0,
          from: undefined,
          pins: this.#pins,
          servername: this.#servername
        }
        try {
          const hop = nextHop(response, target, own({ ...options, method, headers }), body, from)
          if (hop) this.#start(hop.target, hop.options, resolve, reject, hop.chain)
          else return respond(response)
        } catch (error) {
          tellRefused(this.#pins, 'client', error)
          reject(error)
        }
        discard(response)
      },
      onChunk: (chunk, last, trailers) => arrived.chunk(chunk, last, trailers),
      onFailed: error => {
        tellRefused(/** @type {any} */ (error).phase === 'proxy' ? this.#proxyPins : this.#pins, 'client', error)
        this.#failed++
        if (settle()) reject(error)
        arrived.fail(error)
      }
    })
    if (isHeld) hold()
    this.#underWay.set(end, arrived)
    try {
      signal?.addEventListener('abort', stop, { once: true })
      // The headers and the body were read meanwhile, which may run anybody's code.
      if (signal?.aborted) throw signal.reason
      send(id, this.#id, target, method, headers, body.pieces ? { length: body.length } : body.bytes)
      this.#sent++
    } catch (error) {
      // A signal of somebody's own making, or a request larger than memory.
      abort(id)
      settle()
      arrived.end()
      throw error
    }
    if (body.pieces) {
      stopUpload = upload(id, body.pieces, error => {
        abort(id)
        if (settle()) reject(error)
        arrived.fail(error)
      })
    }
  }

  #isBusy() {
    for (const arrived of this.#underWay.values()) if (!arrived.started || arrived.isRead) return true
    return false
  }

  /** Lets `close` look again, once whoever waited for an answer has begun to read it. */
  #look() {
    if (this.#whenIdle.length === 0) return
    setImmediate(() => {
      for (const look of this.#whenIdle.splice(0)) look()
    })
  }

  /** @param {unknown} url */
  #target(url) {
    const key = typeof url === 'string' ? url : undefined
    const known = key && this.#urls.get(key)
    if (known) return known
    const target = parseUrl(url)
    if (key) {
      if (this.#urls.size >= URLS) this.#urls.clear()
      this.#urls.set(key, target)
    }
    return target
  }
}

/** @param {unknown} method */
function checkMethod(method = 'GET') {
  if (typeof method !== 'string' || !TOKEN.test(method)) {
    throw argumentError(
      'ERR_INVALID_ARG_VALUE',
      `method must be a token such as 'GET', not ${typeof method === 'string' ? JSON.stringify(method) : kind(method)}`
    )
  }
  if (method.toUpperCase() === 'CONNECT') {
    throw argumentError('ERR_INVALID_ARG_VALUE', 'CONNECT makes a tunnel, which this client does not hand out')
  }
  return method
}

module.exports = { PinnedClient, kUnheld }

// The native client: one policy, one pool, one set of sessions.

const { outgoing, upload } = require('./body.js')
const { argumentError, certificate, unwrapObject } = require('./errors.js')
const { CLIENT_OPTIONS, REQUEST_OPTIONS, checkObject, clientOptions } = require('./options.js')
const { handleOf, policyText, PinSet } = require('./pins.js')
const { abort, flush, hold, port, register, release, send } = require('./port.js')
const { Arrived, PinnedResponse } = require('./response.js')
const { kind } = require('./trust.js')

/** What may not stand in a header's value (RFC 9110, 5.5). */
const NOT_IN_VALUE = /[^\t\x20-\x7e\x80-\xff]/
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** Headers that belong to the connection, not to the request. */
const FORBIDDEN = ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'expect', 'te']
/** Parsed URLs that a client remembers: most programs ask for a few again and again. */
const URLS = 256

/** @typedef {InstanceType<typeof import('./response.js').PinnedResponse>} Response */
/** @typedef {InstanceType<typeof import('./pins.js').PinSet>} Pins */

let lastClient = 0

class PinnedClient {
  #id
  #native
  #pins
  #closed = false
  /** @type {Map<string, { href: string, host: string, port: number, path: string }>} */
  #urls = new Map()

  /** @param {Record<string, unknown>} options */
  constructor(options) {
    const { pins, trust, native } = clientOptions(options ?? {})
    this.#id = ++lastClient
    this.#pins = pins
    this.#native = unwrapObject(port.client(this.#id, native, handleOf(pins), trust))
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
      this.#start(this.#target(url), options, resolve, reject)
    })
  }

  /** Closes the client. Requests under way are finished, new ones are refused. */
  async close() {
    this.#closed = true
    flush()
    this.#native.close()
  }

  async [Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]() {
    await this.close()
  }

  /**
   * @param {{ href: string, host: string, port: number, path: string }} target
   * @param {Record<string, any>} options
   * @param {(response: Response) => void} resolve
   * @param {(error: unknown) => void} reject
   */
  #start(target, options, resolve, reject) {
    if (this.#closed) throw argumentError('ERR_INVALID_STATE', 'the client has been closed')
    const { signal } = options
    if (signal !== undefined && signal !== null) checkSignal(signal)
    if (signal?.aborted) throw signal.reason
    const method = checkMethod(options.method)
    const body = outgoing(options.body)
    const headers = headerList(options.headers, body, method)

    let settled = false
    const settle = () => {
      if (settled) return false
      settled = true
      release()
      return true
    }
    const stop = () => {
      abort(id)
      if (settle()) reject(signal.reason)
      arrived.fail(signal.reason)
    }
    const arrived = new Arrived(() => signal?.removeEventListener('abort', stop))
    const pins = this.#pins
    const id = register({
      onHead: head => {
        arrived.start(head)
        if (settle()) resolve(new PinnedResponse(head, target.href, arrived))
      },
      onChunk: (chunk, last, trailers) => arrived.chunk(chunk, last, trailers),
      onFailed: error => {
        if (settle()) reject(error)
        arrived.fail(error)
      },
      onConnection: info => report(pins, info)
    })
    hold()
    signal?.addEventListener('abort', stop, { once: true })
    send(id, this.#id, target, method, headers, body.pieces ? { length: body.length } : body.bytes)
    if (body.pieces) {
      upload(id, body.pieces).catch(error => {
        abort(id)
        if (settle()) reject(error)
        arrived.fail(error)
      })
    }
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

/**
 * What a looser policy let through goes to who listens for it.
 * @param {Pins} pins
 * @param {any} info
 */
function report(pins, { excused, host, port, pattern, expected, path }) {
  if (!excused) return
  // Not from here: what a listener throws must not cost others their answers.
  process.nextTick(() =>
    pins.emit('report', { reason: excused, host, port, pattern, expected: expected ?? [], path: path.map(certificate) })
  )
}

/** @param {unknown} url */
function parseUrl(url) {
  if (typeof url !== 'string' && !(url instanceof URL)) {
    throw argumentError('ERR_INVALID_ARG_TYPE', `url must be a string or a URL, not ${kind(url)}`)
  }
  const parsed = parse(url)
  if (parsed.protocol !== 'https:') {
    throw argumentError('ERR_INVALID_PROTOCOL', `only https: URLs can be pinned, not ${parsed.protocol}`)
  }
  if (parsed.username || parsed.password) {
    throw argumentError('ERR_INVALID_URL', 'the URL holds credentials; send them in the authorization header')
  }
  return {
    href: parsed.href,
    host: parsed.hostname,
    port: parsed.port === '' ? 443 : Number(parsed.port),
    path: parsed.pathname + parsed.search
  }
}

/** @param {string | URL} url */
function parse(url) {
  try {
    return new URL(url)
  } catch (cause) {
    throw argumentError('ERR_INVALID_URL', `not a URL: ${String(url).slice(0, 200)}`, cause)
  }
}

/** @param {unknown} method */
function checkMethod(method = 'GET') {
  if (typeof method !== 'string' || !TOKEN.test(method)) {
    throw argumentError('ERR_INVALID_ARG_VALUE', `method must be a token such as 'GET', not ${String(method)}`)
  }
  if (method.toUpperCase() === 'CONNECT') {
    throw argumentError('ERR_INVALID_ARG_VALUE', 'CONNECT makes a tunnel, which this client does not hand out')
  }
  return method
}

/** @param {any} signal */
function checkSignal(signal) {
  if (typeof signal?.addEventListener === 'function' && typeof signal.aborted === 'boolean') return
  throw argumentError('ERR_INVALID_ARG_TYPE', `signal must be an AbortSignal, not ${kind(signal)}`)
}

/**
 * Names and values in turn, from an object, a `Headers`, pairs or a flat list as in `rawHeaders`.
 * @param {any} given
 * @param {import('./body.js').Outgoing} body
 * @param {string} method
 * @returns {string[]}
 */
function headerList(given, body, method) {
  const list = given === undefined || given === null ? [] : flatten(given)
  let hasType = false
  let hasLength = false
  for (let index = 0; index < list.length; index += 2) {
    const name = list[index].toLowerCase()
    if (FORBIDDEN.includes(name)) {
      throw argumentError(
        'ERR_INVALID_ARG_VALUE',
        `the header ${name} belongs to the connection, which this client manages`
      )
    }
    hasType ||= name === 'content-type'
    if (name === 'content-length') {
      hasLength = true
      checkLength(list[index + 1], body)
    }
  }
  if (body.type && !hasType) list.push('content-type', body.type)
  if (!hasLength && body.pieces && body.length !== null) list.push('content-length', String(body.length))
  // A server takes a request of these methods that has no length for one whose body is still to come.
  const empty = !body.pieces && !body.bytes?.length
  if (!hasLength && empty && (body.bytes || method === 'POST' || method === 'PUT' || method === 'PATCH')) {
    list.push('content-length', '0')
  }
  return list
}

/**
 * @param {string} value
 * @param {import('./body.js').Outgoing} body
 */
function checkLength(value, body) {
  if (/^\d+$/.test(value) && (body.length === null || Number(value) === body.length)) return
  throw argumentError(
    'ERR_HTTP_CONTENT_LENGTH_MISMATCH',
    `content-length is ${value}, the body has ${body.length} bytes`
  )
}

/** @param {any} given @returns {string[]} */
function flatten(given) {
  if (Array.isArray(given))
    return Array.isArray(given[0]) ? given.flatMap(pair => header(pair[0], pair[1])) : pairs(given)
  if (typeof given !== 'object') {
    throw argumentError('ERR_INVALID_ARG_TYPE', `headers must be an object, Headers or a list, not ${kind(given)}`)
  }
  const entries = typeof given[Symbol.iterator] === 'function' ? [...given] : Object.entries(given)
  return entries.flatMap(([name, value]) =>
    Array.isArray(value) ? value.flatMap(item => header(name, item)) : header(name, value)
  )
}

/** @param {unknown[]} flat */
function pairs(flat) {
  if (flat.length % 2 !== 0) throw argumentError('ERR_INVALID_ARG_VALUE', 'headers has a name without a value')
  const list = []
  for (let index = 0; index < flat.length; index += 2) list.push(...header(flat[index], flat[index + 1]))
  return list
}

/**
 * @param {unknown} name
 * @param {unknown} value
 */
function header(name, value) {
  if (value === undefined) return []
  const text = String(value)
  if (typeof name !== 'string' || !TOKEN.test(name)) {
    throw argumentError('ERR_INVALID_ARG_VALUE', `${JSON.stringify(name)} is not a header name`)
  }
  if (NOT_IN_VALUE.test(text)) {
    throw argumentError('ERR_INVALID_CHAR', `the value of the header ${name} has a character that no header may hold`)
  }
  return [name, text]
}

/** Clients that `pinnedRequest` keeps, by what they were made from, the one used last at the end. */
const CLIENTS = 32
/** @type {Map<string, PinnedClient>} */
const clients = new Map()

/**
 * One request, without a client of one's own.
 * @param {string | URL} url
 * @param {Record<string, any>} options
 */
async function pinnedRequest(url, options) {
  checkObject(options ?? {}, [...CLIENT_OPTIONS, ...REQUEST_OPTIONS])
  const { method, headers, body, signal, ...own } = options ?? {}
  return clientFor(own).request(url, { method, headers, body, signal })
}

/** @param {Record<string, any>} options */
function clientFor(options) {
  const key = identity(options)
  const known = clients.get(key)
  const client = known ?? new PinnedClient(options)
  clients.delete(key)
  clients.set(key, client)
  if (clients.size > CLIENTS) {
    const [[oldest, unused]] = clients
    clients.delete(oldest)
    unused.close()
  }
  return client
}

let lastPinSet = 0
/** @type {WeakMap<object, number>} */
const pinSets = new WeakMap()

/**
 * Options by their values, so that a list written anew in each call is the same list, and one that was changed is
 * another. A `PinSet` is itself, since it is meant to change.
 * @param {Record<string, any>} options
 */
function identity({ pins, ...options }) {
  const parts = Object.keys(options)
    .sort()
    .map(name => [name, plainValue(options[name])])
  return JSON.stringify([pins instanceof PinSet ? pinSetNumber(pins) : policyText(pins), parts])
}

/** @param {Pins} pins */
function pinSetNumber(pins) {
  const number = pinSets.get(pins) ?? ++lastPinSet
  pinSets.set(pins, number)
  return number
}

/** @param {any} value @returns {unknown} */
function plainValue(value) {
  if (Array.isArray(value)) return value.map(plainValue)
  if (ArrayBuffer.isView(value))
    return ['bytes', Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1')]
  if (typeof value?.export === 'function')
    return ['key', value.export({ type: 'pkcs8', format: 'der' }).toString('latin1')]
  return value
}

module.exports = { PinnedClient, pinnedRequest, parseUrl }

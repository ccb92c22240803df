'use strict'
// Does a client really obey its pins? It is run against servers on loopback that know what arrived.

const { AssertionError } = require('node:assert')
const { createHash } = require('node:crypto')
const { once } = require('node:events')
const http2 = require('node:http2')
const tls = require('node:tls')
const binding = require('./native.js')
const { argumentError, own, unwrap } = require('./errors.js')
const { startMitm } = require('./mitm.js')
const { kind } = require('./trust.js')

const NAMES = ['localhost', '127.0.0.1', '::1']
/** Milliseconds for one attempt. */
const TIMEOUT = 10_000
/** A pin as good as any other, of no key. */
const WRONG = `sha256/${createHash('sha256').update('no key').digest('base64')}`
const OPTIONS = ['names', 'serve', 'versions', 'timeout']

/** @typedef {{ chain: string, key: string }} Identity */
/** @typedef {import('../testing.js').TestServer} TestServer */

/**
 * @param {(server: TestServer) => unknown} makeRequest
 * @param {Record<string, any>} [options]
 */
async function assertPinned(makeRequest, options = {}) {
  if (typeof makeRequest !== 'function') {
    throw argumentError('ERR_INVALID_ARG_TYPE', `makeRequest must be a function, not ${kind(makeRequest)}`)
  }
  for (const name of Object.keys(options)) {
    if (!OPTIONS.includes(name)) throw argumentError('ERR_INVALID_ARG_VALUE', `unknown option ${name}`)
  }
  const { names = NAMES, serve, versions = ['TLSv1.2', 'TLSv1.3'], timeout = TIMEOUT } = own(options)
  checkNames(names)
  const { roots, pins, genuine, impostor, masked } = unwrap(binding.rehearsal(names))
  const [leaf, intermediate, root] = pins
  for (const version of versions) {
    const trial = { makeRequest, ca: roots.join(''), host: names[0], version, serve, timeout }
    await attempts({ ...trial, identity: genuine }, [
      { title: 'a server whose key is pinned', pins: [leaf], accepted: true },
      // On the same port, so that neither a connection nor a session of the first may serve.
      { title: 'a server whose key is not pinned, with a certificate that is trusted', pins: [WRONG], accepted: false }
    ])
    await attempts({ ...trial, identity: impostor }, [
      {
        title: 'another server with a trusted certificate for the same name',
        pins: [leaf, intermediate, root],
        accepted: false
      }
    ])
    await attempts({ ...trial, identity: masked }, [
      { title: 'another server that shows the pinned intermediate in its chain', pins: [intermediate], accepted: false }
    ])
  }
}

/** @param {unknown} names */
function checkNames(names) {
  if (Array.isArray(names) && names.length > 0 && names.every(name => binding.isSameHost(String(name), String(name))))
    return
  throw argumentError('ERR_INVALID_ARG_VALUE', 'names must be DNS names or IP addresses, at least one')
}

/**
 * Attempts at one server, one after the other.
 * @param {{
 *   makeRequest: (server: TestServer) => unknown, identity: Identity, ca: string, host: string,
 *   version: tls.SecureVersion, serve?: (socket: tls.TLSSocket) => void, timeout: number
 * }} trial
 * @param {{ title: string, pins: string[], accepted: boolean }[]} list
 */
async function attempts({ makeRequest, identity, ca, host, version, serve, timeout }, list) {
  const server = await new Witness(identity, version, serve).listen()
  try {
    for (const { title, pins, accepted } of list) {
      server.forget()
      const url = `https://${host.includes(':') ? `[${host}]` : host}:${server.port}`
      const outcome = await within(timeout, async () => makeRequest({ url, host, port: server.port, ca, pins }))
      const where = `${title} (${version})`
      if (accepted) checkAccepted(where, outcome, server)
      else await checkRefused(where, outcome, server, timeout)
    }
  } finally {
    await server.close()
  }
}

/** @typedef {{ done: boolean, error?: unknown }} Outcome */

/**
 * @param {string} where
 * @param {Outcome} outcome
 * @param {Witness} server
 */
function checkAccepted(where, { done, error }, server) {
  if (!done) fail(`${where}: the request did neither succeed nor fail in time`)
  if (error !== undefined) {
    fail(`${where}: the request failed, so that its other failures would prove nothing: ${text(error)}`, error)
  }
  if (server.bytes + server.requests === 0)
    fail(`${where}: the request succeeded, but nothing arrived: is it made to the given port?`)
}

/**
 * @param {string} where
 * @param {Outcome} outcome
 * @param {Witness} server
 * @param {number} timeout
 */
async function checkRefused(where, { done, error }, server, timeout) {
  // What was sent may still be on its way.
  await within(timeout, () => server.settled())
  if (server.requests > 0 && server.bytes === 0) fail(`${where}: a request arrived on an earlier connection`, error)
  if (server.bytes > 0) {
    fail(
      `${where}: ${server.bytes} bytes of the request arrived, beginning with ${JSON.stringify(server.first)}`,
      error
    )
  }
  if (!done) fail(`${where}: nothing arrived, and the request did neither succeed nor fail in time`)
  if (error === undefined) fail(`${where}: nothing arrived, and the request did not fail`)
}

/**
 * @param {string} message
 * @param {unknown} [cause]
 * @returns {never}
 */
function fail(message, cause) {
  throw Object.assign(new AssertionError({ message, operator: 'assertPinned' }), cause === undefined ? {} : { cause })
}

/** @param {any} error */
function text(error) {
  return String(error?.message ?? error)
}

/**
 * What becomes of it in this time.
 * @param {number} timeout
 * @param {() => unknown} start
 * @returns {Promise<Outcome>}
 */
async function within(timeout, start) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer
  const late = new Promise(resolve => {
    timer = setTimeout(() => resolve({ done: false }), timeout)
  })
  const finished = (async () => {
    try {
      await start()
      return { done: true }
    } catch (error) {
      // Whatever was thrown, it is a failure.
      return { done: true, error: error ?? new Error('the request failed without a reason') }
    }
  })()
  const outcome = /** @type {Outcome} */ (await Promise.race([finished, late]))
  clearTimeout(timer)
  return outcome
}

/** A server that counts what arrives, after decryption and before anything reads it. */
class Witness {
  #server
  /** What each connection had read when counting began. @type {Map<tls.TLSSocket, number>} */
  #sockets = new Map()
  /** @type {Set<import('node:net').Socket>} */
  #open = new Set()
  /** Connections that were open when counting began. @type {Set<import('node:net').Socket>} */
  #earlier = new Set()
  #settle = () => {}
  port = 0
  requests = 0
  first = ''

  /**
   * @param {Identity} identity
   * @param {tls.SecureVersion} version
   * @param {((socket: tls.TLSSocket) => void) | undefined} serve
   */
  constructor({ chain: cert, key }, version, serve) {
    const options = { cert, key, minVersion: version, maxVersion: version }
    this.#server = serve ? tls.createServer(options) : http2.createSecureServer({ ...options, allowHTTP1: true })
    this.#server.on('request', (/** @type {any} */ _request, /** @type {any} */ response) => {
      this.requests += 1
      response.end('ok')
    })
    this.#server.on('connection', socket => this.#track(socket))
    this.#server.on('secureConnection', (/** @type {tls.TLSSocket} */ socket) => {
      this.#sockets.set(socket, 0)
      socket.prependListener('data', data => {
        this.first ||= data.toString('latin1').slice(0, 80)
      })
      socket.on('error', () => {})
      if (serve) serve(socket)
    })
    this.#server.on('tlsClientError', (_error, socket) => socket.on('error', () => {}))
    this.#server.on('sessionError', () => {})
  }

  async listen() {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = /** @type {import('node:net').AddressInfo} */ (this.#server.address()).port
    return this
  }

  /** Counts from here on. */
  forget() {
    for (const socket of this.#sockets.keys()) {
      // On an earlier connection of HTTP/2 only requests count: a client says good-bye in bytes.
      this.#sockets.set(socket, socket.alpnProtocol === 'h2' ? Number.POSITIVE_INFINITY : socket.bytesRead)
    }
    this.#earlier = new Set(this.#open)
    this.requests = 0
    this.first = ''
  }

  get bytes() {
    const each = [...this.#sockets].map(([socket, before]) => Math.max(0, socket.bytesRead - before))
    return each.reduce((sum, bytes) => sum + bytes, 0)
  }

  /** When every connection made since counting began has closed. @returns {Promise<void>} */
  settled() {
    return new Promise(resolve => {
      this.#settle = () => {
        if ([...this.#open].every(socket => this.#earlier.has(socket))) setImmediate(resolve)
      }
      this.#settle()
    })
  }

  async close() {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#open) socket.destroy()
    await closed
  }

  /** @param {import('node:net').Socket} socket */
  #track(socket) {
    this.#open.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => {
      this.#open.delete(socket)
      this.#settle()
    })
  }
}

module.exports = { assertPinned, startMitm }

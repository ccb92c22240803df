'use strict'
const { once } = require('node:events')
const { setImmediate } = require('node:timers/promises')

/** @typedef {import('node:net').Socket} Socket */
/** @typedef {import('node:tls').TLSSocket} TLSSocket */
/** @typedef {InstanceType<typeof TrackedTlsServer>} TlsTestServer */

/** A listening server that knows every connection it ever had, so that it can be asked about them and shut for good. */
class TrackedServer {
  #server
  /** @type {Set<Socket>} */
  #open = new Set()
  /** @type {(() => void)[]} */
  #waiting = []

  /** TCP connections accepted so far. */
  connections = 0
  host = '127.0.0.1'
  port = 0

  /** @param {import('node:net').Server} server */
  constructor(server) {
    this.#server = server
    server.on('connection', (/** @type {Socket} */ socket) => {
      this.connections += 1
      this.track(socket)
    })
  }

  /**
   * Listens on loopback only; without a port on one that is free.
   *
   * @param {string} [host]
   * @param {number} [wanted]
   */
  async listen(host = this.host, wanted = 0) {
    this.#server.listen(wanted, host)
    await once(this.#server, 'listening')
    const { port } = /** @type {import('node:net').AddressInfo} */ (this.#server.address())
    return Object.assign(this, { host, port })
  }

  /**
   * Makes a socket part of {@link settled} and {@link close}. Its errors are part of what is tested, so they go nowhere.
   *
   * @param {Socket} socket
   */
  track(socket) {
    socket.on('error', () => {})
    this.#open.add(socket)
    socket.once('close', () => {
      this.#open.delete(socket)
      if (this.#open.size === 0) for (const resolve of this.#waiting.splice(0)) resolve()
    })
  }

  /** The connections open now. */
  get open() {
    return [...this.#open]
  }

  /**
   * Resolves when every connection accepted so far has closed, and so when its counts are final. Waits for ever on a client
   * that keeps one alive.
   *
   * @returns {Promise<void>}
   */
  async settled() {
    while (this.#open.size > 0) {
      await new Promise((/** @type {(value?: undefined) => void} */ resolve) => this.#waiting.push(resolve))
      // A TLS socket reports how it ended in the same turn in which the TCP socket under it closes, or right after.
      await setImmediate()
    }
  }

  /** Destroys every connection and stops listening. Once it resolves, nothing of the server keeps the process alive. */
  async close() {
    const closed = this.#server.listening ? once(this.#server, 'close') : undefined
    this.#server.close()
    for (const socket of this.#open) socket.destroy()
    await Promise.all([closed, this.settled()])
  }
}

/** A TLS server that also counts what only the server's side can know. */
class TrackedTlsServer extends TrackedServer {
  /** @type {Set<TLSSocket>} */
  #sockets = new Set()

  /** Handshakes finished, resumed ones included. */
  handshakes = 0
  /** Handshakes that resumed a session. */
  resumed = 0
  /** Requests in the order of arrival. @type {RequestRecord[]} */
  requests = []
  /** The codes of failed handshakes: alerts of the client, broken connections. @type {string[]} */
  tlsErrors = []

  /** @param {import('node:tls').Server} server */
  constructor(server) {
    super(server)
    server.on('secureConnection', socket => {
      this.handshakes += 1
      this.resumed += socket.isSessionReused?.() ? 1 : 0
      this.#sockets.add(socket)
      this.track(socket)
    })
    server.on('tlsClientError', (error, socket) => {
      this.tlsErrors.push(/** @type {NodeJS.ErrnoException} */ (error).code ?? error.message)
      // Not tracked: it may be closing in this very moment, and the TCP socket under it is tracked already.
      this.#sockets.add(socket.on('error', () => {}))
    })
  }

  get url() {
    return `https://localhost:${this.port}`
  }

  /**
   * Application bytes received and decrypted, before anything parses them. A TLSSocket counts plaintext: the handshake,
   * alerts and record headers are not in it.
   */
  get appBytes() {
    return [...this.#sockets].reduce((sum, socket) => sum + socket.bytesRead, 0)
  }

  /** All counts at once; on an isolated server the only way to read them. */
  async stats() {
    const { connections, handshakes, resumed, appBytes, requests, tlsErrors } = this
    return { connections, handshakes, resumed, appBytes, requests, tlsErrors }
  }
}

/**
 * @typedef {object} RequestRecord
 * @property {string | undefined} method
 * @property {string | undefined} url
 * @property {string} httpVersion
 * @property {import('node:http').IncomingHttpHeaders} headers
 * @property {string | false | null} servername the SNI
 * @property {string | false | null} alpn
 * @property {boolean} resumed the connection's session was resumed
 * @property {string | undefined} clientCert `fingerprint256` of the client's certificate
 */

module.exports = { TrackedServer, TrackedTlsServer }

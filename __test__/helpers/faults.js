'use strict'
// Servers that fail on purpose, and a proxy that loses connections on purpose.

const { once } = require('node:events')
const net = require('node:net')
const { TrackedServer } = require('./tracked')

/** @typedef {net.Socket} Socket */

/**
 * How far a connection gets before the server gives up on it:
 * `accept`: the TCP connection stands, nothing is read;
 * `clientHello`: the client's first record has arrived;
 * `serverHello`: the server's first record has been sent, of a real handshake;
 * `handshake`: TLS stands;
 * `request`: the first application bytes have arrived;
 * `headers`: half of the response's headers have been sent;
 * `body`: the headers and 4 of 100 announced bytes have been sent.
 *
 * @typedef {'accept' | 'clientHello' | 'serverHello' | 'handshake' | 'request' | 'headers' | 'body'} Stage
 */

/** What a server that got as far as TLS has sent of its answer. */
const ANSWERS = {
  handshake: undefined,
  request: '',
  headers: 'HTTP/1.1 200 OK\r\nContent-Le',
  body: 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart'
}

/** TLS alert descriptions (RFC 8446, 6.2). */
const ALERT = {
  handshakeFailure: 40,
  certificateUnknown: 46,
  protocolVersion: 70,
  internalError: 80,
  unrecognizedName: 112,
  certificateRequired: 116,
  noApplicationProtocol: 120
}

/**
 * A plain TCP server.
 *
 * @param {(socket: Socket) => void} onSocket
 * @param {{ host?: string }} [options]
 */
async function rawServer(onSocket, { host } = {}) {
  const server = net.createServer()
  const tracked = new TrackedServer(server)
  server.on('connection', onSocket)
  return tracked.listen(host)
}

/**
 * A server that goes silent at a stage and holds the connection.
 *
 * @param {Stage} [stage]
 * @param {Partial<import('./servers').TlsOptions>} [options] `cert` is needed from `serverHello` on
 */
function stallingServer(stage = 'accept', options = {}) {
  return stagedServer(stage, options, () => {})
}

/**
 * A server that closes the connection at a stage, in good order: a FIN, with a `close_notify` before it where TLS stands.
 * For a reset, or an end without `close_notify`, put a {@link tcpProxy} before any server and cut that.
 *
 * @param {Stage} stage
 * @param {Partial<import('./servers').TlsOptions>} [options] `cert` is needed from `serverHello` on
 */
function closeAtServer(stage, options = {}) {
  return stagedServer(stage, options, socket => socket.resume().end())
}

/**
 * A server that answers each ClientHello with a fatal alert.
 *
 * @param {number} description one of {@link ALERT}, or any other
 */
function alertServer(description) {
  return rawServer(async socket => {
    await firstRecord(socket)
    socket.end(Buffer.from([21, 3, 3, 0, 2, 2, description]))
  })
}

/**
 * A TCP proxy that counts the bytes of each direction.
 *
 * @param {{ port: number, host?: string }} target
 * @param {{ record?: boolean }} [options] `record` keeps the bytes too
 */
async function tcpProxy({ port, host = '127.0.0.1' }, { record = false } = {}) {
  const server = net.createServer({ allowHalfOpen: true })
  const proxy = new TcpProxy(server)
  server.on('connection', client => {
    const upstream = net.connect({ port, host, allowHalfOpen: true })
    proxy.track(upstream)
    pump(client, upstream, chunk => proxy.count('up', chunk, record))
    pump(upstream, client, chunk => proxy.count('down', chunk, record))
  })
  return proxy.listen()
}

class TcpProxy extends TrackedServer {
  /** Bytes from clients to the target. */
  bytesUp = 0
  /** Bytes from the target to clients. */
  bytesDown = 0
  /** What passed, where recording was asked for. @type {{ up: Buffer[], down: Buffer[] }} */
  recorded = { up: [], down: [] }

  /**
   * Ends every connection now, on both sides, and goes on accepting: by a reset, or with `reset: false` by a bare FIN, which
   * under TLS is a truncation. A client that is just writing takes a reset for the failure of that write, and then reads an
   * end: to see `ECONNRESET` for certain, have it wait for an answer first. The last write of a TLS 1.3 handshake counts.
   *
   * @param {{ reset?: boolean }} [options]
   */
  cut({ reset = true } = {}) {
    for (const socket of this.open) reset ? socket.resetAndDestroy() : socket.destroySoon()
  }

  /**
   * @param {'up' | 'down'} direction
   * @param {Buffer} chunk
   * @param {boolean} record
   */
  count(direction, chunk, record) {
    if (direction === 'up') this.bytesUp += chunk.length
    else this.bytesDown += chunk.length
    if (record) this.recorded[direction].push(chunk)
  }
}

/**
 * @param {Socket} from
 * @param {Socket} to
 * @param {(chunk: Buffer) => void} onChunk
 */
function pump(from, to, onChunk) {
  from.on('data', onChunk)
  from.pipe(to)
  from.once('close', () => to.destroy())
}

/**
 * @param {Stage} stage
 * @param {Partial<import('./servers').TlsOptions>} options
 * @param {(socket: Socket) => void} act
 */
async function stagedServer(stage, options, act) {
  if (stage === 'accept') return rawServer(act, options)
  if (stage === 'clientHello') return rawServer(socket => void firstRecord(socket).then(() => act(socket)), options)

  const { cert } = options
  if (!cert) throw new TypeError(`a server that gets to '${stage}' needs a cert`)
  if (stage === 'serverHello') return halfHandshake({ ...options, cert }, act)
  if (!(stage in ANSWERS)) throw new TypeError(`no such stage: ${stage}`)
  return require('./servers').tlsServer(
    async socket => {
      const answer = ANSWERS[stage]
      if (answer === undefined) return act(socket)
      await once(socket, 'data')
      socket.write(answer, () => act(socket))
    },
    { ...options, cert }
  )
}

/**
 * Relays a handshake to a real server until that server's first record, its ServerHello, has passed.
 *
 * @param {import('./servers').TlsOptions} options
 * @param {(socket: Socket) => void} act
 */
async function halfHandshake(options, act) {
  const real = await require('./servers').tlsServer(() => {}, { ...options, host: '127.0.0.1' })
  const server = await rawServer(async client => {
    const upstream = net.connect(real.port, real.host)
    server.track(upstream)
    // A client that has gone before its first record would leave it open.
    client.once('close', () => upstream.destroy())
    upstream.write(await firstRecord(client))
    const serverHello = await firstRecord(upstream)
    upstream.destroy()
    client.write(serverHello, () => act(client))
  }, options)
  const close = server.close.bind(server)
  return Object.assign(server, { close: async () => void (await Promise.all([close(), real.close()])) })
}

/**
 * The first TLS record that arrives, header included; a connection that ends before has none, and the promise stays open.
 *
 * @param {Socket} socket
 * @returns {Promise<Buffer>}
 */
function firstRecord(socket) {
  return new Promise(resolve => {
    let received = Buffer.alloc(0)
    socket.on('data', function onData(/** @type {Buffer} */ chunk) {
      received = Buffer.concat([received, chunk])
      if (received.length < 5 || received.length < 5 + received.readUInt16BE(3)) return
      socket.off('data', onData)
      resolve(received.subarray(0, 5 + received.readUInt16BE(3)))
    })
  })
}

module.exports = { ALERT, alertServer, closeAtServer, rawServer, stallingServer, tcpProxy }

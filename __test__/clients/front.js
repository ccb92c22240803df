'use strict'
// The server's side of connections that must be refused: relays what is said in plain text before TLS, finishes TLS with a
// certificate of ours, and counts what comes after it.

const net = require('node:net')
const tls = require('node:tls')
const { TrackedServer, TrackedTlsServer } = require('../helpers/tracked')
const { preambles } = require('./preambles')

/**
 * One server in the middle. It answers nothing: a byte that comes is a byte that a real attacker would have.
 *
 * @typedef {object} Front
 * @property {number} port
 * @property {() => Observed} observed
 * @property {Promise<void>} firstByte resolves once an application byte has come, in plain text or decrypted
 * @property {() => Promise<void>} settled resolves once every connection has ended, so that nothing more can come
 * @property {() => Promise<void>} close
 *
 * @typedef {object} Observed
 * @property {number} connections TCP connections
 * @property {string[]} protocols of the handshakes in which keys were agreed on, and so the certificate was shown
 * @property {number} appBytes decrypted bytes
 * @property {number} plainBytes bytes in plain text beyond the preamble
 * @property {string[]} errors why the rest failed
 */

/**
 * @param {object} options
 * @param {{ pem: string, key: string }} options.cert
 * @param {{ pem: string }[]} options.chain
 * @param {string} [options.preamble] a name in preambles.js
 * @param {string} [options.greeting] said first, inside TLS
 * @param {number} options.upstream the port of the real server, which speaks the preamble
 * @returns {Promise<Front>}
 */
async function front({ cert, chain, preamble, greeting, upstream }) {
  const speak = preamble === undefined ? undefined : preambles[preamble]
  if (preamble !== undefined && !speak) throw new TypeError(`there is no preamble '${preamble}'`)

  let plainBytes = 0
  /** @type {string[]} */
  const protocols = []
  /** @type {string[]} */
  const errors = []
  const first = withResolvers()

  const secure = tls.createServer({
    key: cert.key,
    cert: [cert.pem, ...chain.map(({ pem }) => pem)].join(''),
    ALPNCallback: ({ protocols: offered }) => offered[0]
  })
  const inside = new TrackedTlsServer(secure)
  // Tells of handshakes as soon as keys are agreed on: a client that refuses may be gone before the server has finished.
  secure.on('keylog', line => {
    if (line.includes('CLIENT_RANDOM')) protocols.push('TLSv1.2')
    if (line.includes('SERVER_HANDSHAKE_TRAFFIC_SECRET')) protocols.push('TLSv1.3')
  })
  secure.on('secureConnection', socket => {
    if (greeting) socket.write(greeting)
    socket.once('data', first.resolve).resume()
  })
  const plain = (/** @type {Buffer} */ bytes) => {
    plainBytes += bytes.length
    first.resolve()
  }

  const server = net.createServer(async socket => {
    if (!speak) return secure.emit('connection', socket)
    /** @type {net.Socket | undefined} */
    let server
    const dial = async () => {
      server = net.connect(upstream, '127.0.0.1')
      outside.track(server)
      return server
    }
    try {
      await speak(socket, dial, plain)
      if (plainBytes === 0) secure.emit('connection', socket)
    } catch (error) {
      errors.push(/** @type {Error} */ (error).message)
      socket.destroy()
    } finally {
      server?.destroy()
    }
  })
  const outside = new TrackedServer(server)
  const { port } = await outside.listen()

  return {
    port,
    firstByte: first.promise,
    observed: () => ({
      connections: outside.connections,
      protocols,
      appBytes: inside.appBytes,
      plainBytes,
      errors: [...errors, ...inside.tlsErrors]
    }),
    settled: async () => {
      await outside.settled()
      await inside.settled()
    },
    close: async () => {
      await outside.close()
      await inside.settled()
    }
  }
}

/** Node 20 has no Promise.withResolvers. */
function withResolvers() {
  let resolve = () => {}
  const promise = new Promise((/** @type {(value?: undefined) => void} */ done) => {
    resolve = done
  })
  return { promise: /** @type {Promise<void>} */ (promise), resolve }
}

module.exports = { front }

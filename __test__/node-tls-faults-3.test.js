'use strict'
// The promise: what is written early, or between two handshakes, goes to nobody but the pinned server, and once.

const assert = require('node:assert/strict')
const { constants } = require('node:crypto')
const net = require('node:net')
const { Duplex } = require('node:stream')
const { before, describe, test } = require('node:test')
const tls = require('node:tls')
const { PinnedAgent } = require('..')
const { BOUNDED, VERSIONS, WRONG } = require('./fixtures/register-run')
const { codeOf } = require('./helpers/node-tls')
const { ca, leaf } = require('./helpers/pki')
const { tlsServer } = require('./helpers/servers')

const TRUSTS = /** @type {const} */ (['ca', 'pin-only'])
const MISMATCH = 'ERR_TLS_PIN_MISMATCH'

/** @type {import('./helpers/pki').Certificate} */ let root

before(async () => {
  root = await ca({ name: 'Root' })
})

describe('a second handshake over TLS 1.2', () => {
  const IN_FULL = constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION
  for (const trust of TRUSTS) {
    for (const moment of ['before', 'after']) {
      for (const [way, secureOptions, changes, expected] of /** @type {[string, number, boolean, string][]} */ ([
        ['with another certificate is refused', IN_FULL, true, MISMATCH],
        ['that shows no certificate is refused', 0, true, 'ERR_TLS_PIN_UNSAFE'],
        ['with the same certificate is none the worse', IN_FULL, false, '']
      ])) {
        test(`${way}, trust ${trust}, first write ${moment} the first`, BOUNDED, async t => {
          const [first, other] = [await certificate(trust), await certificate(trust)]
          const next = tls.createSecureContext({ key: other.key, cert: other.pem, secureOptions })
          let received = ''
          const server = await tlsServer(
            (/** @type {any} */ socket) => {
              socket.on('data', (/** @type {Buffer} */ data) => {
                received += data
                if (received === 'first second') socket.end()
              })
              socket.once('data', () => {
                if (changes) socket.setKeyCert(next)
                socket.renegotiate({}, () => {})
              })
            },
            { cert: first, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', tls: { secureOptions } }
          )
          t.after(() => server.close())
          const socket = connect(server.port, first.pin, trust)
          const write = () => socket.write('first')
          moment === 'before' ? write() : socket.once('secureConnect', write)
          socket.once('secureConnect', () => socket.on('secure', () => socket.write(' second')))
          assert.equal(await failure(socket.resume()), expected)
          await server.settled()
          assert.equal(received, expected ? 'first' : 'first second')
        })
      }
    }
  }
})

for (const trust of TRUSTS) {
  test(`the callbacks of writes are called when the server is refused, trust ${trust}`, BOUNDED, async t => {
    const server = await tlsServer(() => {}, { cert: await certificate(trust) })
    t.after(() => server.close())
    const socket = connect(server.port, WRONG, trust)
    const failed = failure(socket)
    const called = ['a', 'b'].map(text => new Promise(resolve => socket.write(text, resolve)))
    called.push(new Promise(resolve => socket.end('c', /** @type {any} */ (resolve))))
    assert.equal(await failed, MISMATCH)
    for (const error of await Promise.all(called)) assert(error instanceof Error)
    await server.settled()
    assert.equal(server.appBytes, 0)
  })
}

describe('a listener put in front that writes when TLS says that it is secure', () => {
  for (const version of VERSIONS) {
    for (const trust of TRUSTS) {
      for (const below of /** @type {const} */ (['TCP', 'a stream', 'TLS'])) {
        test(`${version} over ${below}, trust ${trust}`, BOUNDED, async t => {
          const cert = await certificate(trust)
          const server = await tlsServer(socket => socket.write('hello'), {
            cert,
            minVersion: version,
            maxVersion: version
          })
          t.after(() => server.close())
          const socket = connect(server.port, WRONG, trust, await under(t, below, server.port))
          let written = 0
          for (const event of ['secure', 'secureConnect']) {
            socket.prependListener(event, () => {
              written += 1
              socket.write('secret')
            })
          }
          assert.equal(await failure(socket), MISMATCH)
          await server.settled()
          // It did write: Node says that it is secure before anybody has looked.
          assert.deepEqual([written, server.appBytes], [1, 0])
        })
      }
    }
  }
})

/** @param {typeof TRUSTS[number]} trust */
function certificate(trust) {
  return trust === 'ca' ? leaf({ issuer: root }) : leaf({ selfSigned: true })
}

/**
 * @param {number} port
 * @param {string} pin
 * @param {typeof TRUSTS[number]} trust
 * @param {import('node:stream').Duplex} [socket] what it is made on
 * @returns {tls.TLSSocket}
 */
function connect(port, pin, trust, socket) {
  const agent = new PinnedAgent(pin, { trust })
  const options = { host: 'localhost', servername: 'localhost', port, socket, ...(trust === 'ca' && { ca: root.pem }) }
  return /** @type {any} */ (agent).createConnection(options)
}

/**
 * The code of the error by which a socket ends.
 * @param {tls.TLSSocket} socket
 */
async function failure(socket) {
  let code = ''
  socket.once('error', error => {
    code = String(codeOf(error))
  })
  await new Promise(resolve => socket.once('close', resolve))
  return code
}

/**
 * What lies below a TLS connection; nothing where Node makes it.
 * @param {import('node:test').TestContext} t
 * @param {'TCP' | 'a stream' | 'TLS'} kind
 * @param {number} port
 */
async function under(t, kind, port) {
  if (kind === 'TCP') return undefined
  if (kind === 'a stream') {
    const socket = net.connect(port, '127.0.0.1').on('error', () => {})
    t.after(() => socket.destroy())
    const stream = new Duplex({
      read: () => {},
      write: (data, _, done) => socket.write(data, () => done()),
      final: done => socket.end(done),
      destroy: (_, done) => {
        socket.destroy()
        done(null)
      }
    })
    socket.on('data', data => stream.push(data)).on('end', () => stream.push(null))
    return stream
  }
  const relay = await tlsServer(
    near => {
      const far = net.connect(port, '127.0.0.1').on('error', () => near.destroy())
      near.on('close', () => far.destroy()).pipe(far)
      far.on('close', () => near.destroy()).pipe(near)
    },
    { cert: await leaf({ issuer: root }) }
  )
  t.after(() => relay.close())
  return tls.connect({ host: '127.0.0.1', port: relay.port, ca: root.pem }).on('error', () => {})
}

'use strict'
// The promise: what happens to a connection at an awkward moment, a change of policy, an expiry, a second handshake, early
// writes, neither crashes a process nor lets anything out.

const assert = require('node:assert/strict')
const { constants } = require('node:crypto')
const { once } = require('node:events')
const net = require('node:net')
const { Duplex } = require('node:stream')
const { before, describe, test } = require('node:test')
const tls = require('node:tls')
const undici = require('undici')
const { PinSet, PinnedAgent, pinnedConnector } = require('..')
const { BOUNDED, VERSIONS, WRONG, pinned } = require('./fixtures/register-run')
const { REGISTER, codeOf, httpsStatus, inProcess } = require('./helpers/node-tls')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer, tlsServer } = require('./helpers/servers')

const TRUSTS = /** @type {const} */ (['ca', 'pin-only'])
const EXPIRED = 'ERR_TLS_PIN_EXPIRED'
const MISMATCH = 'ERR_TLS_PIN_MISMATCH'

/** @type {import('./helpers/pki').Certificate} */ let root
/** @type {import('./helpers/pki').Certificate} */ let good
/** @type {import('./helpers/pki').Certificate} */ let device

before(async () => {
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root })
  device = await leaf({ selfSigned: true })
})

describe('a change of policy that strikes out the server of a kept-alive connection does not crash', () => {
  for (const [moment, listen] of [
    ['at the end of a response', "response.resume().on('end', change)"],
    ['when a response has closed', "response.resume().on('close', change)"],
    ['when a request has closed', "response.resume(); request.on('close', change)"],
    ['after a response has been read', '(async () => { for await (const _ of response); change() })()']
  ]) {
    test(moment, BOUNDED, async t => {
      let bytes = 0
      const server = await httpsServer({
        cert: good,
        handler: (_, response) => {
          bytes = server.appBytes
          response.end('ok')
        }
      })
      t.after(() => server.close())
      const program = `
        const https = require('node:https')
        const { PinSet, PinnedAgent } = require(ROOT)
        const { url, ca, pin, wrong } = DATA
        const pins = new PinSet(pin)
        const agent = new PinnedAgent(pins, { keepAlive: true, ca })
        const fail = error => tell(error.code)
        const change = () => {
          pins.replace(wrong)
          https.get(url, { agent }, response => tell(response.statusCode)).on('error', fail)
        }
        const request = https.get(url, { agent }, response => { ${listen} }).on('error', fail)
      `
      const data = { url: server.url, ca: root.pem, pin: good.pin, wrong: WRONG }
      const { told, status, stderr } = await inProcess(program, data)
      assert.deepEqual([told, status], [[MISMATCH], 0], stderr)
      await server.settled()
      assert.deepEqual([server.requests.length, server.appBytes], [1, bytes])
    })
  }
})

for (const version of VERSIONS) {
  test(`http2 over an agent whose pins are the only trust does not crash, ${version}`, BOUNDED, async t => {
    const server = await httpsServer({ cert: device, http2: true, minVersion: version, maxVersion: version })
    t.after(() => server.close())
    const program = `
      const { PinnedAgent } = require(ROOT)
      const { http2Status } = require(ROOT + '/__test__/helpers/node-tls.js')
      const { url, port, pin } = DATA
      const agent = new PinnedAgent(pin, { trust: 'pin-only' })
      const options = { host: 'localhost', servername: 'localhost', port, ALPNProtocols: ['h2'] }
      const createConnection = () => agent.createConnection(options)
      http2Status(url, { createConnection, body: Buffer.from('x') }).then(tell, error => tell(error.code))
    `
    const run = (/** @type {string} */ pin) => inProcess(program, { url: server.url, port: server.port, pin })
    const refused = await run(WRONG)
    assert.deepEqual([refused.told, refused.status], [[MISMATCH], 0], refused.stderr)
    await server.settled()
    assert.equal(server.appBytes, 0)
    const accepted = await run(device.pin)
    assert.deepEqual([accepted.told, accepted.status], [[200], 0], accepted.stderr)
  })
}

describe('an entry that expires closes an idle connection', { concurrency: true }, () => {
  test('of PinnedAgent', BOUNDED, async t => {
    const server = await patient(t)
    const agent = new PinnedAgent(soon(), { keepAlive: true, ca: root.pem })
    t.after(() => agent.destroy())
    const closed = new Promise(resolve => agent.on('free', socket => socket.once('close', resolve)))
    assert.equal(await httpsStatus(server.url, { agent }), 200)
    const bytes = server.appBytes
    await closed
    await assert.rejects(httpsStatus(server.url, { agent }), { code: EXPIRED })
    await server.settled()
    assert.equal(server.appBytes, bytes)
  })

  test('of pinnedConnector', BOUNDED, async t => {
    const server = await patient(t)
    const client = new undici.Client(server.url, { connect: pinnedConnector(soon(), { ca: root.pem }) })
    t.after(() => client.destroy())
    const closed = once(client, 'disconnect')
    const ask = async () => (await client.request({ method: 'GET', path: '/' })).body.dump()
    await ask()
    const bytes = server.appBytes
    await closed
    await assert.rejects(ask(), { code: EXPIRED })
    await server.settled()
    assert.equal(server.appBytes, bytes)
  })

  test('under register', BOUNDED, async t => {
    const server = await patient(t)
    // The policy is dated in the process itself, whose start may take long.
    const program = `
      require('node:fs').writeFileSync(process.env.TLS_PINNING_POLICY, JSON.stringify((${policyOf})(DATA.pin)))
      require(${JSON.stringify(REGISTER)})
      const agent = new https.Agent({ keepAlive: true, ca })
      const ask = () => kit.outcome(() => httpsStatus(url, { agent })).then(tell)
      const { httpsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
      // An idle connection does not keep the process.
      const hold = setInterval(() => {}, 1000)
      agent.once('free', socket => socket.once('close', () => ask().finally(() => clearInterval(hold))))
      ask()
    `
    const { told, stderr } = await pinned({
      policy: {},
      program,
      server,
      ca: root.pem,
      data: { pin: good.pin },
      flags: []
    })
    assert.deepEqual(told, [200, EXPIRED], stderr)
    await server.settled()
    assert.equal(server.requests.length, 1)
  })
})

describe('a second handshake over TLS 1.2', () => {
  for (const trust of TRUSTS) {
    for (const [way, secureOptions] of /** @type {const} */ ([
      ['in full', constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION],
      ['that resumes the first', 0]
    ])) {
      for (const moment of ['before', 'after']) {
        test(`${way}, trust ${trust}: what was written ${moment} the first is sent once`, BOUNDED, async t => {
          const [first, other] = await Promise.all([1, 2].map(() => certificate(trust)))
          assert(first && other)
          let asked = 0
          let received = ''
          const contexts = [first, other].map(({ key, pem }) =>
            tls.createSecureContext({ key, cert: pem, secureOptions })
          )
          const server = await tlsServer(
            socket => {
              socket.on('data', data => {
                received += data
              })
              socket.once('data', () => socket.renegotiate({}, () => {}))
            },
            {
              cert: first,
              minVersion: 'TLSv1.2',
              maxVersion: 'TLSv1.2',
              tls: { secureOptions, SNICallback: (_, done) => done(null, contexts[Math.min(asked++, 1)]) }
            }
          )
          t.after(() => server.close())
          const socket = connect(server.port, first.pin, trust)
          /** @type {string[]} */
          const seen = []
          socket.on('secureConnect', () => seen.push(socket.getPeerCertificate().fingerprint256))
          const write = () => socket.write('first')
          moment === 'before' ? write() : socket.once('secureConnect', write)
          socket.once('secureConnect', () => socket.on('secure', () => socket.write('second')))
          const code = await failure(socket.resume())
          assert.match(code, /^ERR_TLS_PIN_(MISMATCH|UNSAFE)$/)
          await server.settled()
          assert.deepEqual([received, seen], ['first', [first.fingerprint256]])
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
    return Duplex.from({ readable: socket, writable: socket }).on('error', () => {})
  }
  const relay = await tlsServer(
    near => {
      const far = net.connect(port, '127.0.0.1').on('error', () => near.destroy())
      near.on('close', () => far.destroy()).pipe(far)
      far.on('close', () => near.destroy()).pipe(near)
    },
    { cert: good }
  )
  t.after(() => relay.close())
  return tls.connect({ host: '127.0.0.1', port: relay.port, ca: root.pem }).on('error', () => {})
}

/**
 * A server that closes no idle connection by itself.
 * @param {import('node:test').TestContext} t
 */
async function patient(t) {
  const server = await httpsServer({ cert: good, tls: /** @type {any} */ ({ keepAliveTimeout: 0 }) })
  t.after(() => server.close())
  return server
}

/** @param {string} pin */
function policyOf(pin) {
  const expires = new Date((Math.floor(Date.now() / 1000) + 3) * 1000).toISOString()
  return { hosts: { localhost: { pins: [pin], expires } } }
}

/** The server is pinned for two or three seconds more: the first request has to be made in them. */
function soon() {
  return new PinSet(policyOf(good.pin))
}

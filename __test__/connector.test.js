'use strict'
// The promise: a connection that `pinnedConnector` makes for undici is to the server that was pinned, or it is not handed over.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const http = require('node:http')
const net = require('node:net')
const { before, describe, test } = require('node:test')
const tls = require('node:tls')
const undici = require('undici')
const { PinSet, pinnedConnector } = require('..')
const { ca, daysFromNow, leaf } = require('./helpers/pki')
const { closeAtServer, httpsServer, rawServer, stallingServer } = require('./helpers/servers')

const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const MISMATCH = { code: 'ERR_TLS_PIN_MISMATCH' }
/** Where a failure would be a hang. */
const BOUNDED = { timeout: 20_000 }
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])
const PAST = { notBefore: daysFromNow(-60), notAfter: daysFromNow(-1) }

/** root > intermediate > good; rogueRoot > mitm. Both roots are trusted. @type {Record<string, import('./helpers/pki').Certificate>} */
const pki = {}
/** @type {string[]} */
let anchors

before(async () => {
  pki.root = await ca({ name: 'Good Root' })
  pki.intermediate = await ca({ name: 'Intermediate', issuer: pki.root })
  pki.good = await leaf({ issuer: pki.intermediate, names: ['localhost', '127.0.0.1', '::1', 'a.example'] })
  pki.rogueRoot = await ca({ name: 'Rogue Root' })
  pki.mitm = await leaf({ issuer: pki.rogueRoot })
  anchors = [pki.root.pem, pki.rogueRoot.pem]
})

/** Ways into undici: each gives a dispatcher. @type {Record<string, (url: string, connect: any, allowH2: boolean) => any>} */
const WAYS = {
  Agent: (_, connect, allowH2) => new undici.Agent({ connect, allowH2, connections: 1 }),
  Pool: (url, connect, allowH2) => new undici.Pool(url, { connect, allowH2, connections: 1 }),
  Client: (url, connect, allowH2) => new undici.Client(url, { connect, allowH2 })
}

for (const version of VERSIONS) {
  for (const allowH2 of [false, true]) {
    for (const [name, make] of Object.entries(WAYS)) {
      describe(`${name} over ${version}, ${allowH2 ? 'HTTP/2' : 'HTTP/1.1'}`, () => {
        const connect = (/** @type {any} */ pins, /** @type {object} */ options = {}) =>
          pinnedConnector(pins, { ca: anchors, allowH2, ...options })

        test('reaches the pinned server, by each pin of its path', BOUNDED, async t => {
          const server = await serve(t, { version })
          for (const pin of everyPin()) {
            const dispatcher = make(server.url, connect(pin), allowH2)
            assert.equal(await ask(server.url, dispatcher), 'ok')
            await dispatcher.close()
          }
          assert.equal(server.requests.at(-1)?.httpVersion, allowH2 ? '2.0' : '1.1')
          assert.equal(server.resumed, 0)
        })

        test('is refused by others, also with a megabyte to send', BOUNDED, async t => {
          for (const [settings, pins, code] of /** @type {[object, any, string][]} */ ([
            [{}, OTHER, 'ERR_TLS_PIN_MISMATCH'],
            [{ cert: pki.mitm, chain: [] }, everyPin(), 'ERR_TLS_PIN_MISMATCH'],
            [{ cert: pki.mitm, chain: [pki.good, pki.intermediate] }, everyPin(), 'ERR_TLS_PIN_MISMATCH'],
            [{}, { hosts: { 'other.example': pki.good.pin } }, 'ERR_TLS_PIN_UNLISTED']
          ])) {
            const server = await serve(t, { version, ...settings })
            const dispatcher = make(server.url, connect(pins), allowH2)
            await refused(server, dispatcher, code, { method: 'POST', body: Buffer.alloc(2 ** 20) })
          }
        })

        test('no session is resumed, whatever the options say', BOUNDED, async t => {
          const server = await serve(t, { version })
          const connector = connect(pki.good.pin, { maxCachedSessions: 100 })
          assert.equal(connector.maxCachedSessions, 0)
          for (let left = 3; left > 0; left--) {
            const dispatcher = make(server.url, connector, allowH2)
            await ask(server.url, dispatcher)
            await dispatcher.close()
          }
          assert.equal(server.handshakes, 3)
          assert.equal(server.resumed, 0)
        })

        test('a change of policy closes connections that no longer satisfy it, and no other', BOUNDED, async t => {
          const server = await serve(t, { version })
          const pins = new PinSet(pki.good.pin)
          const dispatcher = make(server.url, connect(pins), allowH2)
          t.after(() => dispatcher.destroy())
          await ask(server.url, dispatcher)
          pins.replace([pki.good.pin, OTHER])
          await ask(server.url, dispatcher)
          assert.equal(server.connections, 1)
          const bytes = server.appBytes
          pins.replace(OTHER)
          await assert.rejects(ask(server.url, dispatcher, { method: 'POST', body: 'secret' }), MISMATCH)
          await server.settled()
          // An HTTP/2 connection says goodbye to the server that it was made to.
          if (!allowH2) assert.equal(server.appBytes, bytes)
          assert.equal(server.requests.length, 2)
        })

        test('a device that its pin alone vouches for', BOUNDED, async t => {
          for (const key of /** @type {const} */ (['p256', 'rsa2048', 'ed25519'])) {
            const cert = await leaf({ selfSigned: true, key })
            const server = await serve(t, { version, cert, chain: [] })
            const pinOnly = { trust: 'pin-only', ca: undefined }
            const dispatcher = make(server.url, connect(cert.pin, pinOnly), allowH2)
            assert.equal(await ask(server.url, dispatcher), 'ok')
            await dispatcher.close()
            await server.settled()
            const options = { method: 'POST', body: Buffer.alloc(2 ** 20) }
            await refused(server, make(server.url, connect(OTHER, pinOnly), allowH2), 'ERR_TLS_PIN_MISMATCH', options)
          }
        })
      })
    }
  }
}

describe('with the pins as the only trust', () => {
  for (const [name, options, code] of /** @type {[string, object, string][]} */ ([
    ['another name', { names: ['other.example'] }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['a certificate out of date', PAST, 'CERT_HAS_EXPIRED']
  ])) {
    test(`${name} is refused, although it is pinned`, BOUNDED, async t => {
      const cert = await leaf({ selfSigned: true, ...options })
      const server = await serve(t, { cert, chain: [] })
      const connect = pinnedConnector(cert.pin, { trust: 'pin-only' })
      await refused(server, new undici.Agent({ connect }), code)
    })
  }
})

describe('fetch', () => {
  for (const [name, fetch] of /** @type {[string, any][]} */ ([
    ['of undici', undici.fetch],
    ['of Node', globalThis.fetch]
  ])) {
    test(`${name}, with a dispatcher`, BOUNDED, async t => {
      const server = await serve(t)
      const accepted = agentFor(t, pki.intermediate.pin)
      assert.equal(await (await fetch(server.url, { dispatcher: accepted })).text(), 'ok')
      const { appBytes } = server
      const error = await fetch(server.url, { dispatcher: agentFor(t, OTHER) }).catch(
        (/** @type {any} */ reason) => reason
      )
      assert.equal(error.cause.code, MISMATCH.code)
      assert.equal(server.appBytes, appBytes)
    })
  }
})

describe('a check of a user’s own', () => {
  for (const [name, checkServerIdentity, expected] of /** @type {[string, any, object][]} */ ([
    ['an error', () => Object.assign(new Error('no'), { code: 'MINE' }), { code: 'MINE' }],
    ['true', () => true, { code: 'ERR_INVALID_RETURN_VALUE' }],
    ['a promise', async () => undefined, { code: 'ERR_INVALID_RETURN_VALUE' }],
    [
      'a throw',
      () => {
        throw new RangeError('thrown')
      },
      { name: 'RangeError' }
    ]
  ])) {
    test(`refuses by ${name}`, BOUNDED, async t => {
      const server = await serve(t)
      const dispatcher = agentFor(t, pki.good.pin, { checkServerIdentity })
      await assert.rejects(ask(server.url, dispatcher), expected)
      await server.settled()
      assert.equal(server.appBytes, 0)
    })
  }

  test('that accepts everything changes nothing', BOUNDED, async t => {
    const server = await serve(t)
    await refused(server, agentFor(t, OTHER, { checkServerIdentity: () => undefined }), 'ERR_TLS_PIN_MISMATCH')
  })
})

describe('options', () => {
  test('that would switch pinning off are refused', () => {
    for (const options of [
      { rejectUnauthorized: false },
      { session: Buffer.alloc(1) },
      { checkServerIdentity: null }
    ]) {
      assert.throws(() => pinnedConnector(OTHER, /** @type {any} */ (options)), { code: 'ERR_TLS_PIN_UNSAFE' })
    }
    for (const options of [
      { host: 'a.example' },
      { port: 443 },
      { timeout: -1 },
      { timeout: Number.NaN },
      { timeout: '5' }
    ]) {
      assert.throws(
        () => pinnedConnector(OTHER, /** @type {any} */ (options)),
        { code: 'ERR_INVALID_ARG_VALUE' },
        JSON.stringify(options)
      )
    }
    for (const pins of [[], {}, undefined, null, 'nonsense']) {
      assert.throws(() => pinnedConnector(/** @type {any} */ (pins)), { code: 'ERR_TLS_PIN_INVALID' })
    }
  })

  test('trust is one of two words, and pin-only has no anchors', () => {
    for (const trust of ['none', '', null, true]) {
      assert.throws(() => pinnedConnector(OTHER, /** @type {any} */ ({ trust })), { code: 'ERR_INVALID_ARG_VALUE' })
    }
    assert.throws(() => pinnedConnector(OTHER, { trust: 'pin-only', ca: anchors }), { code: 'ERR_TLS_PIN_UNSAFE' })
  })

  test('localAddress, of the connector and of the client', BOUNDED, async t => {
    /** @type {(string | undefined)[]} */
    const from = []
    const server = await serve(t, {
      http2: false,
      handler: (/** @type {any} */ request, /** @type {any} */ response) => {
        from.push(request.socket.remoteAddress)
        response.end('ok')
      }
    })
    const url = `https://127.0.0.1:${server.port}`
    const client = new undici.Client(url, {
      localAddress: '127.0.0.3',
      connect: pinnedConnector(pki.good.pin, { ca: anchors })
    })
    t.after(() => client.destroy())
    await ask(url, client)
    await ask(url, agentFor(t, pki.good.pin, { localAddress: '127.0.0.2' }))
    assert.deepEqual(from, ['127.0.0.3', '127.0.0.2'])
  })

  test('servername decides, and is sent', BOUNDED, async t => {
    const server = await serve(t)
    const hosts = { 'a.example': pki.good.pin, localhost: OTHER }
    assert.equal(await ask(server.url, agentFor(t, { hosts }, { servername: 'a.example' })), 'ok')
    assert.equal(server.requests[0].servername, 'a.example')
    await refused(server, agentFor(t, { hosts }), 'ERR_TLS_PIN_MISMATCH')
  })
})

describe('whom the policy decides about', () => {
  test('the name in a Host header', BOUNDED, async t => {
    const server = await serve(t, { http2: false })
    const hosts = { 'a.example': pki.good.pin, localhost: OTHER }
    const dispatcher = agentFor(t, { hosts })
    const headers = { host: 'a.example' }
    assert.equal(await ask(server.url, dispatcher, { headers }), 'ok')
    assert.equal(server.requests[0].servername, 'a.example')
  })

  test('an IPv6 literal', {
    ...BOUNDED,
    skip: !nodeKnowsIPv6() && 'this Node takes no IPv6 address for one'
  }, async t => {
    const server = await serve(t, { host: '::1' })
    const url = `https://[::1]:${server.port}`
    assert.equal(await ask(url, agentFor(t, { hosts: { '[::1]': pki.good.pin } })), 'ok')
    assert.equal(await ask(url, agentFor(t, { hosts: { [`[::1]:${server.port}`]: pki.good.pin } })), 'ok')
    await refused(server, agentFor(t, { hosts: { '[::1]': OTHER } }), 'ERR_TLS_PIN_MISMATCH', {}, url)
  })

  test('a port', BOUNDED, async t => {
    const server = await serve(t)
    const hosts = { [`localhost:${server.port}`]: pki.good.pin, localhost: OTHER }
    assert.equal(await ask(server.url, agentFor(t, { hosts })), 'ok')
    await refused(server, agentFor(t, { hosts: { ...hosts, [`localhost:${server.port}`]: OTHER } }), MISMATCH.code)
  })

  test('the origin of a redirect', BOUNDED, async t => {
    const second = await serve(t, { cert: pki.mitm, chain: [] })
    const server = await serve(t, { handler: { status: 302, headers: { location: second.url } } })
    const dispatcher = agentFor(t, pki.good.pin)
    const error = await undici.fetch(server.url, { dispatcher }).catch(reason => reason)
    assert.equal(error.cause?.code, MISMATCH.code)
    assert.equal(second.appBytes, 0)
  })
})

describe('what goes wrong', () => {
  test('http: is refused', BOUNDED, async t => {
    const server = await rawServer(() => {})
    t.after(() => server.close())
    await assert.rejects(ask(`http://localhost:${server.port}`, agentFor(t, OTHER)), { code: 'ERR_TLS_PIN_UNSAFE' })
    assert.equal(server.connections, 0)
  })

  for (const trust of /** @type {const} */ (['ca', 'pin-only'])) {
    const own = trust === 'ca' ? {} : { trust, ca: undefined }
    for (const stage of /** @type {const} */ (['accept', 'clientHello', 'serverHello'])) {
      test(`a handshake stuck after ${stage} times out, trust ${trust}`, BOUNDED, async t => {
        const server = await stallingServer(stage, { cert: pki.good })
        t.after(() => server.close())
        const dispatcher = agentFor(t, pki.good.pin, { timeout: 100, ...own })
        const error = await ask(`https://localhost:${server.port}`, dispatcher).catch(reason => reason)
        assert.equal(error.code, 'UND_ERR_CONNECT_TIMEOUT')
      })

      test(`a server that closes at ${stage}, trust ${trust}`, BOUNDED, async t => {
        const server = await closeAtServer(stage, { cert: pki.good })
        t.after(() => server.close())
        await assert.rejects(ask(`https://localhost:${server.port}`, agentFor(t, pki.good.pin, own)), {
          code: 'ECONNRESET'
        })
      })
    }

    test(`a destroyed dispatcher in the handshake, trust ${trust}`, BOUNDED, async t => {
      const server = await stallingServer('clientHello')
      t.after(() => server.close())
      // Longer than the test may take.
      const dispatcher = agentFor(t, pki.good.pin, { timeout: 60_000, ...own })
      const failed = assert.rejects(ask(`https://localhost:${server.port}`, dispatcher), { code: 'UND_ERR_DESTROYED' })
      await dispatcher.destroy()
      await failed
      await server.settled()
    })
  }

  test('a port where nobody listens', BOUNDED, async t => {
    const server = await rawServer(() => {})
    await server.close()
    await assert.rejects(ask(`https://localhost:${server.port}`, agentFor(t, OTHER)), { code: 'ECONNREFUSED' })
  })
})

describe('ProxyAgent', () => {
  for (const version of VERSIONS) {
    test(`requestTls: the server behind the proxy is pinned, ${version}`, BOUNDED, async t => {
      const server = await serve(t, { version })
      const uri = await connectProxy(t)
      const through = (/** @type {any} */ pins, options = {}) => {
        const requestTls = pinnedConnector(pins, { ca: anchors, ...options })
        const dispatcher = new undici.ProxyAgent(/** @type {any} */ ({ uri, requestTls }))
        t.after(() => dispatcher.destroy())
        return dispatcher
      }
      for (const pin of everyPin()) {
        const dispatcher = through(pin)
        assert.equal(await ask(server.url, dispatcher), 'ok')
        await dispatcher.close()
      }
      assert.equal(server.resumed, 0)
      await refused(server, through(OTHER), 'ERR_TLS_PIN_MISMATCH', { method: 'POST', body: 'x' })
      const mitm = await serve(t, { version, cert: pki.mitm, chain: [] })
      await refused(mitm, through(everyPin()), 'ERR_TLS_PIN_MISMATCH', { method: 'POST', body: 'x' })
      const hosts = { localhost: pki.good.pin }
      assert.equal(await ask(server.url, through({ hosts })), 'ok')
    })
  }

  test('requestTls with the pins as the only trust fails closed', BOUNDED, async t => {
    const cert = await leaf({ selfSigned: true })
    const server = await serve(t, { cert, chain: [] })
    const requestTls = pinnedConnector(cert.pin, { trust: 'pin-only' })
    const dispatcher = new undici.ProxyAgent(/** @type {any} */ ({ uri: await connectProxy(t), requestTls }))
    t.after(() => dispatcher.destroy())
    await refused(server, dispatcher, 'DEPTH_ZERO_SELF_SIGNED_CERT')
  })
})

/** Node 22.23 takes an IPv6 address for a name, and refuses it. */
function nodeKnowsIPv6() {
  const cert = /** @type {any} */ ({ subject: { CN: '' }, subjectaltname: 'IP Address:0:0:0:0:0:0:0:1' })
  return tls.checkServerIdentity('::1', cert) === undefined
}

/** The pins of the good path. */
function everyPin() {
  return [pki.good, pki.intermediate, pki.root].flatMap(({ pin, certPin }) => [pin, certPin])
}

/**
 * @param {import('node:test').TestContext} t
 * @param {any} [options]
 */
async function serve(t, { version, ...options } = {}) {
  const versions = version && { minVersion: version, maxVersion: version }
  const server = await httpsServer({
    cert: pki.good,
    chain: [pki.intermediate],
    http2: true,
    ...versions,
    ...options
  })
  t.after(() => server.close())
  return server
}

/**
 * @param {import('node:test').TestContext} t
 * @param {any} pins
 * @param {any} [options]
 */
function agentFor(t, pins, options) {
  const dispatcher = new undici.Agent({ connect: pinnedConnector(pins, { ca: anchors, ...options }) })
  t.after(() => dispatcher.destroy())
  return dispatcher
}

/** @param {import('node:test').TestContext} t */
async function connectProxy(t) {
  const server = http.createServer()
  /** @type {Set<import('node:stream').Duplex>} */
  const open = new Set()
  server.on('connection', socket => open.add(socket.on('error', () => {})))
  server.on('connect', (request, client) => {
    const upstream = net.connect(Number(String(request.url).split(':')[1]), '127.0.0.1')
    open.add(upstream.on('error', () => client.destroy()))
    client.on('error', () => {}).on('close', () => upstream.destroy())
    client.write('HTTP/1.1 200 Connection established\r\n\r\n')
    upstream.pipe(client).pipe(upstream)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    for (const socket of open) socket.destroy()
  })
  const { port } = /** @type {net.AddressInfo} */ (server.address())
  return `http://127.0.0.1:${port}`
}

/**
 * @param {string} url
 * @param {undici.Dispatcher} dispatcher
 * @param {any} [options]
 */
async function ask(url, dispatcher, options) {
  const { body } = await undici.request(url, { dispatcher, ...options })
  return body.text()
}

/**
 * @param {{ url: string, appBytes: number, settled: () => Promise<void> }} server
 * @param {undici.Dispatcher} dispatcher
 * @param {string} code
 * @param {any} [options]
 * @param {string} [url]
 */
async function refused(server, dispatcher, code, options, url = server.url) {
  const bytes = server.appBytes
  const error = await ask(url, dispatcher, options).catch(reason => reason)
  assert.equal(error.code, code, String(error.message ?? error))
  await dispatcher.destroy()
  assert.equal(server.appBytes, bytes, 'no application byte arrived')
}

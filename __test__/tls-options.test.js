'use strict'
// The promise: what `tlsOptions` gives makes any client of Node's TLS check the pins, is never looser than what it was given,
// and passes everything else on.

const assert = require('node:assert/strict')
const { X509Certificate } = require('node:crypto')
const { once } = require('node:events')
const http2 = require('node:http2')
const https = require('node:https')
const { before, describe, test } = require('node:test')
const tls = require('node:tls')
const undici = require('undici')
const { PinSet, tlsOptions } = require('..')
const { ca, daysFromNow, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
/** Where a failure would be a hang. */
const BOUNDED = { timeout: 20_000 }
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])
const PAST = { notBefore: daysFromNow(-60), notAfter: daysFromNow(-1) }
const UNSAFE = { code: 'ERR_TLS_PIN_UNSAFE' }

/** root > intermediate > good; rogueRoot > mitm. Both roots are trusted. @type {Record<string, import('./helpers/pki').Certificate>} */
const pki = {}
/** @type {string[]} */
let anchors

before(async () => {
  pki.root = await ca({ name: 'Good Root' })
  pki.intermediate = await ca({ name: 'Intermediate', issuer: pki.root })
  pki.good = await leaf({ issuer: pki.intermediate })
  pki.rogueRoot = await ca({ name: 'Rogue Root' })
  pki.mitm = await leaf({ issuer: pki.rogueRoot })
  anchors = [pki.root.pem, pki.rogueRoot.pem]
})

/** Each sends one request, and gives its status or rejects. @type {Record<string, (url: string, options: any) => Promise<any>>} */
const CLIENTS = {
  'https.Agent': (url, options) => viaHttps(url, { agent: new https.Agent(options) }),
  'https.Agent, keepAlive': async (url, options) => {
    const agent = new https.Agent({ keepAlive: true, ...options })
    try {
      return await viaHttps(url, { agent })
    } finally {
      agent.destroy()
    }
  },
  'an https request': (url, options) => viaHttps(url, { agent: false, ...options }),
  'tls.connect': (url, options) => viaTls(url, options),
  'http2.connect': (url, options) => viaHttp2(url, options),
  'undici Agent': (url, options) => viaUndici(url, new undici.Agent({ connect: options })),
  'undici Pool': (url, options) => viaUndici(url, new undici.Pool(url, { connect: options })),
  'undici fetch': async (url, options) => {
    const dispatcher = new undici.Agent({ connect: options })
    try {
      return (await undici.fetch(url, { dispatcher })).status
    } catch (/** @type {any} */ error) {
      throw error.cause ?? error
    } finally {
      await dispatcher.destroy()
    }
  }
}

for (const version of VERSIONS) {
  for (const [name, client] of Object.entries(CLIENTS)) {
    describe(`${name}, ${version}`, () => {
      test('reaches the pinned server, by each pin of its path', BOUNDED, async t => {
        const server = await serve(t, { version })
        for (const pin of everyPin()) {
          assert.equal(await client(server.url, tlsOptions(pin, { ca: anchors })), 200)
        }
      })

      test('is refused by others: wrong pins, a trusted certificate, an untrusted one', BOUNDED, async t => {
        const untrusted = await leaf({ selfSigned: true })
        for (const [settings, pins, code] of /** @type {[object, any, string][]} */ ([
          [{}, OTHER, 'ERR_TLS_PIN_MISMATCH'],
          [{ cert: pki.mitm, chain: [] }, everyPin(), 'ERR_TLS_PIN_MISMATCH'],
          [{ cert: pki.mitm, chain: [pki.good, pki.intermediate] }, everyPin(), 'ERR_TLS_PIN_MISMATCH'],
          [{ cert: untrusted, chain: [] }, untrusted.pin, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
          [{}, { hosts: { 'other.example': pki.good.pin } }, 'ERR_TLS_PIN_UNLISTED']
        ])) {
          const server = await serve(t, { version, ...settings })
          await refused(client, server, tlsOptions(pins, { ca: anchors }), code)
        }
      })

      test('resumes no session, however often it connects', BOUNDED, async t => {
        const server = await serve(t, { version })
        const options = tlsOptions(pki.good.pin, { ca: anchors })
        for (let left = 3; left > 0; left--) await client(server.url, options)
        assert.equal(server.resumed, 0)
      })
    })

    describe(`${name}, ${version}, with the pins as the only trust`, () => {
      test('reaches a device by its certificate, self-signed or of an unknown CA', BOUNDED, async t => {
        const devices = [
          await leaf({ selfSigned: true }),
          await leaf({ selfSigned: true, ca: true }),
          await leaf({ issuer: await ca({ name: 'Factory' }) })
        ]
        for (const cert of devices) {
          const server = await serve(t, { version, cert, chain: [] })
          for (const options of [
            tlsOptions({ certificate: cert.pem }, { trust: 'pin-only' }),
            tlsOptions([OTHER, { publicKey: cert.der }], { trust: 'pin-only' }),
            tlsOptions(cert.pin, { trust: 'pin-only', ca: cert.pem }),
            tlsOptions({ localhost: [{ certificate: cert.x509 }] }, { trust: 'pin-only' })
          ]) {
            assert.equal(await client(server.url, options), 200)
          }
        }
      })

      test('is refused by another device, another name, one out of date, one of the same factory', BOUNDED, async t => {
        const factory = await ca({ name: 'Factory' })
        const pinned = await leaf({ issuer: factory })
        const second = await leaf({ issuer: factory })
        const alone = await leaf({ selfSigned: true })
        const named = await leaf({ selfSigned: true, names: ['other.example'] })
        const old = await leaf({ selfSigned: true, ...PAST })
        for (const [cert, given, code] of /** @type {[any, any, RegExp][]} */ ([
          [alone, pinned, /^DEPTH_ZERO_SELF_SIGNED_CERT$/],
          [second, pinned, /^(UNABLE_TO_|SELF_SIGNED_CERT_IN_CHAIN)/],
          [named, named, /^ERR_TLS_CERT_ALTNAME_INVALID$/],
          [old, old, /^CERT_HAS_EXPIRED$/]
        ])) {
          const server = await serve(t, { version, cert, chain: [factory, pinned] })
          await refused(client, server, tlsOptions({ certificate: given.pem }, { trust: 'pin-only' }), code)
        }
        // Trusted by `ca`, and not pinned.
        const server = await serve(t, { version, cert: second, chain: [factory] })
        const options = tlsOptions(pinned.pin, { trust: 'pin-only', ca: [pinned.pem, second.pem] })
        await refused(client, server, options, 'ERR_TLS_PIN_MISMATCH')
      })
    })
  }
}

describe('an agent that others use too', () => {
  for (const version of VERSIONS) {
    for (const keepAlive of [true, false]) {
      test(
        `gives no unchecked connection to a request with pins, ${version}, keepAlive ${keepAlive}`,
        BOUNDED,
        async t => {
          const server = await serve(t, { version, cert: pki.mitm, chain: [] })
          const agent = new https.Agent({ keepAlive })
          t.after(() => agent.destroy())
          for (const options of [
            { ca: anchors, rejectUnauthorized: true },
            tlsOptions(pki.mitm.pin, { ca: anchors })
          ]) {
            assert.equal(await viaHttps(server.url, { agent, ...options }), 200)
          }
          const options = tlsOptions(pki.good.pin, { ca: anchors })
          await assert.rejects(viaHttps(server.url, { agent, ...options }), { code: 'ERR_TLS_PIN_MISMATCH' })
          assert.equal(server.requests.length, 2)
          assert.equal(server.resumed, 0)
        }
      )

      test(`asks the policy in force, ${version}, keepAlive ${keepAlive}`, BOUNDED, async t => {
        const server = await serve(t, { version })
        const agent = new https.Agent({ keepAlive })
        t.after(() => agent.destroy())
        const pins = new PinSet(pki.good.pin)
        const options = tlsOptions(pins, { ca: anchors })
        assert.equal(await viaHttps(server.url, { agent, ...options }), 200)
        pins.replace(OTHER)
        await assert.rejects(viaHttps(server.url, { agent, ...options }), { code: 'ERR_TLS_PIN_MISMATCH' })
        assert.equal(server.requests.length, 1)
      })
    }
  }
})

test('the policy in force decides about each new connection', BOUNDED, async t => {
  const server = await serve(t)
  const pins = new PinSet(pki.good.pin)
  const options = tlsOptions(pins, { ca: anchors })
  assert.equal(await viaTls(server.url, options), 200)
  pins.replace(OTHER)
  await refused(viaTls, server, options, 'ERR_TLS_PIN_MISMATCH')
  pins.replace(pki.root.pin)
  assert.equal(await viaTls(server.url, options), 200)
})

test('host: a connection for another name is refused', BOUNDED, async t => {
  const cert = await leaf({ issuer: pki.root, names: ['localhost', 'other.example', '127.0.0.1'] })
  const server = await serve(t, { cert, chain: [] })
  const options = tlsOptions(cert.pin, { ca: anchors, host: 'LOCALHOST.' })
  assert.equal(await viaTls(server.url, options), 200)
  await refused(viaTls, server, { ...options, servername: 'other.example' }, 'ERR_TLS_CERT_ALTNAME_INVALID')
  await refused(viaTls, server, { ...options, host: '127.0.0.1' }, 'ERR_TLS_CERT_ALTNAME_INVALID')
})

test('port: chooses the entry', BOUNDED, async t => {
  const server = await serve(t)
  const hosts = { localhost: OTHER, 'localhost:8443': pki.good.pin }
  assert.equal(await viaTls(server.url, tlsOptions({ hosts }, { ca: anchors, port: 8443 })), 200)
  await refused(viaTls, server, tlsOptions({ hosts }, { ca: anchors }), 'ERR_TLS_PIN_MISMATCH')
})

test('other options are passed on as they are', () => {
  const given = {
    servername: 'a.example',
    ALPNProtocols: ['h2'],
    minVersion: /** @type {const} */ ('TLSv1.3'),
    ciphers: 'x',
    key: 'k',
    cert: 'c',
    timeout: 5,
    lookup: () => {}
  }
  const { checkServerIdentity, sessionIdContext, ...rest } = tlsOptions(
    OTHER,
    /** @type {any} */ ({ ...given, ca: anchors })
  )
  assert.deepEqual(rest, { ...given, ca: anchors, rejectUnauthorized: true, maxCachedSessions: 0 })
  assert.equal(typeof checkServerIdentity, 'function')
  assert.equal(typeof sessionIdContext, 'string')
  assert.deepEqual(Object.keys(tlsOptions(OTHER)).sort(), [
    'checkServerIdentity',
    'maxCachedSessions',
    'rejectUnauthorized',
    'sessionIdContext'
  ])
})

test('what would switch pinning off is refused', () => {
  for (const options of [
    { rejectUnauthorized: false },
    { session: Buffer.alloc(1) },
    { session: null },
    { checkServerIdentity: null },
    { checkServerIdentity: 'no' },
    { trust: 'pin-only' },
    { trust: 'pin-only', rejectUnauthorized: false }
  ]) {
    assert.throws(() => tlsOptions(OTHER, /** @type {any} */ (options)), UNSAFE, JSON.stringify(options))
  }
  for (const options of [{ trust: 'none' }, { host: '' }, { host: 'a b' }, { host: 1 }, { port: 0 }, { port: '443' }]) {
    assert.throws(
      () => tlsOptions(OTHER, /** @type {any} */ (options)),
      { code: 'ERR_INVALID_ARG_VALUE' },
      JSON.stringify(options)
    )
  }
  for (const options of [null, 1, 'x']) {
    assert.throws(() => tlsOptions(OTHER, /** @type {any} */ (options)), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  for (const pins of [[], {}, undefined, null, 'nonsense']) {
    assert.throws(() => tlsOptions(/** @type {any} */ (pins)), { code: 'ERR_TLS_PIN_INVALID' })
  }
})

test('a polluted prototype adds nothing', () => {
  const polluted = /** @type {any} */ (Object.prototype)
  polluted.ca = 'x'
  polluted.host = 'evil.example'
  polluted.checkServerIdentity = () => undefined
  try {
    const options = tlsOptions(OTHER)
    assert.equal(Object.hasOwn(options, 'ca'), false)
    assert.notEqual(options.checkServerIdentity('a.example', /** @type {any} */ ({})), undefined)
  } finally {
    for (const name of ['ca', 'host', 'checkServerIdentity']) delete polluted[name]
  }
})

test('a check of a user’s own runs besides', BOUNDED, async t => {
  const server = await serve(t)
  const accepts = () => undefined
  const refuses = () => Object.assign(new Error('no'), { code: 'MINE' })
  const throws = () => {
    throw Object.assign(new Error('no'), { code: 'THROWN' })
  }
  const own = (/** @type {any} */ check, pins = pki.good.pin) =>
    tlsOptions(pins, { ca: anchors, checkServerIdentity: check })
  assert.equal(await viaTls(server.url, own(accepts)), 200)
  await refused(viaTls, server, own(accepts, OTHER), 'ERR_TLS_PIN_MISMATCH')
  await refused(viaTls, server, own(refuses), 'MINE')
  await refused(viaTls, server, own(throws), 'THROWN')
  await refused(
    viaTls,
    server,
    own(async () => undefined),
    'ERR_INVALID_RETURN_VALUE'
  )
})

test('no error holds a certificate or a key', () => {
  const secret = pki.good.key
  for (const make of [
    () => tlsOptions(OTHER, { trust: 'pin-only', ca: secret }),
    () => tlsOptions(OTHER, { trust: 'pin-only', ca: 'sesame' }),
    () => tlsOptions({ certificate: secret }, { trust: 'pin-only' }),
    () => tlsOptions(OTHER, { ca: secret }),
    () => tlsOptions(OTHER, { ca: pki.good.pem.replace('MII', 'AAA') }),
    () => tlsOptions(OTHER, { ca: /** @type {any} */ ([pki.good.pem, 5]) }),
    () => tlsOptions(/** @type {any} */ (secret))
  ]) {
    assert.throws(make, (/** @type {any} */ error) => {
      assert.ok(error.code, String(error))
      for (const text of [error.message, String(error.cause?.message)]) {
        assert.doesNotMatch(text, /BEGIN|sesame|[A-Za-z0-9+/]{60}/)
      }
      return true
    })
  }
})

test('a mismatch names the certificates and does not print them', BOUNDED, async t => {
  const server = await serve(t)
  const error = await viaTls(server.url, tlsOptions(OTHER, { ca: anchors })).catch(reason => reason)
  assert.match(error.message, /ERR_TLS_PIN_MISMATCH/)
  assert.ok(error.message.includes(pki.good.pin) && error.message.includes(OTHER))
  assert.doesNotMatch(error.message, /BEGIN|MII/)
})

test('certificates to pin are taken in every form', () => {
  const { pem, der, x509 } = pki.good
  for (const certificate of [pem, der, x509, new Uint8Array(der), new X509Certificate(pem)]) {
    const options = tlsOptions({ certificate }, { trust: 'pin-only' })
    assert.deepEqual(options.ca, [x509.toString()])
    assert.equal(options.allowPartialTrustChain, true)
  }
})

/** The pins of the good path. */
function everyPin() {
  return [pki.good, pki.intermediate, pki.root].flatMap(({ pin, certPin }) => [pin, certPin])
}

/**
 * @param {import('node:test').TestContext} t
 * @param {any} [options]
 */
async function serve(t, { version, ...options } = {}) {
  const server = await httpsServer({
    cert: pki.good,
    chain: [pki.intermediate],
    http2: true,
    ...(version && { minVersion: version, maxVersion: version }),
    ...options
  })
  t.after(() => server.close())
  return server
}

/**
 * @param {(url: string, options: any) => Promise<any>} client
 * @param {import('./helpers/servers').TlsTestServer} server
 * @param {any} options
 * @param {string | RegExp} code
 */
async function refused(client, server, options, code) {
  const { connections, appBytes } = server
  const error = await client(server.url, options).catch(reason => reason)
  const message = `${error.message ?? `status ${error}`}`
  typeof code === 'string' ? assert.equal(error.code, code, message) : assert.match(String(error.code), code, message)
  await server.settled()
  assert.equal(server.connections, connections + 1)
  assert.equal(server.appBytes, appBytes, 'no application byte arrived')
}

/**
 * @param {string} url
 * @param {https.RequestOptions} options
 * @returns {Promise<number | undefined>}
 */
function viaHttps(url, options) {
  return new Promise((resolve, reject) => {
    https
      .get(url, options, response => response.resume().on('end', () => resolve(response.statusCode)))
      .on('error', reject)
  })
}

/**
 * @param {string} url
 * @param {tls.ConnectionOptions} options
 * @returns {Promise<number>}
 */
function viaTls(url, options) {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ port: Number(new URL(url).port), host: 'localhost', ...options })
    // At once, not when it is connected: what is written early must wait as well.
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
    let answer = ''
    socket.setEncoding('latin1').on('data', chunk => {
      answer += chunk
    })
    socket.on('error', reject).on('end', () => resolve(Number(answer.slice(9, 12))))
  })
}

/**
 * @param {string} url
 * @param {http2.SecureClientSessionOptions} options
 * @returns {Promise<number>}
 */
async function viaHttp2(url, options) {
  const session = http2.connect(url, options)
  /** @type {any} */
  let reason
  session.on('error', error => {
    reason = error
  })
  const stream = session.request({ ':path': '/' })
  try {
    const [headers] = await once(stream, 'response')
    return headers[':status']
  } catch (error) {
    // That of the stream only says that there is no session.
    throw reason ?? error
  } finally {
    stream.on('error', () => {})
    session.destroy()
  }
}

/**
 * @param {string} url
 * @param {undici.Dispatcher} dispatcher
 */
async function viaUndici(url, dispatcher) {
  try {
    const { statusCode, body } = await undici.request(url, { dispatcher })
    await body.dump()
    return statusCode
  } finally {
    await dispatcher.destroy()
  }
}

'use strict'
// The promise: I1 to I4 hold on every way that a request can take. Whoever answers at its end without satisfying the policy
// in force now gets no byte of it.

const assert = require('node:assert/strict')
const net = require('node:net')
const { before, describe, test } = require('node:test')
const { PinSet, PinnedClient } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { connectProxy, socksProxy } = require('./helpers/proxies')
const { httpsServer } = require('./helpers/servers')
const { TrackedServer } = require('./helpers/tracked')

/** Where a failure would be a hang. */
const BOUNDED = { timeout: 20_000 }
const POST = { method: 'POST', body: 'secret', headers: { authorization: 'Bearer secret' } }
const PAST = '2020-01-01T00:00:00Z'

/** @typedef {import('./helpers/pki').Certificate} Certificate */
/** @typedef {{ cert: Certificate, chain?: Certificate[] }} Identity */

/** @type {Certificate} */
let root
/** The root of the proxies. @type {Certificate} */
let elsewhere
/** @type {Certificate} */
let victim
/** Another server, which redirects. @type {Certificate} */
let first
/** @type {Certificate} */
let proxyCert

before(async () => {
  root = await ca({ name: 'Root' })
  elsewhere = await ca({ name: 'Proxy Root' })
  victim = await leaf({ issuer: root })
  first = await leaf({ issuer: root, names: ['127.0.0.1'] })
  proxyCert = await leaf({ issuer: elsewhere })
})

/** @param {import('node:test').TestContext} t @param {any} options */
async function serve(t, options) {
  const server = await httpsServer(options)
  t.after(() => server.close())
  return server
}

/** @param {import('node:test').TestContext} t @param {any} options */
function clientFor(t, options) {
  const client = new PinnedClient({ ca: root.pem, ...options })
  t.after(() => client.destroy())
  return client
}

/** @param {any} response */
async function read(response) {
  assert.equal(response.status, 200)
  await response.bytes()
}

/**
 * A way: makes ready, so that the next request is at the mercy of `server`, which is `identity`, and sends it.
 * @typedef {object} Way
 * @property {string} name
 * @property {string} [asserted] The suite that asserts I1 of it.
 * @property {(t: import('node:test').TestContext, at: { identity: Identity, pins: any }) => Promise<Attempt>} begin
 */
/**
 * @typedef {object} Attempt
 * @property {any} server
 * @property {any} [proxy]
 * @property {() => Promise<unknown>[]} send
 */

/** @type {Record<string, (t: import('node:test').TestContext) => Promise<{ proxy?: any, option?: any }>>} */
const ROUTES = {
  'through an http: proxy': async t => {
    const proxy = await connectProxy()
    t.after(() => proxy.close())
    return { proxy, option: proxy.url }
  },
  'through an https: proxy': async t => {
    const proxy = await connectProxy({ cert: proxyCert })
    t.after(() => proxy.close())
    return { proxy, option: { url: proxy.url, pins: proxyCert.pin, ca: elsewhere.pem } }
  },
  'through a socks5h: proxy': async t => {
    const proxy = await socksProxy()
    t.after(() => proxy.close())
    return { proxy, option: proxy.url }
  },
  'through a socks5: proxy': async t => {
    const proxy = await socksProxy()
    t.after(() => proxy.close())
    return { proxy, option: proxy.url.replace('socks5h', 'socks5') }
  }
}

/** @type {Way[]} */
const ROUTED = Object.entries(ROUTES).map(([name, open]) => ({
  name,
  asserted: 'proxy-tunnel',
  begin: async (t, { identity, pins }) => {
    const server = await serve(t, identity)
    const { proxy, option } = await open(t)
    const client = clientFor(t, { pins, proxy: option })
    return { server, proxy, send: () => [client.request(server.url, POST)] }
  }
}))

/** @type {Way[]} */
const WAYS = [
  ...ROUTED,
  {
    name: 'over HTTP/2, eight at once',
    begin: async (t, { identity, pins }) => {
      const server = await serve(t, { ...identity, http2: true })
      const client = clientFor(t, { pins })
      return { server, send: () => Array.from({ length: 8 }, () => client.request(server.url, POST)) }
    }
  },
  {
    name: 'by fetch',
    asserted: 'fetch',
    begin: async (t, { identity, pins }) => {
      const server = await serve(t, identity)
      const client = clientFor(t, { pins })
      return { server, send: () => [client.fetch(server.url, POST), client.fetch(new Request(server.url, POST))] }
    }
  },
  {
    name: 'after a redirect that keeps the body',
    asserted: 'redirects',
    begin: async (t, { identity, pins }) => {
      const server = await serve(t, identity)
      const handler = (/** @type {any} */ _, /** @type {any} */ response) => {
        response.writeHead(307, { location: server.url }).end()
      }
      const redirecting = await serve(t, { cert: first, handler })
      const client = clientFor(t, { pins })
      const url = `https://127.0.0.1:${redirecting.port}`
      return { server, send: () => [client.request(url, POST), client.fetch(url, POST)] }
    }
  }
]

/** Ways on which the victim itself was there before, so that there is a connection or a session to be abused. */
/** @type {Way[]} */
const AFTERWARDS = [
  {
    name: 'as a retry',
    begin: async (t, { identity, pins }) => {
      const server = await serve(t, identity)
      const genuine = await serve(t, {
        cert: victim,
        handler: (/** @type {any} */ request, /** @type {any} */ response) => {
          if (request.url === '/first') return response.end('ok')
          road.to = server.port
          request.socket.destroy()
        }
      })
      const road = await roadTo(t, genuine.port)
      const client = clientFor(t, { pins, allowH2: false })
      const url = `https://localhost:${road.port}`
      await read(await client.request(`${url}/first`))
      return { server, send: () => [client.request(url, { ...POST, method: 'PUT' })] }
    }
  },
  ...['TLSv1.2', 'TLSv1.3'].map(version => ({
    name: `with a session to resume, ${version}`,
    begin: async (/** @type {any} */ t, /** @type {any} */ { identity, pins }) => {
      const client = clientFor(t, { pins, maxVersion: version, minVersion: version })
      const server = await serve(t, identity)
      // No connection is kept, or the request might meet one that is just being closed.
      const handler = (/** @type {any} */ _, /** @type {any} */ response) => {
        response.setHeader('connection', 'close').end('ok')
      }
      const genuine = await serve(t, { cert: victim, handler })
      const road = await roadTo(t, genuine.port)
      const url = `https://localhost:${road.port}`
      await read(await client.request(url))
      await genuine.settled()
      await read(await client.request(url))
      await genuine.settled()
      assert.equal(genuine.resumed, 1)
      road.to = server.port
      return { server, send: () => [client.request(url, POST)] }
    }
  }))
]

/**
 * What lies before a server, and can lead to another one: an attacker in the network.
 * @param {import('node:test').TestContext} t
 * @param {number} to
 */
async function roadTo(t, to) {
  const listening = new TrackedServer(
    net.createServer(socket => {
      const onwards = net.connect(road.to, '127.0.0.1')
      onwards.on('error', () => socket.destroy())
      onwards.on('close', () => socket.destroy())
      socket.on('close', () => onwards.destroy())
      socket.pipe(onwards).pipe(socket)
    })
  )
  const { port } = await listening.listen()
  t.after(() => listening.close())
  const road = { port, to }
  return road
}

/** @type {{ name: string, code: string, make: () => Promise<{ identity: Identity, pins?: any }> }[]} */
const IMPOSTORS = [
  {
    name: 'I1: a key that is not pinned, vouched for by a trusted CA',
    code: 'ERR_TLS_PIN_MISMATCH',
    make: async () => ({ identity: { cert: await leaf({ issuer: root }) } })
  },
  {
    name: 'I2: the pinned certificate merely presented, behind another',
    code: 'ERR_TLS_PIN_MISMATCH',
    make: async () => ({ identity: { cert: await leaf({ issuer: root }), chain: [victim] } })
  },
  {
    name: 'I2: a pinned root merely presented, behind a path to another',
    code: 'ERR_TLS_PIN_MISMATCH',
    make: async () => ({ identity: { cert: await leaf({ issuer: root }), chain: [elsewhere] }, pins: elsewhere.pin })
  },
  {
    name: 'I2: a certificate that the pinned one has signed, which is no CA',
    code: 'INVALID_CA',
    make: async () => ({ identity: { cert: await leaf({ issuer: victim }), chain: [victim] } })
  },
  {
    name: 'I2: the pinned key in a certificate for another name',
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    make: async () => {
      const cert = await leaf({ issuer: root, names: ['other.example'] })
      return { identity: { cert }, pins: [victim.pin, cert.pin] }
    }
  }
]

/** @param {any} pins What `localhost` has to satisfy. */
function policy(pins) {
  return { hosts: { localhost: pins, '127.0.0.1': first.pin } }
}

/** @param {any} error */
function codeOf(error) {
  return error.code ?? error.cause?.code
}

/**
 * @param {Attempt} attempt
 * @param {string} code
 */
async function refused({ server, proxy, send }, code) {
  const outcomes = await Promise.allSettled(send())
  assert.deepEqual(
    outcomes.map(outcome => (outcome.status === 'rejected' ? codeOf(outcome.reason) : 'answered')),
    outcomes.map(() => code)
  )
  await server.settled()
  assert.equal(server.appBytes, server.allowed ?? 0)
  if (proxy) assert.doesNotMatch(proxy.received(), /secret/)
}

for (const { name: way, asserted, begin } of [...WAYS, ...AFTERWARDS]) {
  describe(way, BOUNDED, () => {
    for (const { name, code, make } of IMPOSTORS) {
      if (asserted && name.startsWith('I1')) continue
      test(name, BOUNDED, async t => {
        const { identity, pins = victim.pin } = await make()
        const list = [...new Set([victim.pin, pins].flat())]
        const attempt = await begin(t, { identity, pins: policy(AFTERWARDS.some(w => w.name === way) ? list : pins) })
        await refused(attempt, code)
      })
    }
  })
}

for (const { name: way, begin } of AFTERWARDS) {
  test(`the victim itself is reached ${way}`, BOUNDED, async t => {
    const { server, send } = await begin(t, { identity: { cert: victim }, pins: policy(victim.pin) })
    for (const response of await Promise.all(send())) await read(response)
    assert.ok(server.appBytes > 0)
  })
}

for (const { name: way, begin } of WAYS) {
  describe(`I3, ${way}`, BOUNDED, () => {
    /** @type {[string, string, () => any][]} */
    const rows = [
      ['a host that the policy does not list', 'ERR_TLS_PIN_UNLISTED', () => ({ hosts: { '127.0.0.1': first.pin } })],
      ['an entry that has expired', 'ERR_TLS_PIN_EXPIRED', () => policy({ pins: victim.pin, expires: PAST })]
    ]
    for (const [name, code, pins] of rows) {
      test(`${name}: neither the server nor a proxy is connected to`, BOUNDED, async t => {
        const attempt = await begin(t, { identity: { cert: victim }, pins: pins() })
        await refused(attempt, code)
        assert.equal(attempt.server.connections, 0)
        if (attempt.proxy) assert.equal(attempt.proxy.connections, 0)
      })
    }
  })

  describe(`I4, ${way}`, BOUNDED, () => {
    test(
      'replace(): a connection that is kept gets not one byte more; what is invalid changes nothing',
      BOUNDED,
      async t => {
        const pins = new PinSet(policy(victim.pin))
        const attempt = await begin(t, { identity: { cert: victim }, pins })
        const { server, send } = attempt
        for (const response of await Promise.all(send())) await read(response)
        assert.throws(() => pins.replace(policy('sha256/AAAA')), { code: 'ERR_TLS_PIN_INVALID' })
        for (const response of await Promise.all(send())) await read(response)
        const allowed = server.appBytes
        const { resumed } = server
        pins.replace(policy(first.pin))
        await refused(
          { ...attempt, proxy: undefined, server: Object.assign(server, { allowed }) },
          'ERR_TLS_PIN_MISMATCH'
        )
        // No session of the old policy is resumed either.
        assert.equal(server.resumed, resumed)
      }
    )
  })
}

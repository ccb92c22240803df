'use strict'
// The promise: through a proxy of whatever kind the target is pinned as without one. The proxy learns the target's host and
// port and nothing else; an https: proxy is pinned itself before it learns even that.

const assert = require('node:assert/strict')
const { before, describe, test } = require('node:test')
const { PinnedClient, PinSet, inspect, pinnedRequest } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { connectProxy, socksProxy } = require('./helpers/proxies')
const { httpsServer } = require('./helpers/servers')

const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const AUTH = { username: 'häns', password: 'p@ss:w/rd' }
const USERINFO = `${encodeURIComponent(AUTH.username)}:${encodeURIComponent(AUTH.password)}`
/** Where a failure would be a hang. */
const BOUNDED = { timeout: 20_000 }

/** @type {import('./helpers/pki').Certificate} */
let root
/** @type {import('./helpers/pki').Certificate} */
let good
/** @type {import('./helpers/pki').Certificate} */
let proxyRoot
/** @type {import('./helpers/pki').Certificate} */
let proxyCert

before(async () => {
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root })
  proxyRoot = await ca({ name: 'Proxy Root' })
  proxyCert = await leaf({ issuer: proxyRoot })
})

/** @type {Record<string, { open: (options?: any) => Promise<any>, option: (proxy: any, userinfo?: string) => any }>} */
const KINDS = {
  'http:': { open: connectProxy, option: (proxy, userinfo) => at(proxy.url, userinfo) },
  'https:': {
    open: options => connectProxy({ cert: proxyCert, ...options }),
    option: (proxy, userinfo) => ({ url: at(proxy.url, userinfo), pins: proxyCert.pin, ca: proxyRoot.pem })
  },
  'socks5h:': { open: socksProxy, option: (proxy, userinfo) => at(proxy.url, userinfo) },
  'socks5:': {
    open: socksProxy,
    option: (proxy, userinfo) => at(proxy.url.replace('socks5h', 'socks5'), userinfo)
  }
}

/** @param {string} url @param {string} [userinfo] */
function at(url, userinfo) {
  return userinfo ? url.replace('://', `://${userinfo}@`) : url
}

/**
 * @param {import('node:test').TestContext} t
 * @param {{ kind: string, server?: any, proxy?: any, userinfo?: string, pins?: any, client?: any }} options
 */
async function setUp(t, { kind, server: serverOptions, proxy: proxyOptions, userinfo, pins = good.pin, client: more }) {
  const server = await httpsServer({ cert: good, ...serverOptions })
  const proxy = await KINDS[kind].open(proxyOptions)
  const client = new PinnedClient({ pins, ca: root.pem, proxy: KINDS[kind].option(proxy, userinfo), ...more })
  t.after(async () => {
    await client.close()
    await proxy.close()
    await server.close()
  })
  return { server, proxy, client }
}

/** @param {any} client @param {string} url @param {any} [options] */
async function readOk(client, url, options) {
  const response = await client.request(url, options)
  assert.equal(response.status, 200)
  await response.bytes()
  return response
}

for (const kind of Object.keys(KINDS)) {
  describe(`through a proxy, ${kind}`, () => {
    for (const http2 of [false, true]) {
      test(
        `the right pins, ${http2 ? 'HTTP/2' : 'HTTP/1.1'}; connections are reused, sessions resumed`,
        BOUNDED,
        async t => {
          const { server, proxy, client } = await setUp(t, { kind, server: { http2 } })
          const secret = { headers: { authorization: 'Bearer s3cret', 'x-path': '/here' } }
          const first = await readOk(client, `${server.url}/path-s3cret`, secret)
          assert.equal(first.tls.alpn, http2 ? 'h2' : 'http/1.1')
          await readOk(client, server.url, secret)
          assert.equal(proxy.connections, 1)
          assert.equal(server.handshakes, 1)
          for (const socket of server.open) socket.destroy()
          await server.settled()
          await proxy.settled()
          await readOk(client, server.url)
          assert.equal(server.resumed, 1)
          assert.equal(proxy.connections, 2)
          // Nothing of the request is to be read on the way.
          assert.doesNotMatch(proxy.received(), /s3cret|x-path|bearer/i)
          if (proxy.heads) assert.match(proxy.heads[0], new RegExp(`^CONNECT localhost:${server.port} HTTP/1.1\r\n`))
        }
      )
    }

    test('the wrong pins: the target gets no byte', BOUNDED, async t => {
      const { server, client } = await setUp(t, { kind, pins: OTHER })
      await assert.rejects(client.request(server.url, { method: 'POST', body: 'secret' }), {
        code: 'ERR_TLS_PIN_MISMATCH',
        phase: 'handshake',
        host: 'localhost',
        port: server.port
      })
      await server.settled()
      assert.equal(server.connections, 1)
      assert.equal(server.appBytes, 0)
    })

    test('a man in the middle whom a trusted CA has vouched for gets no byte', BOUNDED, async t => {
      const middle = await httpsServer({ cert: await leaf({ issuer: root }) })
      t.after(() => middle.close())
      const { server, client } = await setUp(t, { kind, proxy: { to: middle.port } })
      await assert.rejects(client.request(server.url), { code: 'ERR_TLS_PIN_MISMATCH', phase: 'handshake' })
      await middle.settled()
      assert.equal(middle.appBytes, 0)
      assert.equal(server.connections, 0)
    })

    test('credentials open the tunnel and reach the proxy alone', BOUNDED, async t => {
      const { server, client } = await setUp(t, { kind, proxy: { auth: AUTH }, userinfo: USERINFO })
      await readOk(client, server.url)
      assert.equal(server.requests[0].headers['proxy-authorization'], undefined)
    })

    test('without the right credentials: ERR_PROXY_TUNNEL, which shows none', BOUNDED, async t => {
      for (const userinfo of [undefined, 'häns:wr0ng']) {
        const { server, proxy, client } = await setUp(t, { kind, proxy: { auth: AUTH }, userinfo })
        const error = await client.request(server.url).then(assert.fail, (/** @type {any} */ error) => error)
        assert.equal(error.code, 'ERR_PROXY_TUNNEL')
        assert.equal(error.phase, 'proxy')
        assert.equal(error.host, 'localhost')
        assert.equal(error.port, proxy.port)
        if (proxy.heads) assert.match(error.message, /407/)
        assert.doesNotMatch(`${error.stack} ${error.cause} ${JSON.stringify(error)}`, /wr0ng|Basic /)
        assert.equal(server.connections, 0)
      }
    })

    test('a target by its IPv4 and IPv6 address', BOUNDED, async t => {
      for (const host of ['127.0.0.1', '[::1]']) {
        const { server, proxy, client } = await setUp(t, { kind })
        await readOk(client, `https://${host}:${server.port}`)
        if (proxy.heads) assert.match(proxy.heads[0], new RegExp(`^CONNECT \\S*:${server.port} `))
        if (proxy.heads) assert.equal(proxy.heads[0].split(' ')[1], `${host}:${server.port}`)
        else assert.equal(proxy.asked[0].type, host === '[::1]' ? 4 : 1)
      }
    })

    test('hosts in noProxy are connected to directly', BOUNDED, async t => {
      const server = await httpsServer({ cert: good })
      const proxy = await KINDS[kind].open()
      const given = KINDS[kind].option(proxy)
      const option = typeof given === 'string' ? { url: given } : given
      const client = new PinnedClient({
        pins: { localhost: good.pin, '127.0.0.1': good.pin },
        ca: root.pem,
        proxy: { ...option, noProxy: 'example.org, localhost' }
      })
      t.after(() => Promise.all([client.close(), proxy.close(), server.close()]))
      await readOk(client, server.url)
      assert.equal(proxy.connections, 0)
      await readOk(client, `https://127.0.0.1:${server.port}`)
      assert.equal(proxy.connections, 1)
    })
  })
}

describe('who looks the name up', () => {
  test('socks5h: the proxy; socks5: this side', BOUNDED, async t => {
    for (const [kind, type] of /** @type {const} */ ([
      ['socks5h:', 3],
      ['socks5:', 1]
    ])) {
      const { server, proxy, client } = await setUp(t, { kind, client: { family: 4 } })
      await readOk(client, server.url)
      assert.equal(proxy.asked[0].type, type)
      assert.equal(proxy.asked[0].host, type === 3 ? 'localhost' : '127.0.0.1')
      assert.equal(server.requests[0].servername, 'localhost')
    }
  })
})

describe('the pins of an https: proxy', () => {
  test('the wrong ones: the proxy is told nothing', BOUNDED, async t => {
    const server = await httpsServer({ cert: good })
    const proxy = await connectProxy({ cert: proxyCert })
    const client = new PinnedClient({
      pins: good.pin,
      ca: root.pem,
      proxy: { url: at(proxy.url, 'user:s3cret'), pins: OTHER, ca: proxyRoot.pem }
    })
    t.after(() => Promise.all([client.close(), proxy.close(), server.close()]))
    await assert.rejects(client.request(server.url), {
      code: 'ERR_TLS_PIN_MISMATCH',
      phase: 'proxy',
      host: 'localhost',
      port: proxy.port
    })
    await proxy.settled()
    assert.equal(proxy.appBytes, 0)
    assert.deepEqual(proxy.heads, [])
    assert.equal(server.connections, 0)
  })

  test("the target's CA is not the proxy's, nor the other way about", BOUNDED, async t => {
    const server = await httpsServer({ cert: good })
    const proxy = await connectProxy({ cert: proxyCert })
    t.after(() => Promise.all([proxy.close(), server.close()]))
    for (const [ours, theirs, phase] of /** @type {const} */ ([
      ['root', 'root', 'proxy'],
      ['proxyRoot', 'proxyRoot', 'handshake']
    ])) {
      const roots = { root, proxyRoot }
      const client = new PinnedClient({
        pins: good.pin,
        ca: roots[ours].pem,
        proxy: { url: proxy.url, pins: proxyCert.pin, ca: roots[theirs].pem }
      })
      await assert.rejects(client.request(server.url), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', phase })
      await client.close()
    }
    assert.equal(server.appBytes, 0)
  })

  test('a policy that has no entry for the proxy: nobody is connected to', BOUNDED, async t => {
    const proxy = await connectProxy({ cert: proxyCert })
    t.after(() => proxy.close())
    const client = new PinnedClient({
      pins: good.pin,
      ca: root.pem,
      proxy: { url: proxy.url, pins: { 'other.example': proxyCert.pin }, ca: proxyRoot.pem }
    })
    await assert.rejects(client.request('https://localhost:1'), { code: 'ERR_TLS_PIN_UNLISTED', phase: 'proxy' })
    assert.equal(proxy.connections, 0)
    await client.close()
  })

  for (const http2 of [false, true]) {
    test(`replace() ends its tunnels at once, ${http2 ? 'HTTP/2' : 'HTTP/1.1'}`, BOUNDED, async t => {
      const pins = new PinSet(proxyCert.pin)
      const server = await httpsServer({ cert: good, http2, tls: /** @type {any} */ ({ keepAliveTimeout: 60_000 }) })
      const proxy = await connectProxy({ cert: proxyCert })
      const pinned = new PinnedClient({
        pins: good.pin,
        ca: root.pem,
        keepAliveTimeout: 0,
        proxy: { url: proxy.url, pins, ca: proxyRoot.pem }
      })
      t.after(() => Promise.all([pinned.close(), proxy.close(), server.close()]))
      await readOk(pinned, server.url)
      const bytes = server.appBytes
      pins.replace(OTHER)
      // Nobody asks for anything, and still the tunnel ends.
      await proxy.settled()
      await assert.rejects(pinned.request(server.url, { method: 'POST', body: 'secret' }), {
        code: 'ERR_TLS_PIN_MISMATCH',
        phase: 'proxy',
        port: proxy.port
      })
      assert.equal(proxy.heads.length, 1)
      await server.settled()
      assert.equal(server.requests.length, 1)
      assert.ok(server.appBytes - bytes < 100)
    })

    test(`the very next request after replace() is refused, ${http2 ? 'HTTP/2' : 'HTTP/1.1'}`, BOUNDED, async t => {
      const pins = new PinSet(proxyCert.pin)
      const server = await httpsServer({ cert: good, http2 })
      const proxy = await connectProxy({ cert: proxyCert })
      const client = new PinnedClient({
        pins: good.pin,
        ca: root.pem,
        proxy: { url: proxy.url, pins, ca: proxyRoot.pem }
      })
      t.after(() => Promise.all([client.close(), proxy.close(), server.close()]))
      await readOk(client, server.url)
      pins.replace(OTHER)
      const error = await client.request(server.url, { method: 'POST', body: 'secret' }).then(assert.fail, e => e)
      assert.equal(error.code, 'ERR_TLS_PIN_MISMATCH')
      assert.equal(error.port, proxy.port)
      assert.equal(server.requests.length, 1)
    })
  }

  test('sessions with the proxy are resumed and pinned again', BOUNDED, async t => {
    const { server, proxy, client } = await setUp(t, { kind: 'https:', client: { connections: 1 } })
    await readOk(client, server.url)
    for (const socket of server.open) socket.destroy()
    await proxy.settled()
    await readOk(client, server.url)
    assert.equal(proxy.resumed, 1)
    assert.equal(server.resumed, 1)
  })
})

describe('the environment', () => {
  /** @param {Record<string, string>} variables @param {() => Promise<void>} run */
  async function withEnv(variables, run) {
    const names = ['https_proxy', 'HTTPS_PROXY', 'no_proxy', 'NO_PROXY']
    const saved = names.map(name => [name, process.env[name]])
    for (const name of names) delete process.env[name]
    Object.assign(process.env, variables)
    try {
      await run()
    } finally {
      for (const [name, value] of /** @type {[string, string | undefined][]} */ (saved)) {
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
      }
    }
  }

  test("is read where proxy: 'env' asks for it, and only there", BOUNDED, async t => {
    const server = await httpsServer({ cert: good })
    const proxy = await connectProxy()
    t.after(() => Promise.all([proxy.close(), server.close()]))
    const options = { pins: good.pin, ca: root.pem }
    /** @param {any} more */
    const ask = async more => (await pinnedRequest(server.url, { ...options, ...more })).text()
    await withEnv({ HTTPS_PROXY: proxy.url }, () => ask({}))
    assert.equal(proxy.connections, 0)
    await withEnv({ HTTPS_PROXY: proxy.url }, () => ask({ proxy: 'env' }))
    assert.equal(proxy.connections, 1)
    await withEnv({}, () => ask({ proxy: 'env' }))
    await withEnv({ https_proxy: '', HTTPS_PROXY: proxy.url }, () => ask({ proxy: 'env', family: 4 }))
    await withEnv({ https_proxy: proxy.url, no_proxy: 'localhost' }, () => ask({ proxy: 'env', family: 4 }))
    await withEnv({ https_proxy: proxy.url, NO_PROXY: '*' }, () => ask({ proxy: { url: 'env' }, family: 4 }))
    assert.equal(proxy.connections, 1)
    await withEnv({ https_proxy: `localhost:${proxy.port}` }, () => ask({ proxy: 'env', family: 4 }))
    assert.equal(proxy.connections, 2)
  })

  test('options of TLS are for an https: proxy of the environment, and unused for another', BOUNDED, async t => {
    const server = await httpsServer({ cert: good })
    const plain = await connectProxy()
    const secure = await connectProxy({ cert: proxyCert })
    t.after(() => Promise.all([plain.close(), secure.close(), server.close()]))
    const proxy = { url: 'env', pins: proxyCert.pin, ca: proxyRoot.pem }
    const ask = async (/** @type {any} */ proxy) =>
      (await pinnedRequest(server.url, { pins: good.pin, ca: root.pem, proxy })).text()
    for (const [https_proxy, connections] of /** @type {[string, number[]][]} */ ([
      [plain.url, [1, 0]],
      [`http://127.0.0.1:${plain.port}`, [2, 0]],
      [secure.url, [2, 1]]
    ])) {
      await withEnv({ https_proxy }, () => ask(proxy))
      assert.deepEqual([plain.connections, secure.connections], connections)
    }
    await withEnv({ https_proxy: secure.url }, () =>
      assert.rejects(ask({ ...proxy, pins: OTHER }), { code: 'ERR_TLS_PIN_MISMATCH', phase: 'proxy' })
    )
    assert.throws(() => new PinnedClient({ pins: OTHER, proxy: { ...proxy, url: plain.url } }), {
      code: 'ERR_TLS_PIN_UNSAFE'
    })
  })

  test('null is none, as in a configuration that names none', BOUNDED, async t => {
    const server = await httpsServer({ cert: good })
    const proxy = await connectProxy()
    t.after(() => Promise.all([proxy.close(), server.close()]))
    await withEnv({ https_proxy: proxy.url }, async () => {
      await (await pinnedRequest(server.url, { pins: good.pin, ca: root.pem, proxy: null })).text()
    })
    assert.equal(proxy.connections, 0)
  })

  test('an https: proxy of the environment needs pins too', async () => {
    await withEnv({ https_proxy: 'https://user:s3cret@proxy.example' }, async () => {
      assert.throws(() => new PinnedClient({ pins: OTHER, proxy: 'env' }), { code: 'ERR_TLS_PIN_UNSAFE' })
      new PinnedClient({ pins: OTHER, proxy: { url: 'env', pins: OTHER } })
    })
  })
})

test('pinnedRequest keeps one client for one proxy, and another for another', BOUNDED, async t => {
  const server = await httpsServer({ cert: good })
  const proxies = [await connectProxy({ cert: proxyCert }), await connectProxy({ cert: proxyCert })]
  t.after(() => Promise.all([...proxies.map(proxy => proxy.close()), server.close()]))
  for (const { url } of [...proxies, ...proxies]) {
    const proxy = { url: new URL(url), pins: [proxyCert.pin], ca: proxyRoot.pem }
    await (await pinnedRequest(server.url, { pins: good.pin, ca: root.pem, proxy })).text()
  }
  assert.deepEqual(
    proxies.map(proxy => proxy.connections),
    [1, 1]
  )
})

test('inspect looks through a proxy', BOUNDED, async t => {
  const server = await httpsServer({ cert: good })
  const proxy = await connectProxy()
  t.after(() => Promise.all([proxy.close(), server.close()]))
  const seen = await inspect(server.url, { ca: root.pem, proxy: proxy.url })
  assert.equal(seen.chain[0].pins.sha256, good.pin)
  assert.equal(proxy.connections, 1)
})

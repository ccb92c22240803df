'use strict'
// The promise: on every way to a server, what a looser policy lets through is told once a connection, with all that the
// refusal by a stricter one would have told; and what is refused is told too, and gets no byte.

const assert = require('node:assert/strict')
const { X509Certificate } = require('node:crypto')
const { before, describe, test } = require('node:test')
const { PinnedClient, PinSet, createPinnedFetch } = require('..')
const { GUARDS, HELPERS, withPolicy } = require('./helpers/ours')
const { BODY, REGISTER, inProcess } = require('./helpers/node-tls')
const { ca, leaf } = require('./helpers/pki')
const { connectProxy, socksProxy } = require('./helpers/proxies')
const { httpsServer } = require('./helpers/servers')

const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const BOUNDED = { timeout: 20_000 }
const PAST = '2020-01-01T00:00:00Z'
const POST = { method: 'POST', body: BODY }

/** @typedef {import('./helpers/pki').Certificate} Certificate */
/** @type {Certificate} */ let root
/** @type {Certificate} */ let issuer
/** @type {Certificate} */ let good
/** @type {Certificate} */ let first
/** @type {Certificate} */ let proxyCert

before(async () => {
  root = await ca({ name: 'Root' })
  issuer = await ca({ name: 'Issuer', issuer: root })
  good = await leaf({ issuer })
  first = await leaf({ issuer: root, names: ['127.0.0.1'] })
  proxyCert = await leaf({ issuer: root })
})

/** Policies that let a server through which a stricter one refuses, and the stricter one. */
const CASES = [
  {
    reason: 'mismatch',
    loose: () => ({ hosts: { localhost: { pins: OTHER, mode: 'report' }, '127.0.0.1': first.pin } }),
    strict: () => ({ hosts: { localhost: OTHER, '127.0.0.1': first.pin } })
  },
  {
    reason: 'expired',
    loose: () => ({ hosts: { localhost: { pins: OTHER, expires: PAST, onExpiry: 'allow' }, '127.0.0.1': first.pin } }),
    strict: () => ({ hosts: { localhost: { pins: OTHER, expires: PAST }, '127.0.0.1': first.pin } })
  },
  {
    reason: 'unlisted',
    loose: () => ({ unlisted: 'report', hosts: { '127.0.0.1': first.pin } }),
    strict: () => ({ hosts: { '127.0.0.1': first.pin } })
  }
]

/** @typedef {{ name: string, http2?: boolean, status: (at: { t: any, server: any, pins: any, ca: string }) => Promise<number> }} Way */

/** @param {any} t @param {any} pins @param {any} [options] */
function clientFor(t, pins, options) {
  const client = new PinnedClient({ pins, ca: root.pem, keepAliveTimeout: 50, ...options })
  t.after(() => client.destroy())
  return client
}

/** @param {any} response */
async function statusOf(response) {
  await (response.bytes ? response.bytes() : response.arrayBuffer())
  return response.status
}

/** @type {Way[]} */
const NATIVE = [
  {
    name: 'PinnedClient, HTTP/1.1',
    status: async ({ t, server, pins }) => statusOf(await clientFor(t, pins).request(server.url, POST))
  },
  {
    name: 'PinnedClient, HTTP/2, eight at once',
    http2: true,
    status: async ({ t, server, pins }) => {
      const client = clientFor(t, pins)
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => client.request(server.url, { ...POST, body: 'x' }))
      )
      return (await Promise.all(answers.map(statusOf)))[0]
    }
  },
  {
    name: 'createPinnedFetch',
    status: async ({ t, server, pins }) => {
      const fetch = createPinnedFetch({ pins, ca: root.pem, keepAliveTimeout: 50 })
      t.after(() => fetch.client.destroy())
      return statusOf(await fetch(server.url, { method: 'POST', body: 'x' }))
    }
  },
  {
    name: 'after a redirect',
    status: async ({ t, server, pins }) => {
      const handler = (/** @type {any} */ _, /** @type {any} */ response) =>
        response.writeHead(307, { location: server.url }).end()
      const redirecting = await httpsServer({ cert: first, handler })
      t.after(() => redirecting.close())
      return statusOf(await clientFor(t, pins).request(`https://127.0.0.1:${redirecting.port}`, POST))
    }
  },
  ...[
    ['an http: proxy', async () => connectProxy(), (/** @type {any} */ proxy) => proxy.url],
    ['a socks5h: proxy', async () => socksProxy(), (/** @type {any} */ proxy) => proxy.url],
    [
      'an https: proxy',
      async () => connectProxy({ cert: proxyCert }),
      (/** @type {any} */ proxy) => ({ url: proxy.url, pins: proxyCert.pin, ca: root.pem })
    ]
  ].map(([name, open, option]) => ({
    name: `through ${name}`,
    status: async (/** @type {any} */ { t, server, pins }) => {
      const proxy = await /** @type {any} */ (open)()
      t.after(() => proxy.close())
      const client = clientFor(t, pins, { proxy: /** @type {any} */ (option)(proxy) })
      return statusOf(await client.request(server.url, POST))
    }
  }))
]

/** @type {Way[]} */
const WAYS = [...NATIVE, ...GUARDS, ...HELPERS]

for (const { name, http2 = name.includes('http2'), status } of WAYS) {
  describe(name, BOUNDED, () => {
    for (const { reason, loose, strict } of CASES) {
      test(`${reason}: let through and told, and told alike when it is refused`, BOUNDED, async t => {
        const server = await httpsServer({ cert: good, chain: [issuer], http2 })
        t.after(() => server.close())
        const at = { t, server, ca: root.pem }

        const set = new PinSet(/** @type {any} */ (loose()))
        const { reports, refusals } = listen(set)
        assert.equal(await status({ ...at, pins: set }), 200)
        await turn()
        assert.equal(refusals.length, 0)
        assert.equal(reports.length, 1)
        const [report] = reports
        assert.equal(report.reason, reason)
        // Node shows the root of its own store as well.
        assert.deepEqual(report.chain.slice(0, 2), [good.der, issuer.der])
        assert.ok(server.appBytes > 0)
        await server.settled()

        const stricter = new PinSet(/** @type {any} */ (strict()))
        const heard = listen(stricter)
        const { appBytes } = server
        const error = await status({ ...at, pins: stricter }).then(
          () => assert.fail('let through'),
          error => error
        )
        await turn()
        await server.settled()
        assert.equal(server.appBytes, appBytes)
        assert.equal(heard.reports.length, 0)
        assert.ok(heard.refusals.length > 0)
        for (const refusal of heard.refusals) {
          assert.ok([error, error.cause].includes(refusal.error) || refusal.error.code === codeOf(error))
          assert.equal(refusal.error.code, `ERR_TLS_PIN_${reason.toUpperCase()}`)
          assert.equal(refusal.reason, reason)
          assert.deepEqual([refusal.host, refusal.port], [report.host, report.port])
          if (reason !== 'mismatch') continue
          // No connection is made to learn more of the others.
          assert.deepEqual([refusal.pattern, refusal.expected], [report.pattern, report.expected])
          assert.deepEqual(refusal.path, report.path)
          assert.deepEqual(refusal.chain, report.chain)
        }
      })
    }
  })
}

describe('certificates in reports', BOUNDED, () => {
  test('are those that were served, and those of the path, as they are', BOUNDED, async t => {
    const server = await httpsServer({ cert: good, chain: [issuer] })
    t.after(() => server.close())
    const set = new PinSet({ localhost: { pins: OTHER, mode: 'report' } })
    const { reports } = listen(set)
    const response = await clientFor(t, set).request(server.url)
    await response.bytes()
    const [{ chain, path }] = reports
    assert.deepEqual(chain, [good.der, issuer.der])
    assert.deepEqual(
      path.map((/** @type {any} */ { raw }) => raw),
      [good.der, issuer.der, root.der]
    )
    assert.equal(new X509Certificate(path[0].raw).fingerprint256, path[0].fingerprint256)
    // They can be asked about again, by another policy.
    assert.equal(new PinSet(issuer.pin).check('localhost', chain, { ca: root.pem }).matched, issuer.pin)
  })

  test('do not fill the screen', () => {
    const { inspect } = require('node:util')
    const set = new PinSet(OTHER)
    const refuse = () => set.check('localhost', [good.der, issuer.der], { ca: root.pem })
    assert.throws(refuse, (/** @type {any} */ error) => {
      assert.deepEqual(error.chain, [good.der, issuer.der])
      assert.deepEqual(error.path[2].raw, root.der)
      assert.doesNotMatch(inspect(error), /Buffer|raw:|chain:/)
      return true
    })
  })
})

for (const version of /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])) {
  test(`a resumed session is told of as a new one, ${version}`, BOUNDED, async t => {
    const handler = (/** @type {any} */ _, /** @type {any} */ response) => {
      response.setHeader('connection', 'close').end('ok')
    }
    const server = await httpsServer({ cert: good, chain: [issuer], handler, maxVersion: version })
    t.after(() => server.close())
    const set = new PinSet({ localhost: { pins: OTHER, mode: 'report' } })
    const { reports } = listen(set)
    const client = clientFor(t, set, { allowH2: false })
    for (let request = 0; request < 2; request++) {
      assert.equal(await statusOf(await client.request(server.url)), 200)
      await server.settled()
    }
    assert.equal(server.resumed, 1)
    assert.equal(reports.length, 2)
    assert.deepEqual(reports[1], reports[0])
    assert.deepEqual(reports[1].chain, reports[0].chain)
  })
}

describe('an https: proxy with pins of its own', BOUNDED, () => {
  /** @param {any} t @param {any} proxyPins @param {any} [proxyOptions] */
  async function behind(t, proxyPins, proxyOptions) {
    const server = await httpsServer({ cert: good, chain: [issuer] })
    const proxy = await connectProxy({ cert: proxyCert, ...proxyOptions })
    t.after(() => Promise.all([server.close(), proxy.close()]))
    const pins = { proxy: new PinSet(proxyPins), target: new PinSet({ localhost: good.pin }) }
    const heard = { proxy: listen(pins.proxy), target: listen(pins.target) }
    const client = clientFor(t, pins.target, {
      proxy: { url: proxy.url, pins: pins.proxy, ca: root.pem },
      keepAliveTimeout: 0
    })
    return { server, proxy, pins, heard, client }
  }

  test('let through by mode: report, it is told once for each tunnel, and to its own pin set', BOUNDED, async t => {
    const loose = { localhost: { pins: OTHER, mode: 'report' } }
    const { server, proxy, heard, client } = await behind(t, loose)
    for (let request = 0; request < 3; request++) assert.equal(await statusOf(await client.request(server.url)), 200)
    await turn()
    assert.deepEqual([heard.target.reports, heard.target.refusals, heard.proxy.refusals], [[], [], []])
    assert.equal(heard.proxy.reports.length, 1)
    const [report] = heard.proxy.reports
    const { path, ...rest } = report
    assert.deepEqual(rest, {
      reason: 'mismatch',
      host: 'localhost',
      port: proxy.port,
      pattern: 'localhost',
      expected: [OTHER]
    })
    assert.deepEqual([path[0].spkiPin, report.chain], [proxyCert.pin, [proxyCert.der]])
  })

  test('it is told although it opens no tunnel', BOUNDED, async t => {
    const loose = { localhost: { pins: OTHER, mode: 'report' } }
    const { server, heard, client } = await behind(t, loose, { auth: { username: 'user', password: 'password' } })
    await assert.rejects(client.request(server.url), { code: 'ERR_PROXY_TUNNEL' })
    await turn()
    assert.equal(heard.proxy.reports.length, 1)
  })

  test('a change of its policy is told before the tunnel is used again', BOUNDED, async t => {
    const { server, pins, heard, client } = await behind(t, { localhost: proxyCert.pin })
    assert.equal(await statusOf(await client.request(server.url)), 200)
    await turn()
    assert.deepEqual(heard.proxy.reports, [])
    pins.proxy.replace({ localhost: { pins: OTHER, mode: 'report' } })
    assert.equal(await statusOf(await client.request(server.url)), 200)
    await turn()
    assert.equal(server.connections, 1)
    assert.equal(heard.proxy.reports.length, 1)
  })

  test('refused, it is told to its own pin set, and not asked for a tunnel', BOUNDED, async t => {
    const { server, proxy, heard, client } = await behind(t, { localhost: OTHER })
    await assert.rejects(client.request(server.url), { code: 'ERR_TLS_PIN_MISMATCH', phase: 'proxy' })
    await turn()
    await proxy.settled()
    assert.deepEqual([proxy.appBytes, server.connections], [0, 0])
    assert.deepEqual([heard.target.refusals, heard.proxy.reports], [[], []])
    assert.deepEqual(
      heard.proxy.refusals.map(({ reason, port }) => [reason, port]),
      [['mismatch', proxy.port]]
    )
  })
})

test('register tells of its own pin set', BOUNDED, async t => {
  const server = await httpsServer({ cert: good, chain: [issuer] })
  t.after(() => server.close())
  const program = `
    import(${JSON.stringify('tls-pinning/register')}).then(({ pins }) => {
      for (const name of ['report', 'refused']) pins.on(name, ({ reason, host, port, chain }) =>
        tell({ name, reason, host, port, chain: chain.length > 1 }))
      const { httpsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
      return httpsStatus(DATA.url, { agent: false, ca: DATA.ca })
    }).catch(() => {})`
  const run = (/** @type {any} */ entry) =>
    withPolicy({ hosts: { localhost: entry } }, env =>
      inProcess(program, { url: server.url, ca: root.pem }, { flags: ['--import', REGISTER], env })
    )
  const at = { reason: 'mismatch', host: 'localhost', port: server.port, chain: true }
  const excused = await run({ pins: OTHER, mode: 'report' })
  assert.deepEqual(excused.told, [{ name: 'report', ...at }], excused.stderr)
  const { appBytes } = server
  assert.deepEqual((await run(OTHER)).told, [{ name: 'refused', ...at }])
  assert.equal(server.appBytes, appBytes)
})

/** @param {InstanceType<typeof PinSet>} set */
function listen(set) {
  /** @type {{ reports: any[], refusals: any[] }} */
  const heard = { reports: [], refusals: [] }
  set.on('report', report => void heard.reports.push(report))
  set.on('refused', refusal => void heard.refusals.push(refusal))
  return heard
}

/** @param {any} error */
function codeOf(error) {
  return error.code ?? error.cause?.code
}

/** What is told in the next tick has been told. */
function turn() {
  return new Promise(resolve => setImmediate(resolve))
}

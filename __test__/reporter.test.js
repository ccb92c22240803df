'use strict'
// The promise: a reporter tells a collector, in a form that it reads, what was refused and what was let through: each thing
// once, with a count, within limits, and nothing secret. What becomes of a report changes nothing for the program.

const assert = require('node:assert/strict')
const { X509Certificate, createHash } = require('node:crypto')
const { EventEmitter, once } = require('node:events')
const { before, describe, test } = require('node:test')
const { PinnedAgent, PinnedClient, PinSet, createReporter } = require('..')
const { REGISTER, inProcess } = require('./helpers/node-tls')
const { withPolicy } = require('./helpers/ours')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const BOUNDED = { timeout: 20_000 }
const MISMATCH = { code: 'ERR_TLS_PIN_MISMATCH' }
const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/
const RFC7469 = [
  'date-time',
  'effective-expiration-date',
  'hostname',
  'include-subdomains',
  'known-pins',
  'noted-hostname',
  'port',
  'served-certificate-chain',
  'validated-certificate-chain'
]

/** @typedef {import('./helpers/pki').Certificate} Certificate */
/** @type {Certificate} */ let root
/** @type {Certificate} */ let issuer
/** @type {Certificate} */ let good
/** The collector's, under a CA of its own. @type {Certificate} */ let elsewhere
/** @type {Certificate} */ let collectorCert

before(async () => {
  root = await ca({ name: 'Root' })
  issuer = await ca({ name: 'Issuer', issuer: root })
  good = await leaf({ issuer })
  elsewhere = await ca({ name: 'Elsewhere' })
  collectorCert = await leaf({ issuer: elsewhere })
})

/**
 * A collector that reads what comes as strictly as RFC 7469, section 3, is written, and answers what it is told to.
 * @param {any} t
 * @param {any[]} [answers] Statuses with headers, one for each report; then 204.
 */
async function collect(t, answers = []) {
  const arrived = new EventEmitter()
  /** @type {any[]} */
  const bodies = []
  const handler = (/** @type {any} */ request, /** @type {any} */ response) => {
    /** @type {Buffer[]} */
    const chunks = []
    request.on('data', (/** @type {Buffer} */ chunk) => chunks.push(chunk))
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString()
      const answer = answers.shift() ?? { status: 204 }
      bodies.push({ json: JSON.parse(text), text, headers: request.headers, at: Date.now(), status: answer.status })
      if (answer.status !== 0) response.writeHead(answer.status, answer.headers).end()
      arrived.emit('report')
    })
  }
  const server = await httpsServer({ cert: collectorCert, handler })
  t.after(() => server.close())
  const has = async (/** @type {number} */ count) => {
    while (bodies.length < count) await once(arrived, 'report')
    return bodies
  }
  return { server, url: `${server.url}/collect?key=public`, bodies, has }
}

/** @param {any} t @param {any} pins @param {any} options */
function reporterFor(t, pins, options) {
  const reporter = createReporter(pins, { ...options, client: { ca: elsewhere.pem, ...options.client } })
  t.after(() => reporter.close())
  return reporter
}

/** @param {any} t */
async function targetServer(t) {
  const server = await httpsServer({ cert: good, chain: [issuer] })
  t.after(() => server.close())
  return server
}

/** @param {any} t @param {any} pins */
function clientFor(t, pins) {
  const client = new PinnedClient({ pins, ca: root.pem, keepAliveTimeout: 50 })
  t.after(() => client.destroy())
  return client
}

/** @param {any} json */
function checkRfc7469(json) {
  const { 'tls-pinning': _, ...members } = json
  assert.deepEqual(Object.keys(members).sort(), RFC7469)
  for (const name of ['date-time', 'effective-expiration-date']) assert.match(json[name], RFC3339)
  assert.equal(typeof json.hostname, 'string')
  assert.ok(Number.isInteger(json.port))
  assert.equal(typeof json['include-subdomains'], 'boolean')
  assert.equal(typeof json['noted-hostname'], 'string')
  for (const name of ['served-certificate-chain', 'validated-certificate-chain']) {
    for (const pem of json[name]) assert.ok(new X509Certificate(pem))
  }
  // token "=" quoted-string
  for (const pin of json['known-pins']) assert.match(pin, /^[a-z0-9-]+="[A-Za-z0-9+/]+=*"$/)
}

/** @param {string} pem */
function fingerprint(pem) {
  return new X509Certificate(pem).fingerprint256
}

describe('the JSON of RFC 7469', BOUNDED, () => {
  test('of a refused connection', BOUNDED, async t => {
    const { url, has } = await collect(t)
    const server = await targetServer(t)
    const expires = '2099-03-01T00:00:00Z'
    const pins = new PinSet({ '**.localhost': { pins: [OTHER, `spki:sha512:${'ab'.repeat(64)}`], expires } })
    reporterFor(t, pins, { url })
    const before = Math.floor(Date.now() / 1000) * 1000
    await assert.rejects(
      clientFor(t, pins).request(`${server.url}/secret/path?token=secret`, {
        method: 'POST',
        body: 'secret',
        headers: { authorization: 'Bearer secret', cookie: 'secret=1' }
      }),
      MISMATCH
    )
    const [{ json, text, headers }] = await has(1)
    checkRfc7469(json)
    assert.equal(json.hostname, 'localhost')
    assert.equal(json.port, server.port)
    assert.equal(json['noted-hostname'], 'localhost')
    assert.equal(json['include-subdomains'], true)
    assert.equal(json['effective-expiration-date'], expires)
    assert.ok(Date.parse(json['date-time']) >= before)
    assert.deepEqual(json['served-certificate-chain'].map(fingerprint), [good.fingerprint256, issuer.fingerprint256])
    assert.deepEqual(json['validated-certificate-chain'].map(fingerprint), [
      good.fingerprint256,
      issuer.fingerprint256,
      root.fingerprint256
    ])
    const sha512 = Buffer.alloc(64, 0xab).toString('base64')
    assert.deepEqual(json['known-pins'], [`pin-sha256="${OTHER.slice(7)}"`, `pin-sha512="${sha512}"`])
    const { version, 'last-date-time': last, ...details } = json['tls-pinning']
    assert.deepEqual(details, { decision: 'refused', reason: 'mismatch', count: 1, dropped: 0 })
    assert.match(last, RFC3339)
    assert.equal(version, require('../package.json').version)
    assert.equal(headers['content-type'], 'application/json; charset=utf-8')
    assert.doesNotMatch(text + JSON.stringify(headers), /secret/)
    await server.settled()
    assert.equal(server.appBytes, 0)
  })

  test('of connections that were let through, on Node’s own TLS too', BOUNDED, async t => {
    const { url, has } = await collect(t)
    const server = await targetServer(t)
    const pins = new PinSet({ unlisted: 'report', hosts: { 'x.example': OTHER } })
    reporterFor(t, pins, { url })
    const agent = new PinnedAgent(pins, { ca: root.pem })
    t.after(() => agent.destroy())
    await new Promise((resolve, reject) => {
      const https = require('node:https')
      https.get(server.url, { agent }, response => response.resume().on('end', resolve)).on('error', reject)
    })
    const [{ json }] = await has(1)
    checkRfc7469(json)
    assert.deepEqual([json['known-pins'], json['noted-hostname'], json['include-subdomains']], [[], 'localhost', false])
    assert.equal(json['effective-expiration-date'], '9999-12-31T23:59:59Z')
    const { decision, reason } = json['tls-pinning']
    assert.deepEqual({ decision, reason }, { decision: 'excused', reason: 'unlisted' })
  })

  test('of what was refused before a connection was made: no certificates, the pins of the entry', BOUNDED, async t => {
    const { url, has } = await collect(t)
    const pins = new PinSet({ localhost: { pins: OTHER, leaf: good.certPin, expires: '2020-01-01T00:00:00Z' } })
    reporterFor(t, pins, { url })
    await assert.rejects(clientFor(t, pins).request('https://localhost:9/'), { code: 'ERR_TLS_PIN_EXPIRED' })
    const [{ json }] = await has(1)
    checkRfc7469(json)
    const cert = createHash('sha256').update(good.der).digest('base64')
    assert.deepEqual(json['known-pins'], [`pin-sha256="${OTHER.slice(7)}"`, `cert-sha256="${cert}"`])
    assert.deepEqual([json['served-certificate-chain'], json['validated-certificate-chain']], [[], []])
    assert.equal(json['effective-expiration-date'], '2020-01-01T00:00:00Z')
  })

  test('without a member that the RFC does not know', BOUNDED, async t => {
    const { url, has } = await collect(t)
    const server = await targetServer(t)
    const pins = new PinSet({ localhost: OTHER })
    reporterFor(t, pins, { url, details: false })
    await assert.rejects(clientFor(t, pins).request(server.url), MISMATCH)
    const [{ json }] = await has(1)
    assert.deepEqual(Object.keys(json).sort(), RFC7469)
  })
})

test('TrustKit’s JSON', BOUNDED, async t => {
  const { url, has } = await collect(t)
  const server = await targetServer(t)
  const pins = new PinSet({ localhost: { pins: OTHER, mode: 'report', expires: '2099-03-01T12:00:00Z' } })
  const app = { id: 'com.example.app', version: '1.2.3', vendorId: '599F9C00-92DC-4B5C-9464-7971F01F8370' }
  reporterFor(t, pins, { url, format: 'trustkit', app, details: false })
  await (await clientFor(t, pins).request(server.url)).bytes()
  const [{ json }] = await has(1)
  const { 'date-time': date, 'validated-certificate-chain': path, 'trustkit-version': version, ...rest } = json
  assert.deepEqual(rest, {
    'app-bundle-id': app.id,
    'app-version': app.version,
    'app-vendor-id': app.vendorId,
    'app-platform': 'NODE',
    'app-platform-version': process.versions.node,
    hostname: 'localhost',
    port: server.port,
    'noted-hostname': 'localhost',
    'include-subdomains': false,
    'enforce-pinning': false,
    'known-pins': [`pin-sha256="${OTHER.slice(7)}"`],
    'known-pins-expiration-date': '2099-03-01',
    'validation-result': 1
  })
  assert.match(date, RFC3339)
  assert.match(version, /^tls-pinning\//)
  assert.deepEqual(
    path.map(fingerprint),
    [good, issuer, root].map(({ fingerprint256 }) => fingerprint256)
  )
})

describe('how often', BOUNDED, () => {
  test('the same is sent once an interval, with a count', BOUNDED, async t => {
    const { url, bodies, has } = await collect(t)
    const server = await targetServer(t)
    const pins = new PinSet({ localhost: OTHER })
    const reporter = reporterFor(t, pins, { url })
    const client = clientFor(t, pins)
    await assert.rejects(client.request(server.url), MISMATCH)
    await has(1)
    await reporter.flush()
    for (let time = 0; time < 5; time++) await assert.rejects(client.request(server.url), MISMATCH)
    await turn()
    assert.deepEqual(reporter.stats(), { sent: 1, failed: 0, dropped: 0, repeated: 4, waiting: 1 })
    assert.equal(bodies.length, 1)
    await reporter.flush()
    assert.deepEqual(
      bodies.map(({ json }) => json['tls-pinning'].count),
      [1, 5]
    )
  })

  test('after the interval it is sent by itself', BOUNDED, async t => {
    const { url, has } = await collect(t)
    const pins = new PinSet({ localhost: OTHER })
    reporterFor(t, pins, { url, interval: 300 })
    observe(pins)
    await has(1)
    observe(pins)
    observe(pins)
    const [first, second] = await has(2)
    assert.equal(second.json['tls-pinning'].count, 2)
    assert.ok(second.at - first.at >= 290, `${second.at - first.at} ms`)
  })

  test('what differs in host, pins or certificates is another thing', BOUNDED, async t => {
    const { url, has } = await collect(t)
    const pins = new PinSet({ localhost: OTHER })
    reporterFor(t, pins, { url })
    for (const other of [
      {},
      { host: 'b' },
      { expected: [good.pin] },
      { chain: [Buffer.from('x')] },
      { reason: 'unlisted' }
    ]) {
      observe(pins, other)
      observe(pins, other)
    }
    const bodies = await has(5)
    assert.deepEqual(
      bodies.map(({ json }) => json['tls-pinning'].count),
      [2, 2, 2, 2, 2]
    )
  })

  test('no more than the limit within an interval; the others wait', BOUNDED, async t => {
    const { url, has, bodies } = await collect(t)
    const pins = new PinSet({ localhost: OTHER })
    const reporter = reporterFor(t, pins, { url, interval: 300, limit: 2 })
    for (const port of [1, 2, 3]) observe(pins, { port })
    await has(2)
    await reporter.flush()
    assert.equal(bodies.length, 2)
    const [first, , third] = await has(3)
    assert.ok(third.at - first.at >= 250, `${third.at - first.at} ms`)
  })

  test('those that find no place are counted, and told with the next', BOUNDED, async t => {
    const { url, has } = await collect(t)
    const pins = new PinSet({ localhost: OTHER })
    const reporter = reporterFor(t, pins, { url, queue: 2 })
    /** @type {any[]} */
    const dropped = []
    reporter.on('drop', lost => dropped.push(lost))
    for (const port of [1, 2, 3, 4]) observe(pins, { port })
    const bodies = await has(2)
    assert.deepEqual(
      bodies.map(({ json }) => [json.port, json['tls-pinning'].dropped]),
      [
        [1, 2],
        [2, 0]
      ]
    )
    assert.deepEqual(
      dropped.map(({ reason, report, count }) => [reason, report.port, count]),
      [
        ['queue', 3, 1],
        ['queue', 4, 1]
      ]
    )
    await reporter.flush()
    assert.deepEqual(reporter.stats(), { sent: 2, failed: 0, dropped: 2, repeated: 0, waiting: 0 })
  })

  test('a filter chooses; one that throws keeps nothing back', BOUNDED, async t => {
    const { url, has } = await collect(t)
    const pins = new PinSet({ localhost: OTHER })
    reporterFor(t, pins, {
      url,
      filter: (/** @type {any} */ { port }) => {
        if (port === 3) throw new Error('of the filter')
        return port !== 1
      }
    })
    for (const port of [1, 2, 3]) observe(pins, { port })
    assert.deepEqual(
      (await has(2)).map(({ json }) => json.port),
      [2, 3]
    )
  })

  test('reports that wait together take one connection', BOUNDED, async t => {
    const { url, has, server } = await collect(t)
    const pins = new PinSet({ localhost: OTHER })
    reporterFor(t, pins, { url })
    for (let port = 1; port <= 10; port++) observe(pins, { port })
    await has(10)
    assert.equal(server.connections, 1)
  })
})

describe('a collector that fails', BOUNDED, () => {
  test('is tried again, later each time, with the count of what came meanwhile', BOUNDED, async t => {
    const { url, has } = await collect(t, [{ status: 500 }, { status: 502 }])
    const pins = new PinSet({ localhost: OTHER })
    const reporter = reporterFor(t, pins, { url, retryDelay: 50 })
    observe(pins)
    await has(1)
    observe(pins)
    const bodies = await has(3)
    await reporter.flush()
    const [first, second, third] = bodies.map(({ at }) => at)
    assert.ok(second - first >= 45 && third - second >= 95, `${second - first}, ${third - second} ms`)
    assert.equal(bodies[2].json['tls-pinning'].count, 2)
    assert.equal(bodies[2].json['date-time'], bodies[0].json['date-time'])
    assert.deepEqual(reporter.stats(), { sent: 1, failed: 2, dropped: 0, repeated: 0, waiting: 0 })
  })

  for (const [form, after] of /** @type {[string, () => string][]} */ ([
    ['seconds', () => '2'],
    ['a date', () => new Date(Date.now() + 3_000).toUTCString()]
  ])) {
    test(`is waited for as long as its Retry-After says, ${form}`, BOUNDED, async t => {
      const { url, has } = await collect(t, [{ status: 503, headers: { 'retry-after': after() } }])
      const pins = new PinSet({ localhost: OTHER })
      const reporter = reporterFor(t, pins, { url, retryDelay: 1 })
      observe(pins)
      const [first] = await has(1)
      await reporter.flush()
      assert.deepEqual([reporter.stats().waiting, reporter.stats().failed], [1, 1], 'nobody can have it hurry')
      const [, second] = await has(2)
      assert.ok(second.at - first.at >= 1_900, `${second.at - first.at} ms`)
    })
  }

  for (const [what, answer] of /** @type {[string, any][]} */ ([
    ['400', { status: 400 }],
    ['a redirect, which is not followed', { status: 307, headers: { location: 'https://localhost:9/' } }]
  ])) {
    test(`by ${what}: the report is dropped, the next is sent`, BOUNDED, async t => {
      const { url, has } = await collect(t, [answer])
      const pins = new PinSet({ localhost: OTHER })
      const reporter = reporterFor(t, pins, { url })
      const dropped = once(reporter, 'drop')
      observe(pins, { port: 1 })
      observe(pins, { port: 2 })
      const [{ reason, error }] = await dropped
      assert.deepEqual([reason, error.code, error.status], ['failed', 'ERR_REPORT_REFUSED', answer.status])
      const bodies = await has(2)
      assert.deepEqual(
        bodies.map(({ json }) => [json.port, json['tls-pinning'].dropped]),
        [
          [1, 0],
          [2, 1]
        ]
      )
    })
  }

  test('is not asked again with a header that is none', BOUNDED, async t => {
    const { url, server } = await collect(t)
    const pins = new PinSet({ localhost: OTHER })
    const reporter = reporterFor(t, pins, { url, headers: { 'a b': 'c' } })
    observe(pins)
    const [{ reason, error }] = await once(reporter, 'drop')
    assert.deepEqual([reason, error instanceof TypeError, reporter.stats().failed], ['failed', true, 1])
    assert.equal(server.connections, 0)
  })

  test('is given up after so many attempts', BOUNDED, async t => {
    const pins = new PinSet({ localhost: OTHER })
    // Nobody listens on the port of a server that is closed.
    const gone = await httpsServer({ cert: collectorCert })
    await gone.close()
    const reporter = reporterFor(t, pins, { url: gone.url, attempts: 3, retryDelay: 1 })
    observe(pins)
    // Nothing of it keeps this process alive.
    const alive = setInterval(() => {}, 1_000)
    t.after(() => clearInterval(alive))
    const [{ reason, error }] = await once(reporter, 'drop')
    assert.deepEqual([reason, error.code], ['failed', 'ECONNREFUSED'])
    assert.equal(reporter.stats().failed, 3)
  })

  test('that never answers costs a request nothing, and no process its end', BOUNDED, async t => {
    const silent = await httpsServer({ cert: collectorCert, handler: () => {} })
    t.after(() => silent.close())
    const server = await targetServer(t)
    const program = `
      const { PinSet, PinnedClient, createReporter } = require(ROOT)
      const pins = new PinSet({ localhost: { pins: DATA.other, mode: 'report' } })
      const client = new PinnedClient({ pins, ca: DATA.ca })
      const reporter = createReporter(pins, { url: DATA.collector, timeout: 0, client: { ca: DATA.elsewhere } })
      client.request(DATA.url).then(async response => {
        tell(response.status)
        setTimeout(() => tell('the report is under way'), 300)
      })`
    const data = { url: server.url, collector: silent.url, ca: root.pem, elsewhere: elsewhere.pem, other: OTHER }
    const { told, status, stderr } = await inProcess(program, data)
    assert.deepEqual([told, status], [[200, 'the report is under way'], 0], stderr)
    assert.equal(silent.requests.length, 1)
  })

  test('flush() at the end of a process is waited for', BOUNDED, async t => {
    const { url, bodies } = await collect(t)
    const program = `
      const { PinSet, createReporter } = require(ROOT)
      const pins = new PinSet({ localhost: DATA.other })
      const reporter = createReporter(pins, { url: DATA.url, client: { ca: DATA.elsewhere } })
      pins.emit('refused', { reason: 'mismatch', host: 'a', port: 1, pattern: null, expected: [], path: [], chain: [] })
      reporter.close().then(() => tell(reporter.stats()))`
    const { told, stderr } = await inProcess(program, { url, elsewhere: elsewhere.pem, other: OTHER })
    assert.deepEqual(told, [{ sent: 1, failed: 0, dropped: 0, repeated: 0, waiting: 0 }], stderr)
    assert.equal(bodies.length, 1)
  })

  test('close() sends what it can, drops the rest, and hears of nothing more', BOUNDED, async t => {
    const { url, bodies } = await collect(t, [{ status: 503 }])
    const pins = new PinSet({ localhost: OTHER })
    const reporter = reporterFor(t, pins, { url })
    const dropped = once(reporter, 'drop')
    observe(pins)
    await reporter.close()
    const [{ reason, count }] = await dropped
    assert.deepEqual([reason, count, bodies.length], ['closed', 1, 1])
    observe(pins)
    await reporter.flush()
    assert.deepEqual([reporter.stats().waiting, bodies.length], [0, 1])
    assert.deepEqual([pins.listenerCount('refused'), pins.listenerCount('report')], [0, 0])
  })
})

describe('the pins of the collector', BOUNDED, () => {
  test('a policy that refuses everything does not keep a report from arriving', BOUNDED, async t => {
    const { url, has } = await collect(t)
    // The collector's host is listed too, with pins that it does not satisfy.
    const pins = new PinSet({ hosts: { localhost: OTHER, 'x.example': OTHER } })
    reporterFor(t, pins, { url })
    const server = await targetServer(t)
    await assert.rejects(clientFor(t, pins).request(server.url), MISMATCH)
    await has(1)
  })

  test('nor does register, which every connection of the process is held to', BOUNDED, async t => {
    const { url, bodies } = await collect(t)
    const server = await targetServer(t)
    const program = `
      import('tls-pinning/register').then(async ({ pins }) => {
        const { createReporter } = require(ROOT)
        const reporter = createReporter(pins, { url: DATA.url, client: { ca: DATA.elsewhere } })
        const { httpsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
        await httpsStatus(DATA.target, { agent: false, ca: DATA.ca }).catch(({ code }) => tell(code))
        await reporter.close()
        tell(reporter.stats().sent)
      })`
    const data = { url, target: server.url, ca: root.pem, elsewhere: elsewhere.pem }
    const { told, stderr } = await withPolicy({ hosts: { localhost: OTHER } }, env =>
      inProcess(program, data, { flags: ['--import', REGISTER], env })
    )
    assert.deepEqual(told, [MISMATCH.code, 1], stderr)
    assert.equal(bodies[0].json['tls-pinning'].decision, 'refused')
    assert.equal(server.appBytes, 0)
  })

  test(
    'are its own: a collector that does not satisfy them gets nothing, and no report makes another',
    BOUNDED,
    async t => {
      const { url, server, bodies } = await collect(t)
      const pins = new PinSet({ localhost: OTHER })
      const reporter = reporterFor(t, pins, { url, attempts: 2, retryDelay: 1, client: { pins: good.pin } })
      observe(pins)
      const [{ error }] = await once(reporter, 'drop')
      assert.equal(error.code, 'ERR_TLS_PIN_MISMATCH')
      await server.settled()
      assert.deepEqual([server.appBytes, bodies.length, reporter.stats().waiting], [0, 0, 0])
    }
  )

  test('an untrusted collector gets nothing', BOUNDED, async t => {
    const { url, server } = await collect(t)
    const pins = new PinSet({ localhost: OTHER })
    const reporter = reporterFor(t, pins, { url, attempts: 1, client: { ca: root.pem } })
    observe(pins)
    const [{ error }] = await once(reporter, 'drop')
    assert.equal(error.code, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
    await server.settled()
    assert.equal(server.appBytes, 0)
  })

  test('headers are for the collector', BOUNDED, async t => {
    const { url, has } = await collect(t)
    const pins = new PinSet({ localhost: OTHER })
    reporterFor(t, pins, { url, headers: { authorization: 'Bearer collector' } })
    observe(pins)
    assert.equal((await has(1))[0].headers.authorization, 'Bearer collector')
  })
})

describe('what a reporter is not made with', () => {
  const url = 'https://collector.example/'
  const [VALUE, TYPE] = ['ERR_INVALID_ARG_VALUE', 'ERR_INVALID_ARG_TYPE']
  /** @type {[string, any, any, string][]} */
  const table = [
    ['no pin set', 'sha256/x', { url }, TYPE],
    ['nothing', undefined, { url }, TYPE],
    ['no options', null, undefined, TYPE],
    ['no url', null, {}, VALUE],
    ['a URL that is not https:', null, { url: 'http://collector.example/' }, 'ERR_INVALID_PROTOCOL'],
    ['no URL at all', null, { url: 'collector' }, 'ERR_INVALID_URL'],
    ['credentials in the URL', null, { url: 'https://user:password@collector.example/' }, 'ERR_INVALID_URL'],
    ['an unknown option', null, { url, intervall: 1 }, VALUE],
    ['an unknown format', null, { url, format: 'xml' }, VALUE],
    ['a prototype’s name as the format', null, { url, format: 'constructor' }, VALUE],
    ['no interval', null, { url, interval: 0 }, VALUE],
    ['half a report', null, { url, limit: 1.5 }, VALUE],
    ['a time that no timer can wait', null, { url, timeout: 2 ** 31 }, VALUE],
    ['no queue', null, { url, queue: 0 }, VALUE],
    ['headers that are none', null, { url, headers: 'x' }, VALUE],
    ['a filter that is none', null, { url, filter: true }, VALUE],
    ['a client of bad options', null, { url, client: { rejectUnauthorized: false } }, 'ERR_TLS_PIN_UNSAFE']
  ]
  for (const [name, source, options, code] of table) {
    test(name, () => {
      const pins = source === null ? new PinSet(OTHER) : source
      assert.throws(() => createReporter(pins, options), { code })
      if (source === null) assert.equal(pins.listenerCount('refused'), 0)
    })
  }

  test('the very pins that it reports about', () => {
    const pins = new PinSet(OTHER)
    assert.throws(() => createReporter(pins, { url, client: { pins } }), { code: VALUE })
  })
})

/** @param {InstanceType<typeof PinSet>} pins @param {object} [other] */
function observe(pins, other) {
  const report = {
    reason: 'mismatch',
    host: 'a.example',
    port: 443,
    pattern: null,
    expected: [OTHER],
    path: [],
    chain: []
  }
  pins.emit('refused', /** @type {any} */ ({ ...report, ...other }))
}

/** What is told in the next tick has been told. */
function turn() {
  return new Promise(resolve => setImmediate(resolve))
}

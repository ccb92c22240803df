'use strict'
// Promise: a check of Node's own TLS asks the policy that is in force when it is called, for the host and the port that the
// connection is for; and whoever listens hears what was decided, by every part of this package that decides.

const assert = require('node:assert/strict')
const { subscribe, unsubscribe } = require('node:diagnostics_channel')
const { after, before, beforeEach, describe, it } = require('node:test')
const { setImmediate: turn } = require('node:timers/promises')
const undici = require('undici')
const { PinSet, PinnedAgent, PinnedClient, createCheckServerIdentity, pinnedConnector, tlsOptions } = require('..')
const { REGISTER, codeOf, httpsStatus, inProcess, show } = require('./helpers/node-tls')
const { withPolicy } = require('./helpers/ours')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */
/** @typedef {import('node:test').TestContext} TestContext */

const LIMIT = { timeout: 60_000 }
const OTHER = `sha256/${'A'.repeat(43)}=`
const PAST = '2020-01-01T00:00:00Z'
const CHANNELS = ['verified', 'mismatch', 'report']

/** @type {Certificate} */ let root
/** @type {Certificate} */ let good
/** As a connection shows it. @type {any} */ let shown

before(async () => {
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root, names: ['localhost', 'a.example', 'b.a.example', '127.0.0.1'] })
  shown = show(good, root)
})

describe('the entry that decides', LIMIT, () => {
  /** What a policy says: of `hosts` to `host`, on `port`, with what outcome. @type {[string, () => any, string, number | undefined, string?][]} */
  const TABLE = [
    ['a host', () => ({ 'a.example': good.pin }), 'a.example', undefined],
    ['in other words', () => ({ 'a.example': good.pin }), 'A.EXAMPLE.', undefined],
    ['another', () => ({ 'a.example': good.pin }), 'localhost', undefined, 'ERR_TLS_PIN_UNLISTED'],
    ['one label', () => ({ '*.a.example': good.pin }), 'b.a.example', undefined],
    ['one label is not none', () => ({ '*.a.example': good.pin }), 'a.example', undefined, 'ERR_TLS_PIN_UNLISTED'],
    ['any depth', () => ({ '**.example': good.pin }), 'b.a.example', undefined],
    [
      'the most specific one',
      () => ({ '**.example': good.pin, 'a.example': OTHER }),
      'a.example',
      undefined,
      'ERR_TLS_PIN_MISMATCH'
    ],
    ['the port, which is 443 unless it is said', () => ({ 'a.example:443': good.pin }), 'a.example', undefined],
    ['the only port that is known of the host', () => ({ 'a.example:8443': good.pin }), 'a.example', undefined],
    ['that port', () => ({ 'a.example:8443': OTHER }), 'a.example', undefined, 'ERR_TLS_PIN_MISMATCH'],
    ['another port', () => ({ 'a.example:8443': good.pin }), 'a.example', 9443, 'ERR_TLS_PIN_UNLISTED'],
    ['the port that was said', () => ({ 'a.example:8443': good.pin }), 'a.example', 8443],
    ['a port before all', () => ({ 'a.example:8443': good.pin, 'a.example': OTHER }), 'a.example', 8443],
    ['an address', () => ({ '127.0.0.1': good.pin }), '127.0.0.1', undefined],
    ['no name', () => ({ '127.0.0.1': good.pin }), 'localhost', undefined, 'ERR_TLS_PIN_UNLISTED'],
    ['a bare pin', () => good.pin, 'localhost', undefined],
    ['a bare list', () => [OTHER, good.pin], 'b.a.example', 8443],
    ['unlisted: allow', () => policy({ 'x.example': OTHER }, 'allow'), 'localhost', undefined],
    ['unlisted: report', () => policy({ 'x.example': OTHER }, 'report'), 'localhost', undefined],
    ['unlisted: deny', () => policy({ 'x.example': OTHER }, 'deny'), 'localhost', undefined, 'ERR_TLS_PIN_UNLISTED'],
    [
      'expired',
      () => ({ localhost: { pins: good.pin, expires: PAST } }),
      'localhost',
      undefined,
      'ERR_TLS_PIN_EXPIRED'
    ],
    [
      'expired, and allowed to be',
      () => ({ localhost: { pins: OTHER, expires: PAST, onExpiry: 'allow' } }),
      'localhost',
      undefined
    ],
    ['reported only', () => ({ localhost: { pins: OTHER, mode: 'report' } }), 'localhost', undefined]
  ]

  for (const [name, pins, host, port, code] of TABLE) {
    it(`${name}: ${code ?? 'accepted'}`, () => {
      for (const bound of [undefined, host]) {
        const check = createCheckServerIdentity(pins(), { host: bound, port })
        const error = check(host, shown)
        assert.equal(codeOf(error), code, String(error))
        // None of them is looser about the name.
        const elsewhere = { ...shown, subjectaltname: 'DNS:elsewhere.example' }
        assert.equal(codeOf(check(host, elsewhere)), 'ERR_TLS_CERT_ALTNAME_INVALID')
        assert.equal(codeOf(tlsOptions(pins(), { host: bound, port }).checkServerIdentity(host, shown)), code)
      }
    })
  }

  it('is looked for at each call: replace() acts at once, as a whole or not at all', () => {
    const pins = new PinSet({ localhost: good.pin })
    const checks = [
      createCheckServerIdentity(pins),
      createCheckServerIdentity(pins, { host: 'localhost', ca: root.pem }),
      tlsOptions(pins).checkServerIdentity
    ]
    const codes = () => checks.map(check => codeOf(check('localhost', shown)))
    const all = (/** @type {string | undefined} */ code) => Array(checks.length).fill(code)
    assert.deepEqual(codes(), all(undefined))
    pins.replace({ localhost: OTHER })
    assert.deepEqual(codes(), all('ERR_TLS_PIN_MISMATCH'))
    pins.replace({ 'a.example': good.pin })
    assert.deepEqual(codes(), all('ERR_TLS_PIN_UNLISTED'))
    pins.replace({ localhost: { pins: good.pin, expires: PAST } })
    assert.deepEqual(codes(), all('ERR_TLS_PIN_EXPIRED'))
    pins.replace({ localhost: { ca: root.pin } })
    assert.deepEqual(codes(), all(undefined))
    assert.throws(() => pins.replace({ localhost: 'sha256/AAAA' }), { code: 'ERR_TLS_PIN_INVALID' })
    assert.deepEqual(codes(), all(undefined))
    pins.replace(OTHER)
    assert.deepEqual(codes(), all('ERR_TLS_PIN_MISMATCH'))
  })
})

/** @param {any} hosts @param {'deny' | 'allow' | 'report'} unlisted @returns {any} */
function policy(hosts, unlisted) {
  return { hosts, unlisted }
}

describe('what is told', LIMIT, () => {
  /** @type {{ channel: string, message: any }[]} */
  let told = []
  const listeners = CHANNELS.map(channel => ({
    name: `tls-pinning:${channel}`,
    listener: (/** @type {unknown} */ message) => void told.push({ channel, message })
  }))

  before(() => {
    for (const { name, listener } of listeners) subscribe(name, listener)
  })
  after(() => {
    for (const { name, listener } of listeners) unsubscribe(name, listener)
  })
  beforeEach(() => {
    told = []
  })

  /** @type {import('./helpers/tracked').TlsTestServer} */ let server
  before(async () => {
    server = await httpsServer({ cert: good })
  })
  after(() => server.close())

  /**
   * Everything that decides in this thread: one request each.
   * @type {[source: string, knowsPort: boolean, attempt: (pins: PinSet) => Promise<unknown>][]}
   */
  const SOURCES = [
    [
      'checkServerIdentity',
      false,
      pins => {
        const checkServerIdentity = createCheckServerIdentity(pins, { ca: root.pem })
        return httpsStatus(server.url, { agent: false, ca: root.pem, checkServerIdentity })
      }
    ],
    [
      'checkServerIdentity',
      false,
      pins => httpsStatus(server.url, { agent: false, ...tlsOptions(pins, { ca: root.pem, host: 'localhost' }) })
    ],
    [
      'checkServerIdentity',
      true,
      pins => httpsStatus(server.url, { agent: false, ...tlsOptions(pins, { ca: root.pem, port: server.port }) })
    ],
    [
      'agent',
      true,
      async pins => {
        const agent = new PinnedAgent(pins, { ca: root.pem })
        return httpsStatus(server.url, { agent }).finally(() => agent.destroy())
      }
    ],
    [
      'connector',
      true,
      async pins => {
        const dispatcher = new undici.Agent({ connect: pinnedConnector(pins, { ca: root.pem }) })
        const response = undici.request(server.url, { dispatcher })
        return response.then(({ body }) => body.dump()).finally(() => dispatcher.destroy())
      }
    ],
    [
      'client',
      true,
      async pins => {
        const client = new PinnedClient({ pins, ca: root.pem })
        return client
          .request(server.url)
          .then(response => response.text())
          .finally(() => client.close())
      }
    ]
  ]

  /** @param {any} path */
  const checkPath = path => {
    assert.ok(path.length >= 1)
    const [own] = path
    assert.deepEqual(Object.keys(own).sort(), [
      'fingerprint256',
      'issuer',
      'spkiPin',
      'subject',
      'validFrom',
      'validTo'
    ])
    assert.equal(own.spkiPin, good.pin)
    assert.equal(own.fingerprint256, good.fingerprint256)
    assert.ok(own.validFrom instanceof Date && own.validTo instanceof Date)
  }

  for (const [index, [source, knowsPort, attempt]] of SOURCES.entries()) {
    const at = () => ({ source, host: 'localhost', port: knowsPort ? server.port : null })

    it(`${source} (${index}) accepts: one message of what matched`, async () => {
      const expected = /** @type {const} */ ([
        [good.pin, good.pin],
        [root.pin, root.pin],
        [good.certPin, good.certPin]
      ])
      for (const [pin, matched] of expected) {
        told = []
        await attempt(new PinSet({ localhost: [OTHER, pin] }))
        await turn()
        assert.equal(told.length, 1)
        const { path, ...rest } = told[0].message
        assert.equal(told[0].channel, 'verified')
        assert.deepEqual(rest, { decision: 'accepted', ...at(), pattern: 'localhost', matched })
        checkPath(path)
        assert.equal(path.some((/** @type {any} */ { spkiPin }) => spkiPin === root.pin) || pin !== root.pin, true)
      }
    })

    it(`${source} (${index}) refuses: one message with the very error`, async () => {
      /** @type {[any, string, object][]} */
      const table = [
        [{ localhost: OTHER }, 'mismatch', { pattern: 'localhost', expected: [OTHER] }],
        [{ 'a.example': good.pin }, 'unlisted', { pattern: null, expected: [], path: [] }],
        [{ localhost: { pins: good.pin, expires: PAST } }, 'expired', { path: [] }]
      ]
      for (const [pins, reason, fields] of table) {
        told = []
        const { appBytes } = server
        const thrown = await attempt(new PinSet(pins)).then(
          () => assert.fail('accepted'),
          error => error
        )
        await turn()
        assert.equal(told.length, 1, reason)
        const { channel, message } = /** @type {any} */ (told[0])
        assert.equal(channel, 'mismatch')
        const { error, ...rest } = message
        assert.ok(error === thrown || error === thrown.cause, 'the error that the caller gets')
        assert.equal(error.code, `ERR_TLS_PIN_${reason.toUpperCase()}`)
        const names = ['decision', 'expected', 'host', 'path', 'pattern', 'port', 'reason', 'source']
        assert.deepEqual(Object.keys(rest).sort(), names)
        assert.deepEqual(rest, { ...rest, decision: 'refused', reason, ...at(), ...fields })
        if (reason === 'mismatch') checkPath(rest.path)
        assert.equal(server.appBytes, appBytes)
      }
    })

    it(`${source} (${index}) reports: a message, and the event of the pin set`, async () => {
      /** @type {[any, string, object][]} */
      const table = [
        [{ localhost: { pins: OTHER, mode: 'report' } }, 'mismatch', { pattern: 'localhost', expected: [OTHER] }],
        [policy({ 'a.example': OTHER }, 'report'), 'unlisted', { pattern: null, expected: [] }],
        [
          { localhost: { pins: OTHER, expires: PAST, onExpiry: 'allow' } },
          'expired',
          { pattern: 'localhost', expected: [OTHER] }
        ]
      ]
      for (const [pins, reason, fields] of table) {
        told = []
        /** @type {any[]} */
        const events = []
        const set = new PinSet(pins).on('report', report => void events.push(report))
        await attempt(set)
        await turn()
        assert.deepEqual(
          told.map(({ channel }) => channel),
          ['report'],
          reason
        )
        const { path, ...rest } = told[0].message
        assert.deepEqual(rest, { decision: 'excused', reason, ...at(), ...fields })
        checkPath(path)
        const { decision: _, source: __, ...event } = told[0].message
        assert.deepEqual(events, [event])
      }
    })

    it(`${source} (${index}) says nothing of what the policy has not decided`, async () => {
      await attempt(new PinSet(policy({ 'a.example': OTHER }, 'allow')))
      await turn()
      assert.deepEqual(told, [])
    })
  }

  it('a refusal for the name or for a broken certificate is not the policy’s', async () => {
    const check = createCheckServerIdentity(good.pin)
    assert.ok(check('elsewhere.example', shown) instanceof Error)
    assert.ok(check('localhost', { ...shown, raw: Buffer.from('garbage') }) instanceof Error)
    await turn()
    assert.deepEqual(told, [])
  })

  it('nothing is told before the answer is given', async () => {
    const set = new PinSet({ localhost: { pins: OTHER, mode: 'report' } })
    let events = 0
    set.on('report', () => void events++)
    assert.equal(createCheckServerIdentity(set)('localhost', shown), undefined)
    assert.equal(createCheckServerIdentity(good.pin)('localhost', shown), undefined)
    assert.ok(createCheckServerIdentity(OTHER)('localhost', shown) instanceof Error)
    assert.deepEqual([events, told.length], [0, 0])
    await turn()
    assert.deepEqual([events, told.length], [1, 3])
  })
})

describe('listeners', LIMIT, () => {
  it('one that throws changes no answer, and takes no message from the others', async () => {
    const program = `
      const { subscribe } = require('node:diagnostics_channel')
      const { PinSet, createCheckServerIdentity } = require(ROOT)
      const { X509Certificate } = require('node:crypto')
      const caught = []
      const heard = []
      process.on('uncaughtException', error => caught.push(error.message))
      const cert = new X509Certificate(DATA.pem).toLegacyObject()
      const set = new PinSet({ localhost: { pins: DATA.other, mode: 'report' } })
      set.on('report', () => { throw new Error('of the event') })
      for (const name of ['verified', 'mismatch', 'report']) {
        subscribe('tls-pinning:' + name, () => { throw new Error(name) })
        subscribe('tls-pinning:' + name, () => heard.push(name))
      }
      const code = check => check('localhost', cert)?.code ?? null
      tell([set, DATA.pin, DATA.other].map(pins => code(createCheckServerIdentity(pins))))
      setImmediate(() => { tell(caught.sort()); tell(heard.sort()) })`
    const { told, stderr } = await inProcess(program, { pem: good.pem, pin: good.pin, other: OTHER })
    const [codes, caught, heard] = told
    assert.deepEqual(codes, [null, null, 'ERR_TLS_PIN_MISMATCH'], stderr)
    assert.deepEqual(caught, ['mismatch', 'of the event', 'report', 'verified'])
    assert.deepEqual(heard, ['mismatch', 'report', 'verified'])
  })

  it('hear of register too', async t => {
    const server = await httpsServer({ cert: good })
    t.after(() => server.close())
    const program = `
      const { subscribe } = require('node:diagnostics_channel')
      const { httpsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
      for (const name of ['verified', 'mismatch', 'report']) {
        subscribe('tls-pinning:' + name, ({ source, reason, host, port, pattern }) => tell({ name, source, reason, host, port, pattern }))
      }
      httpsStatus(DATA.url, { agent: false, ca: DATA.ca }).catch(() => {})`
    const { url, port } = server
    const run = async (/** @type {any} */ hosts) => {
      const { told } = await withPolicy({ hosts, unlisted: 'report' }, env =>
        inProcess(program, { url, ca: root.pem }, { flags: ['--import', REGISTER], env })
      )
      return told
    }
    const at = { source: 'register', host: 'localhost', port }
    assert.deepEqual(await run({ localhost: good.pin }), [{ name: 'verified', ...at, pattern: 'localhost' }])
    const refused = { name: 'mismatch', ...at, reason: 'mismatch', pattern: 'localhost' }
    assert.deepEqual(await run({ localhost: OTHER }), [refused])
    const excused = { name: 'report', ...at, reason: 'unlisted', pattern: null }
    assert.deepEqual(await run({ 'a.example': OTHER }), [excused])
  })
})

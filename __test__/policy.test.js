'use strict'
// Promise: a policy is taken as it is meant or not at all. What is malformed is an error that names its place, the most
// specific entry alone decides, and a policy is replaced as a whole or not.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const { after, before, describe, it } = require('node:test')
const { PinSet, PinnedClient } = require('..')
const { MALFORMED, pin, tlsa } = require('./fixtures/malformed-policies')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */
/** @typedef {import('./helpers/servers').TlsTestServer} TlsTestServer */

const CODE = 'ERR_TLS_PIN_INVALID'
const [A, B, C, D, E, F] = ['a', 'b', 'c', 'd', 'e', 'f'].map(pin)

/** @type {Certificate} */ let root
/** @type {Certificate} */ let cert
/** @type {TlsTestServer} */ let server

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
  server = await httpsServer({ cert })
})

after(() => server.close())

describe('a malformed policy', () => {
  for (const [name, given, place, message] of MALFORMED) {
    it(name, () => {
      const set = new PinSet({ 'old.example': [A, B] })
      const before = JSON.stringify(set)
      let changes = 0
      set.on('change', () => changes++)
      for (const attempt of [() => new PinSet(given), () => set.replace(given)]) {
        assert.throws(attempt, { code: CODE, name: 'PinInvalidError', place, message })
      }
      assert.equal(JSON.stringify(set), before, 'nothing was replaced')
      assert.equal(changes, 0)
    })
  }

  // Text is judged in native code, all other pins in JavaScript.
  it('is one place, whoever finds it', () => {
    for (const bad of ['x', { certificate: 'x' }, 5]) {
      assert.throws(() => new PinSet({ 'a.example': [A, bad] }), { code: CODE, place: 'pins["a.example"][1]' })
    }
  })

  // JSON has no functions or symbols and leaves them out: an entry that should expire never would.
  for (const [name, entry] of /** @type {[string, any][]} */ ([
    ['expires: a function', { pins: A, expires: () => '2027-03-01T00:00:00Z' }],
    ['expires: a symbol', { pins: A, expires: Symbol('x') }],
    ['mode: a function', { pins: A, mode: () => 'enforce' }]
  ])) {
    it(name, () => assert.throws(() => new PinSet({ 'a.example': entry }), { code: CODE }))
  }

  it('nothing at all', () => {
    for (const given of [
      undefined,
      null,
      '',
      [],
      {},
      5,
      true,
      () => {},
      Symbol('x'),
      new Map([['a', A]]),
      new Set([A])
    ]) {
      assert.throws(() => new PinSet(/** @type {any} */ (given)), { code: CODE }, String(given))
    }
  })
})

const MATCHES = {
  policy: {
    'api.example': A,
    'api.example:8443': B,
    '*.example': C,
    '*.example:8443': D,
    '**.deep.example': E,
    '**.very.deep.example': F,
    '**.deep.example:1': A,
    'bücher.example': B,
    '192.0.2.7': C,
    '[2001:DB8::1]:443': D
  },
  rows: /** @type {[host: string, port: number | undefined, pattern: string | null][]} */ ([
    ['api.example', undefined, 'api.example'],
    ['API.Example.', 443, 'api.example'],
    ['api.example', 8443, 'api.example:8443'],
    ['www.example', 443, '*.example'],
    ['www.example', 8443, '*.example:8443'],
    ['example', 443, null],
    ['a.www.example', 443, null],
    ['deep.example', 443, '*.example'],
    ['deep.example', 1, '*.example'],
    ['x.deep.example', 443, '**.deep.example'],
    ['x.deep.example', 1, '**.deep.example:1'],
    ['y.x.deep.example', 443, '**.deep.example'],
    ['very.deep.example', 443, '**.very.deep.example'],
    ['x.very.deep.example', 1, '**.very.deep.example'],
    ['notdeep.example', 443, '*.example'],
    ['deep.example.evil', 443, null],
    ['BÜCHER.example', 443, 'xn--bcher-kva.example'],
    ['xn--bcher-kva.example', 443, 'xn--bcher-kva.example'],
    ['192.0.2.7', 443, '192.0.2.7'],
    ['192.0.2.8', 443, null],
    ['2001:db8:0::1', undefined, '[2001:db8::1]:443'],
    ['[2001:db8::1]', 443, '[2001:db8::1]:443'],
    ['[2001:db8::1]', 444, null]
  ])
}

describe('match', () => {
  const set = new PinSet(MATCHES.policy)
  for (const [host, port, pattern] of MATCHES.rows) {
    it(`${host}, port ${port}: ${pattern}`, () => {
      const match = set.match(host, port)
      assert.equal(match?.pattern ?? null, pattern)
      if (pattern === null) return assert.equal(match, null)
      const key = Object.keys(MATCHES.policy).find(key => new PinSet({ [key]: A }).toJSON().hosts[String(pattern)])
      const pins = [MATCHES.policy[/** @type {keyof typeof MATCHES.policy} */ (key)]]
      const rest = { leaf: [], ca: [], expires: null, expired: false, mode: 'enforce', onExpiry: 'deny' }
      assert.deepEqual(match, { pattern, pins, ...rest })
    })
  }

  it('shows the whole entry', () => {
    const expires = new Date('2001-01-01T00:00:00Z')
    const entry = { pins: A, leaf: [tlsa(3), B], ca: C, expires, mode: 'report', onExpiry: 'allow' }
    assert.deepEqual(new PinSet({ 'a.example': /** @type {any} */ (entry) }).match('a.example'), {
      ...{ pattern: 'a.example', pins: [A], leaf: [pin('tlsa'), B], ca: [C], expires, expired: true },
      ...{ mode: 'report', onExpiry: 'allow' }
    })
  })

  it('of a bare list is that list, whatever the host', () => {
    for (const host of ['a.example', '192.0.2.7']) {
      const match = new PinSet([A, tlsa(3), tlsa(0)]).match(host, 1)
      assert.deepEqual([match?.pattern, match?.pins, match?.leaf, match?.ca], [null, [A], [pin('tlsa')], [pin('tlsa')]])
    }
  })

  it('refuses what is no host or port', () => {
    for (const host of ['', 'https://a.example', 'a.example:443', '*.example', 'a..b', 'a'.repeat(1 << 20)]) {
      assert.throws(() => set.match(host), { code: CODE })
    }
    for (const host of [undefined, null, 5, {}]) {
      assert.throws(() => set.match(/** @type {any} */ (host)), { code: 'ERR_INVALID_ARG_TYPE' })
    }
    for (const port of [0, -1, 65_536, 1.5, Number.NaN, '443', null]) {
      assert.throws(() => set.match('a.example', /** @type {any} */ (port)), { code: 'ERR_INVALID_ARG_VALUE' })
    }
  })
})

describe('expires', () => {
  /** @type {[form: string | Date, seconds: string][]} */
  const FORMS = [
    ['2027-03-01T00:00:00Z', '2027-03-01T00:00:00.000Z'],
    ['2027-03-01T00:00:00.999Z', '2027-03-01T00:00:00.000Z'],
    ['2027-03-01T01:30:00+01:30', '2027-03-01T00:00:00.000Z'],
    ['2027-02-28T19:00:00-05:00', '2027-03-01T00:00:00.000Z'],
    [new Date('2027-03-01T00:00:00.999Z'), '2027-03-01T00:00:00.000Z'],
    ['2028-02-29T12:00:00Z', '2028-02-29T12:00:00.000Z']
  ]
  for (const [form, expected] of FORMS) {
    it(`${typeof form} ${String(form)}`, () => {
      const set = new PinSet({ 'a.example': { pins: [A, B], expires: form } })
      assert.equal(set.match('a.example')?.expires?.toISOString(), expected)
      const { expires } = /** @type {any} */ (set.toJSON().hosts['a.example'])
      assert.equal(new Date(expires).toISOString(), expected)
    })
  }

  it('is the first moment that no longer counts', () => {
    const at = (/** @type {number} */ seconds) => {
      const expires = new Date(Date.now() + seconds * 1000)
      return new PinSet({ 'a.example': { pins: [A, B], expires } }).match('a.example')?.expired
    }
    assert.deepEqual([at(-1), at(60)], [true, false])
  })
})

describe('the canonical policy', () => {
  it('is the same again when it is read', () => {
    const policy = {
      $schema: './x.json',
      version: /** @type {const} */ (1),
      unlisted: /** @type {const} */ ('report'),
      hosts: {
        'Z.example.': [A, tlsa(3)],
        '**.a.example:8443': { ca: B, leaf: C, expires: '2027-03-01T01:00:00+01:00' },
        '[2001:DB8:0::1]': { pins: A, mode: /** @type {const} */ ('report'), onExpiry: /** @type {const} */ ('allow') },
        ['__proto__']: D,
        constructor: E
      }
    }
    const expected = {
      version: 1,
      unlisted: 'report',
      hosts: JSON.parse(`{
        "**.a.example:8443": { "leaf": ["${C}"], "ca": ["${B}"], "expires": "2027-03-01T00:00:00Z" },
        "[2001:db8::1]": { "pins": ["${A}"], "onExpiry": "allow", "mode": "report" },
        "__proto__": { "pins": ["${D}"] },
        "constructor": { "pins": ["${E}"] },
        "z.example": { "pins": ["${A}"], "leaf": ["${pin('tlsa')}"] }
      }`)
    }
    const set = new PinSet(policy)
    assert.deepEqual(set.toJSON(), expected)
    for (const again of [set.toJSON(), JSON.parse(JSON.stringify(set)), set]) {
      assert.deepEqual(new PinSet(again).toJSON(), expected)
    }
  })

  it('of a bare list is a list', () => {
    const set = new PinSet([A, tlsa(3), tlsa(2)])
    const json = /** @type {any} */ (set.toJSON())
    assert.equal(json.length, 3)
    const again = new PinSet(json)
    assert.deepEqual(again.match('x'), set.match('x'))
  })

  it('has every form of a shorthand', () => {
    const hosts = { 'a.example': { pins: [A] } }
    const forms = [
      { 'a.example': A },
      { 'a.example': [A] },
      { 'a.example': { pins: A } },
      { hosts: { 'a.example': A } }
    ]
    for (const form of forms) assert.deepEqual(new PinSet(form).toJSON(), { version: 1, unlisted: 'deny', hosts })
  })
})

describe('replace', () => {
  it('puts the whole policy into force and says so', () => {
    const set = new PinSet({ 'a.example': [A, B] })
    /** @type {any[]} */ const seen = []
    set.on('change', (...args) => seen.push([args.length, set.match('b.example')?.pins]))
    assert.equal(set.replace({ 'b.example': [C, D] }), undefined)
    assert.deepEqual(seen, [[0, [C, D]]])
    assert.equal(set.match('a.example'), null)
    set.replace([E, F])
    set.replace(new PinSet({ 'c.example': [A] }))
    assert.deepEqual(Object.keys(set.toJSON().hosts), ['c.example'])
    assert.equal(seen.length, 3)
  })

  it('copies: what is changed afterwards changes nothing', () => {
    const other = new PinSet([A])
    const list = [B]
    const set = new PinSet(other)
    const copied = new PinSet(list)
    other.replace([C])
    list[0] = C
    assert.deepEqual([set.match('x')?.pins, copied.match('x')?.pins], [[A], [B]])
  })
})

describe('warnings', () => {
  const SOON = new Date(Date.now() + 86_400_000)
  const PAST = new Date('2001-01-01T00:00:00Z')
  const FAR = new Date(Date.now() + 400 * 86_400_000)
  const NOTHING = `sha256/${crypto.createHash('sha256').digest('base64')}`
  const ZERO = `sha256/${Buffer.alloc(32).toString('base64')}`
  /** @type {[name: string, pins: any, expected: [code: string, place: string][]][]} */
  const ROWS = [
    ['two pins', [A, B], []],
    ['a leaf and an issuer', { 'a.example': { leaf: A, ca: B, expires: FAR } }, []],
    ['one pin', [A], [['no-backup-pin', 'pins']]],
    ['one pin for a host', { 'A.example': A }, [['no-backup-pin', 'hosts["a.example"]']]],
    ['one leaf', { 'a.example': { leaf: A } }, [['leaf-without-backup', 'hosts["a.example"]']]],
    ['a pin twice', [A, B, A], [['duplicate-pin', 'pins']]],
    ['a pin twice in two forms', [A, B, spkiHex('a')], [['duplicate-pin', 'pins']]],
    ['zeros', [A, ZERO], [['zero-digest', 'pins']]],
    ['the digest of nothing', [A, NOTHING], [['empty-digest', 'pins']]],
    ['soon', { 'a.example': { pins: [A, B], expires: SOON } }, [['expires-soon', 'hosts["a.example"]']]],
    ['past', { 'a.example': { pins: [A, B], expires: PAST } }, [['expired', 'hosts["a.example"]']]],
    ['unlisted hosts', { unlisted: 'allow', hosts: { 'a.example': [A, B] } }, [['unlisted-allowed', 'unlisted']]],
    ['reports', { 'a.example': { pins: [A, B], mode: 'report' } }, [['report-without-expiry', 'hosts["a.example"]']]],
    [
      'no end',
      { 'a.example': { pins: [A, B], onExpiry: 'allow' } },
      [['on-expiry-without-expiry', 'hosts["a.example"]']]
    ],
    [
      'two hosts',
      { 'b.example': A, 'a.example': [B, ZERO] },
      [
        ['zero-digest', 'hosts["a.example"]'],
        ['no-backup-pin', 'hosts["b.example"]']
      ]
    ]
  ]
  for (const [name, pins, expected] of ROWS) {
    it(`${name}: ${expected.map(([code]) => code).join(', ') || 'none'}`, () => {
      const { warnings } = new PinSet(pins)
      assert.deepEqual(
        warnings.map(({ code, place }) => [code, place]),
        expected
      )
      for (const { message, ...rest } of warnings) {
        assert.ok(message.length > 10)
        assert.deepEqual(Object.keys(rest).sort(), ['code', 'place'])
      }
    })
  }

  it('are of the policy in force', () => {
    const set = new PinSet([A])
    set.replace([A, B])
    assert.deepEqual(set.warnings, [])
  })
})

describe('a policy of 10,000 hosts with 10 pins each', () => {
  it('is loaded and finds every one', () => {
    const count = 10_000
    const hosts = Object.fromEntries(
      Array.from({ length: count }, (_, host) => [
        `h${host}.example`,
        Array.from({ length: 10 }, (_, n) => pin(`${host}/${n}`))
      ])
    )
    const set = new PinSet({ version: 1, hosts: { ...hosts, '**.example': [A, B] } })
    for (let host = 0; host < count; host += 97) {
      const match = set.match(`H${host}.example.`)
      assert.deepEqual([match?.pattern, match?.pins], [`h${host}.example`, hosts[`h${host}.example`]])
    }
    assert.equal(set.match(`h${count}.example`)?.pattern, '**.example')
    assert.equal(Object.keys(set.toJSON().hosts).length, count + 1)
    assert.throws(() => new PinSet({ hosts: { ...hosts, 'H9999.example': A } }), { code: CODE, message: /repeated/ })
  })
})

describe('a pin set', () => {
  it('decides about a chain as a connection would', () => {
    const set = new PinSet({ localhost: [cert.pin, A] })
    const { matched, pattern, path } = set.check('localhost', cert.pem, { ca: root.pem })
    assert.deepEqual([matched, pattern, path.length], [cert.pin, 'localhost', 2])
    assert.throws(() => set.check('localhost', root.pem, { ca: root.pem }), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
    assert.throws(() => set.check('a.example', cert.pem, { ca: root.pem }), { code: 'ERR_TLS_PIN_UNLISTED' })
    set.replace({ localhost: [A, B] })
    assert.throws(() => set.check('localhost', cert.pem, { ca: root.pem }), { code: 'ERR_TLS_PIN_MISMATCH' })
    assert.throws(() => set.check('localhost', cert.pem, /** @type {any} */ ({ time: 'x' })), {
      code: /^ERR_INVALID_ARG/
    })
  })

  it('is shared by two clients and replaced for both', async () => {
    const set = new PinSet([cert.pin, A])
    const clients = [1, 2].map(() => new PinnedClient({ pins: set, ca: root.pem }))
    try {
      for (const client of clients) {
        assert.equal(client.pins, set)
        assert.equal((await client.request(server.url)).status, 200)
      }
      assert.equal(server.connections, 2, 'each has its own pool')
      const bytes = server.appBytes
      set.replace([A, B])
      for (const client of clients) {
        await assert.rejects(client.request(server.url), { code: 'ERR_TLS_PIN_MISMATCH' })
      }
      await server.settled()
      assert.equal(server.appBytes, bytes)
      assert.equal(server.requests.length, 2)
    } finally {
      for (const client of clients) await client.close()
    }
  })
})

/** @param {string} key */
function spkiHex(key) {
  return `spki:sha256:${crypto.createHash('sha256').update(key).digest('hex')}`
}

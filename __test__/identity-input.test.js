'use strict'
// Promise: a check made by `createCheckServerIdentity` returns `undefined` or an `Error` whatever it is given, and never throws: a
// throw there fails open.

const assert = require('node:assert/strict')
const { before, describe, it } = require('node:test')
const tls = require('node:tls')
const { inspect } = require('node:util')
const { checkServerIdentity, createCheckServerIdentity } = require('..')
const { show } = require('./helpers/node-tls')
const { ca, leaf } = require('./helpers/pki')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const OTHER = `sha256/${'A'.repeat(43)}=`
const NAMES = ['localhost', 'other.example', 'xn--bcher-kva.example', '127.0.0.1', '::1']

/** @type {Certificate} */ let root
/** @type {Certificate} */ let good
/** As a connection shows it. @type {any} */ let shown

before(async () => {
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root, names: NAMES })
  shown = show(good, root)
})

describe('hostile certificates', () => {
  const san = { subjectaltname: 'DNS:localhost', subject: { CN: 'localhost' } }
  const thrower = () => {
    throw new Error('hostile')
  }

  /** Each with the name in order, where it can have one, so that the pins are reached. @type {[string, () => any][]} */
  const CERTIFICATES = [
    ['null', () => null],
    ['undefined', () => undefined],
    ['a number', () => 7],
    ['text', () => 'certificate'],
    ['a symbol', () => Symbol('certificate')],
    ['a function', () => () => {}],
    ['{}', () => ({})],
    ['no prototype', () => Object.create(null)],
    ['no raw', () => san],
    ...['', 'text', 0, null, true, [], [48, 130], {}, new ArrayBuffer(8), new DataView(new ArrayBuffer(8))].map(
      raw => /** @type {[string, () => any]} */ ([`raw ${line(raw)}`, () => ({ ...san, raw })])
    ),
    ['raw without a byte', () => ({ ...san, raw: Buffer.alloc(0) })],
    ['raw of zeros', () => ({ ...san, raw: Buffer.alloc(1000) })],
    ['raw of garbage', () => ({ ...san, raw: Buffer.from('MIIB certificate') })],
    ['raw cut short', () => ({ ...san, raw: good.der.subarray(0, -1) })],
    ['raw of its first half', () => ({ ...san, raw: good.der.subarray(0, good.der.length / 2) })],
    ['raw with a byte after it', () => ({ ...san, raw: Buffer.concat([good.der, Buffer.alloc(1)]) })],
    ['raw twice', () => ({ ...san, raw: Buffer.concat([good.der, good.der]) })],
    ['raw in PEM', () => ({ ...san, raw: Buffer.from(good.pem) })],
    ['raw of 16 bits a piece', () => ({ ...san, raw: Uint16Array.from(good.der) })],
    ['raw of a length that promises 2 GB', () => ({ ...san, raw: Buffer.from('30847fffffff', 'hex') })],
    ['raw whose buffer is gone', () => ({ ...san, raw: gone(good.der) })],
    ['a getter that throws: raw', () => Object.defineProperty({ ...san }, 'raw', { get: thrower })],
    [
      'a getter that throws: issuerCertificate, of one that is not pinned',
      () => Object.defineProperty({ ...san, raw: root.der }, 'issuerCertificate', { get: thrower })
    ],
    [
      'a getter that throws nothing',
      () => ({
        get raw() {
          throw undefined
        },
        ...san
      })
    ],
    ['a proxy that throws', () => new Proxy({}, { get: thrower, has: thrower, ownKeys: thrower })],
    [
      'a proxy that is revoked',
      () => {
        const { proxy, revoke } = Proxy.revocable({}, {})
        revoke()
        return proxy
      }
    ],
    [
      'a proxy that has everything',
      () => {
        /** @type {any} */
        const everything = new Proxy(() => everything, {
          get: (_, name) => (typeof name === 'symbol' ? undefined : everything)
        })
        return everything
      }
    ],
    ['the pinned one as the issuer of nothing', () => ({ ...san, issuerCertificate: shown })],
    ['the pinned one as the issuer of a stranger', () => ({ ...san, raw: root.der, issuerCertificate: shown })],
    ['the pinned one behind another circle', () => circle()]
  ]

  /** A certificate that is its own issuer's issuer. */
  function circle() {
    const other = { ...san, raw: root.der, issuerCertificate: /** @type {any} */ (undefined) }
    other.issuerCertificate = { ...san, raw: root.der, issuerCertificate: other }
    return other
  }

  for (const [name, make] of CERTIFICATES) {
    it(`${name}: an error`, () => {
      for (const pins of [good.pin, { leaf: good.pin, ca: OTHER }]) {
        const hosts = { hosts: { localhost: /** @type {any} */ (pins) } }
        for (const ca of [undefined, root.pem]) {
          for (const verifyHostname of [undefined, () => undefined]) {
            const check = createCheckServerIdentity(hosts, { ca, ...(verifyHostname && { verifyHostname }) })
            const answer = check('localhost', make())
            assert.ok(answer instanceof Error, inspect(answer))
            assert.ok(answer.message)
          }
        }
      }
      assert.ok(checkServerIdentity('localhost', make(), good.pin) instanceof Error)
    })
  }

  for (const name of ['subject', 'subjectaltname']) {
    it(`a getter that throws: ${name}: its error, from Node’s check`, () => {
      const error = new Error('hostile')
      const get = () => {
        throw error
      }
      const cert = Object.defineProperty({ ...shown }, name, { get })
      assert.equal(createCheckServerIdentity(good.pin)('localhost', cert), error)
      assert.equal(checkServerIdentity('localhost', cert), error)
      assert.equal(checkServerIdentity('localhost', cert, good.pin), error)
    })
  }

  it('are what stands between an error and an answer: the same checks accept the real one', () => {
    for (const pins of [good.pin, { hosts: { localhost: { leaf: good.pin, ca: OTHER } } }]) {
      assert.equal(createCheckServerIdentity(pins)('localhost', shown), undefined)
      assert.equal(checkServerIdentity('localhost', shown, pins), undefined)
    }
    const shared = Buffer.from(new SharedArrayBuffer(good.der.length))
    good.der.copy(shared)
    const answer = createCheckServerIdentity(good.pin)('localhost', { ...shown, raw: shared })
    assert.ok(answer === undefined || answer instanceof Error)
  })

  it('a pinned issuer behind a thousand certificates, or in a circle, is an answer in good time', () => {
    const pinned = show(root)
    for (const between of [good.der, root.der, Buffer.from('garbage')]) {
      let at = { ...pinned, issuerCertificate: pinned }
      for (let i = 0; i < 1000; i++) at = { raw: between, issuerCertificate: at }
      const start = process.hrtime.bigint()
      const chain = { ...show(good), issuerCertificate: at }
      for (const anchors of [undefined, root.pem]) {
        const answer = createCheckServerIdentity({ hosts: { localhost: { ca: root.pin } } }, { ca: anchors })(
          'localhost',
          chain
        )
        assert.ok(answer === undefined || answer instanceof Error)
        // The anchor is known without being shown; nobody else's word is taken for it that late.
        if (anchors === undefined && between !== root.der)
          assert.equal(/** @type {any} */ (answer)?.code, 'ERR_TLS_PIN_MISMATCH')
      }
      assert.ok(process.hrtime.bigint() - start < 2_000_000_000n)
    }
    const cyclic = show(good, root)
    cyclic.issuerCertificate.issuerCertificate = cyclic
    assert.equal(createCheckServerIdentity({ hosts: { localhost: { ca: root.pin } } })('localhost', cyclic), undefined)
    assert.ok(createCheckServerIdentity(OTHER)('localhost', cyclic) instanceof Error)
  })
})

describe('hosts that are no text', () => {
  const thrower = () => {
    throw new Error('hostile')
  }
  const HOSTS = [
    undefined,
    null,
    7,
    1n,
    Number.NaN,
    true,
    Symbol('localhost'),
    {},
    Object.create(null),
    () => 'localhost',
    { toString: thrower },
    { [Symbol.toPrimitive]: thrower },
    new Proxy({}, { get: thrower }),
    ['localhost', 'localhost'],
    '',
    '.',
    '*',
    'localhost:443',
    'https://localhost/',
    'localhost\0',
    '\ud800',
    'x'.repeat(100_000)
  ]

  for (const host of HOSTS) {
    it(`${line(host)}: an error`, () => {
      for (const verifyHostname of [tls.checkServerIdentity, () => undefined]) {
        const bound = createCheckServerIdentity(good.pin, { host: 'localhost', verifyHostname })
        for (const check of [bound, createCheckServerIdentity({ localhost: good.pin }, { verifyHostname })]) {
          assert.ok(check(/** @type {any} */ (host), shown) instanceof Error)
        }
      }
    })
  }

  it('what says that it is text is taken for it, as in Node', () => {
    for (const host of [['localhost'], { toString: () => 'localhost' }, Object('localhost')]) {
      assert.equal(createCheckServerIdentity(good.pin, { host: 'localhost' })(host, shown), undefined)
    }
  })

  it('what says something else each time is asked once', () => {
    const names = ['localhost', 'other.example']
    const host = /** @type {any} */ ({ toString: () => names.shift() })
    const check = createCheckServerIdentity({ localhost: good.pin, 'other.example': OTHER })
    assert.equal(check(host, shown), undefined)
    assert.deepEqual(names, ['other.example'])
  })
})

/** A value on one line. @param {unknown} value */
function line(value) {
  return inspect(value, { breakLength: Number.POSITIVE_INFINITY }).replace(/\s+/g, ' ').slice(0, 40)
}

/** Bytes whose memory was given away. @param {Uint8Array} bytes */
function gone(bytes) {
  const copy = new Uint8Array(bytes)
  structuredClone(copy.buffer, { transfer: [copy.buffer] })
  return copy
}

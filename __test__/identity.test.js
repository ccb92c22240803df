'use strict'
// Promise: a check made by `createCheckServerIdentity` accepts nobody but the host it is for, by Node's own rules for
// names, with a certificate that matches; and it is not made of options that could mean less than that.

const assert = require('node:assert/strict')
const { before, describe, it } = require('node:test')
const tls = require('node:tls')
const { inspect } = require('node:util')
const vm = require('node:vm')
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

describe('a check that is bound to its host', () => {
  /** @type {[host: string, same: string[], other: string[]][]} */
  const TABLE = [
    [
      'localhost',
      ['localhost', 'LOCALHOST', 'LocalHost', 'localhost.', 'LOCALHOST.'],
      ['other.example', 'localhost.example', 'local', '127.0.0.1', '::1', '', '.', 'localhost..', ' localhost']
    ],
    ['other.example.', ['other.example', 'OTHER.example'], ['localhost', 'example', 'a.other.example']],
    [
      'bücher.example',
      ['xn--bcher-kva.example', 'BÜCHER.example', 'XN--BCHER-KVA.EXAMPLE.'],
      ['bucher.example', 'localhost']
    ],
    ['xn--bcher-kva.example', ['bücher.example', 'BÜCHER.EXAMPLE.'], ['xn--bcher.example', 'localhost']],
    ['127.0.0.1', ['127.0.0.1', '::ffff:127.0.0.1', '::ffff:7f00:1'], ['localhost', '127.0.0.2', '127.1', '::1']],
    [
      '::1',
      ['::1', '0:0:0:0:0:0:0:1', '0000::0001', '[::1]', '::0.0.0.1'],
      ['localhost', '127.0.0.1', '::2', '::1%lo']
    ],
    ['[::1]', ['::1'], ['localhost']],
    ['0:0:0:0:0:0:0:1', ['::1'], ['::']]
  ]

  for (const [host, same, other] of TABLE) {
    it(`${host}: the same in other words is accepted, another name is not, whatever the certificate says`, () => {
      const check = createCheckServerIdentity(good.pin, { host, verifyHostname: () => undefined })
      for (const name of same) assert.equal(check(name, shown), undefined, name)
      for (const name of other) {
        const error = /** @type {any} */ (check(name, shown))
        assert.equal(error?.code, 'ERR_TLS_CERT_ALTNAME_INVALID', name)
        assert.equal(error.host, host)
        assert.ok(error.message.includes(host) && error.message.includes(name))
      }
    })
  }

  it('still has the name checked first, in the words that it came in', () => {
    /** @type {unknown[]} */
    const seen = []
    const verifyHostname = (/** @type {any[]} */ ...args) => void seen.push(args)
    createCheckServerIdentity(good.pin, { host: 'localhost', verifyHostname: /** @type {any} */ (verifyHostname) })(
      'LOCALHOST.',
      shown
    )
    assert.deepEqual(seen, [['LOCALHOST.', shown]])
    const elsewhere = show(good, root)
    elsewhere.subjectaltname = 'DNS:elsewhere.example'
    const error = /** @type {any} */ (
      createCheckServerIdentity(good.pin, { host: 'localhost' })('localhost', elsewhere)
    )
    assert.equal(error.reason, "Host: localhost. is not in the cert's altnames: DNS:elsewhere.example")
  })

  it('is checked by Node’s own function, also where a program has put another in its place', t => {
    const real = tls.checkServerIdentity
    t.after(() => Object.assign(tls, { checkServerIdentity: real }))
    Object.assign(tls, { checkServerIdentity: () => undefined })
    const error = /** @type {any} */ (createCheckServerIdentity(good.pin)('elsewhere.example', shown))
    assert.equal(error?.code, 'ERR_TLS_CERT_ALTNAME_INVALID')
    Object.assign(tls, { checkServerIdentity: createCheckServerIdentity(good.pin) })
    assert.equal(createCheckServerIdentity(good.pin)('localhost', shown), undefined)
  })
})

describe('verifyHostname', () => {
  const answerOf = (/** @type {any} */ verifyHostname, pins = good.pin) =>
    /** @type {any} */ (createCheckServerIdentity(pins, { verifyHostname })('localhost', shown))

  for (const given of [undefined, null, false, 0, 0n, '', Number.NaN]) {
    it(`${inspect(given)} accepts the name, and the pins decide`, () => {
      assert.equal(
        answerOf(() => given),
        undefined
      )
      assert.equal(answerOf(() => given, OTHER)?.code, 'ERR_TLS_PIN_MISMATCH')
    })
  }

  for (const given of [true, 1, 'no', {}, [], Symbol('x'), () => undefined, Promise.resolve(), { message: 'no' }]) {
    it(`${line(given)} is an error that says so`, () => {
      assert.equal(answerOf(() => given)?.code, 'ERR_INVALID_RETURN_VALUE')
    })
  }

  it('an error is the answer itself, also one of another realm', () => {
    for (const error of [
      new Error('x'),
      new RangeError(),
      vm.runInNewContext('new TypeError("x")'),
      new DOMException('x')
    ]) {
      assert.equal(
        answerOf(() => error),
        error
      )
    }
  })

  it('what it throws is the answer', () => {
    const error = new Error('thrown')
    const thrower = (/** @type {unknown} */ what) => () => {
      throw what
    }
    assert.equal(answerOf(thrower(error)), error)
    for (const what of [undefined, null, false, 0, '', true, 'x', {}, Symbol('x')]) {
      assert.ok(answerOf(thrower(what)) instanceof Error, inspect(what))
    }
  })

  it('an async one refuses everybody, rather than to be ignored', async () => {
    assert.equal(answerOf(async () => new Error('late'))?.code, 'ERR_INVALID_RETURN_VALUE')
  })
})

describe('arguments', () => {
  const UNSAFE = { code: 'ERR_TLS_PIN_UNSAFE' }
  const TYPE = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }
  const VALUE = { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' }

  /** @type {[name: string, options: any, expected: object][]} */
  const REFUSED = [
    ['null', null, TYPE],
    ['text', 'localhost', TYPE],
    ['an unknown one', { hostname: 'localhost' }, VALUE],
    ['one of tls.connect', { rejectUnauthorized: false }, VALUE],
    ['no check of the name', { verifyHostname: false }, UNSAFE],
    ['a check that is no function', { verifyHostname: true }, TYPE],
    ['a check that is null', { verifyHostname: null }, TYPE],
    ...[
      null,
      7,
      {},
      '',
      '.',
      '*',
      '*.example',
      'a b',
      'https://localhost',
      'localhost:443',
      'a..b',
      '::1%lo',
      '1.2.3'
    ].map(host => /** @type {[string, any, object]} */ ([`host ${inspect(host)}`, { host }, VALUE])),
    ...[null, 0, -1, 65_536, 1.5, '443', Number.NaN, {}].map(
      port => /** @type {[string, any, object]} */ ([`port ${inspect(port)}`, { port }, VALUE])
    ),
    ['ca that is an empty list', { ca: [] }, VALUE],
    ['ca that is no text', { ca: 7 }, TYPE],
    ['ca that is null', { ca: null }, TYPE]
  ]

  for (const [name, options, expected] of REFUSED) {
    it(`refuses ${name} when it is made`, () => {
      assert.throws(() => createCheckServerIdentity(good.pin, options), expected)
    })
  }

  it('refuses a ca without a certificate when it is made', () => {
    for (const anchors of ['', 'garbage', Buffer.alloc(10), good.key]) {
      assert.throws(() => createCheckServerIdentity(good.pin, { ca: anchors }))
    }
  })

  for (const pins of [
    undefined,
    null,
    '',
    [],
    {},
    7,
    'sha1/AAAA',
    ['sha256/AAAA'],
    { hosts: {} },
    { 'a..b': [OTHER] },
    [null]
  ]) {
    it(`refuses pins ${inspect(pins)} when it is made; checkServerIdentity returns that`, () => {
      // A policy without a host refuses everybody, which is no mistake in itself.
      try {
        const check = createCheckServerIdentity(/** @type {any} */ (pins))
        assert.ok(check('localhost', shown) instanceof Error)
      } catch (error) {
        assert.match(String(/** @type {any} */ (error).code), /^ERR_TLS_PIN_INVALID$|^ERR_INVALID_ARG_/)
      }
      const answer = checkServerIdentity('localhost', shown, /** @type {any} */ (pins))
      assert.ok(answer instanceof Error, inspect(answer))
    })
  }

  it('takes nothing from a polluted prototype', t => {
    const names = ['verifyHostname', 'host', 'port', 'ca']
    t.after(() => names.forEach(name => void Reflect.deleteProperty(Object.prototype, name)))
    const values = [() => undefined, 'elsewhere.example', 1, 'garbage']
    for (const [index, name] of names.entries()) {
      Object.defineProperty(Object.prototype, name, { value: values[index], configurable: true, writable: true })
    }
    assert.equal(createCheckServerIdentity(good.pin)('localhost', shown), undefined)
    assert.equal(createCheckServerIdentity(good.pin, {})('localhost', shown), undefined)
    assert.ok(createCheckServerIdentity(good.pin, {})('elsewhere.example', shown) instanceof Error)
  })
})

/** A value on one line. @param {unknown} value */
function line(value) {
  return inspect(value, { breakLength: Number.POSITIVE_INFINITY }).replace(/\s+/g, ' ').slice(0, 40)
}

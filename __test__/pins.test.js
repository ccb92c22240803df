'use strict'
// Promise: a pin is read the same from every form it has, as OpenSSL computes it; a text that could mean two things, or
// that is a mistake, is an error that says what to write; and no message ever repeats a private key.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const { before, describe, it } = require('node:test')
const { PinSet, parsePin, pinOf } = require('..')
const { ca, keyPair, leaf } = require('./helpers/pki')
const x509 = require('@peculiar/x509')

/** @typedef {import('./helpers/pki').Certificate} Certificate */
/** @typedef {import('./helpers/keys').KeyPair} KeyPair */

const CODE = 'ERR_TLS_PIN_INVALID'
const HOST = 'a.example'
const KEYS = /** @type {const} */ (['p256', 'p384', 'rsa2048', 'ed25519'])
/** A digest of any bytes: the text forms need no key. */
const D = sha256(Buffer.from('a key'))
const D512 = sha512(Buffer.from('a key'))
/** One in 64 digests begins with a slash in base64, one in 4096 with two. */
const SLASH = Buffer.concat([Buffer.from([0xfd]), D.subarray(1)])
const SLASHES = Buffer.concat([Buffer.from([0xff, 0xf1]), D.subarray(2)])

/** @type {Certificate} */ let cert
/** @type {Record<string, KeyPair>} */ let keys
/** A certificate request by @peculiar/x509. @type {{ pem: string, der: Buffer, spki: Buffer }} */ let csr

before(async () => {
  cert = await leaf({ issuer: await ca({ name: 'Root' }) })
  keys = Object.fromEntries(await Promise.all(KEYS.map(async type => [type, await keyPair(type)])))
  csr = await request()
})

/** @type {[form: string, text: string, expected: { target?: string, algorithm?: string, digest?: Buffer, role?: string }][]} */
const TEXTS = [
  ['OkHttp', `sha256/${b64(D)}`, {}],
  ['OkHttp in upper case', `SHA256/${b64(D)}`, {}],
  ['OkHttp, a digest that begins with a slash', `sha256/${b64(SLASH)}`, { digest: SLASH }],
  ['OkHttp, a digest that begins with two', `sha256/${b64(SLASHES)}`, { digest: SLASHES }],
  ['curl', `sha256//${b64(D)}`, {}],
  ['curl, a digest that begins with a slash', `sha256//${b64(SLASH)}`, { digest: SLASH }],
  ['curl, a digest that begins with two', `sha256//${b64(SLASHES)}`, { digest: SLASHES }],
  ['RFC 7469', `pin-sha256="${b64(D)}"`, {}],
  ['RFC 7469 with slashes', `pin-sha256="${b64(SLASHES)}"`, { digest: SLASHES }],
  ['bare base64', b64(D), {}],
  ['bare base64 with a slash', b64(SLASH), { digest: SLASH }],
  ['blanks around it', `\n\t sha256/${b64(D)} \r\n`, {}],
  ['spki:sha256', `spki:sha256:${hex(D)}`, {}],
  ['spki:sha256 in upper case', `SPKI:SHA256:${hex(D).toUpperCase()}`, {}],
  ['spki:sha512', `spki:sha512:${hex(D512)}`, { algorithm: 'sha512', digest: D512 }],
  ['cert:sha256', `cert:sha256:${hex(D)}`, { target: 'certificate' }],
  ['cert:sha512', `cert:sha512:${hex(D512)}`, { target: 'certificate', algorithm: 'sha512', digest: D512 }],
  ['fingerprint256', colons(D), { target: 'certificate' }],
  ['fingerprint256 in lower case', colons(D).toLowerCase(), { target: 'certificate' }],
  ['fingerprint512', colons(D512), { target: 'certificate', algorithm: 'sha512', digest: D512 }],
  ['openssl, new', `sha256 Fingerprint=${colons(D)}`, { target: 'certificate' }],
  ['openssl, old', `SHA256 Fingerprint=${colons(D)}\n`, { target: 'certificate' }],
  [
    'openssl, sha512',
    `sha512 Fingerprint=${colons(D512)}`,
    { target: 'certificate', algorithm: 'sha512', digest: D512 }
  ],
  ...[0, 1, 2, 3].flatMap(usage =>
    /** @type {const} */ (['certificate', 'spki']).flatMap(
      (target, selector) =>
        /** @type {typeof TEXTS} */ ([
          [
            `TLSA ${usage} ${selector} 1`,
            `${usage} ${selector} 1 ${hex(D)}`,
            { target, role: usage % 2 ? 'leaf' : 'ca' }
          ],
          [
            `TLSA ${usage} ${selector} 2`,
            `${usage} ${selector} 2 ${hex(D512)}`,
            { target, role: usage % 2 ? 'leaf' : 'ca', algorithm: 'sha512', digest: D512 }
          ]
        ])
    )
  ),
  ['a TLSA record', `_443._tcp.a.example. 3600 IN TLSA 3 1 1 ${hex(D)}`, { role: 'leaf' }],
  ['a TLSA record without TTL', `_443._tcp.a.example. IN TLSA 2 1 1 ${hex(D)}`, { role: 'ca' }],
  [
    'a TLSA record over lines',
    `_443._tcp.a.example. IN TLSA 3 1 1 (\n ${hex(D).slice(0, 30)}\n ${hex(D).slice(30)} )`,
    { role: 'leaf' }
  ]
]

describe('a pin in text', () => {
  for (const [form, text, expected] of TEXTS) {
    const { target = 'spki', algorithm = 'sha256', digest = D, role = 'any' } = expected
    it(form, () => {
      const pin = parsePin(text)
      assert.deepEqual({ ...pin, toString: 0, toJSON: 0 }, { target, algorithm, digest, role, toString: 0, toJSON: 0 })
      assert.ok(Buffer.isBuffer(pin.digest))
      assert.equal(String(pin), bound(role, target, algorithm, digest))
      assert.equal(JSON.stringify([pin]), JSON.stringify([String(pin)]))
      const again = parsePin(String(pin))
      assert.deepEqual([again.target, again.algorithm, again.digest, again.role], [target, algorithm, digest, role])
      const list = role === 'any' ? 'pins' : role
      for (const pins of [
        text,
        [text],
        { [HOST]: text },
        { hosts: { [HOST]: [text] } },
        { [HOST]: { pins: [text] } }
      ]) {
        assert.deepEqual(/** @type {any} */ (new PinSet(pins).match(HOST))?.[list], [
          canonical(target, algorithm, digest)
        ])
      }
    })
  }

  it('TLSA: is bound to its role by its canonical text too', () => {
    for (const usage of [0, 1, 2, 3]) {
      const pin = parsePin(`${usage} 1 1 ${hex(D)}`)
      assert.equal(parsePin(String(pin)).role, pin.role)
      assert.equal(parsePin(JSON.parse(JSON.stringify(pin))).role, pin.role)
    }
  })

  it('several in one: are several pins in a list, and not one pin', () => {
    const text = `sha256//${b64(D)}; sha256//${b64(SLASH)};pin-sha256="${b64(SLASHES)}"`
    assert.deepEqual(
      new PinSet(text).match(HOST)?.pins,
      [D, SLASH, SLASHES].map(digest => `sha256/${b64(digest)}`)
    )
    assert.deepEqual(new PinSet([`sha256/${b64(D512.subarray(32))}`, text]).match(HOST)?.pins.length, 4)
    assert.throws(() => parsePin(text), { code: CODE, message: /3 pins in one text; split it/ })
  })

  it('TLSA of the whole key or certificate: is hashed', () => {
    const whole = parsePin(`3 1 0 ${hex(cert.spki)}`)
    assert.deepEqual([whole.target, whole.digest, whole.role], ['spki', sha256(cert.spki), 'leaf'])
    const issuer = parsePin(`2 0 0 ${hex(cert.der)}`)
    assert.deepEqual([issuer.target, issuer.digest, issuer.role], ['certificate', sha256(cert.der), 'ca'])
    assert.throws(() => parsePin(`3 0 0 ${hex(cert.spki)}`), { code: CODE, message: /selector 0 needs a certificate/ })
    assert.throws(() => parsePin(`3 1 0 ${hex(cert.der)}`), { code: CODE, message: /selector 1 needs a public key/ })
  })
})

describe('a public key', () => {
  for (const type of KEYS) {
    it(`${type}: is the same pin in every form`, () => {
      const { publicKey } = keys[type]
      const der = publicKey.export({ type: 'spki', format: 'der' })
      const pem = publicKey.export({ type: 'spki', format: 'pem' })
      const jwk = publicKey.export({ format: 'jwk' })
      const crlf = String(pem).replaceAll('\n', '\r\n')
      const forms = { der, pem, crlf, publicKey, jwk, view: new DataView(new Uint8Array(der).buffer) }
      for (const [form, input] of Object.entries(forms)) same(form, /** @type {any} */ (input), der)
      const withText = `Public-Key: (256 bit)\n${pem}`
      assert.equal(String(parsePin(withText)), key256(der))
      for (const inner of [...Object.values(forms), new Uint8Array(der).buffer]) {
        assert.equal(String(parsePin({ publicKey: /** @type {any} */ (inner) })), key256(der))
      }
    })
  }

  it('of a certificate request: is the request’s', () => {
    for (const input of [csr.der, csr.pem]) {
      same('request', input, csr.spki)
      assert.equal(String(parsePin({ publicKey: input })), key256(csr.spki))
    }
  })
})

describe('a certificate', () => {
  /** @type {[string, () => any][]} */
  const FORMS = [
    ['X509Certificate', () => cert.x509],
    ['PEM', () => cert.pem],
    ['PEM with text before it', () => `subject=CN=localhost\n${cert.pem}`],
    ['PEM as bytes', () => Buffer.from(cert.pem)],
    ['DER', () => cert.der],
    ['DER in an ArrayBuffer', () => new Uint8Array(cert.der).buffer]
  ]
  for (const [form, make] of FORMS) {
    it(`${form}: is pinned whole or by its key, as is said`, () => {
      const input = make()
      for (const [pins, expected] of [
        [{ certificate: input }, cert.certPin],
        [{ publicKey: input }, cert.pin]
      ]) {
        assert.equal(String(parsePin(/** @type {any} */ (pins))), expected)
        assert.deepEqual(new PinSet(/** @type {any} */ (pins)).match(HOST)?.pins, [expected])
        assert.deepEqual(new PinSet({ [HOST]: { ca: [pins] } }).match(HOST)?.ca, [expected])
      }
      for (const [target, bytes] of /** @type {const} */ ([
        ['spki', cert.spki],
        ['certificate', cert.der]
      ])) {
        for (const [algorithm, hash] of /** @type {const} */ ([
          ['sha256', sha256],
          ['sha512', sha512]
        ])) {
          const pin = pinOf(input, { target, algorithm })
          assert.deepEqual(pin.digest, hash(bytes))
          assert.deepEqual([pin.target, pin.algorithm, pin.role], [target, algorithm, 'any'])
          assert.equal(String(pin), canonical(target, algorithm, hash(bytes)))
        }
      }
      assert.equal(String(pinOf(input)), cert.pin)
    })

    it(`${form}: does not say which by itself`, () => {
      const input = make()
      if (input instanceof ArrayBuffer) return
      const which = { code: CODE, message: /certificate.*\{ (publicKey|certificate)[\s\S]*\{ ?(certificate|publicKey)/ }
      assert.throws(() => parsePin(input), which)
      assert.throws(() => new PinSet(input), which)
      assert.throws(() => new PinSet([`sha256/${b64(D)}`, input]), { ...which, place: 'pins[1]' })
      assert.throws(() => new PinSet({ hosts: { [HOST]: { leaf: [input] } } }), {
        ...which,
        place: `hosts["${HOST}"].leaf[0]`
      })
    })
  }

  it('agrees with Node’s own fingerprints', () => {
    assert.equal(String(parsePin(cert.x509.fingerprint256)), cert.certPin)
    const whole = pinOf(cert.pem, { target: 'certificate', algorithm: 'sha512' })
    assert.equal(String(parsePin(cert.x509.fingerprint512)), String(whole))
  })
})

describe('a private key', () => {
  const PEM = /** @type {const} */ ({ p256: ['pkcs8', 'sec1'], rsa2048: ['pkcs8', 'pkcs1'], ed25519: ['pkcs8'] })
  for (const [type, encodings] of Object.entries(PEM)) {
    for (const encoding of encodings) {
      it(`${type}, ${encoding}: is refused in every form, and never repeated`, () => {
        const { privateKey } = keys[type]
        const der = privateKey.export({ type: encoding, format: 'der' })
        const pem = String(privateKey.export({ type: encoding, format: 'pem' }))
        const body = pem.split('\n').slice(1, -2)
        const forms = [pem, pem.replaceAll('\n', '\r\n'), `text\n${pem}`, `${cert.pem}${pem}`, Buffer.from(pem), der]
        const texts = [body.join(''), body.join('\n'), `sha256/${body.join('')}`, `3 1 0 ${hex(der)}`, colons(der)]
        for (const input of [...forms, ...texts, privateKey, privateKey.export({ format: 'jwk' })]) {
          isKeptSecret(input, privateKey)
        }
      })
    }
  }

  it('encrypted: is refused', () => {
    const { privateKey } = keys.p256
    for (const format of /** @type {const} */ (['pem', 'der'])) {
      const options = { type: 'pkcs8', format, cipher: 'aes-256-cbc', passphrase: 'x' }
      isKeptSecret(privateKey.export(/** @type {any} */ (options)), privateKey)
    }
  })

  it('secret or OpenSSH: is refused', () => {
    const secret = crypto.randomBytes(48)
    for (const input of [crypto.createSecretKey(secret), crypto.createSecretKey(secret).export({ format: 'jwk' })]) {
      assert.throws(
        () => parsePin(/** @type {any} */ (input)),
        error => says(error, [secret])
      )
    }
    const openssh = `-----BEGIN OPENSSH PRIVATE KEY-----\n${b64(secret)}\n-----END OPENSSH PRIVATE KEY-----\n`
    for (const input of [openssh, Buffer.from(openssh)]) {
      assert.throws(
        () => parsePin(input),
        error => says(error, [secret]) && /private key/.test(error.message)
      )
    }
  })

  // Forms of a key that nothing reads: a message that quoted an unknown text would repeat it.
  for (const [form, text] of /** @type {[string, (key: crypto.KeyObject) => string][]} */ ([
    ['PKCS#8 in hex', key => hex(key.export({ type: 'pkcs8', format: 'der' }))],
    ['PKCS#8 in base64url', key => key.export({ type: 'pkcs8', format: 'der' }).toString('base64url')],
    ['a JWK as text', key => JSON.stringify(key.export({ format: 'jwk' }))],
    ['PEM with a broken line', key => String(key.export({ type: 'pkcs8', format: 'pem' })).replaceAll('-----', '--')]
  ])) {
    it(`${form}: is never repeated`, () => {
      // With `_` in it, which base64url alone has: else it is read as base64.
      let { privateKey } = keys.ed25519
      while (!/[-_]/.test(privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64url'))) {
        privateKey = crypto.generateKeyPairSync('ed25519').privateKey
      }
      isKeptSecret(text(privateKey), privateKey)
    })
  }
})

/** @type {[name: string, input: any, message: RegExp][]} */
const BAD = [
  ['nothing', '', /the pin is empty; write `sha256\/`/],
  ['blanks', ' \n', /the pin is empty/],
  ['a word', 'hello', /"hello" is not a pin; write `sha256\/`/],
  ['SHA-1', `sha1/${Buffer.alloc(20, 1).toString('base64')}`, /SHA-1 is broken.*SHA-256/],
  ['SHA-1 in colons', colons(Buffer.alloc(20, 1)), /SHA-1 is broken/],
  ['SHA-1 of openssl', `SHA1 Fingerprint=${colons(Buffer.alloc(20, 1))}`, /SHA-1 is broken/],
  ['SHA-1 in hex', hex(Buffer.alloc(20, 1)), /SHA-1 is broken/],
  ['SHA-1 in base64', b64(Buffer.alloc(20, 1)), /SHA-1 is broken/],
  ['SHA-1 named', `spki:sha1:${hex(Buffer.alloc(20, 1))}`, /SHA-1 is broken/],
  ['SHA-1 of RFC 7469', 'pin-sha1="AAAA"', /SHA-1 is broken/],
  ['MD5', `md5/${b64(Buffer.alloc(16, 1))}`, /MD5 is broken.*SHA-256/],
  ['MD5 in hex', hex(Buffer.alloc(16, 1)), /MD5 is broken/],
  ['MD5 in colons', colons(Buffer.alloc(16, 1)), /MD5 is broken/],
  ['bare hex', hex(D), new RegExp(`write \`spki:sha256:${hex(D)}\` or \`cert:sha256:${hex(D)}\``)],
  ['bare hex of SHA-512', hex(D512), new RegExp(`write \`spki:sha512:${hex(D512)}\``)],
  ['sha256: without a target', `sha256:${hex(D)}`, /write `spki:sha256:HEX` or `cert:sha256:HEX`/],
  ['sha512/', `sha512/${b64(D512)}`, new RegExp(`write \`spki:sha512:${hex(D512)}\``)],
  ['SHA-512 in base64', b64(D512), new RegExp(`write \`spki:sha512:${hex(D512)}\``)],
  ['no algorithm', 'spki:', /names no algorithm; write `spki:sha256:HEX`/],
  ['another algorithm', `spki:sha384:${hex(D)}`, /use sha256 or sha512/],
  ['a short digest', `sha256/${b64(D.subarray(0, 31))}`, /has 31 bytes, sha256 has 32; copy the whole digest/],
  ['a long digest', `sha256/${b64(Buffer.concat([D, Buffer.alloc(1)]))}`, /has 33 bytes/],
  ['a digest of another length in hex', `cert:sha256:${hex(D512)}`, /has 64 bytes, sha256 has 32/],
  ['a short fingerprint', colons(D.subarray(1)), /has 31 bytes/],
  ['hex with colons after spki:', `spki:sha256:${colons(D)}`, /64 hexadecimal digits, without colons/],
  ['no padding', `sha256/${b64(D).slice(0, -1)}`, new RegExp(`not canonical base64; write \`${regexp(b64(D))}\``)],
  ['base64url', `sha256/${SLASHES.toString('base64url')}`, new RegExp(`write \`${regexp(b64(SLASHES))}\``)],
  ['bits after the digest', `sha256/${trailingBits(b64(D))}`, /is not canonical base64; copy the whole digest/],
  ['a blank in it', `sha256/${b64(D).slice(0, 9)} ${b64(D).slice(9)}`, /not canonical base64/],
  ['RFC 7469 without quotes', `pin-sha256=${b64(D)}`, /write `pin-sha256="BASE64"`/],
  ['an empty one among several', `sha256//${b64(D)};;sha256//${b64(D)}`, /leave out the extra `;`/],
  ['TLSA with usage 4', `4 1 1 ${hex(D)}`, /TLSA usage "4" is not 0 to 3/],
  ['TLSA with selector 2', `3 2 1 ${hex(D)}`, /TLSA selector "2" is not 0 or 1/],
  ['TLSA with matching type 3', `3 1 3 ${hex(D)}`, /TLSA matching type "3" is not 0 to 2/],
  ['two TLSA records', `3 1 1 ${hex(D)}\n3 1 1 ${hex(D)}`, /of one record/],
  ['a PEM section of something else', '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----', /cannot be pinned/],
  ['a PEM section without an end', '-----BEGIN PUBLIC KEY-----\nAAAA', /no end/],
  ['PEM garbage', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----', /neither a certificate nor/],
  ['bytes that are garbage', Buffer.from('300100', 'hex'), /neither a certificate nor a public key/],
  ['no bytes', Buffer.alloc(0), /empty/],
  ['a huge text', 'x'.repeat(1 << 22), /^.{1,300}$/],
  ['undefined', undefined, /undefined is not a pin; write 'sha256\/…'/],
  ['null', null, /null is not a pin/],
  ['a number', 5, /number is not a pin/],
  ['a list', [`sha256/${b64(D)}`], /is not a pin/],
  ['an object', { pin: 'x' }, /is not a pin/],
  ['both kinds at once', { certificate: 'x', publicKey: 'x' }, /is not a pin/],
  ['a kind and something else', { certificate: 'x', role: 'leaf' }, /is not a pin/],
  ['a certificate that is none', { certificate: 'x' }, /neither a certificate nor a public key/],
  ['a certificate that is null', { certificate: null }, /null is neither a certificate nor a public key/],
  ['a JWK of nothing', { kty: 'EC' }, /not a JWK of a public key/],
  ['a JWK of another curve', { kty: 'EC', crv: 'P-000', x: 'AA', y: 'AA' }, /not a JWK of a public key/]
]

describe('what is no pin', () => {
  for (const [name, input, message] of BAD) {
    it(`${name}: says what to write`, () => {
      assert.throws(() => parsePin(input), { code: CODE, name: 'PinInvalidError', message })
      if (input === undefined || input === null || Array.isArray(input) || input?.pin) return
      const good = `sha256/${b64(D)}`
      assert.throws(() => new PinSet([good, input]), { code: CODE, message, place: 'pins[1]' })
      const hosts = { [HOST]: good, 'b.example': { pins: good, ca: [good, good, input] } }
      assert.throws(() => new PinSet({ hosts }), { code: CODE, message, place: 'hosts["b.example"].ca[2]' })
    })
  }

  it('a key where a certificate is to be pinned', () => {
    const { publicKey } = keys.p256
    for (const input of [publicKey, csr.pem, publicKey.export({ type: 'spki', format: 'der' })]) {
      assert.throws(() => parsePin({ certificate: /** @type {any} */ (input) }), { code: CODE, message: /target spki/ })
      assert.throws(() => pinOf(input, { target: 'certificate' }), { code: CODE, message: /no certificate to pin/ })
    }
  })

  it('several certificates where one is meant', () => {
    assert.throws(() => pinOf(cert.pem + cert.pem), { code: CODE, message: /2 sections; give each/ })
    assert.throws(() => pinOf(Buffer.concat([cert.der, cert.der])), { code: CODE, message: /something follows it/ })
  })

  for (const [name, options] of /** @type {[string, any][]} */ ([
    ['target', { target: 'cert' }],
    ['target', { target: null }],
    ['algorithm', { algorithm: 'sha1' }],
    ['algorithm', { algorithm: 'SHA256' }]
  ])) {
    it(`pinOf with ${JSON.stringify(options)}`, () => {
      assert.throws(() => pinOf(cert.pem, options), { code: 'ERR_INVALID_ARG_VALUE', message: new RegExp(`^${name}`) })
    })
  }

  it('pinOf with null for options: has a code', () => {
    assert.throws(() => pinOf(cert.pem, /** @type {any} */ (null)), { code: /^ERR_INVALID_ARG/ })
  })

  for (const input of [undefined, null, 5, {}, [], () => {}, Symbol('x'), 'x', Buffer.alloc(0)]) {
    it(`pinOf of ${typeof input} ${String(input)}`, () => {
      assert.throws(() => pinOf(/** @type {any} */ (input)), { code: CODE })
    })
  }
})

/** @param {string} form @param {any} input @param {Buffer} spki */
function same(form, input, spki) {
  const pin = parsePin(input)
  assert.deepEqual([pin.target, pin.algorithm, pin.role], ['spki', 'sha256', 'any'], form)
  assert.deepEqual(pin.digest, sha256(spki), form)
  assert.deepEqual(new PinSet(input).match(HOST)?.pins, [key256(spki)], form)
  assert.deepEqual(new PinSet({ [HOST]: [input] }).match(HOST)?.pins, [key256(spki)], form)
  assert.deepEqual(new PinSet({ [HOST]: { leaf: input } }).match(HOST)?.leaf, [key256(spki)], form)
  assert.equal(String(pinOf(input)), key256(spki), form)
  assert.equal(String(pinOf(input, { algorithm: 'sha512' })), `spki:sha512:${hex(sha512(spki))}`, form)
}

/** @param {any} input @param {crypto.KeyObject} key */
function isKeptSecret(input, key) {
  const { d } = key.export({ format: 'jwk' })
  const secrets = [Buffer.from(String(d), 'base64url'), key.export({ type: 'pkcs8', format: 'der' }).subarray(-24)]
  const attempts = [
    () => parsePin(input),
    () => parsePin({ publicKey: input }),
    () => parsePin({ certificate: input }),
    () => pinOf(input),
    () => new PinSet(input),
    () => new PinSet([input]),
    () => new PinSet({ [HOST]: { ca: [input] } })
  ]
  for (const attempt of attempts) assert.throws(attempt, error => says(error, secrets))
}

/**
 * That an error has its code and nothing of a secret in it: no 9 of its bytes, in any encoding.
 * @param {any} error
 * @param {Buffer[]} secrets
 */
function says(error, secrets) {
  assert.equal(error.code, CODE, error.message)
  const shown = `${error.message} ${error.place} ${error.stack} ${error.cause} ${JSON.stringify(error)}`
  const plain = shown.replace(/[:\s]|\\n/g, '')
  for (const secret of secrets) {
    for (let at = 0; at + 9 <= secret.length; at++) {
      const part = secret.subarray(at, at + 9)
      for (const text of [hex(part), hex(part).toUpperCase(), b64(part), part.toString('base64url')]) {
        assert.ok(!plain.includes(text), `the message repeats the key: ${error.message}`)
      }
    }
  }
  return true
}

async function request() {
  const { subtle } = crypto.webcrypto
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const pair = await subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const made = await x509.Pkcs10CertificateRequestGenerator.create(
    { name: 'CN=localhost', keys: /** @type {any} */ (pair), signingAlgorithm: algorithm },
    /** @type {any} */ (crypto.webcrypto)
  )
  const spki = Buffer.from(await subtle.exportKey('spki', pair.publicKey))
  return { pem: made.toString('pem'), der: Buffer.from(made.rawData), spki }
}

/**
 * The text of a pin with its role, which only a TLSA record has words for.
 * @param {string} role @param {string} target @param {string} algorithm @param {Buffer} digest
 */
function bound(role, target, algorithm, digest) {
  if (role === 'any') return canonical(target, algorithm, digest)
  return [role === 'leaf' ? 3 : 2, target === 'spki' ? 1 : 0, algorithm === 'sha256' ? 1 : 2, hex(digest)].join(' ')
}

/** @param {string} target @param {string} algorithm @param {Buffer} digest */
function canonical(target, algorithm, digest) {
  if (target === 'spki' && algorithm === 'sha256') return `sha256/${b64(digest)}`
  return `${target === 'spki' ? 'spki' : 'cert'}:${algorithm}:${hex(digest)}`
}

/** The last digit before the padding with a bit set that belongs to no byte. @param {string} text */
function trailingBits(text) {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  return `${text.slice(0, 42)}${digits[digits.indexOf(text[42]) + 1]}=`
}

/** @param {Buffer} spki */
function key256(spki) {
  return `sha256/${b64(sha256(spki))}`
}

/** @param {Buffer} bytes */
function sha256(bytes) {
  return crypto.createHash('sha256').update(bytes).digest()
}

/** @param {Buffer} bytes */
function sha512(bytes) {
  return crypto.createHash('sha512').update(bytes).digest()
}

/** @param {Buffer} bytes */
function b64(bytes) {
  return bytes.toString('base64')
}

/** @param {Buffer} bytes */
function hex(bytes) {
  return bytes.toString('hex')
}

/** @param {Buffer} bytes */
function colons(bytes) {
  return hex(bytes)
    .toUpperCase()
    .replace(/(..)(?=.)/g, '$1:')
}

/** @param {string} text */
function regexp(text) {
  return text.replace(/[+/]/g, '\\$&')
}

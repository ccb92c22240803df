'use strict'
// Promise: `verifyChain` says of a chain what a connection would, without one: the verified path and the pin that matched,
// or an error with the connection's code. Neither garbage nor odd options make it accept anything.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const { before, describe, it } = require('node:test')
const { PinSet, verifyChain } = require('..')
const { ca, crl, daysFromNow, leaf } = require('./helpers/pki')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const HOST = 'api.example'
const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const DAY = 86_400_000

/** @type {Certificate} */ let root
/** @type {Certificate} */ let stranger
/** @type {Certificate} */ let intermediate
/** @type {Certificate} */ let cert
/** @type {Certificate} */ let selfSigned

before(async () => {
  root = await ca({ name: 'Root' })
  stranger = await ca({ name: 'Stranger' })
  intermediate = await ca({ name: 'Intermediate', issuer: root })
  cert = await leaf({ issuer: intermediate, names: [HOST, '192.0.2.7', '2001:db8::1'] })
  selfSigned = await leaf({ selfSigned: true, names: [HOST] })
})

describe('a chain in any form', () => {
  /** @type {[form: string, chain: () => any][]} */
  const FORMS = [
    ['a list of PEM', () => [cert.pem, intermediate.pem]],
    ['a PEM bundle', () => cert.pem + intermediate.pem],
    ['a PEM bundle as bytes', () => Buffer.from(cert.pem + intermediate.pem)],
    ['a PEM bundle with text between', () => `leaf\n${cert.pem}\nissuer\n${intermediate.pem}`],
    ['DER', () => [cert.der, intermediate.der]],
    ['DER in an ArrayBuffer', () => [cert, intermediate].map(({ der }) => new Uint8Array(der).buffer)],
    ['DER in a DataView', () => [cert, intermediate].map(({ der }) => new DataView(new Uint8Array(der).buffer))],
    ['X509Certificate', () => [cert.x509, intermediate.x509]],
    ['one of each', () => [cert.x509, `${stranger.pem}${intermediate.pem}`, root.der]],
    ['the issuers in another order', () => [cert.pem, root.pem, stranger.pem, intermediate.pem]],
    ['the leaf twice', () => [cert.pem, cert.pem, intermediate.pem]]
  ]
  for (const [form, chain] of FORMS) {
    it(`${form}: has its path, its pattern and the pin that matched`, () => {
      const found = verify({ chain: chain(), pins: { '*.example': [OTHER, intermediate.pin] } })
      const { path, ...rest } = found
      assert.deepEqual(rest, { pattern: '*.example', matched: intermediate.pin, excused: null })
      assert.deepEqual(path, [cert, intermediate, root].map(described))
    })
  }

  it('one certificate needs no list', () => {
    for (const chain of [selfSigned.pem, selfSigned.der, selfSigned.x509]) {
      const options = { chain, pins: selfSigned.pin, trust: /** @type {const} */ ('pin-only'), ca: undefined }
      assert.deepEqual(verify(options), {
        ...{ path: [described(selfSigned)], pattern: null, matched: selfSigned.pin, excused: null }
      })
    }
  })

  it('may leave out an intermediate that is itself an anchor', () => {
    const { path } = verify({ chain: cert.pem, ca: intermediate.pem, pins: intermediate.pin })
    assert.deepEqual(path, [cert, intermediate].map(described))
  })
})

describe('what a pin may match', () => {
  /** @type {[name: string, pins: () => any, matched: (() => string) | null][]} */
  const ROWS = [
    ['the leaf', () => cert.pin, () => cert.pin],
    ['the intermediate', () => intermediate.pin, () => intermediate.pin],
    ['the root, which was not sent', () => root.pin, () => root.pin],
    ['the whole leaf', () => cert.certPin, () => cert.certPin],
    ['the whole root', () => root.fingerprint256, () => root.certPin],
    ['a stranger', () => stranger.pin, null],
    ['one of several', () => [OTHER, stranger.pin, root.pin], () => root.pin],
    ['leaf: the leaf', () => ({ [HOST]: { leaf: cert.pin } }), () => cert.pin],
    ['leaf: an issuer', () => ({ [HOST]: { leaf: [intermediate.pin, root.pin] } }), null],
    ['ca: an issuer', () => ({ [HOST]: { ca: [OTHER, root.pin] } }), () => root.pin],
    ['ca: the leaf', () => ({ [HOST]: { ca: cert.pin } }), null],
    ['TLSA 3: the leaf', () => tlsa(3, cert), () => cert.pin],
    ['TLSA 3: an issuer', () => tlsa(3, intermediate), null],
    ['TLSA 2: an issuer', () => tlsa(2, intermediate), () => intermediate.pin],
    ['TLSA 2: the leaf', () => tlsa(2, cert), null],
    ['a key as a certificate', () => `cert:sha256:${sha256(cert.spki).toString('hex')}`, null],
    ['a certificate as a key', () => `spki:sha256:${sha256(cert.der).toString('hex')}`, null]
  ]
  for (const [name, pins, matched] of ROWS) {
    it(`${name}: ${matched ? 'matches' : 'does not match'}`, () => {
      if (matched) return assert.equal(verify({ pins: pins() }).matched, matched())
      const error = refusal({ pins: pins() }, 'ERR_TLS_PIN_MISMATCH')
      assert.deepEqual(error.path, [cert, intermediate, root].map(described))
      assert.deepEqual([error.host, error.port, error.phase], [HOST, 443, 'handshake'])
      for (const text of ['ERR_TLS_PIN_MISMATCH', HOST, cert.pin, root.pin, ...error.expected]) {
        assert.ok(error.message.includes(text), text)
      }
    })
  }

  it('a certificate that only lies beside the path does not count', () => {
    refusal({ chain: [cert.pem, intermediate.pem, stranger.pem], pins: stranger.pin }, 'ERR_TLS_PIN_MISMATCH')
  })
})

describe('the host', () => {
  for (const hostname of [HOST, 'API.Example.', '192.0.2.7', '2001:db8::1', '[2001:DB8:0::1]']) {
    it(`${hostname}: is one the certificate is for`, () => assert.equal(verify({ hostname }).matched, cert.pin))
  }

  for (const hostname of ['www.example', 'x.api.example', '192.0.2.8', '2001:db8::2']) {
    it(`${hostname}: is not`, () => void refusal({ hostname }, 'ERR_TLS_CERT_ALTNAME_INVALID'))
  }

  it('and the port choose the entry', () => {
    const pins = { [HOST]: OTHER, [`${HOST}:8443`]: cert.pin, '**.example:8443': OTHER }
    assert.equal(verify({ pins, port: 8443 }).pattern, `${HOST}:8443`)
    assert.equal(refusal({ pins }, 'ERR_TLS_PIN_MISMATCH').pattern, HOST)
    assert.equal(refusal({ pins, port: 443 }, 'ERR_TLS_PIN_MISMATCH').port, 443)
    refusal({ pins: { [`${HOST}:8443`]: cert.pin } }, 'ERR_TLS_PIN_UNLISTED')
  })
})

describe('what is refused', () => {
  /** @type {[name: string, options: () => any, code: string][]} */
  const ROWS = [
    ['another anchor', () => ({ ca: stranger.pem }), 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
    ['no intermediate', () => ({ chain: cert.pem }), 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['only issuers', () => ({ chain: [intermediate.pem, cert.pem] }), 'INVALID_PURPOSE'],
    ['a self-signed leaf', () => ({ chain: selfSigned.pem }), 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    [
      'a chain up to another root',
      () => ({ chain: [...chain(), root.pem], ca: stranger.pem }),
      'SELF_SIGNED_CERT_IN_CHAIN'
    ],
    ['a time before', () => ({ time: daysFromNow(-2) }), 'CERT_NOT_YET_VALID'],
    ['a time after', () => ({ time: daysFromNow(31) }), 'CERT_HAS_EXPIRED'],
    ['an unlisted host', () => ({ pins: { 'other.example': cert.pin } }), 'ERR_TLS_PIN_UNLISTED'],
    [
      'an expired entry',
      () => ({ pins: { [HOST]: { pins: cert.pin, expires: daysFromNow(-1) } } }),
      'ERR_TLS_PIN_EXPIRED'
    ],
    ['an entry not expired then', () => ({ pins: expiring(10), time: daysFromNow(11) }), 'ERR_TLS_PIN_EXPIRED'],
    ['pin-only: an issuer’s pin', () => ({ ...PIN_ONLY, pins: root.pin }), 'ERR_TLS_PIN_MISMATCH'],
    ['pin-only: another name', () => ({ ...PIN_ONLY, hostname: 'www.example' }), 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['pin-only: expired', () => ({ ...PIN_ONLY, time: daysFromNow(31) }), 'CERT_HAS_EXPIRED'],
    ['pin-only: not yet valid', () => ({ ...PIN_ONLY, time: daysFromNow(-2) }), 'CERT_NOT_YET_VALID'],
    ['pin-only: unlisted: allow', () => ({ ...PIN_ONLY, pins: unlisted('allow') }), 'ERR_TLS_PIN_UNLISTED'],
    ['pin-only: mode: report', () => ({ ...PIN_ONLY, pins: reporting() }), 'ERR_TLS_PIN_MISMATCH'],
    ['pin-only with ca', () => ({ trust: 'pin-only' }), 'ERR_TLS_PIN_UNSAFE'],
    ['pin-only with crl', () => ({ ...PIN_ONLY, crl: root.pem }), 'ERR_TLS_PIN_UNSAFE'],
    ['a depth of 0', () => ({ maxIntermediates: 0 }), 'CERT_CHAIN_TOO_LONG']
  ]
  for (const [name, options, code] of ROWS) it(`${name}: ${code}`, () => void refusal(options(), code))

  it('a revoked certificate: CERT_REVOKED', async () => {
    const lists = [await crl({ issuer: root }), await crl({ issuer: intermediate, revoked: [cert] })]
    refusal({ crl: lists }, 'CERT_REVOKED')
    const clean = [await crl({ issuer: root }), await crl({ issuer: intermediate })]
    assert.equal(verify({ crl: clean }).matched, cert.pin)
    refusal({ crl: [clean[1]] }, 'UNABLE_TO_GET_CRL')
  })

  it('a signature with one bit changed', () => {
    const forged = Buffer.from(cert.der)
    forged[forged.length - 1] ^= 1
    const error = refusal({ chain: [forged, intermediate.pem] })
    assert.match(error.code, /^(CERT_SIGNATURE_FAILURE|UNABLE_TO_\w+)$/)
  })

  it('a certificate of an issuer that is no CA: INVALID_CA', async () => {
    const issued = await leaf({ issuer: cert, names: [HOST] })
    refusal({ chain: [issued.pem, cert.pem, intermediate.pem], pins: issued.pin }, 'INVALID_CA')
  })
})

describe('time', () => {
  it('is a Date or milliseconds, of the certificates and of the policy', () => {
    for (const time of [daysFromNow(5), Date.now() + 5 * DAY, undefined]) {
      assert.equal(verify({ time, pins: expiring(10) }).matched, cert.pin)
    }
    const old = { notBefore: new Date('2001-01-01'), notAfter: new Date('2002-01-01') }
    return Promise.all([ca({ name: 'Old', ...old })]).then(async ([issuer]) => {
      const { pem, pin } = await leaf({ issuer, names: [HOST], ...old })
      const options = { chain: pem, ca: issuer.pem, pins: pin }
      assert.equal(verify({ ...options, time: new Date('2001-06-01') }).matched, pin)
      refusal(options, 'CERT_HAS_EXPIRED')
    })
  })
})

describe('maxIntermediates', () => {
  it('is the most certificates between the leaf and the anchor', async () => {
    const links = [root]
    for (let at = 1; at <= 7; at++) links.push(await ca({ name: `Link ${at}`, issuer: links[at - 1] }))
    for (const count of [1, 3, 6]) {
      const issued = await leaf({ issuer: links[count], names: [HOST] })
      const options = { chain: [issued.pem, ...links.slice(1, count + 1).map(({ pem }) => pem)], pins: root.pin }
      for (const maxIntermediates of [undefined, count]) {
        assert.equal(verify({ ...options, maxIntermediates }).path.length, count + 2)
      }
      refusal({ ...options, maxIntermediates: count - 1 }, 'CERT_CHAIN_TOO_LONG')
    }
    const issued = await leaf({ issuer: links[7], names: [HOST] })
    const long = { chain: [issued.pem, ...links.slice(1).map(({ pem }) => pem)], pins: root.pin }
    for (const maxIntermediates of [undefined, 6, 7, 100]) refusal({ ...long, maxIntermediates })
  })

  // Native code would wrap -1 and 2 ** 32, and cut 1.5.
  for (const maxIntermediates of /** @type {any[]} */ ([-1, 2 ** 32, 1.5, Number.NaN, '1', null, 1n])) {
    it(`${typeof maxIntermediates} ${maxIntermediates}: is refused`, () => {
      refusal({ maxIntermediates }, /^ERR_INVALID_ARG/)
    })
  }
})

describe('a looser policy', () => {
  /** @type {[name: string, pins: () => any, excused: string | null, pattern: string | null][]} */
  const ROWS = [
    ['unlisted: report', () => unlisted('report'), 'unlisted', null],
    ['unlisted: allow', () => unlisted('allow'), null, null],
    ['mode: report', () => reporting(), 'mismatch', HOST],
    ['mode: report, expired', () => reporting(daysFromNow(-1)), 'expired', HOST],
    [
      'onExpiry: allow',
      () => ({ [HOST]: { pins: OTHER, expires: daysFromNow(-1), onExpiry: 'allow' } }),
      'expired',
      HOST
    ]
  ]
  for (const [name, pins, excused, pattern] of ROWS) {
    it(`${name}: lets through a verified path, and only that`, () => {
      const { path, ...rest } = verify({ pins: pins() })
      assert.deepEqual(rest, { pattern, matched: null, excused })
      assert.equal(path.length, 3)
      refusal({ pins: pins(), ca: stranger.pem }, 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY')
      refusal({ pins: pins(), hostname: HOST, time: daysFromNow(31) }, 'CERT_HAS_EXPIRED')
    })
  }

  it('is not used where a pin matches', () => {
    assert.deepEqual(verify({ pins: { [HOST]: { pins: cert.pin, mode: 'report' } } }).excused, null)
  })
})

describe('what is no chain', () => {
  const TYPE = 'ERR_INVALID_ARG_TYPE'
  const VALUE = 'ERR_INVALID_ARG_VALUE'
  /** @type {[name: string, options: () => any, code: string | RegExp, message?: RegExp][]} */
  const ROWS = [
    ['nothing', () => ({ chain: undefined }), TYPE, /chain/],
    ['null', () => ({ chain: null }), TYPE, /chain/],
    ['an empty list', () => ({ chain: [] }), VALUE, /chain is an empty list/],
    ['an empty text', () => ({ chain: '' }), VALUE, /chain\[0\] holds no certificate/],
    ['no bytes', () => ({ chain: [cert.pem, Buffer.alloc(0)] }), VALUE, /chain\[1\]/],
    ['text', () => ({ chain: [cert.pem, 'x'] }), VALUE, /chain\[1\] holds no certificate/],
    ['a key', () => ({ chain: cert.key }), VALUE, /chain\[0\] holds no certificate/],
    ['broken PEM', () => ({ chain: cert.pem.replace('MII', 'M!I') }), VALUE, /chain\[0\] is not valid PEM/],
    ['a number', () => ({ chain: [cert.pem, 5] }), TYPE, /chain\[1\]/],
    ['a list in a list', () => ({ chain: [[cert.pem]] }), TYPE, /chain\[0\]/],
    ['DER that is no certificate', () => ({ chain: [Buffer.from('3003020101', 'hex')] }), 'CERT_REJECTED'],
    ['a public key', () => ({ chain: [cert.spki] }), 'CERT_REJECTED'],
    ['half a certificate', () => ({ chain: [cert.der.subarray(0, 200)] }), 'CERT_REJECTED'],
    ['a certificate and a byte more', () => ({ chain: [Buffer.concat([cert.der, Buffer.alloc(1)])] }), 'CERT_REJECTED']
  ]
  for (const [name, options, code, message] of ROWS) {
    it(name, () => void assert.match(refusal(options(), code).message, message ?? /./))
  }

  it('every cut of a certificate, and every byte of it changed: an error or a match, never a crash', () => {
    for (let at = 0; at < cert.der.length; at += 7) {
      refusal({ chain: [cert.der.subarray(0, at), intermediate.der] })
      const changed = Buffer.from(cert.der)
      changed[at] ^= 0x55
      refusal({ chain: [changed, intermediate.der] })
      refusal({ ...PIN_ONLY, chain: [changed.subarray(0, at)] })
    }
  })

  it('garbage beside a good path does not spoil it', () => {
    const garbage = Buffer.concat([Buffer.from([0x30, 0x82, 1, 0]), Buffer.alloc(256, 0x41)])
    const many = Array.from({ length: 200 }, () => stranger.der)
    for (const others of [[garbage], many]) {
      assert.equal(verify({ chain: [cert.der, intermediate.der, ...others] }).matched, cert.pin)
    }
  })
})

describe('what is no option', () => {
  const VALUE = 'ERR_INVALID_ARG_VALUE'
  /** @type {[name: string, options: any, code: string][]} */
  const ROWS = [
    ['an unknown one', { host: HOST }, VALUE],
    ['rejectUnauthorized', { rejectUnauthorized: false }, VALUE],
    ['hostname: undefined', { hostname: undefined }, 'ERR_INVALID_ARG_TYPE'],
    ['hostname: a number', { hostname: 5 }, 'ERR_INVALID_ARG_TYPE'],
    ['hostname: empty', { hostname: '' }, VALUE],
    ['hostname: a URL', { hostname: 'https://api.example' }, VALUE],
    ['hostname: a wildcard', { hostname: '*.example' }, VALUE],
    ['port: 0', { port: 0 }, VALUE],
    ['port: 65536', { port: 65_536 }, VALUE],
    ['port: text', { port: '443' }, VALUE],
    ['pins: undefined', { pins: undefined }, 'ERR_TLS_PIN_INVALID'],
    ['pins: empty', { pins: [] }, 'ERR_TLS_PIN_INVALID'],
    ['trust: another', { trust: 'any' }, VALUE],
    ['ca: garbage', { ca: 'x' }, VALUE],
    ['ca: empty', { ca: [] }, VALUE],
    ['crl: garbage', { crl: 'x' }, VALUE],
    ['time: text', { time: 'tomorrow-ish' }, VALUE],
    ['time: NaN', { time: Number.NaN }, VALUE],
    ['time: an invalid Date', { time: new Date(Number.NaN) }, VALUE],
    ['time: before 1970', { time: -1 }, VALUE],
    ['time: infinite', { time: Infinity }, VALUE]
  ]
  for (const [name, options, code] of ROWS) it(name, () => void refusal(options, code))

  // `new Date` takes them all: null and true are 1970.
  for (const time of /** @type {any[]} */ ([null, true, '2027-01-01', Symbol('x')])) {
    it(`time: ${typeof time} ${String(time)}`, () => void refusal({ time }, /^ERR_INVALID_ARG/))
  }

  it('no options', () => {
    for (const options of /** @type {any[]} */ ([undefined, null, 5, 'x', {}])) {
      assert.throws(() => verifyChain(options), { code: /^ERR_INVALID_ARG/ })
    }
  })

  it('a pin set is taken as it is, and not changed', () => {
    const pins = new PinSet([cert.pin, OTHER])
    assert.equal(verify({ pins }).matched, cert.pin)
    pins.replace([OTHER])
    refusal({ pins }, 'ERR_TLS_PIN_MISMATCH')
  })
})

const PIN_ONLY = { trust: 'pin-only', ca: undefined }

function chain() {
  return [cert.pem, intermediate.pem]
}

/** @param {any} options */
function verify(options) {
  return verifyChain({ chain: chain(), hostname: HOST, pins: cert.pin, ca: root.pem, ...options })
}

/** @param {any} options @param {string | RegExp} [code] @returns {any} */
function refusal(options, code = /./) {
  try {
    verify(options)
  } catch (error) {
    assert.ok(error instanceof Error)
    const given = String(/** @type {any} */ (error).code)
    assert.match(given, typeof code === 'string' ? new RegExp(`^${code}$`) : code, error.message)
    assert.notEqual(given, 'undefined', String(error))
    return error
  }
  assert.fail('it was accepted')
}

/** @param {number} days */
function expiring(days) {
  return { [HOST]: { pins: cert.pin, expires: daysFromNow(days) } }
}

/** @param {Date} [expires] */
function reporting(expires) {
  return { [HOST]: { pins: OTHER, mode: 'report', ...(expires && { expires }) } }
}

/** @param {'allow' | 'report'} word */
function unlisted(word) {
  return { unlisted: word, hosts: { 'other.example': OTHER } }
}

/** @param {number} usage @param {Certificate} certificate */
function tlsa(usage, { spki }) {
  return `${usage} 1 1 ${sha256(spki).toString('hex')}`
}

/** @param {Buffer} bytes */
function sha256(bytes) {
  return crypto.createHash('sha256').update(bytes).digest()
}

/** What a certificate is on a path, as OpenSSL reads it. @param {Certificate} certificate */
function described({ x509, pin, fingerprint256 }) {
  const [validFrom, validTo] = [new Date(x509.validFrom), new Date(x509.validTo)]
  return { subject: x509.subject, issuer: x509.issuer, spkiPin: pin, fingerprint256, validFrom, validTo }
}

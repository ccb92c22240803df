'use strict'
// Promise: a server is accepted on the pin that OpenSSL computes for its key or certificate, in every form a pin has,
// and refused on any other before one application byte leaves.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const { after, before, describe, it } = require('node:test')
const { promisify } = require('node:util')
const { PinnedClient } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */
/** @typedef {import('./helpers/pki').KeyType} KeyType */
/** @typedef {import('./helpers/servers').TlsTestServer} TlsTestServer */
/** @typedef {import('..').PinInput} PinInput */

const LIMIT = { timeout: 60_000 }
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])
const KEYS = /** @type {const} */ (['p256', 'p384', 'rsa2048', 'ed25519'])
/** Of the 256 bits of a digest: the ends, and one between. */
const BITS = [0, 131, 255]

/** @type {Certificate} */ let root
/** @type {Certificate} */ let intermediate
/** @type {Record<string, Certificate>} */ let leaves
/** Another site of the same CA. @type {Certificate} */ let stranger
/** @type {TlsTestServer} */ let server

before(async () => {
  root = await ca({ name: 'Root' })
  intermediate = await ca({ name: 'Intermediate', issuer: root })
  const made = await Promise.all(KEYS.map(async key => [key, await leaf({ issuer: intermediate, key })]))
  leaves = Object.fromEntries(made)
  stranger = await leaf({ issuer: root })
  server = await httpsServer({ cert: leaves.p256, chain: [intermediate] })
})

after(() => server.close())

for (const version of VERSIONS) {
  describe(`a leaf key over ${version}`, LIMIT, () => {
    for (const key of KEYS) {
      it(`${key}: is accepted on its pin`, async t => {
        const { pin } = leaves[key]
        const running = await serve(t, leaves[key], version)
        const { tls, body } = await request(running, { pins: pin, ca: root.pem })
        assert.equal(body, 'ok')
        assert.equal(tls.protocol, version)
        assert.equal(tls.matched, pin)
        assert.equal(tls.resumed, false)
        assert.deepEqual(tls.path, [leaves[key], intermediate, root].map(described))
      })

      for (const bit of BITS) {
        it(`${key}: is refused on its pin with bit ${bit} flipped`, async t => {
          const wrong = flipped(leaves[key].pin, bit)
          const running = await serve(t, leaves[key], version)
          const error = await refused(running, { pins: wrong, ca: root.pem }, 'ERR_TLS_PIN_MISMATCH')
          const path = [leaves[key], intermediate, root]
          assert.deepEqual(error.path, path.map(described))
          assert.deepEqual(error.expected, [wrong])
          assert.equal(error.pattern, null)
          assert.deepEqual([error.host, error.port, error.phase], ['localhost', running.port, 'handshake'])
          assert.match(error.message, /^ERR_TLS_PIN_MISMATCH: /)
          for (const { pin } of path) assert.ok(error.message.includes(pin), `${error.message} shows ${pin}`)
          assert.ok(error.message.includes(wrong))
        })
      }
    }
  })

  describe(`a key that is not supported, over ${version}`, LIMIT, () => {
    it('RSA-PSS: is refused by a message that says so', async t => {
      const cert = await leaf({ issuer: intermediate, key: 'rsa-pss' })
      const running = await serve(t, cert, version)
      const error = await refused(running, { pins: cert.pin, ca: root.pem }, 'UNSUPPORTED_SIGNATURE_ALGORITHM')
      assert.match(error.message, /RSA-PSS/)
      assert.equal(error.host, 'localhost')
    })

    it('RSA-1024: is refused by a message that says so', async t => {
      const cert = await leaf({ issuer: intermediate, keyPair: await weakKeyPair() })
      const running = await serve(t, cert, version)
      const error = await refused(running, { pins: cert.pin, ca: root.pem }, 'UNSUPPORTED_SIGNATURE_ALGORITHM')
      assert.match(error.message, /RSA.*(1024|2048)/)
    })

    it('RSA-1024 of an issuer: is refused by a message that says so', async t => {
      const weak = await ca({ name: 'Weak', issuer: root, keyPair: await weakKeyPair() })
      const cert = await leaf({ issuer: weak })
      const running = await serve(t, cert, version, [weak])
      const error = await refused(running, { pins: cert.pin, ca: root.pem }, 'UNSUPPORTED_SIGNATURE_ALGORITHM')
      assert.match(error.message, /RSA.*(1024|2048)/)
    })

    it('RSA-PSS of an issuer: is refused by a message that says so', async t => {
      const pss = await ca({ name: 'PSS', issuer: root, key: 'rsa-pss' })
      const cert = await leaf({ issuer: pss })
      const running = await serve(t, cert, version, [pss])
      const error = await refused(running, { pins: cert.pin, ca: root.pem }, 'UNSUPPORTED_SIGNATURE_ALGORITHM')
      assert.match(error.message, /RSA-PSS/)
    })
  })
}

/** @typedef {(cert: Certificate) => string} Text */

/**
 * Every way to write the pin of a certificate, and what it is called once read: `sha256/…` of the key where it is not said.
 *
 * @type {{ form: string, write: (cert: Certificate) => PinInput, canonical?: Text }[]}
 */
const FORMS = [
  { form: 'OkHttp', write: cert => cert.pin },
  { form: 'curl', write: cert => cert.pin.replace('/', '//') },
  { form: 'HPKP', write: cert => `pin-sha256="${base64(cert)}"` },
  { form: 'bare base64', write: base64 },
  { form: 'spki:sha256', write: cert => `spki:sha256:${hex(cert.spki)}` },
  { form: 'spki:sha512', write: cert => `spki:sha512:${hex(cert.spki, 'sha512')}`, canonical: spki512 },
  { form: 'cert:sha256', write: cert => cert.certPin, canonical: cert => cert.certPin },
  { form: 'cert:sha512', write: cert512, canonical: cert512 },
  { form: 'fingerprint256', write: cert => cert.x509.fingerprint256, canonical: cert => cert.certPin },
  { form: 'fingerprint512', write: cert => cert.x509.fingerprint512, canonical: cert512 },
  { form: 'openssl line', write: cert => `sha256 Fingerprint=${cert.fingerprint256}`, canonical: cert => cert.certPin },
  { form: 'openssl line, SHA512', write: cert => `SHA512 Fingerprint=${cert.x509.fingerprint512}`, canonical: cert512 },
  { form: 'PEM of the key', write: cert => String(cert.keyPair.publicKey.export({ type: 'spki', format: 'pem' })) },
  { form: 'DER of the key', write: cert => cert.spki },
  { form: 'KeyObject', write: cert => cert.keyPair.publicKey },
  { form: 'JWK', write: cert => cert.keyPair.publicKey.export({ format: 'jwk' }) },
  { form: '{ publicKey: PEM }', write: cert => ({ publicKey: cert.pem }) },
  { form: '{ publicKey: X509Certificate }', write: cert => ({ publicKey: cert.x509 }) },
  { form: '{ certificate: PEM }', write: cert => ({ certificate: cert.pem }), canonical: cert => cert.certPin },
  { form: '{ certificate: DER }', write: cert => ({ certificate: cert.der }), canonical: cert => cert.certPin }
]

/** TLSA data by selector and matching type (RFC 6698). @type {Record<string, Text>} */
const TLSA_DATA = {
  '0 1': cert => hex(cert.der),
  '0 2': cert => hex(cert.der, 'sha512'),
  '1 1': cert => hex(cert.spki),
  '1 2': cert => hex(cert.spki, 'sha512')
}

describe('a form of a pin', LIMIT, () => {
  for (const { form, write, canonical = keyPin } of FORMS) {
    it(`${form}: names the leaf, the intermediate and the root, and nobody else`, async () => {
      for (const cert of [leaves.p256, intermediate, root]) {
        const { tls } = await request(server, { pins: [write(cert)], ca: root.pem })
        assert.equal(tls.matched, canonical(cert))
      }
      const error = await refused(server, { pins: [write(stranger)], ca: root.pem }, 'ERR_TLS_PIN_MISMATCH')
      assert.deepEqual(error.expected, [canonical(stranger)])
    })
  }

  for (const [kind, data] of Object.entries(TLSA_DATA)) {
    it(`TLSA ${kind}: its usage says which certificate may match`, async () => {
      for (const usage of [0, 1, 2, 3]) {
        const namesLeaf = usage === 1 || usage === 3
        const [right, wrong] = namesLeaf ? [leaves.p256, intermediate] : [intermediate, leaves.p256]
        const record = (/** @type {Certificate} */ cert) => `${usage} ${kind} ${data(cert)}`
        assert.equal((await request(server, { pins: record(right), ca: root.pem })).body, 'ok')
        for (const cert of [wrong, stranger]) {
          await refused(server, { pins: record(cert), ca: root.pem }, 'ERR_TLS_PIN_MISMATCH')
        }
      }
      await request(server, { pins: `2 ${kind} ${data(root)}`, ca: root.pem })
    })
  }

  it('TLSA as a whole line of a zone: names the same', async () => {
    const line = (/** @type {Certificate} */ cert) => `_443._tcp.localhost. 3600 IN TLSA 3 1 1 ${hex(cert.spki)}`
    assert.equal((await request(server, { pins: line(leaves.p256), ca: root.pem })).body, 'ok')
    await refused(server, { pins: line(stranger), ca: root.pem }, 'ERR_TLS_PIN_MISMATCH')
  })

  it('several pins: one that matches is enough, none is not', async () => {
    const curl = `${stranger.pin.replace('/', '//')};${leaves.p256.pin.replace('/', '//')}`
    for (const pins of [curl, [stranger.pin, leaves.p256.pin], [leaves.p256.certPin, stranger.certPin]]) {
      assert.equal((await request(server, { pins, ca: root.pem })).body, 'ok')
    }
    const wrong = [stranger.pin, stranger.certPin]
    const error = await refused(server, { pins: wrong, ca: root.pem }, 'ERR_TLS_PIN_MISMATCH')
    assert.deepEqual(error.expected, wrong)
  })

  it('a digest that begins with a slash: is read the same by OkHttp and curl', async t => {
    // One key in 64 has such a digest.
    let cert = await leaf({ issuer: intermediate })
    while (!base64(cert).startsWith('/')) cert = await leaf({ issuer: intermediate })
    const running = await serve(t, cert, 'TLSv1.3')
    for (const pins of [`sha256/${base64(cert)}`, `sha256//${base64(cert)}`]) {
      assert.equal((await request(running, { pins, ca: root.pem })).tls.matched, cert.pin)
    }
  })

  it('a digest of one kind: never matches as another', async () => {
    const { p256 } = leaves
    for (const pins of [`cert:sha256:${hex(p256.spki)}`, `spki:sha256:${hex(p256.der)}`, `3 0 1 ${hex(p256.spki)}`]) {
      await refused(server, { pins, ca: root.pem }, 'ERR_TLS_PIN_MISMATCH')
    }
  })
})

/**
 * @param {import('node:test').TestContext} t
 * @param {Certificate} cert
 * @param {'TLSv1.2' | 'TLSv1.3'} version
 */
async function serve(t, cert, version, chain = [intermediate]) {
  // Level 0: a newer OpenSSL would not even load RSA-1024.
  const options = { minVersion: version, maxVersion: version, tls: { ciphers: 'DEFAULT@SECLEVEL=0' } }
  const running = await httpsServer({ cert, chain, ...options })
  t.after(() => running.close())
  return running
}

/**
 * @param {TlsTestServer} target
 * @param {import('..').ClientOptions} options
 */
async function request(target, options) {
  const client = new PinnedClient(options)
  try {
    const response = await client.request(target.url)
    return { tls: response.tls, body: await response.text() }
  } finally {
    await client.close()
  }
}

/**
 * @param {TlsTestServer} target
 * @param {import('..').ClientOptions} options
 * @param {string} code
 * @returns {Promise<any>} the error
 */
async function refused(target, options, code) {
  await target.settled()
  const { appBytes, connections } = target
  const error = await request(target, options).catch(reason => reason)
  assert.equal(error.code, code, String(error.message ?? 'the server was accepted'))
  await target.settled()
  assert.equal(target.connections, connections + 1)
  assert.equal(target.appBytes, appBytes, 'no application byte arrived')
  return error
}

/** @param {Certificate} cert */
function described({ x509, pin, fingerprint256 }) {
  const { subject, issuer, validFrom, validTo } = x509
  return { subject, issuer, spkiPin: pin, fingerprint256, validFrom: new Date(validFrom), validTo: new Date(validTo) }
}

/**
 * @param {string} pin
 * @param {number} bit
 */
function flipped(pin, bit) {
  const digest = Buffer.from(pin.slice('sha256/'.length), 'base64')
  digest[bit >> 3] ^= 0x80 >> (bit & 7)
  return `sha256/${digest.toString('base64')}`
}

function weakKeyPair() {
  return promisify(crypto.generateKeyPair)('rsa', { modulusLength: 1024 })
}

/** @param {Certificate} cert */
function keyPin({ pin }) {
  return pin
}

/** @param {Certificate} cert */
function base64({ pin }) {
  return pin.slice('sha256/'.length)
}

/** @param {Certificate} cert */
function spki512({ spki }) {
  return `spki:sha512:${hex(spki, 'sha512')}`
}

/** @param {Certificate} cert */
function cert512({ der }) {
  return `cert:sha512:${hex(der, 'sha512')}`
}

/** @param {Uint8Array} bytes */
function hex(bytes, algorithm = 'sha256') {
  return crypto.createHash(algorithm).update(bytes).digest('hex')
}

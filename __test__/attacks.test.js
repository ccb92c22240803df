'use strict'
// Promise: whoever can put certificates together, or even get a trusted CA to sign them, is refused before one
// application byte arrives: only the key that is pinned, on a path that was verified, lets a server through.

const assert = require('node:assert/strict')
const https = require('node:https')
const { before, describe, it } = require('node:test')
const { PinnedClient } = require('..')
const { TAG, der, oid } = require('./helpers/der')
const { ca, daysFromNow, keyPair, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */
/** @typedef {import('./helpers/servers').TlsTestServer} TlsTestServer */
/** @typedef {import('..').ClientOptions} ClientOptions */

/**
 * @typedef {object} Attack
 * @property {string} name
 * @property {() => Promise<{ cert: { pem: string, key: string }, chain: Certificate[], pins: string[] }>} build
 * @property {string} code
 * @property {'accepted' | 'refused'} node what Node's https, without pins, makes of the same server
 * @property {'ca' | 'pin-only'} [trust]
 */

const LIMIT = { timeout: 60_000 }
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])
const PAST = { notBefore: daysFromNow(-60), notAfter: daysFromNow(-1) }

/** good root > good intermediate > victim: what is pinned. Both roots are trusted. */
/** @type {Certificate} */ let root
/** @type {Certificate} */ let intermediate
/** @type {Certificate} */ let victim
/** @type {Certificate} */ let rogueRoot

before(async () => {
  root = await ca({ name: 'Good Root' })
  intermediate = await ca({ name: 'Intermediate', issuer: root })
  victim = await leaf({ issuer: intermediate })
  rogueRoot = await ca({ name: 'Rogue Root' })
})

/** A trusted CA vouches for the attacker, so that nothing but the pins stands in the way. */
const MISISSUED = [
  {
    name: 'a certificate of another trusted CA',
    build: async () => ({ cert: await leaf({ issuer: rogueRoot }), chain: [], pins: everyPin() })
  },
  {
    name: 'a certificate of the pinned host from a CA that is trusted but not pinned, with its own intermediate',
    build: async () => {
      const issuer = await ca({ name: 'Rogue Intermediate', issuer: rogueRoot })
      return { cert: await leaf({ issuer }), chain: [issuer, rogueRoot], pins: everyPin() }
    }
  },
  {
    name: 'the pinned chain appended to a foreign one',
    build: async () => {
      const cert = await leaf({ issuer: rogueRoot })
      return { cert, chain: [victim, intermediate, root], pins: everyPin() }
    }
  },
  {
    name: 'the pinned chain put between the links of a foreign one',
    build: async () => {
      const issuer = await ca({ name: 'Rogue Intermediate', issuer: rogueRoot })
      const chain = [intermediate, issuer, root, victim, rogueRoot]
      return { cert: await leaf({ issuer }), chain, pins: everyPin() }
    }
  },
  {
    name: 'a namesake of the pinned intermediate, with its key id, and the real one beside it',
    build: async () => {
      const { subject, subjectKeyId } = intermediate
      const fake = await ca({ name: 'unused', issuer: rogueRoot, subject, subjectKeyId })
      return { cert: await leaf({ issuer: fake }), chain: [fake, intermediate, root], pins: everyPin() }
    }
  },
  {
    // OpenSSL takes the first issuer of the right name and key id, and does not look for another.
    name: 'a namesake of the pinned intermediate, with its key id, and the real one before it',
    build: async () => {
      const { subject, subjectKeyId } = intermediate
      const fake = await ca({ name: 'unused', issuer: rogueRoot, subject, subjectKeyId })
      return { cert: await leaf({ issuer: fake }), chain: [root, intermediate, fake], pins: everyPin() }
    },
    node: 'refused'
  },
  {
    name: 'a namesake of the pinned root',
    build: async () => {
      const { subject, subjectKeyId } = root
      const fake = await ca({ name: 'unused', issuer: rogueRoot, subject, subjectKeyId })
      return { cert: await leaf({ issuer: fake }), chain: [fake, root], pins: everyPin() }
    },
    node: 'refused'
  },
  {
    name: 'a namesake of the pinned leaf',
    build: async () => {
      const { subject, subjectKeyId } = victim
      const cert = await leaf({ issuer: rogueRoot, subject, subjectKeyId })
      return { cert, chain: [victim], pins: everyPin() }
    }
  },
  {
    // Node's walk over `issuerCertificate` shows the pinned intermediate for this one.
    name: 'a rogue intermediate of the same name, the expired real one before it',
    build: async () => {
      const { subject, subjectKeyId } = intermediate
      const expired = await ca({ name: 'unused', issuer: root, subject, keyPair: intermediate.keyPair, ...PAST })
      const rogue = await ca({ name: 'unused', issuer: rogueRoot, subject, subjectKeyId })
      return { cert: await leaf({ issuer: rogue }), chain: [expired, rogue], pins: [expired.certPin, expired.pin] }
    }
  },
  {
    name: 'the name of the pinned intermediate without key ids, the expired real one before it',
    build: async () => {
      const { subject, keyPair } = intermediate
      const expired = await ca({ name: 'unused', issuer: root, subject, subjectKeyId: null, keyPair, ...PAST })
      const rogue = await ca({ name: 'unused', issuer: rogueRoot, subject, subjectKeyId: null })
      return { cert: await leaf({ issuer: rogue }), chain: [expired, rogue], pins: [expired.certPin, expired.pin] }
    }
  }
].map(attack => /** @type {Attack} */ ({ code: 'ERR_TLS_PIN_MISMATCH', node: 'accepted', ...attack }))

/** The pinned certificate is on the path, and the path is not valid. Node refuses these as well. */
const INVALID = [
  {
    name: 'a leaf as issuer (CA:FALSE)',
    build: () => under({ name: 'Customer', issuer: intermediate, ca: false }),
    code: 'INVALID_CA'
  },
  {
    name: 'an issuer without basicConstraints',
    build: () => under({ name: 'Customer', issuer: intermediate, ca: null }),
    code: 'INVALID_CA'
  },
  {
    name: 'the pinned leaf itself as issuer',
    build: async () => ({ cert: await leaf({ issuer: victim }), chain: [victim, intermediate], pins: everyPin() }),
    code: 'INVALID_CA'
  },
  {
    name: 'one more intermediate than pathLenConstraint allows',
    build: async () => {
      const end = await ca({ name: 'End', issuer: intermediate, pathLength: 0 })
      const more = await ca({ name: 'More', issuer: end })
      const cert = await leaf({ issuer: more })
      return { cert, chain: [more, end, intermediate], pins: [cert.pin, ...everyPin()] }
    },
    code: 'PATH_LENGTH_EXCEEDED'
  },
  {
    name: 'a name outside the permitted ones',
    build: () => under({ name: 'Bound', issuer: intermediate, nameConstraints: { permitted: ['other.example'] } }),
    code: 'PERMITTED_VIOLATION'
  },
  {
    name: 'a name among the excluded ones',
    build: () => under({ name: 'Bound', issuer: intermediate, nameConstraints: { excluded: ['localhost'] } }),
    code: 'PERMITTED_VIOLATION'
  },
  {
    name: 'an address among the excluded ones',
    build: () => under({ name: 'Bound', issuer: intermediate, nameConstraints: { excluded: ['127.0.0.0/8'] } }),
    code: 'PERMITTED_VIOLATION'
  },
  {
    name: 'an expired pinned intermediate',
    build: () => under({ name: 'Old', issuer: root, ...PAST }),
    code: 'CERT_HAS_EXPIRED'
  },
  {
    name: 'a pinned intermediate that is not valid yet',
    build: () => under({ name: 'New', issuer: root, notBefore: daysFromNow(1) }),
    code: 'CERT_NOT_YET_VALID'
  },
  {
    name: 'a leaf for clients only',
    build: async () => alone(await leaf({ issuer: intermediate, eku: ['clientAuth'] })),
    code: 'INVALID_PURPOSE'
  },
  {
    name: 'a leaf for code signing only',
    build: async () => alone(await leaf({ issuer: intermediate, eku: ['codeSigning'] })),
    code: 'INVALID_PURPOSE'
  },
  {
    name: 'an intermediate for clients only',
    build: () => under({ name: 'Clients', issuer: intermediate, eku: ['clientAuth'] }),
    code: 'INVALID_PURPOSE'
  },
  {
    name: 'a leaf that names the pinned intermediate as its issuer, signed by another key',
    build: async () => {
      const { subject, subjectKeyId } = intermediate
      const fake = await ca({ name: 'unused', subject, subjectKeyId })
      return alone(await leaf({ issuer: fake }))
    },
    code: 'CERT_SIGNATURE_FAILURE'
  },
  {
    name: 'a pinned leaf with one bit of its signature flipped',
    build: async () => {
      const forged = Buffer.from(victim.der)
      forged[forged.length - 1] ^= 1
      return alone({ ...victim, pem: pem('CERTIFICATE', forged) })
    },
    code: 'CERT_SIGNATURE_FAILURE'
  }
].map(attack => /** @type {Attack} */ ({ node: 'refused', ...attack }))

/** The pinned certificate word for word, in the hands of one who has not got its key. */
const STOLEN = /** @type {const} */ (['ca', 'pin-only']).map(trust => ({
  name: `the pinned certificate without its key, trust '${trust}'`,
  build: async () => {
    const cert = { pem: victim.pem, key: forgedKey(victim, await keyPair('p256')) }
    return { cert, chain: [intermediate], pins: trust === 'ca' ? everyPin() : [victim.pin, victim.certPin] }
  },
  code: 'ERR_SSL_BAD_SIGNATURE',
  node: /** @type {const} */ ('refused'),
  trust
}))

/** @type {Attack[]} */
const ATTACKS = [...MISISSUED, ...INVALID, ...STOLEN]

for (const version of VERSIONS) {
  describe(`over ${version}`, LIMIT, () => {
    for (const { name, build, code, node, trust = 'ca' } of ATTACKS) {
      it(`refuses ${name}`, async t => {
        const { cert, chain, pins } = await build()
        const server = await httpsServer({ cert, chain, minVersion: version, maxVersion: version })
        t.after(() => server.close())
        const anchors = [root.pem, rogueRoot.pem]
        for (const pin of pins) {
          await refused(server, { pins: pin, trust, ...(trust === 'ca' && { ca: anchors }) }, code)
        }
        assert.equal(server.appBytes, 0)
        assert.deepEqual(server.requests, [])
        // Last, since these bytes may arrive: the chain is what the row says it is, and the attack a real one.
        assert.equal(await nodeVerdict(server, anchors), node)
      })
    }

    it('accepts the victim itself, on every pin', async t => {
      const server = await httpsServer({
        cert: victim,
        chain: [intermediate],
        minVersion: version,
        maxVersion: version
      })
      t.after(() => server.close())
      for (const pins of everyPin()) assert.equal(await status(server, { pins, ca: root.pem }), 200)
      for (const pins of [victim.pin, victim.certPin]) {
        assert.equal(await status(server, { pins, trust: 'pin-only' }), 200)
      }
    })
  })
}

/** The pins of the good path. */
function everyPin() {
  return [victim, intermediate, root].flatMap(({ pin, certPin }) => [pin, certPin])
}

/**
 * A leaf below an issuer of this kind; both are pinned, and all that is above them.
 *
 * @param {Parameters<typeof ca>[0]} options
 */
async function under(options) {
  const issuer = await ca(options)
  const cert = await leaf({ issuer })
  return {
    cert,
    chain: [issuer, intermediate],
    pins: [cert.pin, issuer.pin, issuer.certPin, intermediate.pin, root.pin]
  }
}

/**
 * A leaf below the good intermediate.
 *
 * @param {Certificate} cert
 */
function alone(cert) {
  return { cert, chain: [intermediate], pins: [cert.pin, cert.certPin, intermediate.pin, root.pin] }
}

/**
 * A private key that OpenSSL takes for the certificate's: it compares public keys, and an ECPrivateKey (RFC 5915) carries
 * one beside the secret, which nobody checks against it. What it signs is the attacker's signature.
 *
 * @param {Certificate} certificate of a P-256 key
 * @param {import('./helpers/keys').KeyPair} attacker
 */
function forgedKey(certificate, attacker) {
  const { d = '' } = attacker.privateKey.export({ format: 'jwk' })
  const { x = '', y = '' } = certificate.keyPair.publicKey.export({ format: 'jwk' })
  const [secret, ...point] = [d, x, y].map(value => Buffer.from(value, 'base64url'))
  const uncompressed = Buffer.from([0, 4])
  const key = der(
    TAG.sequence,
    der(TAG.integer, Buffer.from([1])),
    der(TAG.octets, secret),
    der(0xa0, oid('1.2.840.10045.3.1.7')),
    der(0xa1, der(0x03, uncompressed, ...point))
  )
  return pem('EC PRIVATE KEY', key)
}

/**
 * @param {string} label
 * @param {Buffer} bytes
 */
function pem(label, bytes) {
  return `-----BEGIN ${label}-----\n${bytes.toString('base64').replace(/.{1,64}/g, '$&\n')}-----END ${label}-----\n`
}

/**
 * @param {TlsTestServer} server
 * @param {ClientOptions} options
 */
async function status(server, options) {
  const client = new PinnedClient(options)
  try {
    const response = await client.request(server.url)
    await response.text()
    return response.status
  } finally {
    await client.close()
  }
}

/**
 * @param {TlsTestServer} server
 * @param {ClientOptions} options
 * @param {string} code
 */
async function refused(server, options, code) {
  const { connections } = server
  const error = await status(server, options).catch(reason => reason)
  assert.equal(error.code, code, String(error.message ?? `status ${error}`))
  await server.settled()
  assert.equal(server.connections, connections + 1)
  assert.equal(server.appBytes, 0, 'no application byte arrived')
}

/**
 * @param {TlsTestServer} server
 * @param {string[]} anchors
 * @returns {Promise<'accepted' | 'refused'>}
 */
function nodeVerdict({ url }, anchors) {
  return new Promise(resolve => {
    https
      .get(url, { agent: false, ca: anchors }, response => response.resume().on('end', () => resolve('accepted')))
      .on('error', () => resolve('refused'))
  })
}

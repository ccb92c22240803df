'use strict'
// Promise: what Node shows of a server's certificates is taken for what it is: not always a key, and not the chain that was
// verified. Every title begins with the fact.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const { before, describe, it } = require('node:test')
const { createCheckServerIdentity } = require('..')
const { codeOf, httpsStatus } = require('./helpers/node-tls')
const { OURS } = require('./helpers/ours')
const { ca, daysFromNow, keyPair, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const LIMIT = { timeout: 120_000 }
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])

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

describe('cert.pubkey is the SubjectPublicKeyInfo of an RSA key only', LIMIT, () => {
  /** What Node shows of each type of key, of which a pin is made by many a program. */
  const TABLE = /** @type {const} */ ([
    [
      'rsa2048',
      'is the SubjectPublicKeyInfo',
      (/** @type {any} */ pubkey, /** @type {Buffer} */ spki) => pubkey.equals(spki)
    ],
    [
      'p256',
      'is the bare point',
      (/** @type {any} */ pubkey, /** @type {Buffer} */ spki) => pubkey.equals(spki.subarray(-65))
    ],
    [
      'p384',
      'is the bare point',
      (/** @type {any} */ pubkey, /** @type {Buffer} */ spki) => pubkey.equals(spki.subarray(-97))
    ],
    ['ed25519', 'is not there', (/** @type {any} */ pubkey) => pubkey === undefined],
    [
      'rsa-pss',
      'is not there, or some other bytes',
      (/** @type {any} */ pubkey, /** @type {Buffer} */ spki) => pubkey === undefined || !pubkey.equals(spki)
    ]
  ])

  for (const [key, what, holds] of TABLE) {
    it(`of ${key} it ${what}; the pin is of the whole, as OpenSSL computes it`, async t => {
      // Ed25519 and RSA-PSS sign in TLS 1.3 only, as far as every OpenSSL agrees.
      const cert = await leaf({ issuer: root, key })
      const server = await httpsServer({ cert })
      t.after(() => server.close())
      /** @type {any} */ let shown
      const look = (/** @type {string} */ _, /** @type {any} */ given) => {
        shown = given
        return undefined
      }
      await httpsStatus(server.url, { agent: false, ca: root.pem, checkServerIdentity: look })
      assert.ok(holds(shown.pubkey, cert.spki))
      const recipe = shown.pubkey && `sha256/${crypto.createHash('sha256').update(shown.pubkey).digest('base64')}`
      assert.equal(recipe === cert.pin, key === 'rsa2048')

      const { appBytes } = server
      const pinned = (/** @type {string} */ pin) =>
        httpsStatus(server.url, { agent: false, ca: root.pem, checkServerIdentity: createCheckServerIdentity(pin) })
      for (const pin of [victim.pin, recipe]) {
        if (pin && pin !== cert.pin) await assert.rejects(pinned(pin), { code: 'ERR_TLS_PIN_MISMATCH' })
      }
      await server.settled()
      assert.equal(server.appBytes, appBytes)
      for (const pin of [cert.pin, cert.certPin]) assert.equal(await pinned(pin), 200)
    })
  }
})

for (const version of VERSIONS) {
  const bounds = { minVersion: version, maxVersion: version, http2: true }

  describe(`the walk over issuerCertificate is not the path that Node verified (${version})`, LIMIT, () => {
    it('it shows an expired intermediate with the pinned key, while the server is below a rogue one of its name', async t => {
      const { subject, subjectKeyId } = intermediate
      const dates = { notBefore: daysFromNow(-60), notAfter: daysFromNow(-1) }
      const expired = await ca({ name: 'unused', issuer: root, subject, keyPair: intermediate.keyPair, ...dates })
      const rogue = await ca({ name: 'unused', issuer: rogueRoot, subject, subjectKeyId })
      const server = await httpsServer({ cert: await leaf({ issuer: rogue }), chain: [expired, rogue], ...bounds })
      t.after(() => server.close())
      const anchors = [root.pem, rogueRoot.pem]
      await allRefuse(server, [expired.pin, expired.certPin], anchors)

      const { status, shown } = await nodeShows(server, anchors)
      assert.equal(status, 200)
      assert.ok(shown.includes(expired.fingerprint256), 'a check that walks is deceived')
      assert.ok(!shown.includes(rogue.fingerprint256))
    })

    it('it does not show a pinned certificate that is merely appended', async t => {
      const cert = await leaf({ issuer: rogueRoot })
      const server = await httpsServer({ cert, chain: [victim, intermediate, root], ...bounds })
      t.after(() => server.close())
      const anchors = [root.pem, rogueRoot.pem]
      await allRefuse(server, [victim.pin, intermediate.pin, intermediate.certPin, root.pin], anchors)

      const { status, shown } = await nodeShows(server, anchors)
      assert.equal(status, 200)
      assert.deepEqual(shown, [cert.fingerprint256, rogueRoot.fingerprint256])
    })

    it('a twin of the key in the walk is no help to anybody who has not got it', async t => {
      // The pinned intermediate's name, with a key of the attacker's: shown, below a trusted root, not pinned.
      const { subject } = intermediate
      const fake = await ca({ name: 'unused', issuer: rogueRoot, subject, keyPair: await keyPair() })
      const server = await httpsServer({ cert: await leaf({ issuer: fake }), chain: [fake, intermediate], ...bounds })
      t.after(() => server.close())
      const anchors = [root.pem, rogueRoot.pem]
      await allRefuse(server, [intermediate.pin, root.pin], anchors)
      assert.equal((await nodeShows(server, anchors)).status, 200)
    })
  })
}

/** What a walk from the server's certificate over its issuers shows. @param {any} cert @returns {string[]} */
function walk(cert) {
  const seen = new Set()
  for (let at = cert; at && !seen.has(at.fingerprint256); at = at.issuerCertificate) seen.add(at.fingerprint256)
  return [...seen]
}

/** What Node makes of a server that it trusts. @param {{ url: string }} server @param {string[]} anchors */
async function nodeShows(server, anchors) {
  /** @type {string[]} */ let shown = []
  const checkServerIdentity = (/** @type {string} */ _, /** @type {any} */ cert) => {
    shown = walk(cert)
    return undefined
  }
  const status = await httpsStatus(server.url, { agent: false, ca: anchors, checkServerIdentity })
  return { status, shown }
}

/**
 * Every way of ours refuses, and nothing arrives.
 * @param {any} server
 * @param {string[]} pins
 * @param {string[]} anchors
 */
async function allRefuse(server, pins, anchors) {
  const { appBytes, connections } = server
  for (const { name, status } of OURS) {
    const error = await status({ server, pins, ca: anchors }).catch(reason => reason)
    assert.equal(codeOf(error), 'ERR_TLS_PIN_MISMATCH', `${name}: ${error}`)
  }
  await server.settled()
  assert.equal(server.connections, connections + OURS.length)
  assert.equal(server.appBytes, appBytes)
}

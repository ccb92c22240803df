'use strict'
// Signed policies, written here once more: byte by byte as the DSSE specification has them, with node:crypto alone.

const crypto = require('node:crypto')
const { pinned } = require('./policies')

const TYPE = 'application/vnd.tls-pinning.policy+json'
const HOUR = 3_600_000

function keyPair() {
  const { privateKey, publicKey } = crypto.generateKeyPairSync('ed25519')
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  return {
    privateKey,
    publicKey: spki.toString('base64'),
    keyid: crypto.createHash('sha256').update(spki).digest().subarray(0, 8).toString('hex')
  }
}

/**
 * @param {string} type
 * @param {Buffer} body
 */
function pae(type, body) {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(type)} ${type} ${body.length} `), body])
}

/**
 * @param {ReturnType<typeof keyPair>} key
 * @param {string | Buffer} payload
 * @param {Record<string, any>} [more]
 */
function envelope(key, payload, more = {}) {
  const { type = TYPE, message } = more
  const keyid = 'keyid' in more ? more.keyid : key.keyid
  const body = Buffer.from(payload)
  const sig = crypto.sign(null, message ?? pae(type, body), key.privateKey).toString('base64')
  return { payloadType: type, payload: body.toString('base64'), signatures: [{ keyid, sig }] }
}

/**
 * The payload for the policy of one host.
 * @param {string} host
 * @param {Record<string, any>} [more]
 */
function payloadFor(host, { policy = {}, ...more } = {}) {
  const now = Date.now()
  return JSON.stringify({
    version: 1,
    notBefore: iso(now - HOUR),
    expires: iso(now + HOUR),
    policy: { ...JSON.parse(pinned(host)), ...policy },
    ...more
  })
}

/**
 * @param {ReturnType<typeof keyPair>} key
 * @param {string} host
 * @param {Record<string, any>} [more]
 */
function signedFor(key, host, more) {
  return JSON.stringify(envelope(key, payloadFor(host, more)))
}

/** @param {number} milliseconds */
function iso(milliseconds) {
  return new Date(Math.floor(milliseconds / 1000) * 1000).toISOString()
}

module.exports = { HOUR, TYPE, envelope, iso, keyPair, pae, payloadFor, signedFor }

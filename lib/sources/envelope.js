'use strict'
// The envelope of a signed policy: DSSE (Dead Simple Signing Envelope, version 1.0.2) with Ed25519. The signature is
// verified before anything of the payload is looked at.

const crypto = require('node:crypto')
const { fromFailure, unwrap } = require('../errors.js')
const binding = require('../native.js')
const { keyId } = require('./keys.js')

const PAYLOAD_TYPE = 'application/vnd.tls-pinning.policy+json'
/** Bytes of an envelope. A policy of ten thousand hosts is smaller. */
const MOST_BYTES = 4 * 1024 * 1024
const MOST_SIGNATURES = 16

/**
 * @typedef {object} Signed A policy whose signature is good.
 * @property {number} version
 * @property {number | null} notBefore Unix seconds
 * @property {number} expires Unix seconds
 * @property {string} policy Canonical, and expiring with what was signed.
 * @property {string} digest Of the payload.
 * @property {string} keyId
 */

/**
 * What is signed: type and payload with their lengths, so that no two pairs of them are the same bytes (DSSE's PAE).
 * @param {Uint8Array} payload
 */
function signedBytes(payload) {
  const length = Buffer.byteLength(PAYLOAD_TYPE)
  return Buffer.concat([Buffer.from(`DSSEv1 ${length} ${PAYLOAD_TYPE} ${payload.length} `), payload])
}

/**
 * @param {string} payload
 * @param {crypto.KeyObject} key A private one.
 */
function seal(payload, key) {
  const bytes = Buffer.from(payload)
  const sig = crypto.sign(null, signedBytes(bytes), key).toString('base64')
  const envelope = {
    payloadType: PAYLOAD_TYPE,
    payload: bytes.toString('base64'),
    signatures: [{ keyid: keyId(key), sig }]
  }
  return `${JSON.stringify(envelope, null, 2)}\n`
}

/**
 * @param {Uint8Array | string} envelope
 * @param {import('./keys.js').PublicKey[]} keys
 * @returns {Signed}
 */
function open(envelope, keys) {
  const { payload, signatures } = parse(envelope)
  const message = signedBytes(payload)
  const known = signatures.flatMap(({ keyid, sig }) =>
    keys.filter(({ id }) => keyid === undefined || keyid === id).map(key => ({ ...key, sig }))
  )
  const by = known.find(({ key, sig }) => crypto.verify(null, message, key, sig))
  if (!by) throw notGenuine(known.length > 0 ? 'its signature is wrong: it was changed' : unknownKey(signatures, keys))
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload)
  const digest = crypto.createHash('sha256').update(payload).digest('hex')
  return { ...unwrap(binding.signedPayload(text)), digest, keyId: by.id }
}

/** @param {Uint8Array | string} envelope */
function parse(envelope) {
  if (envelope.length > MOST_BYTES) throw notGenuine(`it is larger than ${MOST_BYTES} bytes`)
  let value
  try {
    value = JSON.parse(typeof envelope === 'string' ? envelope : Buffer.from(envelope).toString())
  } catch {
    throw notGenuine('it is not JSON')
  }
  const { payloadType, payload, signatures } = Object(value)
  if (payloadType !== PAYLOAD_TYPE) throw notGenuine(`its payloadType is not ${PAYLOAD_TYPE}`)
  if (!Array.isArray(signatures) || signatures.length === 0 || signatures.length > MOST_SIGNATURES) {
    throw notGenuine(`it has not 1 to ${MOST_SIGNATURES} signatures`)
  }
  return {
    payload: base64(payload, 'payload'),
    signatures: signatures.map(each => {
      const { keyid, sig } = Object(each)
      // A hint, and optional in DSSE.
      if (keyid !== undefined && typeof keyid !== 'string') throw notGenuine('a keyid is not a string')
      return { keyid: keyid || undefined, sig: base64(sig, 'sig') }
    })
  }
}

/**
 * The standard alphabet or that of URLs, as DSSE allows, and nothing that a reader would have to guess about.
 * @param {unknown} text
 * @param {string} name
 */
function base64(text, name) {
  if (typeof text === 'string') {
    const bytes = Buffer.from(text, 'base64')
    const plain = (/** @type {string} */ form) => form.replace(/=+$/, '').replaceAll('-', '+').replaceAll('_', '/')
    if (plain(bytes.toString('base64')) === plain(text)) return bytes
  }
  throw notGenuine(`its ${name} is not base64`)
}

/**
 * @param {{ keyid: string | undefined }[]} signatures
 * @param {import('./keys.js').PublicKey[]} keys
 */
function unknownKey(signatures, keys) {
  const named = signatures.map(({ keyid }) => JSON.stringify(String(keyid).slice(0, 64)))
  return `it is signed by ${named.join(', ')}, and the keys known here are ${keys.map(({ id }) => id).join(', ')}`
}

/** @param {string} why */
function notGenuine(why) {
  const message = `not a genuine signed policy: ${why}`
  return fromFailure({ code: 'ERR_TLS_PIN_POLICY_SIGNATURE', message, phase: 'policy' })
}

module.exports = { MOST_BYTES, open, seal }

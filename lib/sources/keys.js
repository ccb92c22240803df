'use strict'
// Ed25519 keys that policies are signed with.

const crypto = require('node:crypto')
const { argumentError } = require('../errors.js')
const { kind } = require('../trust.js')

const PRIVATE = 'this is a private key: keep it where policies are signed, and give the public key here'

/** @typedef {{ id: string, key: crypto.KeyObject }} PublicKey */

/**
 * One key or several, in any form.
 * @param {unknown} keys
 * @returns {PublicKey[]}
 */
function publicKeys(keys) {
  const list = Array.isArray(keys) ? keys : [keys]
  if (list.length === 0 || keys === undefined) {
    throw argumentError('ERR_INVALID_ARG_VALUE', 'publicKeys must have at least one key')
  }
  return list.map((given, index) => {
    const key = publicKey(given, Array.isArray(keys) ? `publicKeys[${index}]` : 'publicKeys')
    return { id: keyId(key), key }
  })
}

/**
 * @param {any} given
 * @param {string} place
 */
function publicKey(given, place) {
  const isPrivate =
    given instanceof crypto.KeyObject
      ? given.type !== 'public'
      : given?.d !== undefined || (typeof given === 'string' && given.includes('PRIVATE KEY'))
  if (isPrivate) throw argumentError('ERR_INVALID_ARG_VALUE', `${place}: ${PRIVATE}`)
  let key
  try {
    key = given instanceof crypto.KeyObject ? given : crypto.createPublicKey(input(given))
  } catch (cause) {
    const what = typeof given === 'string' ? 'this text' : kind(given)
    const message = `${place}: ${what} is no public key; give the line that \`tls-pinning keygen\` has printed, or PEM`
    throw argumentError('ERR_INVALID_ARG_VALUE', message, cause)
  }
  if (key.asymmetricKeyType === 'ed25519') return key
  const message = `${place}: policies are signed with Ed25519, and this is a key for ${key.asymmetricKeyType}`
  throw argumentError('ERR_INVALID_ARG_VALUE', message)
}

/**
 * PEM, the base64 between its lines, DER, or a JWK.
 * @param {any} given
 * @returns {crypto.PublicKeyInput | crypto.JsonWebKeyInput | string}
 */
function input(given) {
  if (typeof given === 'string') {
    const text = given.trim()
    if (text.includes('-----BEGIN')) return text
    return { key: Buffer.from(text, 'base64'), format: 'der', type: 'spki' }
  }
  if (given instanceof Uint8Array) return { key: Buffer.from(given), format: 'der', type: 'spki' }
  return { key: given, format: 'jwk' }
}

/**
 * A private key to sign with.
 * @param {string} pem
 */
function privateKey(pem) {
  let key
  try {
    key = crypto.createPrivateKey(pem)
  } catch (cause) {
    throw argumentError('ERR_INVALID_ARG_VALUE', 'this is no private key in PEM without a passphrase', cause)
  }
  if (key.asymmetricKeyType === 'ed25519') return key
  const message = `policies are signed with Ed25519, and this is a key for ${key.asymmetricKeyType}`
  throw argumentError('ERR_INVALID_ARG_VALUE', message)
}

/**
 * What a signature names its key by: the first 8 bytes of the SHA-256 digest of its SubjectPublicKeyInfo, in hexadecimal.
 * @param {crypto.KeyObject} key
 */
function keyId(key) {
  return crypto.createHash('sha256').update(spki(key)).digest('hex').slice(0, 16)
}

/**
 * A public key as one line: its SubjectPublicKeyInfo in base64, as in the middle of its PEM.
 * @param {crypto.KeyObject} key
 */
function keyLine(key) {
  return spki(key).toString('base64')
}

/** @param {crypto.KeyObject} key */
function spki(key) {
  const half = key.type === 'public' ? key : crypto.createPublicKey(key)
  return half.export({ type: 'spki', format: 'der' })
}

module.exports = { keyId, keyLine, privateKey, publicKeys }

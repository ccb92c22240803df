'use strict'
// Key pairs and signatures, all by OpenSSL through node:crypto: WebCrypto has no id-RSASSA-PSS keys, and prints a
// warning for Ed25519 on Node 20.

const crypto = require('node:crypto')
const { promisify } = require('node:util')

/** @typedef {'p256' | 'p384' | 'rsa2048' | 'rsa-pss' | 'ed25519'} KeyType */
/** @typedef {{ privateKey: crypto.KeyObject, publicKey: crypto.KeyObject }} KeyPair */

const generate = /** @type {(type: string, options: object) => Promise<KeyPair>} */ (promisify(crypto.generateKeyPair))

/** @type {Record<KeyType, [type: string, options: object]>} */
const RECIPES = {
  p256: ['ec', { namedCurve: 'P-256' }],
  p384: ['ec', { namedCurve: 'P-384' }],
  rsa2048: ['rsa', { modulusLength: 2048 }],
  'rsa-pss': ['rsa-pss', { modulusLength: 2048 }],
  ed25519: ['ed25519', {}]
}

/** @type {Map<string, Promise<KeyPair>>} */
const cache = new Map()

/**
 * A fresh key pair.
 *
 * @param {KeyType} [type]
 * @returns {Promise<KeyPair>}
 */
function keyPair(type = 'p256') {
  return generate(...RECIPES[type])
}

/**
 * The same key pair for the same type and label all over this process, since RSA keys take long to make. Sharing has to be
 * asked for: two certificates that a test believes to have two keys must never get one by accident.
 *
 * @param {KeyType} type
 * @param {string} [label]
 */
function cachedKeyPair(type, label = '') {
  const id = `${type}:${label}`
  const pair = cache.get(id) ?? keyPair(type)
  cache.set(id, pair)
  return pair
}

/**
 * What the certificate library calls a `CryptoKey`: the algorithm to write down, and the key that {@link provider} signs
 * with.
 *
 * @param {crypto.KeyObject} key a private key
 */
function signingKey(key) {
  return { algorithm: signatureAlgorithm(key), key }
}

/** The part of WebCrypto that the certificate library asks for. */
const provider = {
  subtle: {
    /**
     * @param {{ hash?: string }} algorithm
     * @param {{ key: crypto.KeyObject }} signer
     * @param {ArrayBuffer} data
     */
    async sign({ hash }, { key }, data) {
      const padding = key.asymmetricKeyType === 'rsa-pss' ? { saltLength: 32 } : {}
      const digest = key.asymmetricKeyType === 'ed25519' ? null : hash?.replace('-', '').toLowerCase()
      return crypto.sign(digest, Buffer.from(data), { key, dsaEncoding: 'ieee-p1363', ...padding })
    }
  }
}

/** @param {crypto.KeyObject} key */
function signatureAlgorithm({ asymmetricKeyType, asymmetricKeyDetails }) {
  switch (asymmetricKeyType) {
    case 'ec':
      return asymmetricKeyDetails?.namedCurve === 'secp384r1'
        ? { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' }
        : { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
    case 'ed25519':
      return { name: 'Ed25519' }
    case 'rsa-pss':
      return { name: 'RSA-PSS', hash: 'SHA-256', saltLength: 32 }
    case 'rsa':
      return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
    default:
      throw new TypeError(`no signature algorithm for a key of type ${asymmetricKeyType}`)
  }
}

module.exports = { cachedKeyPair, keyPair, provider, signingKey }

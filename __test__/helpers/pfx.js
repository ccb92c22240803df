'use strict'
// PKCS#12 (RFC 7292), which Node can read but not write.

const crypto = require('node:crypto')
const { TAG, der, oid } = require('./der')

const OID = {
  data: oid('1.2.840.113549.1.7.1'),
  sha256: oid('2.16.840.1.101.3.4.2.1'),
  localKeyId: oid('1.2.840.113549.1.9.21'),
  x509Certificate: oid('1.2.840.113549.1.9.22.1'),
  shroudedKeyBag: oid('1.2.840.113549.1.12.10.1.2'),
  certificateBag: oid('1.2.840.113549.1.12.10.1.3')
}
const ITERATIONS = 2048

/**
 * A PFX file as today's tools write it: the key under PBES2 with AES-256, a MAC with HMAC-SHA-256. The certificates are not
 * encrypted.
 *
 * @param {{ cert: import('./pki').Certificate, chain?: { der: Buffer }[], passphrase: string }} options
 */
function pfx({ cert, chain = [], passphrase }) {
  const key = cert.keyPair.privateKey.export({ type: 'pkcs8', format: 'der', cipher: 'aes-256-cbc', passphrase })
  const bags = [
    bag(OID.shroudedKeyBag, key, keyId(cert)),
    certificateBag(cert, keyId(cert)),
    ...chain.map(link => certificateBag(link))
  ]
  const safe = der(TAG.sequence, dataContent(der(TAG.sequence, ...bags)))
  return der(TAG.sequence, integer(3), dataContent(safe), macData(safe, passphrase))
}

/** @param {Buffer} content */
function dataContent(content) {
  return der(TAG.sequence, OID.data, der(0xa0, der(TAG.octets, content)))
}

/**
 * @param {{ der: Buffer }} cert
 * @param {...Buffer} attributes
 */
function certificateBag(cert, ...attributes) {
  const value = der(TAG.sequence, OID.x509Certificate, der(0xa0, der(TAG.octets, cert.der)))
  return bag(OID.certificateBag, value, ...attributes)
}

/**
 * @param {Buffer} type
 * @param {Buffer} value
 * @param {...Buffer} attributes
 */
function bag(type, value, ...attributes) {
  return der(TAG.sequence, type, der(0xa0, value), ...(attributes.length ? [der(TAG.set, ...attributes)] : []))
}

/** The attribute that ties a certificate to its key. @param {import('./pki').Certificate} cert */
function keyId({ der: bytes }) {
  const digest = crypto.createHash('sha1').update(bytes).digest()
  return der(TAG.sequence, OID.localKeyId, der(TAG.set, der(TAG.octets, digest)))
}

/**
 * @param {Buffer} content
 * @param {string} passphrase
 */
function macData(content, passphrase) {
  const salt = crypto.randomBytes(16)
  const mac = crypto.createHmac('sha256', macKey(passphrase, salt)).update(content).digest()
  const digestInfo = der(TAG.sequence, der(TAG.sequence, OID.sha256, der(TAG.null)), der(TAG.octets, mac))
  return der(TAG.sequence, digestInfo, der(TAG.octets, salt), integer(ITERATIONS))
}

/**
 * RFC 7292, appendix B.2, for one block of output: SHA-256 with its blocks of 64 bytes.
 *
 * @param {string} passphrase
 * @param {Buffer} salt
 */
function macKey(passphrase, salt) {
  const bmpString = Buffer.from(`${passphrase}\0`, 'utf16le').swap16()
  const fill = (/** @type {Buffer} */ bytes) => Buffer.alloc(64 * Math.ceil(bytes.length / 64), bytes)
  let block = Buffer.concat([Buffer.alloc(64, 3), fill(salt), fill(bmpString)])
  for (let i = 0; i < ITERATIONS; i++) block = crypto.createHash('sha256').update(block).digest()
  return block
}

/** @param {number} value a small one, not negative */
function integer(value) {
  const hex = value.toString(16)
  return der(TAG.integer, Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex'))
}

module.exports = { pfx }

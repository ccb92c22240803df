'use strict'
// What a file of certificates, keys or requests holds: PEM with any number of sections, DER, JWK, JWKS, PKCS#12.
//
// Of a private key the public half is derived here and nothing else is kept: the native side refuses private keys, since
// one that is given for a pin is a mistake everywhere but on this command line.

const crypto = require('node:crypto')
const fs = require('node:fs')
const { isatty } = require('node:tty')
const binding = require('../../lib/native.js')
const { usageError } = require('../errors.js')
const { date, unwrap } = require('../../lib/errors.js')

/**
 * @typedef {object} Found One certificate, key or request.
 * @property {'certificate' | 'public key' | 'private key' | 'request'} kind
 * @property {string} key Such as `EC P-256`.
 * @property {{ sha256: string, sha512: string, certificate256?: string, certificate512?: string, fingerprint256?: string }} pins
 * @property {string} [subject]
 * @property {string} [issuer]
 * @property {string} [serialNumber]
 * @property {'leaf' | 'intermediate' | 'root'} [role]
 * @property {string[]} [names]
 * @property {Date} [validFrom]
 * @property {Date} [validTo]
 */

/** Sections that openssl writes before a key and that hold none. */
const PARAMETERS = /^(EC|DSA|DH) PARAMETERS$/
const GIVE = 'give a certificate, public or private key, request or JWK, as PEM or DER'

/** For every command that reads such files. */
const PASSPHRASE = /** @type {const} */ ({ 'passphrase-file': { type: 'string' } })

/**
 * What is in a file, or on standard input where it is `-`.
 * @param {string} file
 * @param {{ 'passphrase-file'?: string }} [options]
 * @returns {Found[]}
 */
function readMaterial(file, options = {}) {
  // Not by `process.stdin`, which makes a pipe one that cannot be waited for.
  if (file === '-' && isatty(0)) {
    throw usageError('no file is given, and standard input is a terminal', 'tls-pinning pin --help shows examples')
  }
  const passphrase = passphraseIn(options['passphrase-file'])
  const bytes = fs.readFileSync(file === '-' ? 0 : file)
  const name = file === '-' ? 'standard input' : file
  try {
    return materialIn(bytes, name, passphrase)
  } finally {
    // It may hold a private key.
    bytes.fill(0)
  }
}

/**
 * A passphrase stands in a file and not on the command line, where every user of the machine could read it.
 * @param {string | undefined} file
 */
function passphraseIn(file) {
  return file === undefined ? undefined : fs.readFileSync(file, 'utf8').replace(/\r?\n$/, '')
}

/**
 * @param {Buffer} bytes
 * @param {string} name
 * @param {string | undefined} passphrase
 * @returns {Found[]}
 */
function materialIn(bytes, name, passphrase) {
  const parts = partsOf(bytes, name)
  const found = parts.flatMap(({ part, label, place }) => {
    try {
      return ofPart(part, label, passphrase)
    } catch (error) {
      throw explained(error, place)
    }
  })
  if (found.length === 0) throw usageError(`${name}: there is no certificate or key in it`, GIVE)
  return found
}

/**
 * @param {Buffer} part
 * @param {string} label
 * @param {string | undefined} passphrase
 * @returns {Found[]}
 */
function ofPart(part, label, passphrase) {
  if (label === 'JSON') return ofJwk(JSON.parse(part.toString()))
  if (label.endsWith('PRIVATE KEY')) {
    const isEncrypted = label === 'ENCRYPTED PRIVATE KEY' || part.includes('Proc-Type: 4,ENCRYPTED')
    if (isEncrypted && passphrase === undefined) throw ENCRYPTED()
    return [ofPrivateKey({ key: part, passphrase })]
  }
  if (label === 'RSA PUBLIC KEY') return [ofKey(crypto.createPublicKey(part))]
  if (label === 'PKCS12') {
    const certificates = unwrap(binding.certificatesOfPfx(part, passphrase ?? ''))
    return certificates.map((/** @type {string} */ der) => described(Buffer.from(der, 'base64')))
  }
  if (label !== '' || !isPrivate(part)) return [described(part)]
  return [ofPrivateDer(part, passphrase)]
}

/**
 * The sections of PEM, or the whole as what it looks like.
 * @param {Buffer} bytes
 * @param {string} name
 * @returns {{ part: Buffer, label: string, place: string }[]}
 */
function partsOf(bytes, name) {
  if (bytes.length === 0) throw usageError(`${name} is empty`, GIVE)
  if (bytes.indexOf('-----BEGIN ') >= 0) return sectionsOf(bytes, name)
  if (/^\s*[{[]/.test(bytes.subarray(0, 64).toString('latin1'))) return [{ part: bytes, label: 'JSON', place: name }]
  return [{ part: bytes, label: isPfx(bytes) ? 'PKCS12' : '', place: name }]
}

/**
 * Without a string of the whole, which could not be wiped.
 * @param {Buffer} bytes
 * @param {string} name
 */
function sectionsOf(bytes, name) {
  /** @type {{ part: Buffer, label: string, place: string }[]} */
  const sections = []
  let at = bytes.indexOf('-----BEGIN ')
  while (at >= 0) {
    const place = `${name}, section ${sections.length + 1}`
    const label = /^-----BEGIN ([^\r\n]*?)-----/.exec(bytes.subarray(at, at + 80).toString('latin1'))?.[1]
    const footer = `-----END ${label}-----`
    const end = bytes.indexOf(footer, at)
    const next = bytes.indexOf('-----BEGIN ', at + 1)
    if (label === undefined || end < 0 || (next >= 0 && next < end)) {
      throw usageError(`${place} has no end`, 'copy it whole, from its -----BEGIN to its -----END line')
    }
    sections.push({ part: bytes.subarray(at, end + footer.length), label, place })
    at = next
  }
  return sections
    .filter(({ label }) => !PARAMETERS.test(label))
    .map(section => (sections.length === 1 ? { ...section, place: name } : section))
    .map(section => (section.label === 'NEW CERTIFICATE REQUEST' ? renamed(section) : section))
}

/**
 * The same section under the name that RFC 7468, section 7, gives it.
 * @param {{ part: Buffer, label: string, place: string }} section
 */
function renamed({ part, place }) {
  const text = part.toString('latin1').replaceAll('NEW CERTIFICATE REQUEST', 'CERTIFICATE REQUEST')
  return { part: Buffer.from(text, 'latin1'), label: 'CERTIFICATE REQUEST', place }
}

/** @param {Buffer} der */
function isPfx(der) {
  // SEQUENCE { INTEGER 3 … }: no key begins so (RFC 7292, section 4).
  const header = der[0] === 0x30 ? 2 + (der[1] > 0x80 ? der[1] - 0x80 : 0) : 0
  return header > 0 && der.subarray(header, header + 3).equals(Buffer.from([2, 1, 3]))
}

/** @param {Buffer} der */
function isPrivate(der) {
  const { error } = JSON.parse(binding.kindOf(der))
  return error !== undefined && formOf(der) !== undefined
}

/**
 * The forms of a private key in DER. The last is OpenSSL's own for DSA, which Node reads in PEM only.
 * @type {((der: Buffer) => crypto.PrivateKeyInput)[]}
 */
const PRIVATE_KEY_FORMS = [
  key => ({ key, format: 'der', type: 'pkcs8' }),
  key => ({ key, format: 'der', type: 'pkcs1' }),
  key => ({ key, format: 'der', type: 'sec1' }),
  key => ({ key: `-----BEGIN DSA PRIVATE KEY-----\n${key.toString('base64')}\n-----END DSA PRIVATE KEY-----\n` })
]

/** @param {Buffer} der */
function formOf(der) {
  return PRIVATE_KEY_FORMS.find(form => {
    try {
      crypto.createPrivateKey(form(der))
      return true
    } catch (error) {
      return isMissingPassphrase(/** @type {any} */ (error))
    }
  })
}

/**
 * @param {Buffer} der
 * @param {string | undefined} passphrase
 */
function ofPrivateDer(der, passphrase) {
  const form = /** @type {(der: Buffer) => crypto.PrivateKeyInput} */ (formOf(der))
  return ofPrivateKey({ ...form(der), passphrase })
}

/** @param {crypto.PrivateKeyInput} input */
function ofPrivateKey(input) {
  return ofKey(crypto.createPublicKey(crypto.createPrivateKey(input)), 'private key')
}

/**
 * @param {any} json
 * @returns {Found[]}
 */
function ofJwk(json) {
  if (Array.isArray(json?.keys)) return json.keys.flatMap(ofJwk)
  if (typeof json?.kty !== 'string') throw usageError('this JSON is no JWK and no set of them', GIVE)
  if (json.kty === 'oct') throw usageError('a JWK of a secret key has no public half to pin', GIVE)
  const key = crypto.createPublicKey({ key: json, format: 'jwk' })
  return [ofKey(key, json.d === undefined ? 'public key' : 'private key')]
}

/**
 * @param {crypto.KeyObject} key
 * @param {'public key' | 'private key'} [kind]
 * @returns {Found}
 */
function ofKey(key, kind = 'public key') {
  return { ...described(key.export({ type: 'spki', format: 'der' })), kind }
}

/**
 * @param {Buffer} material
 * @returns {Found}
 */
function described(material) {
  const { kind, ca, selfIssued, validFrom, validTo, pins, ...found } = unwrap(binding.describeMaterial(material))
  const { certificate256, certificate512, fingerprint256, ...told } = found
  if (kind !== 'certificate') return { ...told, pins, kind: kind === 'key' ? 'public key' : kind }
  return {
    kind,
    ...told,
    role: !ca ? 'leaf' : selfIssued ? 'root' : 'intermediate',
    validFrom: date(validFrom),
    validTo: date(validTo),
    pins: { ...pins, certificate256, certificate512, fingerprint256 }
  }
}

const ENCRYPTED = () =>
  usageError('the private key is encrypted', 'give the file of its passphrase: --passphrase-file FILE')

/** @param {{ code?: string }} error */
function isMissingPassphrase({ code = '' }) {
  // The second is what OpenSSL says of a key in DER.
  return /^ERR_(MISSING_PASSPHRASE|OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED)$/.test(code)
}

/**
 * What went wrong with a part, in words that say nothing of a key.
 * @param {any} error
 * @param {string} place
 */
function explained(error, place) {
  const { code = '', message } = error
  if (isMissingPassphrase(error)) return explained(ENCRYPTED(), place)
  if (/BAD_DECRYPT|BAD_PASSWORD/.test(code) || /pfx cannot be read/.test(message)) {
    return usageError(`${place} cannot be decrypted`, 'give the file of its passphrase: --passphrase-file FILE')
  }
  if (code === 'ERR_USAGE') return usageError(`${place}: ${message}`, error.hint)
  if (code === 'ERR_TLS_PIN_INVALID')
    return usageError(`${place}: ${message}`, `tls-pinning pin reads: ${GIVE.slice(5)}`)
  return usageError(`${place} cannot be read (${code || 'malformed'})`, GIVE)
}

module.exports = { PASSPHRASE, materialIn, readMaterial }

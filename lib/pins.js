'use strict'
// Pins in all their forms: every input of a pin becomes text here, every decision about it is made in native code.

const binding = require('./native.js')
const { isCertificate, isKeyObject, nodeCrypto } = require('./crypto-objects.js')
const { argumentError, invalidPin, isPlain, outcomeOf, own, PinInvalidError, unwrap } = require('./errors.js')
const { kind } = require('./trust.js')

const WHICH_CERTIFICATE =
  'a certificate does not say what to pin; write { publicKey: certificate } for its key or ' +
  '{ certificate } for exactly this certificate'

/**
 * A policy, a shorthand or a list of pins as JSON with nothing but text for pins.
 * @param {unknown} pins
 * @returns {string}
 */
function policyText(pins) {
  if (pins === undefined || pins === null) {
    throw invalidPin('pins', "no pins; give at least one, such as ['sha256/…']")
  }
  try {
    return JSON.stringify(plain(pins), noSilence)
  } catch (error) {
    if (error instanceof PinInvalidError) throw error
    throw invalidPin('pins', `the policy cannot be written as JSON (${/** @type {Error} */ (error).message})`)
  }
}

/**
 * JSON leaves out what it has no form for: an entry that should expire would never do.
 * @param {string} key
 * @param {unknown} value
 */
function noSilence(key, value) {
  if (typeof value !== 'function' && typeof value !== 'symbol' && typeof value !== 'bigint') return value
  throw invalidPin(key || 'pins', `${kind(value)} cannot stand in a policy`)
}

/** @param {any} pins */
function plain(pins) {
  if (isPin(pins)) return [pinText(pins, 'pins')]
  if (Array.isArray(pins)) return pinList(pins, 'pins')
  if (typeof pins !== 'object' || !isPlain(pins)) throw invalidPin('pins', `${kind(pins)} is not a pin or a policy`)
  if (!Object.hasOwn(pins, 'hosts') && !Object.hasOwn(pins, 'version')) return hosts(pins, 'pins')
  const isMap = typeof pins.hosts === 'object' && pins.hosts !== null && !Array.isArray(pins.hosts)
  return isMap ? { ...pins, hosts: hosts(pins.hosts, 'hosts') } : pins
}

/**
 * @param {Record<string, any>} map
 * @param {string} place
 */
function hosts(map, place) {
  return Object.fromEntries(
    Object.entries(map).map(([pattern, entry]) => {
      const here = `${place}[${JSON.stringify(pattern)}]`
      if (isPin(entry)) return [pattern, pinText(entry, here)]
      if (Array.isArray(entry)) return [pattern, pinList(entry, here)]
      if (typeof entry !== 'object' || entry === null) return [pattern, entry]
      if (!isPlain(entry)) throw invalidPin(here, `${kind(entry)} is not a plain object`)
      const plainEntry = own(entry)
      for (const key of ['pins', 'leaf', 'ca']) {
        if (plainEntry[key] !== undefined) plainEntry[key] = list(plainEntry[key], `${here}.${key}`)
      }
      return [pattern, plainEntry]
    })
  )
}

/**
 * @param {any} pins
 * @param {string} place
 */
function list(pins, place) {
  if (isPin(pins)) return pinText(pins, place)
  return Array.isArray(pins) ? pinList(pins, place) : pins
}

/**
 * @param {unknown[]} pins
 * @param {string} place
 */
function pinList(pins, place) {
  return pins.map((pin, index) => pinText(pin, `${place}[${index}]`))
}

/** A pin that has been read. */
class Pin {
  #text

  /** @param {any} native */
  constructor({ target, algorithm, digest, role, text }) {
    this.target = target
    this.algorithm = algorithm
    this.digest = Buffer.from(digest, 'hex')
    this.role = role
    this.#text = text
  }

  toString() {
    return this.#text
  }

  toJSON() {
    return this.#text
  }
}

/**
 * Whether a value stands for one pin rather than for a list or a policy.
 * @param {any} value
 */
function isPin(value) {
  if (typeof value === 'string') return true
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  if (ArrayBuffer.isView(value) || value instanceof Pin || isKeyObject(value)) return true
  if (isCertificate(value) || typeof value.kty === 'string') return true
  return Object.hasOwn(value, 'certificate') || Object.hasOwn(value, 'publicKey')
}

/**
 * One pin as text.
 * @param {any} pin
 * @param {string} place
 * @returns {string}
 */
function pinText(pin, place) {
  if (typeof pin === 'string') return pin
  if (pin instanceof Pin) return String(pin)
  if (isCertificate(pin)) throw invalidPin(place, WHICH_CERTIFICATE)
  if (ArrayBuffer.isView(pin)) return bareMaterial(pin, place)
  if (isKeyObject(pin) || typeof pin?.kty === 'string') return pinAt(pin, 'spki', place)
  if (pin && typeof pin === 'object') {
    const { certificate, publicKey, ...rest } = own(pin)
    if (Object.keys(rest).length === 0 && (certificate === undefined) !== (publicKey === undefined)) {
      return certificate === undefined ? pinAt(publicKey, 'spki', place) : pinAt(certificate, 'certificate', place)
    }
  }
  throw invalidPin(place, `${kind(pin)} is not a pin; write 'sha256/…', { publicKey } or { certificate }`)
}

/**
 * Bytes that say themselves what they are: a key or a request, but not a certificate.
 * @param {ArrayBufferView} bytes
 * @param {string} place
 */
function bareMaterial(bytes, place) {
  const material = materialOf(bytes, place)
  const outcome = outcomeOf(binding.kindOf(material))
  if (outcome.ok === 'certificate') throw invalidPin(place, WHICH_CERTIFICATE)
  return pinAt(material, 'spki', place)
}

/**
 * @param {unknown} material
 * @param {'spki' | 'certificate'} target
 * @param {string} place
 */
function pinAt(material, target, place) {
  const outcome = outcomeOf(binding.pinOf(materialOf(material, place), target, 'sha256'))
  if (outcome.error) throw invalidPin(place, outcome.error.message)
  return outcome.ok.text
}

/**
 * Certificates and public keys in any form, as bytes that native code reads. A private key is never taken.
 * @param {any} value
 * @param {string} place
 * @returns {Uint8Array}
 */
function materialOf(value, place) {
  if (typeof value === 'string') return Buffer.from(value)
  if (value instanceof Uint8Array) return value
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  if (value instanceof ArrayBuffer) return new Uint8Array(value)
  if (isCertificate(value)) return value.raw
  const key = publicKeyOf(value, place)
  if (key) return key.export({ type: 'spki', format: 'der' })
  throw invalidPin(place, `${kind(value)} is neither a certificate nor a public key`)
}

/**
 * @param {any} value
 * @param {string} place
 */
function publicKeyOf(value, place) {
  const isPrivate = isKeyObject(value) ? value.type !== 'public' : value?.d !== undefined
  if (isPrivate) throw invalidPin(place, 'a private or secret key is not a pin; give the public key')
  if (isKeyObject(value)) return value
  if (typeof value?.kty !== 'string') return undefined
  try {
    return nodeCrypto().createPublicKey({ key: value, format: 'jwk' })
  } catch (cause) {
    throw invalidPin(place, `not a JWK of a public key (${/** @type {Error} */ (cause).message})`)
  }
}

/**
 * Reads a pin in any of its textual forms.
 * @param {unknown} input
 */
function parsePin(input) {
  if (typeof input !== 'string') {
    const text = pinText(input, 'pin')
    return parsePin(text)
  }
  const pins = unwrap(binding.parsePins(input))
  if (pins.length > 1) {
    throw invalidPin('pin', `${pins.length} pins in one text; split it at ";", or give it as the option pins`)
  }
  return new Pin(pins[0])
}

/**
 * The pin of a certificate, public key or certificate request.
 * @param {unknown} material
 * @param {{ target?: 'spki' | 'certificate', algorithm?: 'sha256' | 'sha512' }} [options]
 */
function pinOf(material, options = {}) {
  if (typeof options !== 'object' || options === null) {
    throw argumentError('ERR_INVALID_ARG_TYPE', `options must be an object, not ${kind(options)}`)
  }
  const { target = 'spki', algorithm = 'sha256' } = own(options)
  if (target !== 'spki' && target !== 'certificate') {
    throw argumentError('ERR_INVALID_ARG_VALUE', `target must be 'spki' or 'certificate', not ${kind(target)}`)
  }
  if (algorithm !== 'sha256' && algorithm !== 'sha512') {
    throw argumentError('ERR_INVALID_ARG_VALUE', `algorithm must be 'sha256' or 'sha512', not ${kind(algorithm)}`)
  }
  return new Pin(unwrap(binding.pinOf(materialOf(material, 'certificateOrKey'), target, algorithm)))
}

module.exports = { policyText, parsePin, pinOf }

'use strict'
// Pins and policies: every input of a pin becomes text here, every decision about it is made in native code.

const { EventEmitter } = require('node:events')
const crypto = require('node:crypto')
const binding = require('../binding.js')
const {
  argumentError,
  certificate,
  date,
  invalidPin,
  own,
  PinInvalidError,
  unwrap,
  unwrapObject
} = require('./errors.js')
const { trustOf, byteList, kind } = require('./trust.js')

const WHICH_CERTIFICATE =
  'a certificate does not say what to pin; write { publicKey: certificate } for its key or ' +
  '{ certificate } for exactly this certificate'

/**
 * A live policy. What holds for a connection is what the pin set says when it is written to.
 */
class PinSet extends EventEmitter {
  #native

  /** @param {unknown} pins */
  constructor(pins) {
    super()
    this.#native = unwrapObject(binding.pinSet(policyText(pins)))
    handles.set(this, this.#native)
  }

  /**
   * The entry that decides about a host, or null where the policy has none.
   * @param {string} host
   * @param {number} [port]
   */
  match(host, port = 443) {
    if (typeof host !== 'string')
      throw argumentError('ERR_INVALID_ARG_TYPE', `host must be a string, not ${kind(host)}`)
    const entry = unwrap(this.#native.entry(host, checkPort(port)))
    return entry && { ...entry, expires: date(entry.expires) }
  }

  /**
   * Decides about a chain as a connection would.
   * @param {string} host
   * @param {unknown} chain
   * @param {Record<string, unknown>} [options]
   */
  check(host, chain, options = {}) {
    return verifyChain({ ...options, hostname: host, chain, pins: this })
  }

  /**
   * Puts another policy into force, as a whole. If it is malformed, nothing changes.
   * @param {unknown} pins
   */
  replace(pins) {
    unwrap(this.#native.replace(policyText(pins)))
    this.emit('change')
  }

  /** What is valid in the policy and still unwise. */
  get warnings() {
    return JSON.parse(this.#native.warnings())
  }

  /** The policy in canonical form. */
  toJSON() {
    return JSON.parse(this.#native.toJson())
  }
}

/** @type {WeakMap<PinSet, import('../binding.js').NativePinSet>} */
const handles = new WeakMap()

/**
 * The native side of a pin set.
 * @param {PinSet} pins
 */
function handleOf(pins) {
  return /** @type {import('../binding.js').NativePinSet} */ (handles.get(pins))
}

/**
 * Whatever the option `pins` is, as a pin set.
 * @param {unknown} pins
 */
function asPinSet(pins) {
  return pins instanceof PinSet ? pins : new PinSet(pins)
}

/**
 * A policy, a shorthand or a list of pins as JSON with nothing but text for pins.
 * @param {unknown} pins
 * @returns {string}
 */
function policyText(pins) {
  if (pins instanceof PinSet) return handleOf(pins).toJson()
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
  if (typeof pins !== 'object') throw invalidPin('pins', `${kind(pins)} is not a pin or a policy`)
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

/**
 * Whether a value stands for one pin rather than for a list or a policy.
 * @param {any} value
 */
function isPin(value) {
  if (typeof value === 'string') return true
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  if (ArrayBuffer.isView(value) || value instanceof crypto.KeyObject) return true
  if (value instanceof crypto.X509Certificate || typeof value.kty === 'string') return true
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
  if (pin instanceof crypto.X509Certificate) throw invalidPin(place, WHICH_CERTIFICATE)
  if (ArrayBuffer.isView(pin)) return bareMaterial(pin, place)
  if (pin instanceof crypto.KeyObject || typeof pin?.kty === 'string') return pinAt(pin, 'spki', place)
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
  const outcome = JSON.parse(binding.kindOf(material))
  if (outcome.ok === 'certificate') throw invalidPin(place, WHICH_CERTIFICATE)
  return pinAt(material, 'spki', place)
}

/**
 * @param {unknown} material
 * @param {'spki' | 'certificate'} target
 * @param {string} place
 */
function pinAt(material, target, place) {
  const outcome = JSON.parse(binding.pinOf(materialOf(material, place), target, 'sha256'))
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
  if (value instanceof crypto.X509Certificate) return value.raw
  const key = publicKeyOf(value, place)
  if (key) return key.export({ type: 'spki', format: 'der' })
  throw invalidPin(place, `${kind(value)} is neither a certificate nor a public key`)
}

/**
 * @param {any} value
 * @param {string} place
 */
function publicKeyOf(value, place) {
  const isPrivate = value instanceof crypto.KeyObject ? value.type !== 'public' : value?.d !== undefined
  if (isPrivate) throw invalidPin(place, 'a private or secret key is not a pin; give the public key')
  if (value instanceof crypto.KeyObject) return value
  if (typeof value?.kty !== 'string') return undefined
  try {
    return crypto.createPublicKey({ key: value, format: 'jwk' })
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
  return pinObject(pins[0])
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
  return pinObject(unwrap(binding.pinOf(materialOf(material, 'certificateOrKey'), target, algorithm)))
}

/** @param {any} native */
function pinObject({ target, algorithm, digest, role, text }) {
  return { target, algorithm, digest: Buffer.from(digest, 'hex'), role, toString: () => text, toJSON: () => text }
}

const CHAIN_OPTIONS = ['chain', 'hostname', 'port', 'pins', 'ca', 'crl', 'trust', 'time', 'maxIntermediates']

/**
 * The native verifier without a connection: the verified path and the pin that matched on it, or the error thrown.
 * @param {Record<string, any>} options
 */
function verifyChain(options) {
  const { chain, hostname, port = 443, pins, ca, crl, trust = 'ca', time, maxIntermediates } = own(options)
  for (const name of Object.keys(options ?? {})) {
    if (!CHAIN_OPTIONS.includes(name)) throw argumentError('ERR_INVALID_ARG_VALUE', `unknown option ${name}`)
  }
  if (typeof hostname !== 'string') {
    throw argumentError('ERR_INVALID_ARG_TYPE', `hostname must be a string, not ${kind(hostname)}`)
  }
  const certificates = (Array.isArray(chain) ? chain : [chain]).map(certificate =>
    certificate instanceof crypto.X509Certificate ? certificate.raw : certificate
  )
  const given = {
    chain: byteList(certificates, 'chain'),
    hostname,
    port: checkPort(port),
    time: seconds(time),
    crl: byteList(crl, 'crl'),
    maxIntermediates: checkDepth(maxIntermediates)
  }
  const store = trustOf({ trust, ca, crl })
  const { path, pattern, matched, excused } = unwrap(binding.verifyChain(given, handleOf(asPinSet(pins)), store))
  return { path: path.map(certificate), pattern, matched, excused }
}

/**
 * @param {unknown} time
 * @returns {number | undefined}
 */
function seconds(time) {
  if (time === undefined) return undefined
  const milliseconds = time instanceof Date ? time.getTime() : time
  if (typeof milliseconds === 'number' && Number.isFinite(milliseconds)) return milliseconds / 1000
  throw argumentError('ERR_INVALID_ARG_VALUE', 'time must be a Date or milliseconds')
}

/**
 * @param {unknown} depth
 * @returns {number | undefined}
 */
function checkDepth(depth) {
  if (depth === undefined || (Number.isInteger(depth) && Number(depth) >= 0 && Number(depth) < 2 ** 32)) {
    return /** @type {number | undefined} */ (depth)
  }
  throw argumentError('ERR_INVALID_ARG_VALUE', 'maxIntermediates must be an integer, 0 or more')
}

/** @param {unknown} port */
function checkPort(port) {
  if (Number.isInteger(port) && Number(port) > 0 && Number(port) < 65_536) return Number(port)
  throw argumentError(
    'ERR_INVALID_ARG_VALUE',
    `port must be an integer from 1 to 65535, not ${typeof port === 'number' ? port : kind(port)}`
  )
}

module.exports = { PinSet, asPinSet, handleOf, policyText, parsePin, pinOf, verifyChain, checkPort }

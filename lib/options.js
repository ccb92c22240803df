'use strict'
// The options of a client, checked before anything else happens.

const { CrlFiles } = require('./crl.js')
const { isKeyObject, nodeCrypto } = require('./crypto-objects.js')
const { argumentError, isPlain, own, unsafe } = require('./errors.js')
const { asPinSet } = require('./policy.js')
const { mayUseLoop } = require('./port.js')
const { proxyOf } = require('./proxy.js')
const { bytes, byteList, kind, trustOf } = require('./trust.js')

/** Options of a client, with what holds where they are not given. Times in milliseconds, 0 for no limit. */
const CLIENT_DEFAULTS = {
  pins: undefined,
  ca: undefined,
  crl: undefined,
  cert: undefined,
  key: undefined,
  passphrase: undefined,
  pfx: undefined,
  servername: undefined,
  minVersion: undefined,
  maxVersion: undefined,
  trust: 'ca',
  allowH2: true,
  family: 0,
  localAddress: undefined,
  lookup: undefined,
  proxy: undefined,
  connectTimeout: 10_000,
  handshakeTimeout: 10_000,
  headersTimeout: 300_000,
  bodyTimeout: 300_000,
  keepAliveTimeout: 4_000,
  maxResponseSize: -1,
  decompress: true,
  maxExpansion: 200,
  connections: 0,
  driver: 'auto',
  rejectUnauthorized: true
}

const CLIENT_OPTIONS = Object.keys(CLIENT_DEFAULTS)
/** Under this name `tls-pinning drill` puts its way to every server; the pins decide inside of it as on any other. */
const kRoute = Symbol.for('tls-pinning.route')
const REQUEST_OPTIONS = ['method', 'headers', 'body', 'signal', 'redirect', 'maxRedirections']

/** Options of Node and of other clients that mean something else here, and what to write. */
const ELSEWHERE = {
  checkServerIdentity: 'the native client checks identity itself; give pins',
  agent: 'the native client has its own pool',
  dispatcher: 'the native client has its own pool',
  secureContext: 'give ca, cert and key',
  timeout: 'give connectTimeout, handshakeTimeout, headersTimeout or bodyTimeout, or a signal',
  host: 'the URL says where to connect; servername says whom to expect',
  hostname: 'the URL says where to connect; servername says whom to expect'
}

/**
 * Refuses what is not an option, and names the nearest one.
 * @param {object} options
 * @param {string[]} known
 */
function checkNames(options, known) {
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    if (CLIENT_OPTIONS.includes(name) || REQUEST_OPTIONS.includes(name)) {
      const place = CLIENT_OPTIONS.includes(name) ? 'new PinnedClient(…)' : 'request(url, …)'
      throw argumentError('ERR_INVALID_ARG_VALUE', `unknown option ${name}; it belongs to ${place}`)
    }
    const hint = Object.hasOwn(ELSEWHERE, name)
      ? `; ${ELSEWHERE[/** @type {keyof typeof ELSEWHERE} */ (name)]}`
      : suggestion(name, known)
    throw argumentError('ERR_INVALID_ARG_VALUE', `unknown option ${name}${hint}`)
  }
}

/**
 * @param {string} name
 * @param {string[]} known
 */
function suggestion(name, known) {
  const [nearest] = known
    .map(option => ({ option, far: distance(name.toLowerCase(), option.toLowerCase()) }))
    .sort((a, b) => a.far - b.far)
  return nearest.far <= Math.max(2, name.length / 3) ? `; did you mean ${nearest.option}?` : ''
}

/**
 * How many letters to add, drop or change (Levenshtein).
 * @param {string} a
 * @param {string} b
 */
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1))
    }
    row = next
  }
  return row[b.length]
}

/**
 * @param {any} options
 * @param {string[]} known
 */
function checkObject(options, known) {
  if (typeof options !== 'object' || options === null || !isPlain(options)) {
    throw argumentError('ERR_INVALID_ARG_TYPE', `options must be a plain object, not ${kind(options)}`)
  }
  checkNames(options, known)
}

/**
 * @typedef {object} ClientParts
 * @property {InstanceType<typeof import('./policy.js').PinSet>} pins
 * @property {import('../binding.js').NativeTrust} [trust]
 * @property {import('../binding.js').NativeOptions} native
 * @property {import('./lookup.js').Lookup} [lookup]
 * @property {{ native: import('../binding.js').NativeProxy, pins?: InstanceType<typeof import('./policy.js').PinSet> }} [proxy]
 * @property {InstanceType<typeof import('./crl.js').CrlFiles>} [crlFiles] Where the revocation lists are read from again.
 */

/**
 * What a client is made of.
 * @param {any} options
 * @returns {ClientParts}
 */
function clientOptions(options) {
  checkObject(options, CLIENT_OPTIONS)
  const all = own(CLIENT_DEFAULTS)
  for (const [name, value] of Object.entries(options)) if (value !== undefined) all[name] = value
  if (all.rejectUnauthorized !== true) {
    throw unsafe("rejectUnauthorized: false switches verification off; for a self-signed server say trust: 'pin-only'")
  }
  const crlFiles = CrlFiles.of(all.crl)
  if (crlFiles) all.crl = crlFiles.read()
  const parts = { pins: asPinSet(all.pins), trust: trustOf(all), native: nativeOptions(all), crlFiles }
  const route = /** @type {any} */ (globalThis)[kRoute]
  return { ...parts, lookup: all.lookup, proxy: proxyOf(route ? route(all) : all.proxy, clientOptions) }
}

/**
 * @param {Record<string, any>} all
 * @returns {import('../binding.js').NativeOptions}
 */
function nativeOptions(all) {
  return {
    ...clientIdentity(all),
    crl: byteList(all.crl, 'crl'),
    servername: text(all, 'servername'),
    minVersion: text(all, 'minVersion'),
    maxVersion: text(all, 'maxVersion'),
    localAddress: text(all, 'localAddress'),
    lookup: isLookup(all.lookup),
    allowH2: boolean(all, 'allowH2'),
    family: family(all.family),
    connectTimeout: number(all, 'connectTimeout', 0),
    handshakeTimeout: number(all, 'handshakeTimeout', 0),
    headersTimeout: number(all, 'headersTimeout', 0),
    bodyTimeout: number(all, 'bodyTimeout', 0),
    keepAliveTimeout: number(all, 'keepAliveTimeout', 0),
    maxResponseSize: number(all, 'maxResponseSize', -1),
    decompress: boolean(all, 'decompress'),
    maxExpansion: number(all, 'maxExpansion', -1),
    connections: number(all, 'connections', 0, 65_535),
    onLoop: onLoop(all.driver)
  }
}

/**
 * The client's own certificate and key.
 * @param {Record<string, any>} all
 */
function clientIdentity({ cert, key, pfx, passphrase }) {
  if (passphrase !== undefined && typeof passphrase !== 'string') {
    throw argumentError('ERR_INVALID_ARG_TYPE', `passphrase must be a string, not ${kind(passphrase)}`)
  }
  if (pfx !== undefined) {
    if (cert !== undefined || key !== undefined) {
      throw argumentError('ERR_INVALID_ARG_VALUE', 'give either pfx, or cert and key')
    }
    return { cert: [], pfx: bytes(pfx, 'pfx'), passphrase }
  }
  if ((cert === undefined) !== (key === undefined)) {
    const [given, missing] = cert === undefined ? ['key', 'cert'] : ['cert', 'key']
    throw argumentError('ERR_INVALID_ARG_VALUE', `${given} was given without ${missing}`)
  }
  return { cert: byteList(cert, 'cert'), key: key === undefined ? undefined : privateKey(key, passphrase) }
}

/**
 * A private key in any form that Node reads, decrypted, as PKCS#8.
 * @param {unknown} key
 * @param {string} [passphrase]
 */
function privateKey(key, passphrase) {
  try {
    return readKey(key, passphrase).export({ type: 'pkcs8', format: 'der' })
  } catch (cause) {
    const { message, code = 'ERR_INVALID_ARG_VALUE' } = /** @type {NodeJS.ErrnoException} */ (cause)
    const error = argumentError('ERR_INVALID_ARG_VALUE', `key cannot be read (${message})`, cause)
    throw Object.assign(error, { code })
  }
}

/**
 * @param {unknown} key
 * @param {string} [passphrase]
 */
function readKey(key, passphrase) {
  if (isKeyObject(key)) return key
  const material = Buffer.from(bytes(key, 'key'))
  if (material[0] !== 0x30) return nodeCrypto().createPrivateKey({ key: material, passphrase })
  // DER does not name its own kind.
  for (const type of /** @type {const} */ (['pkcs8', 'sec1'])) {
    try {
      return nodeCrypto().createPrivateKey({ key: material, format: 'der', type, passphrase })
    } catch {}
  }
  return nodeCrypto().createPrivateKey({ key: material, format: 'der', type: 'pkcs1', passphrase })
}

/**
 * @param {Record<string, any>} all
 * @param {string} name
 * @returns {string | undefined}
 */
function text(all, name) {
  const value = all[name]
  if (value === undefined || typeof value === 'string') return value
  throw argumentError('ERR_INVALID_ARG_TYPE', `${name} must be a string, not ${kind(value)}`)
}

/**
 * @param {Record<string, any>} all
 * @param {string} name
 * @returns {boolean}
 */
function boolean(all, name) {
  const value = all[name]
  if (typeof value === 'boolean') return value
  throw argumentError('ERR_INVALID_ARG_TYPE', `${name} must be true or false, not ${kind(value)}`)
}

/**
 * @param {Record<string, any>} all
 * @param {string} name
 * @param {number} least
 * @param {number} [most]
 */
function number(all, name, least, most = Number.MAX_SAFE_INTEGER) {
  const value = all[name]
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw argumentError(
    'ERR_INVALID_ARG_VALUE',
    `${name} must be an integer from ${least} to ${most}, not ${String(value)}`
  )
}

/** @param {unknown} value */
function isLookup(value) {
  if (value === undefined || typeof value === 'function') return value !== undefined
  throw argumentError('ERR_INVALID_ARG_TYPE', `lookup must be a function as dns.lookup, not ${kind(value)}`)
}

/** @param {unknown} value */
function family(value) {
  if (value === 0 || value === 4 || value === 6) return value
  throw argumentError(
    'ERR_INVALID_ARG_VALUE',
    `family must be 0, 4 or 6, not ${typeof value === 'number' ? value : kind(value)}`
  )
}

/** @param {unknown} value */
function onLoop(value) {
  if (value === 'threads') return false
  if (value === 'auto') return process.env.TLS_PINNING_DRIVER !== 'threads' && mayUseLoop()
  throw argumentError(
    'ERR_INVALID_ARG_VALUE',
    `driver must be 'auto' or 'threads', not ${typeof value === 'string' ? JSON.stringify(value) : kind(value)}`
  )
}

/** @param {any} signal */
function checkSignal(signal) {
  const listens = typeof signal?.addEventListener === 'function' && typeof signal.removeEventListener === 'function'
  if (listens && typeof signal.aborted === 'boolean') return
  throw argumentError('ERR_INVALID_ARG_TYPE', `signal must be an AbortSignal, not ${kind(signal)}`)
}

module.exports = { CLIENT_OPTIONS, REQUEST_OPTIONS, checkNames, checkObject, checkSignal, clientOptions }

'use strict'
// What a server presents, looked at without trusting it, and what it accepts.

const { argumentError, certificate, date, fromFailure, own } = require('./errors.js')
const { starttlsPorts } = require('./native.js')
const { checkObject, checkSignal, clientOptions } = require('./options.js')
const { abort, hold, port, register, release } = require('./port.js')
const { kind } = require('./trust.js')
const { parseUrl } = require('./url.js')

const COMMON = ['servername', 'starttls', 'proxy', 'connectTimeout', 'handshakeTimeout', 'signal']
const OPTIONS = [...COMMON, 'ca', 'cert', 'key', 'passphrase', 'pfx', 'minVersion', 'maxVersion', 'allowH2']
/** Ports where a target names none, by what is spoken before TLS. @type {Record<string, number>} */
const PORTS = own(Object.fromEntries(JSON.parse(starttlsPorts())))
/** No connection is made for requests, so no pin is ever looked at. */
const NO_PINS = ['sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=']

/**
 * Shakes hands with a server and closes. Not one application byte is sent.
 * @param {string | URL} target
 * @param {Record<string, any>} [options]
 */
async function inspect(target, options = {}) {
  checkObject(options, OPTIONS)
  const seen = await look(target, options, false)
  return {
    ...seen,
    incomplete: seen.incomplete && fromFailure(seen.incomplete),
    untrusted: seen.untrusted && fromFailure(seen.untrusted),
    path: seen.path?.map(certificate) ?? null,
    chain: seen.chain.map((/** @type {any} */ entry) => ({
      ...entry,
      validFrom: date(entry.validFrom ?? null),
      validTo: date(entry.validTo ?? null)
    }))
  }
}

/**
 * Shakes hands some thirty times, each time with another offer. Not one application byte is sent.
 * @param {string | URL} target
 * @param {Record<string, any>} [options]
 */
async function scan(target, options = {}) {
  checkObject(options, COMMON)
  const { host, port, remoteAddress, versions } = await look(target, options, true)
  const outcome = (/** @type {any} */ { name, outcome, code, reason }) => ({ name, outcome, code, reason })
  return {
    host,
    port,
    remoteAddress,
    versions: versions.map(
      (/** @type {any} */ { version, outcome: how, code, reason, cipher, preference, ...lists }) => ({
        ...{ version, outcome: how, code, reason, cipher, preference },
        ciphers: lists.ciphers.map(outcome),
        groups: lists.groups.map(outcome)
      })
    )
  }
}

/**
 * @param {string | URL} target
 * @param {Record<string, any>} options
 * @param {boolean} scan
 * @returns {Promise<any>}
 */
async function look(target, options, scan) {
  const { signal, starttls, ...given } = own(options)
  const defaultPort = starttls === undefined ? 443 : portOf(starttls)
  const asked = { ...parseTarget(target, defaultPort), starttls, scan }
  const { native, trust, proxy } = clientOptions({ ...given, pins: NO_PINS })
  if (signal !== undefined) checkSignal(signal)
  if (signal?.aborted) throw signal.reason
  const store = /** @type {import('../binding.js').NativeTrust} */ (trust)
  let stop = () => {}
  hold()
  return await new Promise((resolve, reject) => {
    const id = register({ onInspected: resolve, onFailed: reject })
    stop = () => {
      abort(id)
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', stop, { once: true })
    port.inspect(id, asked, native, store, proxy?.native)
  }).finally(() => {
    release()
    signal?.removeEventListener('abort', stop)
  })
}

/** @param {unknown} starttls */
function portOf(starttls) {
  if (typeof starttls !== 'string') {
    throw argumentError('ERR_INVALID_ARG_TYPE', `starttls must be a string, not ${kind(starttls)}`)
  }
  const number = PORTS[starttls]
  if (number !== undefined) return number
  throw argumentError('ERR_INVALID_ARG_VALUE', `starttls must be one of ${Object.keys(PORTS).join(', ')}`)
}

/**
 * `example.com`, `example.com:8443`, `[::1]:443` or an https URL.
 * @param {unknown} target
 * @param {number} defaultPort
 */
function parseTarget(target, defaultPort) {
  if (typeof target !== 'string' && !(target instanceof URL)) {
    throw argumentError('ERR_INVALID_ARG_TYPE', `target must be a string or a URL, not ${kind(target)}`)
  }
  const text = String(target)
  const { host, port } = parseUrl(text.includes('://') ? text : `https://${text}`)
  // A URL does not keep the port that is its scheme's own.
  const [authority] = text.replace(/^.*?:\/\//, '').split(/[/?#]/)
  return { host, port: port === 443 && !/:0*443$/.test(authority) ? defaultPort : port }
}

module.exports = { inspect, scan, STARTTLS: Object.keys(PORTS), starttlsPort: portOf }

'use strict'
// What a server presents, looked at without trusting it.

const { argumentError, certificate, date, fromFailure, own } = require('./errors.js')
const { checkObject, checkSignal, clientOptions } = require('./options.js')
const { abort, hold, port, register, release } = require('./port.js')
const { kind } = require('./trust.js')
const { parseUrl } = require('./url.js')

const OPTIONS = ['servername', 'ca', 'cert', 'key', 'passphrase', 'pfx', 'minVersion', 'maxVersion', 'allowH2', 'proxy']
const LIMITS = ['connectTimeout', 'handshakeTimeout', 'signal']
/** No connection is made for requests, so no pin is ever looked at. */
const NO_PINS = ['sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=']

/**
 * Shakes hands with a server and closes. Not one application byte is sent.
 * @param {string | URL} target
 * @param {Record<string, any>} [options]
 */
async function inspect(target, options = {}) {
  checkObject(options, [...OPTIONS, ...LIMITS])
  const { signal, ...given } = own(options)
  const { host, port: number } = parseTarget(target)
  const { native, trust, proxy } = clientOptions({ ...given, pins: NO_PINS })
  if (signal !== undefined) checkSignal(signal)
  if (signal?.aborted) throw signal.reason
  const store = /** @type {import('../binding.js').NativeTrust} */ (trust)
  let stop = () => {}
  hold()
  const seen = await new Promise((resolve, reject) => {
    const id = register({ onInspected: resolve, onFailed: reject })
    stop = () => {
      abort(id)
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', stop, { once: true })
    port.inspect(id, host, number, native, store, proxy?.native)
  }).finally(() => {
    release()
    signal?.removeEventListener('abort', stop)
  })
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
 * `example.com`, `example.com:8443`, `[::1]:443` or an https URL.
 * @param {unknown} target
 */
function parseTarget(target) {
  if (typeof target !== 'string' && !(target instanceof URL)) {
    throw argumentError('ERR_INVALID_ARG_TYPE', `target must be a string or a URL, not ${kind(target)}`)
  }
  const text = String(target)
  const { host, port } = parseUrl(text.includes('://') ? text : `https://${text}`)
  return { host, port }
}

module.exports = { inspect }

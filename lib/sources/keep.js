'use strict'
// What keeps a pin set up to date: putting what was loaded into force, telling of what could not be, and ending it.

const { channel } = require('node:diagnostics_channel')
const { fromFailure, PinInvalidError } = require('../errors.js')
const { PinSet, PolicyText, handleOf } = require('../policy.js')

/** @typedef {InstanceType<typeof PinSet>} Pins */
/** @typedef {Error & { code: string, source: string }} LoadError */

const loadErrorChannel = channel('tls-pinning:load-error')
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What ends when a pin set is closed. @type {WeakMap<object, (() => void)[]>} */
const stops = new WeakMap()
/** Errors that name their source. */
const told = new WeakSet()
/** What has been warned of since the last success. @type {WeakMap<object, Set<string>>} */
const warnings = new WeakMap()

/**
 * A policy's text as the bytes have it.
 * @param {Uint8Array} bytes
 * @param {string} source
 */
function textOf(bytes, source) {
  try {
    return utf8.decode(bytes)
  } catch {
    const message = `${source}: the policy is not UTF-8; save it as UTF-8`
    throw new PinInvalidError({ code: 'ERR_TLS_PIN_INVALID', message, phase: 'policy', place: '' })
  }
}

/**
 * A policy that was loaded, read strictly. Text is a policy's JSON, and never a bare pin.
 * @param {unknown} policy
 */
function read(policy) {
  return new PinSet(typeof policy === 'string' ? new PolicyText(policy) : policy)
}

/**
 * Puts a policy into force, unless it already is.
 * @param {Pins} pins
 * @param {Pins} next
 */
function putIntoForce(pins, next) {
  warnings.delete(pins)
  if (handleOf(next).toJson() === handleOf(pins).toJson()) return
  try {
    pins.replace(next)
  } catch (error) {
    // Of a listener: the policy is in force, and no failure of its source.
    process.nextTick(() => {
      throw error
    })
  }
}

/**
 * An error as users see it: with a code and its source, which stands in the message of what is wrong with a policy.
 * @param {any} error
 * @param {string} source
 * @returns {LoadError}
 */
function loadError(error, source) {
  if (told.has(error)) return error
  const made = withSource(error, source)
  told.add(made)
  return made
}

/**
 * @param {any} error
 * @param {string} source
 * @returns {any}
 */
function withSource(error, source) {
  const isOfPolicy = error instanceof PinInvalidError || /^ERR_TLS_PIN_POLICY_/.test(error?.code)
  if (error instanceof Error && Object.isExtensible(error) && !isOfPolicy) {
    if (typeof (/** @type {any} */ (error).code) === 'string') return Object.assign(error, { source })
  }
  const { message = String(error), place } = error ?? {}
  const plain = message.replace(/^ERR_\w+: /, '')
  const code = isOfPolicy ? error.code : 'ERR_OPERATION_FAILED'
  const named = plain.includes(source) ? plain : `${source}: ${plain}`
  const made = fromFailure({ code, message: named, phase: 'policy', place })
  if (!isOfPolicy) Object.defineProperty(made, 'cause', { value: error, configurable: true, writable: true })
  return Object.assign(made, { source })
}

/**
 * Tells that a policy could not be loaded, and that the one before stays in force. Not at once: who has just been handed the
 * pin set must have had a chance to listen.
 * @param {Pins} pins
 * @param {LoadError} error
 */
function tell(pins, error) {
  setImmediate(() => {
    if (loadErrorChannel.hasSubscribers) loadErrorChannel.publish({ source: error.source, error })
    if (pins.listenerCount('loadError') === 0) warn(pins, error)
    else pins.emit('loadError', error)
  })
}

/**
 * Once for each kind of failure of a source, until a policy has been loaded.
 * @param {Pins} pins
 * @param {LoadError} error
 */
function warn(pins, { code, source, message }) {
  const warned = warnings.get(pins) ?? new Set()
  warnings.set(pins, warned)
  const kind = `${code} ${source}`
  if (warned.has(kind)) return
  warned.add(kind)
  const detail = message.includes(code) ? message : `${code}: ${message}`
  process.emitWarning(`a source of the pin policy has failed: ${detail}`, {
    type: 'TlsPinningWarning',
    code: 'TLS_PINNING_LOAD'
  })
}

/**
 * Has something end with a pin set.
 * @param {Pins} pins
 * @param {() => void} stop
 */
function onClose(pins, stop) {
  stops.set(pins, [...(stops.get(pins) ?? []), stop])
}

/** @param {Pins} pins */
function close(pins) {
  const all = stops.get(pins) ?? []
  stops.delete(pins)
  for (const stop of all) stop()
}

module.exports = { close, loadError, onClose, putIntoForce, read, tell, textOf }

'use strict'
// What keeps a pin set up to date: putting what was loaded into force, telling of what could not be, and ending it.

const { channel } = require('node:diagnostics_channel')
const { PinInvalidError, TlsPinningError } = require('../errors.js')
const { PinSet, PolicyText, handleOf } = require('../policy.js')

/** @typedef {InstanceType<typeof PinSet>} Pins */
/** @typedef {Error & { code: string, source: string }} LoadError */

const loadErrorChannel = channel('tls-pinning:load-error')
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What ends when a pin set is closed. @type {WeakMap<object, (() => void)[]>} */
const stops = new WeakMap()
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
 * An error as users see it: with a code, and the source in its message.
 * @param {any} error
 * @param {string} source
 * @returns {LoadError}
 */
function loadError(error, source) {
  if (typeof error?.source === 'string') return error
  const isOurs = error instanceof TlsPinningError
  if (error instanceof Error && typeof (/** @type {any} */ (error).code) === 'string' && !isOurs) {
    return Object.assign(/** @type {any} */ (error), { source })
  }
  const { code = 'ERR_OPERATION_FAILED', message = String(error), phase = 'policy', place } = error ?? {}
  const told = message.includes(source) ? message : message.replace(/^(ERR_\w+: )?/, `$1${source}: `)
  const failure = { code: String(code), message: told, phase, place }
  const Class = isOurs ? /** @type {any} */ (error.constructor) : TlsPinningError
  const made = new Class({ ...failure, message: told.replace(/^ERR_\w+: /, '') })
  Object.defineProperty(made, 'cause', { value: isOurs ? error.cause : error, configurable: true, writable: true })
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
 * Once for each message, until a policy has been loaded.
 * @param {Pins} pins
 * @param {LoadError} error
 */
function warn(pins, { code, message }) {
  const warned = warnings.get(pins) ?? new Set()
  warnings.set(pins, warned)
  if (warned.has(message)) return
  warned.add(message)
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

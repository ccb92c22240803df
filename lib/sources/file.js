'use strict'
// A policy in a file, and in a variable of the environment.

const crypto = require('node:crypto')
const path = require('node:path')
const { fileURLToPath } = require('node:url')
const { argumentError, PinInvalidError } = require('../errors.js')
const { readRegular, readRegularSync } = require('../regular-file.js')
const { kind } = require('../trust.js')
const { MOST_BYTES } = require('./envelope.js')
const { loadError, onClose, putIntoForce, read, tell, textOf } = require('./keep.js')
const { checkOptions, milliseconds } = require('./options.js')
const { watch: watchPath } = require('./watch.js')

/** Milliseconds in which several events of one save come together. */
const DEBOUNCE = 100
/** Milliseconds between two looks where no event comes. */
const INTERVAL = 5000

/**
 * @param {unknown} file
 * @param {Record<string, any>} [options]
 */
function fromFile(file, options) {
  const source = pathOf(file)
  const { watch } = checkOptions(options, ['watch'])
  const settings = watchSettings(watch)
  if (!settings) return load(source)
  /** @type {ReturnType<typeof follow> | undefined} */
  let follower
  // Before the first look, so that no change falls between.
  const stop = watchPath(source, settings, () => follower?.look())
  try {
    const pins = load(source)
    follower = follow(pins, source)
    onClose(pins, () => {
      stop()
      follower?.stop()
    })
    return pins
  } catch (error) {
    stop()
    throw error
  }
}

/** @param {string} source */
function load(source) {
  try {
    return policyOf(readRegularSync(source, MOST_BYTES), source)
  } catch (error) {
    throw loadError(error, source)
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {string} source
 */
function policyOf(bytes, source) {
  if (bytes.length <= MOST_BYTES) return read(textOf(bytes, source))
  const message = `${source}: the policy is larger than ${MOST_BYTES} bytes`
  throw new PinInvalidError({ code: 'ERR_TLS_PIN_INVALID', message, phase: 'policy', place: '' })
}

/**
 * Reads a file again when it is asked to, one look after the other.
 * @param {import('./keep.js').Pins} pins
 * @param {string} source
 */
function follow(pins, source) {
  /** What was found last, so that it is told once. @type {string | undefined} */
  let last
  let isLooking = false
  let again = false
  let closed = false

  const look = async () => {
    again = isLooking
    if (isLooking || closed) return
    isLooking = true
    /** @type {string | undefined} */
    let found
    try {
      const bytes = await readRegular(source, MOST_BYTES)
      found = crypto.createHash('sha256').update(bytes).digest('hex')
      if (!closed && found !== last) putIntoForce(pins, policyOf(bytes, source))
    } catch (error) {
      found ??= `${error}`
      if (!closed && found !== last) tell(pins, loadError(error, source))
    } finally {
      last = found
      isLooking = false
      if (again) look()
    }
  }

  return {
    look,
    stop: () => {
      closed = true
    }
  }
}

/**
 * @param {unknown} watch
 * @returns {{ debounce: number, interval: number } | undefined}
 */
function watchSettings(watch) {
  if (watch === undefined || watch === false) return undefined
  const given = watch === true ? {} : checkOptions(watch, ['debounce', 'interval'], 'watch')
  return {
    debounce: milliseconds(given.debounce, 'watch.debounce', DEBOUNCE),
    interval: milliseconds(given.interval, 'watch.interval', INTERVAL)
  }
}

/**
 * A path, absolute: where the process is may change.
 * @param {unknown} file
 */
function pathOf(file) {
  if (file instanceof URL) return fileURLToPath(file)
  if (typeof file === 'string' && file !== '' && !file.includes('\0')) return path.resolve(file)
  throw argumentError('ERR_INVALID_ARG_TYPE', `the path of a policy must be a string or a file URL, not ${kind(file)}`)
}

/**
 * @param {unknown} name
 * @param {Record<string, any>} [options] For a path, as those of {@link fromFile}.
 */
function fromEnv(name, options) {
  if (typeof name !== 'string') {
    throw argumentError('ERR_INVALID_ARG_TYPE', `the name of a variable must be a string, not ${kind(name)}`)
  }
  const { watch } = checkOptions(options, ['watch'])
  watchSettings(watch)
  const source = `the environment variable ${name}`
  const given = process.env[name]
  const value = typeof given === 'string' ? given.trim() : undefined
  if (!value) {
    const message = `${source} is ${value === undefined ? 'not set' : 'empty'}; give it a policy as JSON, or the path of one`
    throw Object.assign(new PinInvalidError({ code: 'ERR_TLS_PIN_INVALID', message, phase: 'policy', place: '' }), {
      source
    })
  }
  try {
    // No path that anybody would write begins so.
    return /^[{["]/.test(value) ? read(value) : fromFile(value, options)
  } catch (error) {
    throw loadError(error, source)
  }
}

module.exports = { fromEnv, fromFile, pathOf }

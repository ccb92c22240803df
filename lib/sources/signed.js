'use strict'
// A policy that is signed: where it comes from, and the way it took, need no trust.

const { argumentError, fromFailure } = require('../errors.js')
const { kind } = require('../trust.js')
const { bytesOf } = require('./bytes.js')
const { Cache } = require('./cache.js')
const { open } = require('./envelope.js')
const { pathOf } = require('./file.js')
const { judge } = require('./judge.js')
const { loadError, putIntoForce, read, tell } = require('./keep.js')
const { publicKeys } = require('./keys.js')
const { checkOptions } = require('./options.js')
const { attempt, refresh, scheduleOf } = require('./refresh.js')

const OPTIONS = ['source', 'publicKeys', 'cacheFile', 'clock', 'interval', 'jitter', 'timeout']

/** @typedef {{ signed: import('./envelope.js').Signed, envelope: Uint8Array | string }} Accepted */

/** @param {Record<string, any>} options */
async function fromSigned(options) {
  const given = checkOptions(options, OPTIONS)
  const { clock = Date.now, cacheFile } = given
  if (typeof clock !== 'function') {
    throw argumentError('ERR_INVALID_ARG_TYPE', `clock must be a function, not ${kind(clock)}`)
  }
  const schedule = scheduleOf(given)
  const keys = publicKeys(given.publicKeys)
  const source = bytesOf(given.source)
  const cache = cacheFile === undefined ? undefined : new Cache(pathOf(cacheFile))

  /** @type {import('./keep.js').LoadError[]} */
  const problems = []
  /** @type {Accepted | undefined} */
  let newest = await recall(cache, keys, problems)
  const isCached = () => newest !== undefined

  /** @param {AbortSignal} signal @returns {Promise<Accepted>} */
  const load = async signal => {
    const envelope = await source.load(signal)
    // What was accepted once may have expired since.
    const loaded =
      envelope === undefined && newest ? newest : { envelope: envelope ?? '', signed: open(envelope ?? '', keys) }
    judge(loaded.signed, newest?.signed, now(clock))
    return loaded
  }

  let first
  try {
    first = await attempt(load, schedule.timeout, { source: source.name })
    source.keep?.()
  } catch (error) {
    if (!isCached()) throw error
    first = /** @type {Accepted} */ (newest)
    try {
      judge(first.signed, undefined, now(clock))
    } catch {
      throw error
    }
    problems.push(loadError(error, source.name))
  }
  const pins = read(first.signed.policy)

  /** @param {Accepted} accepted */
  const keep = async accepted => {
    const isNew = accepted.signed.digest !== newest?.signed.digest
    newest = accepted
    if (!isNew || !cache) return
    try {
      // Of another process, which has seen a newer one.
      const kept = await recall(cache, keys, [])
      if (!kept || kept.signed.version < accepted.signed.version) await cache.write(accepted.envelope)
    } catch (error) {
      tell(pins, loadError(error, cache.file))
    }
  }
  await keep(first)
  for (const problem of problems) tell(pins, problem)
  refresh(
    pins,
    source.name,
    async signal => {
      const loaded = await load(signal)
      const next = read(loaded.signed.policy)
      return () => {
        source.keep?.()
        putIntoForce(pins, next)
        return keep(loaded)
      }
    },
    schedule
  )
  return pins
}

/**
 * The policy that was accepted last, if it is genuine: also one that has expired says which version not to go behind.
 * @param {InstanceType<typeof Cache> | undefined} cache
 * @param {import('./keys.js').PublicKey[]} keys
 * @param {import('./keep.js').LoadError[]} problems
 * @returns {Promise<Accepted | undefined>}
 */
async function recall(cache, keys, problems) {
  if (!cache) return undefined
  try {
    const envelope = await cache.read()
    return { envelope, signed: open(envelope, keys) }
  } catch (error) {
    problems.push(loadError(isMissing(error) ? noneKept(cache.file) : error, cache.file))
    return undefined
  }
}

/** @param {unknown} error */
function isMissing(error) {
  return /** @type {NodeJS.ErrnoException} */ (error)?.code === 'ENOENT'
}

/** @param {string} file */
function noneKept(file) {
  const message = `${file}: no policy is kept here yet, so that one older than the last cannot be told`
  return fromFailure({ code: 'ENOENT', message, phase: 'policy' })
}

/**
 * @param {() => unknown} clock
 * @returns {number} Unix milliseconds
 */
function now(clock) {
  const time = clock()
  const milliseconds = time instanceof Date ? time.getTime() : time
  if (typeof milliseconds === 'number' && Number.isFinite(milliseconds)) return milliseconds
  throw argumentError('ERR_INVALID_ARG_VALUE', 'clock must answer with a Date or with milliseconds')
}

module.exports = { fromSigned }

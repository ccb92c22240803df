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

/** Into a cache that another process writes to at the same time. */
const MOST_WRITES = 3

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
  let newest = cache && (await recall(cache, keys))
  /** What a source that fails is replaced by: nothing that others may have put there. */
  let standIn = newest
  if (cache) {
    const problem = newest ? cache.problem() : noneKept(cache.file)
    if (problem) {
      problems.push(loadError(problem, cache.file))
      standIn = undefined
    }
  }

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
    if (!standIn) throw error
    first = standIn
    try {
      judge(first.signed, undefined, now(clock))
    } catch {
      throw error
    }
    problems.push(loadError(error, source.name))
  }
  const pins = read(first.signed.policy)

  /** What keeping has failed with, so that it is told once for each policy. @type {string | undefined} */
  let failed
  /** @param {Accepted} accepted */
  const keep = async accepted => {
    if (accepted.signed.digest !== newest?.signed.digest) failed = undefined
    newest = accepted
    if (!cache) return
    try {
      // Another process may have seen a newer one, or write an older one over this: it is looked at again each time.
      for (let write = 0; write < MOST_WRITES; write++) {
        const kept = await recall(cache, keys)
        if (kept && kept.signed.version >= accepted.signed.version) break
        await cache.write(accepted.envelope)
      }
      failed = undefined
    } catch (error) {
      const told = loadError(error, cache.file)
      if (told.code !== failed) tell(pins, told)
      failed = told.code
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
 * The policy that was accepted last: wherever it lies, and also when it has expired, it says which version not to go behind,
 * since it is genuine. Throws if what is there does not tell: then it is neither passed over nor written over.
 * @param {InstanceType<typeof Cache>} cache
 * @param {import('./keys.js').PublicKey[]} keys
 * @returns {Promise<Accepted | undefined>}
 */
async function recall(cache, keys) {
  try {
    const envelope = await cache.read()
    return envelope && { envelope, signed: open(envelope, keys) }
  } catch (error) {
    throw unusable(error, cache.file)
  }
}

/**
 * @param {unknown} error
 * @param {string} file
 */
function unusable(error, file) {
  const { code, message, place } = /** @type {any} */ (loadError(error, file))
  const why = `so that an older one cannot be told: ${message.replace(/^ERR_\w+: /, '')}`
  const advice = 'find out why, and remove the file only if an older policy may come into force'
  const all = `the policy that is kept in ${file} cannot be used, ${why}; ${advice}`
  return loadError(fromFailure({ code, message: all, phase: 'policy', place }), file)
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

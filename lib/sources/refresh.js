'use strict'
// Loads a policy again and again, as long as its pin set is not closed.

const { argumentError } = require('../errors.js')
const { loadError, onClose, tell } = require('./keep.js')
const { MOST_DELAY, milliseconds } = require('./options.js')

/** Milliseconds from a load to the next one. */
const INTERVAL = 300_000
/** The part of a delay by which it varies: programs that start together must not ask together for ever. */
const JITTER = 0.1
/** Milliseconds for one load. */
const TIMEOUT = 10_000
/** Milliseconds from a first failure to the next attempt; doubled with each further one. */
const FIRST_RETRY = 1000

/** @typedef {{ interval: number, jitter: number, timeout: number }} Schedule */

/**
 * @param {Record<string, any>} options
 * @returns {Schedule}
 */
function scheduleOf({ interval, jitter = JITTER, timeout }) {
  if (typeof jitter !== 'number' || !(jitter >= 0 && jitter <= 1)) {
    throw argumentError('ERR_INVALID_ARG_VALUE', 'jitter must be a number from 0 to 1')
  }
  return {
    interval: milliseconds(interval, 'interval', INTERVAL),
    jitter,
    timeout: milliseconds(timeout, 'timeout', TIMEOUT, 1)
  }
}

/**
 * One load, with a limit.
 * @template T
 * @param {(signal: AbortSignal) => T | Promise<T>} load
 * @param {number} timeout
 * @param {{ signal?: AbortSignal, source: string, background?: boolean }} options `signal` ends it before.
 * @returns {Promise<T>}
 */
async function attempt(load, timeout, { signal, source, background = false }) {
  const controller = new AbortController()
  /** @type {NodeJS.Timeout | undefined} */
  let timer
  /** @type {() => void} */
  let abort = () => {}
  const ended = new Promise((_, reject) => {
    controller.signal.addEventListener('abort', () => reject(controller.signal.reason), { once: true })
    timer = setTimeout(() => {
      const message = `${source}: no policy after ${timeout} milliseconds`
      controller.abort(Object.assign(new Error(message), { code: 'ETIMEDOUT' }))
    }, timeout)
    if (background) timer.unref()
    abort = () => controller.abort(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
  })
  try {
    const loading = (async () => load(controller.signal))()
    return /** @type {T} */ (await Promise.race([loading, ended]))
  } catch (error) {
    throw loadError(error, source)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}

/**
 * Loads from now on after each `interval`, and sooner after a failure. A load that has gone over its time is aborted, and
 * what it still answers is dropped, before the next one begins.
 * @param {import('./keep.js').Pins} pins
 * @param {string} source
 * @param {(signal: AbortSignal) => Promise<() => void | Promise<void>>} load Answers with what puts it into force.
 * @param {Schedule} schedule
 */
function refresh(pins, source, load, { interval, jitter, timeout }) {
  if (interval === 0) return
  const closing = new AbortController()
  let failures = 0
  /** @type {NodeJS.Timeout | undefined} */
  let timer

  const wait = () => {
    timer = setTimeout(turn, varied(delay(interval, failures), jitter)).unref()
  }
  const turn = async () => {
    try {
      const put = await attempt(load, timeout, { signal: closing.signal, source, background: true })
      if (closing.signal.aborted) return
      await put()
      failures = 0
    } catch (error) {
      if (closing.signal.aborted) return
      failures++
      tell(pins, loadError(error, source))
    }
    wait()
  }
  onClose(pins, () => {
    closing.abort()
    clearTimeout(timer)
  })
  wait()
}

/**
 * After failures soon again at first, but never more often than that grows to the interval, or to five minutes.
 * @param {number} interval
 * @param {number} failures
 */
function delay(interval, failures) {
  if (failures === 0) return interval
  return Math.min(FIRST_RETRY * 2 ** Math.min(failures - 1, 30), Math.max(interval, INTERVAL))
}

/**
 * @param {number} delay
 * @param {number} jitter
 */
function varied(delay, jitter) {
  return Math.min(delay * (1 + jitter * (2 * Math.random() - 1)), MOST_DELAY)
}

module.exports = { attempt, refresh, scheduleOf }

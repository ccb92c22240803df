'use strict'
// A policy that a function brings: out of a vault, a database, a configuration service.

const { argumentError } = require('../errors.js')
const { kind } = require('../trust.js')
const { putIntoForce, read, textOf } = require('./keep.js')
const { checkOptions } = require('./options.js')
const { attempt, refresh, scheduleOf } = require('./refresh.js')

const SOURCE = 'the loader'

/**
 * @param {unknown} loader
 * @param {Record<string, any>} [options]
 */
async function fromLoader(loader, options) {
  const schedule = scheduleOf(checkOptions(options, ['interval', 'jitter', 'timeout']))
  if (typeof loader !== 'function') {
    throw argumentError('ERR_INVALID_ARG_TYPE', `the loader must be a function, not ${kind(loader)}`)
  }
  /** @param {AbortSignal} signal */
  const load = async signal => {
    const loaded = await loader({ signal })
    return read(loaded instanceof Uint8Array ? textOf(loaded, SOURCE) : loaded)
  }
  const pins = await attempt(load, schedule.timeout, { source: SOURCE })
  refresh(
    pins,
    SOURCE,
    async signal => {
      const next = await load(signal)
      return () => putIntoForce(pins, next)
    },
    schedule
  )
  return pins
}

module.exports = { fromLoader }

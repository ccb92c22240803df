'use strict'
// Options of the sources: what is unknown or of another type is refused.

const { argumentError, own } = require('../errors.js')
const { kind } = require('../trust.js')

/** The longest that a timer can wait. */
const MOST_DELAY = 2 ** 31 - 1

/**
 * @param {unknown} options
 * @param {string[]} known
 * @param {string} [name]
 */
function checkOptions(options, known, name = 'options') {
  if (options !== undefined && (typeof options !== 'object' || options === null)) {
    throw argumentError('ERR_INVALID_ARG_TYPE', `${name} must be an object, not ${kind(options)}`)
  }
  const given = own(options)
  for (const key of Object.keys(given)) {
    if (!known.includes(key)) throw argumentError('ERR_INVALID_ARG_VALUE', `unknown option ${key}`)
  }
  return given
}

/**
 * @param {unknown} value
 * @param {string} name
 * @param {number} byDefault
 * @param {number} [least]
 */
function milliseconds(value, name, byDefault, least = 0) {
  if (value === undefined) return byDefault
  if (typeof value === 'number' && value >= least && value <= MOST_DELAY) return value
  throw argumentError('ERR_INVALID_ARG_VALUE', `${name} must be milliseconds from ${least} to ${MOST_DELAY}`)
}

module.exports = { MOST_DELAY, checkOptions, milliseconds }

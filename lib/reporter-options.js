'use strict'
// The options of a reporter, checked when it is made.

const { argumentError, isPlain, own } = require('./errors.js')
const { FORMATS } = require('./report-json.js')
const { kind } = require('./trust.js')
const { parseUrl } = require('./url.js')

/** Times in milliseconds. */
const DEFAULTS = {
  url: '',
  format: 'rfc7469',
  interval: 3_600_000,
  limit: 60,
  queue: 100,
  attempts: 8,
  retryDelay: 1_000,
  timeout: 10_000,
  details: true,
  app: {},
  headers: {},
  filter: () => true,
  client: {}
}
/** The longest that a timer can wait. */
const MOST_DELAY = 2 ** 31 - 1

/**
 * @param {any} options
 * @returns {Required<import('../index.js').ReporterOptions> & { url: string }}
 */
function reporterOptions(options) {
  if (typeof options !== 'object' || options === null || !isPlain(options)) {
    throw argumentError('ERR_INVALID_ARG_TYPE', `options must be a plain object, not ${kind(options)}`)
  }
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(DEFAULTS, name)) throw wrong(`unknown option ${name}`)
  }
  const all = own(DEFAULTS)
  for (const [name, value] of Object.entries(options)) if (value !== undefined) all[name] = value
  if (all.url === '') throw wrong('url must be given: where to post the reports')
  all.url = parseUrl(all.url).href
  if (!Object.hasOwn(FORMATS, all.format)) {
    throw wrong(`format must be 'rfc7469' or 'trustkit', not ${String(all.format)}`)
  }
  for (const name of ['interval', 'limit', 'queue', 'attempts', 'retryDelay', 'timeout']) {
    const least = name === 'timeout' ? 0 : 1
    if (Number.isInteger(all[name]) && all[name] >= least && all[name] <= MOST_DELAY) continue
    throw wrong(`${name} must be an integer from ${least} to ${MOST_DELAY}, not ${String(all[name])}`)
  }
  for (const name of ['app', 'headers', 'client']) {
    if (typeof all[name] === 'object' && all[name] !== null && isPlain(all[name])) continue
    throw wrong(`${name} must be a plain object, not ${kind(all[name])}`)
  }
  if (typeof all.filter !== 'function') throw wrong(`filter must be a function, not ${kind(all.filter)}`)
  if (typeof all.details !== 'boolean') throw wrong(`details must be true or false, not ${kind(all.details)}`)
  return /** @type {any} */ (all)
}

/** @param {string} message */
function wrong(message) {
  return argumentError('ERR_INVALID_ARG_VALUE', message)
}

module.exports = { MOST_DELAY, reporterOptions }

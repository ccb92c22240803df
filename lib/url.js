'use strict'
// Where a request goes.

const { argumentError } = require('./errors.js')
const { kind } = require('./trust.js')

/** @param {unknown} url */
function parseUrl(url) {
  if (typeof url !== 'string' && !(url instanceof URL)) {
    throw argumentError('ERR_INVALID_ARG_TYPE', `url must be a string or a URL, not ${kind(url)}`)
  }
  const parsed = parse(url)
  if (parsed.protocol !== 'https:') {
    // Without credentials, which end up in a log.
    const shown = `${parsed.protocol}${parsed.host ? `//${parsed.host}` : parsed.pathname}`.slice(0, 80)
    throw argumentError('ERR_INVALID_PROTOCOL', `${shown} is not an https: URL, and only those can be pinned`)
  }
  if (parsed.username || parsed.password) {
    throw argumentError('ERR_INVALID_URL', 'the URL holds credentials; send them in the authorization header')
  }
  return {
    href: parsed.href,
    host: parsed.hostname,
    port: parsed.port === '' ? 443 : Number(parsed.port),
    path: parsed.pathname + parsed.search
  }
}

/** @param {string | URL} url */
function parse(url) {
  try {
    return new URL(url)
  } catch (cause) {
    throw argumentError('ERR_INVALID_URL', `not a URL: ${String(url).slice(0, 200)}`, cause)
  }
}

module.exports = { parseUrl }

'use strict'
// Redirects, by the rules of the Fetch standard (4.4, HTTP-redirect fetch). Each hop is a request of its own, which the
// native side decides about by the policy then in force; here is decided whether there is a hop at all, and what it carries.

const { isWhole } = require('./body.js')
const { PinPolicyError, TlsPinningError, argumentError, own } = require('./errors.js')
const { handleOf } = require('./policy.js')
const { kind } = require('./trust.js')
const { parseUrl } = require('./url.js')

/** As many as browsers follow. */
const MOST = 20
const MODES = ['follow', 'manual', 'error']
/** What is not told to another origin. */
const PRIVATE = ['authorization', 'proxy-authorization', 'cookie', 'host']
/** A body up to this size is read to its end, so that its connection can be used again. */
const DISCARDED = 64 * 1024
/** Milliseconds that are spent on that. */
const PATIENCE = 1_000

/** @typedef {{ href: string, host: string, port: number, path: string }} Target */

/**
 * @typedef {object} Chain
 * @property {Target} first What was asked for.
 * @property {number} hops Redirects followed so far.
 * @property {string} [from] The address whose answer led to this hop, without what may hold a secret.
 * @property {InstanceType<typeof import('./policy.js').PinSet>} pins
 * @property {string} [servername] The identity that all of the client's requests are made for.
 */

/** @param {number} status */
function isRedirect(status) {
  // Almost every answer is done with the first comparison.
  return status > 300 && status < 309 && status !== 304 && status !== 305 && status !== 306
}

/** @param {Record<string, any>} options */
function checkRedirect({ redirect, maxRedirections }) {
  if (redirect !== undefined && !MODES.includes(redirect)) {
    const shown = typeof redirect === 'string' ? JSON.stringify(redirect) : kind(redirect)
    throw argumentError('ERR_INVALID_ARG_VALUE', `redirect must be 'follow', 'manual' or 'error', not ${shown}`)
  }
  if (maxRedirections === undefined || (Number.isSafeInteger(maxRedirections) && maxRedirections >= 0)) return
  throw argumentError('ERR_INVALID_ARG_VALUE', 'maxRedirections must be an integer, 0 or more')
}

/**
 * The request that a redirect asks for, or undefined where the response is the answer. Throws where it may not be followed.
 * @param {InstanceType<typeof import('./response.js').PinnedResponse>} response
 * @param {Target} target Where the response comes from.
 * @param {Record<string, any>} options What was sent: `headers` are names and values in turn.
 * @param {import('./body.js').Outgoing} sent
 * @param {Chain} chain
 * @returns {{ target: Target, options: Record<string, any>, chain: Chain } | undefined}
 */
function nextHop(response, target, options, sent, chain) {
  const { status } = response
  if (options.redirect === 'error') {
    throw failure('ERR_UNEXPECTED_REDIRECT', `answered ${status}, and redirect is 'error'`, target, chain)
  }
  const location = response.headers.get('location')
  if (location === null) return undefined
  const most = options.maxRedirections ?? MOST
  if (chain.hops >= most) throw failure('ERR_TOO_MANY_REDIRECTS', `more than ${most} redirects`, target, chain)

  const next = resolveLocation(location, target, chain)
  const following = { ...chain, hops: chain.hops + 1, from: target.href.replace(/[?#].*$/s, '') }
  checkHost(next, following)
  const becomesGet =
    ((status === 301 || status === 302) && options.method === 'POST') ||
    (status === 303 && options.method !== 'GET' && options.method !== 'HEAD')
  const crosses = next.host !== target.host || next.port !== target.port
  const headers = options.headers.flatMap((/** @type {string} */ name, /** @type {number} */ index) => {
    if (index % 2 === 1) return []
    const value = options.headers[index + 1]
    return isDropped(name.toLowerCase(), value, becomesGet, crosses, sent) ? [] : [name, value]
  })
  if (!becomesGet && sent.pieces && !canReplay(options.body)) {
    const message = `answered ${status}, and a stream cannot be sent a second time`
    throw failure('ERR_BODY_NOT_REPLAYABLE', message, target, chain)
  }
  const method = becomesGet ? 'GET' : options.method
  const body = becomesGet ? undefined : options.body
  return { target: next, options: own({ ...options, method, headers, body }), chain: following }
}

/**
 * Where a redirect leads. What is wrong with that is the server's doing, not the caller's.
 * @param {string} location
 * @param {Target} target
 * @param {Chain} chain
 */
function resolveLocation(location, target, chain) {
  // Header values are bytes, one to a character; a URL's are UTF-8.
  const text = Buffer.from(location, 'latin1').toString()
  // Not shown: it may hold credentials.
  if (!URL.canParse(text, target.href)) {
    throw failure('ERR_INVALID_URL', 'redirected to what is not a URL', target, chain)
  }
  const url = new URL(text, target.href)
  if (url.protocol !== 'https:') {
    const shown = `${url.protocol}${url.host ? `//${url.host}` : ''}`
    throw failure('ERR_INVALID_PROTOCOL', `redirected to ${shown}, and only https: can be pinned`, target, chain)
  }
  if (url.username || url.password) {
    throw failure('ERR_INVALID_URL', `redirected to ${url.origin} with credentials in the URL`, target, chain)
  }
  if (url.hash === '') url.hash = new URL(target.href).hash
  return parseUrl(url)
}

/**
 * A bare list of pins, and a `servername`, are about the one host that was asked for. Asked anew for each hop: the policy
 * may have been replaced meanwhile, by a list or a list by another policy.
 * @param {Target} next
 * @param {Chain} chain
 */
function checkHost(next, { first, from, pins, servername }) {
  if (next.host === first.host) return
  const bare = JSON.parse(handleOf(pins).toJson())
  if (servername === undefined && !Array.isArray(bare)) return
  const what = servername === undefined ? 'a list of pins' : 'servername'
  throw new PinPolicyError({
    code: 'ERR_TLS_PIN_UNLISTED',
    message: `${next.host}:${next.port}: ${what} applies to ${first.host} alone`,
    phase: 'policy',
    host: next.host,
    port: next.port,
    redirectedFrom: from
  })
}

/**
 * @param {string} name
 * @param {string} value
 * @param {boolean} becomesGet
 * @param {boolean} crosses
 * @param {import('./body.js').Outgoing} sent
 */
function isDropped(name, value, becomesGet, crosses, sent) {
  if (crosses && PRIVATE.includes(name)) return true
  if (becomesGet) return name.startsWith('content-') || name === 'expect'
  // What was made for the body is made anew with it: a form gets another boundary, of the same length.
  return name === 'content-type' && value === sent.type
}

/** Whether a body that was sent in pieces can be read again. @param {unknown} body */
function canReplay(body) {
  return isWhole(body) || body instanceof SharedArrayBuffer || body instanceof FormData
}

/**
 * Lets a small body end, which keeps the connection, and stops a large or slow one.
 * @param {InstanceType<typeof import('./response.js').PinnedResponse>} response
 */
function discard(response) {
  const reader = response.body?.getReader()
  if (!reader) return
  const stop = () => void reader.cancel().catch(() => {})
  const timer = setTimeout(stop, PATIENCE)
  timer.unref()
  let left = DISCARDED
  const drain = async () => {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      left -= value.length
      if (left < 0) return stop()
    }
  }
  drain()
    // What becomes of it is of no interest.
    .catch(() => {})
    .finally(() => clearTimeout(timer))
}

/**
 * @param {string} code
 * @param {string} message
 * @param {Target} target
 * @param {Chain} chain
 */
function failure(code, message, { host, port }, { from: redirectedFrom }) {
  const at = { phase: 'request', host, port, redirectedFrom }
  return new TlsPinningError({ code, message: `${host}:${port}: ${message}`, ...at })
}

module.exports = { checkRedirect, discard, isRedirect, nextHop }

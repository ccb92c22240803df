'use strict'
// What each request of the soak does, and what may come of it: a pure function of the seed and the request's number, so that
// a request that failed can be looked at again.

const crypto = require('node:crypto')

/** What bodies are cut from: the same bytes on both sides. */
const SOURCE = (() => {
  const cipher = crypto.createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16))
  return cipher.update(Buffer.alloc(5 * 1024 * 1024))
})()

const LARGEST = 4 * 1024 * 1024

/** Codes of a connection or a stream that the other side broke. */
const BROKEN = ['ECONNRESET', 'EPIPE', 'ERR_HTTP2_STREAM_ERROR', 'ERR_HTTP2_ERROR', 'ERR_HTTP2_SESSION_ERROR']

/**
 * Kinds of requests, by the clients that carry them: what one kind does to a connection must not be felt by another.
 * `faults` are the server's, `share` counts in thousandths, `allowed` the codes beside `ok` that a request without a fault of
 * its own may end with.
 */
const LANES = {
  steady: { share: 760, allowed: [], faults: { none: 88, reset: 2, truncate: 4, resetBody: 3, slow: 3 } },
  abort: { share: 70, allowed: [], faults: { none: 9, slow: 1 } },
  resumed: { share: 60, allowed: [], faults: { close: 1 } },
  flaky: { share: 60, allowed: BROKEN, faults: { none: 8, kill: 1, end: 1, closeLater: 2 } },
  replaced: { share: 25, allowed: [], faults: { none: 1 } },
  fresh: { share: 15, allowed: [], faults: { none: 1 } },
  dropped: { share: 6, allowed: [], faults: { none: 1 } },
  stalled: { share: 4, allowed: [], faults: { stallHead: 1, stallBody: 1 } }
}

/** What a fault of the server makes of the request it is for. */
const OUTCOMES = {
  none: ['ok'],
  slow: ['ok'],
  close: ['ok'],
  closeLater: ['ok'],
  reset: BROKEN,
  truncate: BROKEN,
  resetBody: BROKEN,
  kill: BROKEN,
  end: [...BROKEN, 'ok'],
  stallHead: ['ETIMEDOUT'],
  stallBody: ['ETIMEDOUT']
}

const ABORTS = ['before', 'atOnce', 'later', 'head', 'body', 'cancel']

/** @param {number} seed A generator of numbers from 0 to 1 (mulberry32). */
function random(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/**
 * @param {number} seed
 * @param {number} index
 */
function planOf(seed, index) {
  const next = random(seed * 1_000_003 + index * 7919)
  for (let turn = 0; turn < 4; turn++) next()
  const lane = weighted(
    next,
    Object.entries(LANES).map(([name, { share }]) => [name, share])
  )
  const fault = weighted(next, Object.entries(LANES[lane].faults))
  const post = next() < 0.4
  const plan = {
    index,
    lane,
    fault,
    http2: next() < 0.5,
    method: post ? 'POST' : 'GET',
    up: post ? size(next) : 0,
    down: size(next),
    offset: Math.floor(next() * 1024 * 1024),
    streamed: next() < 0.4,
    chunked: next() < 0.3,
    stream: next() < 0.3,
    abort: lane === 'abort' ? ABORTS[Math.floor(next() * ABORTS.length)] : null,
    delay: Math.floor(next() * 4),
    reset: next() < 0.5,
    allowed: allowed(lane, fault)
  }
  // A body that is cut needs a middle, one that is dropped must not have come along with the head.
  if (['truncate', 'resetBody', 'stallBody', 'slow'].includes(fault)) plan.down = Math.max(plan.down, 1024)
  if (lane === 'dropped') plan.down = 600 * 1024
  // Only HTTP/1.1 has a connection for each request, which is what makes sessions resume.
  if (lane === 'resumed') plan.http2 = false
  return plan
}

function allowed(lane, fault) {
  if (lane === 'abort') return ['ok', 'aborted', 'cancelled']
  if (lane === 'dropped') return ['dropped']
  return [...new Set([...OUTCOMES[fault], ...LANES[lane].allowed])]
}

/** Most bodies are small, some are empty, few are large. */
function size(next) {
  const kind = next()
  if (kind < 0.2) return 0
  if (kind < 0.9) return Math.floor(next() * 16 * 1024)
  if (kind < 0.995) return Math.floor(next() * 256 * 1024)
  return Math.floor(next() * LARGEST)
}

function weighted(next, entries) {
  let left = next() * entries.reduce((sum, [, weight]) => sum + weight, 0)
  for (const [name, weight] of entries) {
    left -= weight
    if (left < 0) return name
  }
  return entries[0][0]
}

/** The bytes of a body. */
function bytesOf(offset, length) {
  return SOURCE.subarray(offset, offset + length)
}

function sha256(bytes) {
  return crypto.createHash('sha256').update(bytes).digest('hex')
}

module.exports = { planOf, random, bytesOf, sha256 }

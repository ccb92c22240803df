'use strict'
// What is decided about connections, for whoever listens: the channels `tls-pinning:verified`, `tls-pinning:mismatch` and
// `tls-pinning:report` of `node:diagnostics_channel`, and the events `report` and `refused` of a pin set.

const { channel } = require('node:diagnostics_channel')
const { certificate, chainOf, hidden } = require('./errors.js')

const verifiedChannel = channel('tls-pinning:verified')
const mismatchChannel = channel('tls-pinning:mismatch')
const reportChannel = channel('tls-pinning:report')

/** The codes of refusals that the policy has decided, with the reason that a message gives. */
const REASONS = new Map([
  ['ERR_TLS_PIN_MISMATCH', 'mismatch'],
  ['ERR_TLS_PIN_UNLISTED', 'unlisted'],
  ['ERR_TLS_PIN_EXPIRED', 'expired']
])

/**
 * @typedef {'client' | 'agent' | 'connector' | 'checkServerIdentity' | 'register'} Source Who decided.
 */

/**
 * @typedef {object} Outcome What native code says of a connection that may go on.
 * @property {string} host
 * @property {number | null} port Null where the caller does not know it.
 * @property {string | null} pattern
 * @property {string[] | null} expected
 * @property {string | null} matched
 * @property {'unlisted' | 'expired' | 'mismatch' | null} excused
 * @property {import('./errors.js').NativeCertificate[]} path
 * @property {string[] | null} [chain] As the server sent it, where it is going to be reported.
 */

/** Whether anybody wants to know of connections that match. */
function wantsVerified() {
  return verifiedChannel.hasSubscribers
}

/**
 * A connection may go on.
 * @param {import('node:events').EventEmitter | undefined} pins
 * @param {Source} source
 * @param {Outcome} outcome
 */
function tellAccepted(pins, source, { host, port, pattern, expected, matched, excused, path: native, chain }) {
  if (!excused && !matched) return // nothing was asked of it
  if (!excused && !verifiedChannel.hasSubscribers) return
  const path = native.map(certificate)
  if (!excused) {
    later(() => verifiedChannel.publish({ decision: 'accepted', source, host, port, pattern, matched, path }))
    return
  }
  const told = { reason: excused, host, port, pattern, expected: expected ?? [], path }
  const report = hidden(told, 'chain', () => chainOf(chain))
  if (pins) later(() => pins.emit('report', report))
  if (reportChannel.hasSubscribers) later(() => reportChannel.publish({ decision: 'excused', source, ...told }))
}

/**
 * A connection was refused. What is not the policy's decision, such as an expired certificate, is not told.
 * @param {import('node:events').EventEmitter | undefined} pins
 * @param {Source} source
 * @param {any} error
 */
function tellRefused(pins, source, error) {
  const reason = REASONS.get(error?.code)
  if (!reason) return
  const { host, port = null, pattern = null, expected = [], path = [] } = error
  const told = { reason, host, port, pattern, expected, path, error }
  if (pins && pins.listenerCount('refused') > 0) {
    const refused = hidden({ ...told }, 'chain', () => error.chain ?? [])
    later(() => pins.emit('refused', refused))
  }
  if (mismatchChannel.hasSubscribers) {
    later(() => mismatchChannel.publish({ decision: 'refused', source, ...told }))
  }
}

/**
 * Not from here: what a listener throws must not become an answer to the connection, nor cost others theirs.
 * @param {() => void} tell
 */
function later(tell) {
  process.nextTick(tell)
}

module.exports = { tellAccepted, tellRefused, wantsVerified }

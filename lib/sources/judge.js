'use strict'
// Whether a genuine signed policy may come into force: not before its time, not after it, and never behind a newer one.

const { fromFailure } = require('../errors.js')

/**
 * @param {import('./envelope.js').Signed} signed
 * @param {Pick<import('./envelope.js').Signed, 'version' | 'digest'> | undefined} floor The newest that has been accepted.
 * @param {number} now Unix milliseconds
 */
function judge({ version, digest, notBefore, expires }, floor, now) {
  if (floor && version < floor.version) {
    throw refused('ROLLBACK', `this is version ${version}, and version ${floor.version} was in force before`)
  }
  if (floor && version === floor.version && digest !== floor.digest) {
    throw refused(
      'ROLLBACK',
      `version ${version} was in force before with other content; sign it with a higher version`
    )
  }
  if (notBefore !== null && now < notBefore * 1000) {
    throw refused('NOT_YET_VALID', `it is valid from ${iso(notBefore * 1000)} on, and here it is ${iso(now)}`)
  }
  if (expires * 1000 <= now) {
    throw refused('EXPIRED', `version ${version} expired at ${iso(expires * 1000)}, and here it is ${iso(now)}`)
  }
}

/**
 * @param {'ROLLBACK' | 'NOT_YET_VALID' | 'EXPIRED'} what
 * @param {string} why
 */
function refused(what, why) {
  const message = `the signed policy is refused: ${why}`
  return fromFailure({ code: `ERR_TLS_PIN_POLICY_${what}`, message, phase: 'policy' })
}

/** @param {number} milliseconds */
function iso(milliseconds) {
  const date = new Date(milliseconds)
  return Number.isNaN(date.getTime()) ? String(milliseconds) : date.toISOString().replace('.000Z', 'Z')
}

module.exports = { iso, judge }

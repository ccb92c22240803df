'use strict'
// What there is to say of the hosts and entries of a policy. Pure: the time is given.

const { PinSet } = require('../../lib/policy.js')

const DAY = 86_400_000

/** @typedef {import('./examine.js').Examined} Examined */
/**
 * @typedef {object} Finding
 * @property {string} code Stable: `mismatch`, `untrusted`, `unlisted`, `refused`, `certificate-expires`, `expired`, `expires`; as
 *   warnings `report-only`, `not-checked` and those of `lint`.
 * @property {'finding' | 'warning'} level A finding is an exit code of 1.
 * @property {string} message
 */

/**
 * What is wrong with a host, or soon will be. That it could not be reached is no finding.
 * @param {Examined} examined
 * @param {{ now: number, days: number }} when
 * @param {boolean} [isToldOf] Whether its entry's own expiry says already that it is refused.
 * @returns {Finding[]}
 */
function hostFindings(examined, { now, days }, isToldOf = false) {
  const { status, accepted, mode, expected, certificates, error } = examined
  /** @type {Finding[]} */
  const findings = []
  if (status === 'mismatch') {
    const all = expected.length === 1 ? 'its pin is' : `its ${expected.length} pins are`
    const then = mode === 'report' && accepted ? '; the entry only reports, so that clients connect all the same' : ''
    findings.push(finding('mismatch', `${all} not on the verified path${then}`))
  }
  if (status === 'untrusted') {
    const clock = /^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/.test(error?.code ?? '')
    const by = clock ? `; by this machine's clock it is ${iso(new Date(now))}` : ''
    findings.push(finding('untrusted', `${reason(examined)}${by}`))
  }
  if (status === 'unlisted') findings.push(finding('unlisted', 'the policy has no entry for it: it is not pinned'))
  if (status === 'match' && !accepted && !isToldOf) {
    findings.push(finding('refused', `its pins match, and it is refused all the same: ${reason(examined)}`))
  }
  // Of a path that is refused the verifier has told already.
  for (const { subject, validTo } of status === 'untrusted' ? [] : certificates) {
    if (validTo && validTo.getTime() - now <= days * DAY) {
      findings.push(finding('certificate-expires', `${subject} expires ${moment(validTo, now)}`))
    }
  }
  return findings
}

/**
 * What is unwise in an entry, in force or soon over.
 * @param {string | null} pattern Null for a bare list.
 * @param {any} entry As in the policy's canonical form.
 * @param {{ now: number, days: number }} when
 * @returns {Finding[]}
 */
function entryFindings(pattern, entry, { now, days }) {
  /** @type {Finding[]} */
  const findings = []
  const expires = entry.expires === undefined ? null : new Date(entry.expires)
  const then = isLoose(entry) ? 'its hosts are connected to unpinned' : 'its hosts are refused'
  findings.push(...expiryFindings('the entry', expires, then, { now, days }))
  if (entry.mode === 'report') {
    const until = expires ? '' : ', and nothing says until when'
    findings.push(
      warning('report-only', `the entry only reports${until}: a server that does not match is connected to`)
    )
  }
  const { warnings } = new PinSet(pattern === null ? entry.pins : { hosts: { [pattern]: entry } })
  // Said above, with the days that were asked for.
  const said = ['expired', 'expires-soon', 'report-without-expiry']
  const others = warnings.filter((/** @type {any} */ { code }) => !said.includes(code))
  return [...findings, ...others.map((/** @type {any} */ { code, message }) => warning(code, message))]
}

/** Whether an entry lets through what it no longer decides about. @param {any} entry As in the canonical form. */
function isLoose({ onExpiry, mode }) {
  return onExpiry === 'allow' || mode === 'report'
}

/**
 * That it has expired, or soon will.
 * @param {string} what
 * @param {Date | null} expires
 * @param {string} then
 * @param {{ now: number, days: number }} when
 * @returns {Finding[]}
 */
function expiryFindings(what, expires, then, { now, days }) {
  if (!expires || expires.getTime() - now > days * DAY) return []
  const far = moment(expires, now)
  if (expires.getTime() <= now) return [finding('expired', `${what} expired ${far}: ${then}`)]
  return [finding('expires', `${what} expires ${far}: from then on ${then}`)]
}

/**
 * @param {string} code
 * @param {string} message
 * @returns {Finding}
 */
function finding(code, message) {
  return { code, level: 'finding', message }
}

/**
 * @param {string} code
 * @param {string} message
 * @returns {Finding}
 */
function warning(code, message) {
  return { code, level: 'warning', message }
}

/**
 * A date, and how far away it is.
 * @param {Date} date
 * @param {number} now
 */
function moment(date, now) {
  const days = Math.floor(Math.abs(date.getTime() - now) / DAY)
  const far = days === 1 ? '1 day' : days === 0 ? 'less than a day' : `${days} days`
  return date.getTime() > now ? `on ${iso(date)}, in ${far}` : `on ${iso(date)}, ${far} ago`
}

/** @param {Date} date To the second, as policies have it. */
function iso(date) {
  return date.toISOString().replace(/\.\d+Z$/, 'Z')
}

/**
 * Why a host is no match: the code, and the first line of the message without the host, which stands beside it.
 * @param {Examined} examined
 */
function reason({ host, port, error }) {
  const name = host.includes(':') ? `[${host}]` : host
  const [line] = (error?.message ?? '').split('\n')
  const text = line.replace(`${name}:${port}: `, '')
  return error?.code && !text.startsWith(error.code) ? `${error.code}: ${text}` : text
}

module.exports = { entryFindings, expiryFindings, hostFindings, isLoose, iso, reason, warning }

'use strict'
// A report as collectors take it: by RFC 7469, section 3, or as TrustKit sends it.

const crypto = require('node:crypto')
const { version } = require('../package.json')

/** `TSKTrustEvaluationFailedNoMatchingPin`, the only result of TrustKit's that a policy can come to. */
const NO_MATCHING_PIN = 1
/** What has no end: as RFC 5280, 4.1.2.5 writes it, since RFC 7469 wants a date. */
const NEVER = '9999-12-31T23:59:59Z'

/**
 * @typedef {object} Observed What was observed, once or several times.
 * @property {'refused' | 'excused'} decision
 * @property {import('../index.js').Report} report
 * @property {import('../index.js').Match | null} entry What the policy says of the host.
 * @property {Date} first
 * @property {Date} last
 * @property {number} count
 */

/**
 * @typedef {object} App What TrustKit's format says of the program.
 * @property {string} [id]
 * @property {string} [version]
 * @property {string} [vendorId]
 */

/**
 * @param {Observed} observed
 * @param {number} dropped Reports that were lost since the last that arrived.
 */
function rfc7469({ report, entry, ...observed }, dropped) {
  return {
    'date-time': timestamp(observed.first),
    ...host(report, entry),
    'effective-expiration-date': entry?.expires ? timestamp(entry.expires) : NEVER,
    'served-certificate-chain': report.chain.map(pem),
    'validated-certificate-chain': pathOf(report),
    'known-pins': knownPins(report, entry),
    'tls-pinning': details({ report, ...observed }, dropped)
  }
}

/**
 * @param {Observed} observed
 * @param {number} dropped
 * @param {App} app
 */
function trustkit({ report, entry, ...observed }, dropped, app) {
  const path = pathOf(report)
  return {
    'app-bundle-id': app.id ?? '',
    'app-version': app.version ?? '',
    'app-vendor-id': app.vendorId ?? '',
    'app-platform': 'NODE',
    'app-platform-version': process.versions.node,
    'trustkit-version': `tls-pinning/${version}`,
    'date-time': timestamp(observed.first),
    ...host(report, entry),
    'enforce-pinning': observed.decision === 'refused',
    'validated-certificate-chain': path.length > 0 ? path : report.chain.map(pem),
    'known-pins': knownPins(report, entry),
    'known-pins-expiration-date': entry?.expires ? timestamp(entry.expires).slice(0, 10) : null,
    'validation-result': NO_MATCHING_PIN,
    'tls-pinning': details({ report, ...observed }, dropped)
  }
}

/**
 * Whose connection it was, and the entry's host, without the wildcard and the port of its pattern.
 * @param {import('../index.js').Report} report
 * @param {import('../index.js').Match | null} entry
 */
function host({ host, port, pattern: decided }, entry) {
  const pattern = decided ?? entry?.pattern ?? null
  return {
    hostname: host,
    // Node does not tell a checkServerIdentity.
    port: port ?? 0,
    'noted-hostname': pattern === null ? host : pattern.replace(/^\*{1,2}\./, '').replace(/:\d+$/, ''),
    'include-subdomains': pattern?.startsWith('*') ?? false
  }
}

/**
 * What neither format has a place for.
 * @param {Omit<Observed, 'entry'>} observed
 * @param {number} dropped
 */
function details({ decision, report, count, last }, dropped) {
  return { version, decision, reason: report.reason, count, 'last-date-time': timestamp(last), dropped }
}

/**
 * `pin-sha256="BASE64"`, and for pins that RFC 7469 has no name for one of the same form.
 * @param {import('../index.js').Report} report
 * @param {import('../index.js').Match | null} entry
 */
function knownPins({ expected }, entry) {
  const pins = expected.length > 0 ? expected : entry ? [...entry.pins, ...entry.leaf, ...entry.ca] : []
  return [...new Set(pins)].map(pin => {
    const [, base64] = /^sha256\/(.*)$/.exec(pin) ?? []
    if (base64) return `pin-sha256="${base64}"`
    const [, target, algorithm, hex] = /** @type {RegExpExecArray} */ (/^(spki|cert):(sha\d+):(.*)$/.exec(pin))
    const name = target === 'spki' ? 'pin' : 'cert'
    return `${name}-${algorithm}="${Buffer.from(hex, 'hex').toString('base64')}"`
  })
}

/** @param {import('../index.js').Report} report */
function pathOf({ path }) {
  return path.flatMap(({ raw }) => (raw ? [pem(raw)] : []))
}

/**
 * RFC 7468.
 * @param {Uint8Array} der
 */
function pem(der) {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

/**
 * RFC 3339, without a fraction, which some collectors do not read.
 * @param {Date} date
 */
function timestamp(date) {
  return date.toISOString().replace(/\.\d+Z$/, 'Z')
}

/**
 * The same for reports that say the same.
 * @param {'refused' | 'excused'} decision
 * @param {import('../index.js').Report} report
 */
function keyOf(decision, { reason, host, port, pattern, expected, chain }) {
  const certificates = chain.map(der => crypto.createHash('sha256').update(der).digest('base64'))
  return JSON.stringify([decision, reason, host, port, pattern, expected, certificates])
}

module.exports = { FORMATS: { rfc7469, trustkit }, keyOf }

'use strict'
// What was seen of a server, for people. Every text of a certificate is printable: native code sees to that.

const { table } = require('../ui.js')
const { messageOf } = require('./findings.js')

const DAY = 24 * 60 * 60 * 1000

/** @typedef {InstanceType<typeof import('../ui.js').Ui>} Ui */

/**
 * @param {Ui} ui
 * @param {any} entry
 * @param {Date} now
 */
function hostText(ui, { label, seen, scanned, error, findings }, now) {
  const where = seen?.remoteAddress ?? scanned?.remoteAddress
  const parts = [`${ui.style('bold', label)}${where ? `  ${where}` : ''}\n${table(state(ui, seen, error), '  ')}`]
  for (const { message, hint } of findings) parts.push(`  ${ui.style('red', '!')} ${message}\n    ${hint}\n`)
  if (seen) {
    const each = seen.chain.map((/** @type {any} */ certificate, /** @type {number} */ at) =>
      certificateText(ui, certificate, at + 1, now)
    )
    parts.push(`  presented, as sent\n${each.join('')}`)
    if (seen.path) parts.push(`  verified path\n${table(pathRows(seen), '    ')}`)
  }
  if (scanned) parts.push(`  accepts\n${scanned.versions.map((/** @type {any} */ of) => versionText(ui, of)).join('')}`)
  return parts.join('\n')
}

/**
 * @param {Ui} ui
 * @param {any} seen
 * @param {any} error
 * @returns {string[][]}
 */
function state(ui, seen, error) {
  if (!seen) return [['handshake', ui.style('red', `failed: ${error.message}`)]]
  const trusted = seen.untrusted
    ? ui.style('red', `NO, ${seen.untrusted.code}`)
    : ui.style('green', `yes, the path is verified for ${seen.host}`)
  const agreed = [seen.protocol, seen.cipher, seen.group, seen.alpn && `ALPN ${seen.alpn}`].filter(Boolean)
  const handshake = seen.incomplete ? `not finished: ${messageOf(seen, seen.incomplete)}` : agreed.join(', ')
  return [
    ['trusted', trusted],
    ['handshake', handshake]
  ]
}

/**
 * @param {Ui} ui
 * @param {any} certificate
 * @param {number} number
 * @param {Date} now
 */
function certificateText(ui, certificate, number, now) {
  if (certificate.unreadable) {
    const rows = [
      ['unreadable', certificate.unreadable],
      ['pin', certificate.certificatePin]
    ]
    return `    ${number}\n${table(rows, '      ')}`
  }
  const { subject, issuer, names, key, serialNumber, fingerprint256, pins, selfIssued, ca } = certificate
  const plain = names.map((/** @type {string} */ name) => name.replace(/^(DNS|IP Address):/, ''))
  const rows = [
    ['issuer', selfIssued ? 'itself' : issuer],
    ...(names.length ? [['names', plain.join(', ')]] : []),
    ['valid', validity(ui, certificate, now)],
    ['key', `${key}${ca ? ', of a CA' : ''}`],
    ['serial', serialNumber],
    ['key pin', pins.sha256],
    ['', pins.curl],
    ['', pins.hpkp],
    ['', pins.tlsa],
    ['', pins.sha512],
    ['cert pin', pins.certificate256],
    ['', pins.certificate512],
    ['', fingerprint256]
  ]
  return `    ${number} ${ui.style('bold', subject || '(no subject)')}\n${table(rows, '      ')}`
}

/**
 * @param {Ui} ui
 * @param {{ validFrom: Date, validTo: Date }} certificate
 * @param {Date} now
 */
function validity(ui, { validFrom, validTo }, now) {
  const day = (/** @type {Date} */ date) => date.toISOString().slice(0, 10)
  const days = daysLeft(validTo, now)
  const left =
    validFrom > now
      ? ui.style('red', 'not yet')
      : days < 0
        ? ui.style('red', `over since ${count(-days)}`)
        : ui.style(days < 30 ? 'yellow' : 'green', `${count(days)} left`)
  return `${day(validFrom)} to ${day(validTo)}, ${left}`
}

/**
 * Whole days; negative once it is over.
 * @param {Date} validTo
 * @param {Date} now
 */
function daysLeft(validTo, now) {
  return Math.floor((validTo.getTime() - now.getTime()) / DAY)
}

/** @param {number} days */
function count(days) {
  return `${days} ${days === 1 ? 'day' : 'days'}`
}

/** @param {any} seen */
function pathRows({ path, chain }) {
  const sent = new Set(chain.map((/** @type {any} */ { fingerprint256 }) => fingerprint256))
  return path.map((/** @type {any} */ { spkiPin, subject, fingerprint256 }) => [
    spkiPin,
    `${subject}${sent.has(fingerprint256) ? '' : '  (trusted here, not sent)'}`
  ])
}

/** @type {Record<string, string>} */
const PREFERENCES = {
  server: 'the server’s order decides',
  client: 'the client’s order decides',
  unknown: 'whose order decides is unknown'
}

/**
 * @param {Ui} ui
 * @param {any} scanned
 */
function versionText(ui, { version, outcome, reason, cipher, preference, ciphers, groups }) {
  const isOld = !['TLSv1.3', 'TLSv1.2'].includes(version)
  if (outcome !== 'accepted') return `    ${version.padEnd(8)} ${answer(ui, outcome, reason)}\n`
  const how = isOld ? cipher : preference && PREFERENCES[preference]
  const head = `    ${version.padEnd(8)} ${ui.style(isOld ? 'red' : 'green', 'yes')}${how ? `, ${how}` : ''}\n`
  const rows = (/** @type {string} */ title, /** @type {any[]} */ list) =>
    list.map(({ name, outcome, reason }, at) => [at === 0 ? title : '', name, answer(ui, outcome, reason)])
  return head + table([...rows('cipher suites', ciphers), ...rows('groups', groups)], '      ')
}

/**
 * @param {Ui} ui
 * @param {string} outcome
 * @param {string} reason
 */
function answer(ui, outcome, reason) {
  if (outcome === 'accepted') return ui.style('green', 'yes')
  return outcome === 'refused' ? 'no' : ui.style('yellow', `unknown: ${reason}`)
}

module.exports = { daysLeft, hostText }

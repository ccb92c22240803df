'use strict'
// The outcome of a check for people.

const { printable, table } = require('../ui.js')
const { iso, reason } = require('./findings.js')

/** @typedef {import('./policy.js').Checked} Checked */
/** @typedef {import('./policy.js').CheckedHost} CheckedHost */
/** @typedef {import('../ui.js').Style} Style */
/** @typedef {(style: Style, text: string) => string} Paint */

/** @type {Record<string, Style>} */
const STYLES = { match: 'green', unreachable: 'yellow', 'not checked': 'yellow', finding: 'red', warning: 'yellow' }

/**
 * @param {Checked} checked
 * @param {string} name
 * @param {boolean} isStrict
 * @param {Paint} style
 */
function text({ hosts, entries, findings, summary }, name, isStrict, style) {
  const label = (/** @type {string} */ status) => style(STYLES[status] ?? 'red', status)
  const rows = [
    ...hosts.map(host => [label(host.status), printable(host.label), printable(outcome(host))]),
    ...entries.flatMap(({ pattern, checked }) => (checked ? [] : [[label('not checked'), String(pattern), '']]))
  ]
  const remarks = [
    ...hosts.map(host => ({ about: printable(host.label), of: host.findings })),
    ...entries.map(({ pattern, findings }) => ({
      about: pattern === null ? 'pins' : `entry ${pattern}`,
      of: findings
    })),
    { about: 'policy', of: findings }
  ].flatMap(({ about, of }) =>
    of.map(({ code, level, message }) => [label(level), about, `${code}: ${printable(message)}`])
  )
  return [
    table(rows),
    ...hosts.filter(({ status }) => status === 'mismatch').map(host => comparison(host, style)),
    remarks.length > 0 ? `\n${table(remarks)}` : '',
    `\n${printable(name)}: ${total(summary, isStrict)}\n`
  ].join('')
}

/** @param {CheckedHost} host */
function outcome(host) {
  const { status, pattern, label, matched, error, accepted } = host
  const by = pattern === null || pattern === label ? '' : ` (entry ${pattern})`
  if (status === 'match' && matched) {
    const then = accepted ? '' : `; refused all the same: ${error?.code}`
    return `${matched.pin} on ${matched.subject ?? 'the path'}${by}${then}`
  }
  if (status === 'mismatch') {
    return `no pin is on the path${by}${accepted ? '; connected to all the same' : ''}`
  }
  if (status === 'unlisted') return 'no entry'
  return `${reason(host)}${by}${status === 'unreachable' ? ` (${error?.hint})` : ''}`
}

/**
 * What the policy expects, and below it what is there.
 * @param {CheckedHost} host
 * @param {Paint} style
 */
function comparison({ label, expected, certificates, error }, style) {
  const roles = { any: 'on any certificate', leaf: 'on the leaf', ca: 'on an issuer' }
  const old = expected.map(({ pin, role }) => style('red', `- ${pin}  ${roles[role]}`))
  const now = certificates.map(({ pin, subject, validTo }) => {
    const until = validTo ? `, until ${iso(validTo).slice(0, 10)}` : ''
    return style('green', `+ ${pin}  ${printable(subject)}${until}`)
  })
  const lines = [...old, ...now].map(line => `  ${line}\n`).join('')
  return `\n${printable(label)}: - the policy, + the server\n${lines}  ${error?.hint}\n`
}

/**
 * @param {Checked['summary']} summary
 * @param {boolean} isStrict
 */
function total({ hosts, matching, unreachable, findings, warnings }, isStrict) {
  const strict = isStrict && warnings > 0 ? ', which count as findings' : ''
  const asked = hosts === 1 ? '1 host' : `${hosts} hosts`
  return (
    `${asked}, ${matching} matching, ${unreachable} not reached; ` +
    `${count(findings, 'finding')}, ${count(warnings, 'warning')}${strict}`
  )
}

/**
 * @param {number} number
 * @param {string} noun
 */
function count(number, noun) {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

module.exports = { comparison, text }

'use strict'
// The outcome of a check as JUnit XML: a test case for each host and each entry of the policy.

const { printable } = require('../ui.js')
const { comparison } = require('./text.js')

/** @typedef {import('./policy.js').Checked & { policy: string, time: Date }} Report */
/** @typedef {import('./findings.js').Finding} Finding */
/**
 * @typedef {object} Case
 * @property {string} name
 * @property {Finding[]} findings
 * @property {{ code?: string, message: string } | null} error Why it could not be run.
 * @property {boolean} skipped
 * @property {string[]} more What whoever reads of the failure needs besides.
 */

/**
 * @param {Report} report
 * @param {boolean} isStrict Whether warnings fail.
 */
function junit({ policy, time, hosts, entries, findings }, isStrict) {
  /** @type {Case[]} */
  const cases = [
    ...hosts.map(host => ({
      name: host.label,
      findings: host.findings,
      error: host.status === 'unreachable' ? host.error : null,
      skipped: false,
      more:
        host.status === 'mismatch'
          ? comparison(host, (_style, text) => text)
              .trim()
              .split('\n')
          : []
    })),
    ...entries.map(({ pattern, checked, findings }) => ({
      name: pattern === null ? 'pins' : `entry ${pattern}`,
      findings,
      error: null,
      skipped: !checked,
      more: []
    })),
    { name: 'policy', findings, error: null, skipped: false, more: [] }
  ]
  const fails = (/** @type {Finding} */ { level }) => isStrict || level === 'finding'
  const failed = cases.filter(({ findings }) => findings.some(fails))
  const broken = cases.filter(one => one.error && !failed.includes(one))
  const skipped = cases.filter(one => one.skipped && !failed.includes(one))
  const counts = attributes({
    tests: cases.length,
    failures: failed.length,
    errors: broken.length,
    skipped: skipped.length
  })
  const suite = attributes({ name: policy, timestamp: time.toISOString().slice(0, 19) })
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="tls-pinning check"${counts}>`,
    `  <testsuite${suite}${counts}>`,
    ...cases.flatMap(one => testCase(one, policy, one.findings.filter(fails))),
    '  </testsuite>',
    '</testsuites>',
    ''
  ].join('\n')
}

/**
 * @param {Case} one
 * @param {string} policy
 * @param {Finding[]} failing
 */
function testCase({ name, findings, error, skipped, more }, policy, failing) {
  const [first] = failing
  const lines = (/** @type {Finding[]} */ list) => list.map(({ code, message }) => `${code}: ${message}`)
  const others = findings.filter(one => !failing.includes(one))
  const outcome = first
    ? [
        `      <failure${attributes({ type: first.code, message: first.message })}>${content([...lines(failing), ...more])}</failure>`
      ]
    : error
      ? [`      <error${attributes({ type: error.code ?? 'error', message: error.message.split('\n')[0] })}/>`]
      : skipped
        ? [`      <skipped${attributes({ message: 'no host is named that it decides about' })}/>`]
        : []
  const notes = others.length > 0 ? [`      <system-out>${content(lines(others))}</system-out>`] : []
  const inner = [...outcome, ...notes]
  const open = `    <testcase${attributes({ classname: policy, name })}`
  return inner.length > 0 ? [`${open}>`, ...inner, '    </testcase>'] : [`${open}/>`]
}

/** @param {Record<string, string | number>} values */
function attributes(values) {
  return Object.entries(values)
    .map(([name, value]) => ` ${name}="${escaped(value)}"`)
    .join('')
}

/** @param {string[]} lines */
function content(lines) {
  return lines.map(escaped).join('\n')
}

/** XML has no form for most control characters, not even an escaped one. @param {string | number} text */
function escaped(text) {
  const named = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' }
  return printable(text).replace(/[&<>"']/g, character => named[/** @type {keyof typeof named} */ (character)])
}

module.exports = { junit }

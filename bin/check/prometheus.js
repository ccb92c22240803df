'use strict'
// The outcome of a check in Prometheus's text format 0.0.4, for the textfile collector of the node exporter.

const { printable } = require('../ui.js')

/** @typedef {import('./policy.js').Checked & { policy: string, time: Date }} Report */
/** @typedef {[labels: Record<string, string>, value: number][]} Samples */

/** @param {Report} report */
function prometheus({ policy, time, hosts, entries, expires, summary }) {
  const of = (/** @type {import('./policy.js').CheckedHost} */ { host, port }) => ({
    policy,
    host,
    port: String(port ?? '')
  })
  const reached = hosts.filter(({ status }) => status !== 'unreachable')
  const withPattern = reached.map(host => ({ host, labels: { ...of(host), pattern: host.pattern ?? '' } }))
  /** @type {[name: string, help: string, samples: Samples][]} */
  const metrics = [
    [
      'up',
      'Whether the TLS handshake with the host was finished.',
      hosts.map(host => [of(host), Number(reached.includes(host))])
    ],
    [
      'match',
      "Whether a pin of the host's entry is on the verified path, whatever the entry's mode and expiry.",
      withPattern.map(({ host, labels }) => [labels, Number(host.status === 'match')])
    ],
    [
      'accepted',
      'Whether a client under this policy would connect to the host now.',
      withPattern.map(({ host, labels }) => [labels, Number(host.accepted)])
    ],
    [
      'certificate_not_after_timestamp_seconds',
      'When a certificate of the host is no longer valid; position 0 is its own, the others are issuers.',
      hosts.flatMap(host =>
        host.certificates.flatMap(({ subject, validTo }, position) =>
          validTo ? [pair({ ...of(host), position: String(position), subject }, seconds(validTo))] : []
        )
      )
    ],
    [
      'entry_expires_timestamp_seconds',
      'When an entry of the policy expires.',
      entries.flatMap(({ pattern, expires }) =>
        expires ? [pair({ policy, pattern: pattern ?? '' }, seconds(expires))] : []
      )
    ],
    [
      'policy_expires_timestamp_seconds',
      'When the policy as a whole expires.',
      expires ? [[{ policy }, seconds(expires)]] : []
    ],
    [
      'entry_checked',
      'Whether a host was asked that the entry decides about.',
      entries.map(({ pattern, checked }) => [{ policy, pattern: pattern ?? '' }, Number(checked)])
    ],
    ['findings', 'Findings of the last check.', [[{ policy }, summary.findings]]],
    ['warnings', 'Warnings of the last check.', [[{ policy }, summary.warnings]]],
    ['check_timestamp_seconds', 'When the check was made.', [[{ policy }, seconds(time)]]]
  ]
  return metrics.map(metric).join('')
}

/**
 * @param {Record<string, string>} labels
 * @param {number} value
 * @returns {Samples[number]}
 */
function pair(labels, value) {
  return [labels, value]
}

/** @param {[name: string, help: string, samples: Samples]} metric */
function metric([name, help, samples]) {
  if (samples.length === 0) return ''
  const full = `tls_pinning_${name}`
  const lines = samples.map(([labels, value]) => `${full}{${Object.entries(labels).map(label).join(',')}} ${value}\n`)
  return `# HELP ${full} ${help}\n# TYPE ${full} gauge\n${lines.join('')}`
}

/** A backslash, a quote and a line feed are escaped; nothing else may be. @param {[string, string]} label */
function label([name, value]) {
  return `${name}="${printable(value).replace(/[\\"]/g, '\\$&')}"`
}

/** @param {Date} date */
function seconds(date) {
  return Math.floor(date.getTime() / 1000)
}

module.exports = { prometheus }

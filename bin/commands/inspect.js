'use strict'
// What servers present, looked at without trusting it, and what they accept.

const { inspect, scan } = require('../../lib/inspect.js')
const { EXIT, explain, usageError } = require('../errors.js')
const { sideBySide } = require('../hosts.js')
const { findings } = require('../inspect/findings.js')
const { HELP, OPTIONS, inspectOptions, targetOf } = require('../inspect/options.js')
const { daysLeft, hostText } = require('../inspect/text.js')

/**
 * @typedef {object} Entry
 * @property {string} label
 * @property {any} seen What `inspect` found, or null.
 * @property {any} scanned What `scan` found, or null.
 * @property {any} error Why nothing was found.
 * @property {import('../inspect/findings.js').Finding[]} findings
 */

module.exports = {
  usage: 'HOST[:PORT]… [options]',
  options: { ...OPTIONS, scan: { type: 'boolean' }, 'no-scan': { type: 'boolean' } },
  help: `
Shows the certificates that servers present, each with every form of its pin, whether they verify, and what the
servers accept. Nothing but handshakes is sent.

  tls-pinning inspect api.example.com
  tls-pinning inspect api.example.com www.example.com:8443 192.0.2.7 --no-scan
  tls-pinning inspect mail.example.com --starttls smtp
  tls-pinning inspect db.internal:5432 --starttls postgres --ca company.pem
  tls-pinning inspect api.example.com --json | jq -r '.hosts[].chain[0].pins.sha256'

${HELP}
  --no-scan            one handshake alone, instead of some thirty to learn which versions, cipher suites and groups
                       the server accepts (of those that this program speaks)

Exit codes: 1 where a chain is not trusted or an old version (TLS 1.1 or before) is accepted, at whichever host; else 3
where a host could not be reached.`,

  /** @param {import('../main.js').Call} call */
  async run({ args, options, ui }) {
    if (args.length === 0) throw usageError('no host is given', 'tls-pinning inspect --help shows examples')
    if (options.scan && options['no-scan']) throw usageError('--scan and --no-scan are given', 'give one of them')
    const targets = args.map(text => targetOf(text, options))
    const given = inspectOptions(options)
    const { ca, ...forScan } = given
    const told = (/** @type {number} */ done) => ui.progress(`inspected ${done} of ${targets.length}`)
    told(0)
    const entries = await sideBySide(
      targets,
      ({ label, target }) => look(label, target, given, options['no-scan'] ? null : forScan),
      told
    )
    const now = new Date()
    if (ui.isJson) ui.result({ hosts: entries.map(entry => json(entry, now)) }, () => '')
    else tell(ui, entries, now)
    if (entries.some(entry => entry.findings.length > 0)) return EXIT.FINDING
    return entries.some(entry => entry.error) ? EXIT.NETWORK : EXIT.OK
  }
}

/**
 * @param {string} label
 * @param {string} target
 * @param {any} forInspect
 * @param {any} forScan
 * @returns {Promise<Entry>}
 */
async function look(label, target, forInspect, forScan) {
  let [seen, scanned, error] = /** @type {any[]} */ ([null, null, null])
  try {
    seen = await inspect(target, forInspect)
  } catch (reason) {
    if (explain(reason).exit !== EXIT.NETWORK) throw reason
    error = reason
  }
  // A handshake that fails may be one with a server that speaks old versions alone: just then there is something to find.
  if (forScan && (seen || error.code.startsWith('ERR_SSL_'))) {
    scanned = await scan(target, forScan).catch(reason => {
      error ??= reason
      return null
    })
  }
  const answered = scanned?.versions.some((/** @type {any} */ { outcome }) => outcome === 'accepted')
  if (!seen && !answered) scanned = null
  return { label, seen, scanned, error, findings: findings(seen, scanned) }
}

/**
 * @param {InstanceType<typeof import('../ui.js').Ui>} ui
 * @param {Entry[]} entries
 * @param {Date} now
 */
function tell(ui, entries, now) {
  const shown = entries.filter(({ seen, scanned }) => seen || scanned)
  ui.write(shown.map(entry => hostText(ui, entry, now)).join('\n'))
  for (const { error } of entries) if (error) ui.fail(explain(error))
}

/**
 * @param {Entry} entry
 * @param {Date} now
 */
function json({ label, seen, scanned, error, findings }, now) {
  const { code, message, hint } = error ? explain(error) : /** @type {any} */ ({})
  const brief = (/** @type {any} */ error) => error && { code: error.code, message: error.message }
  return {
    target: label,
    ...(error && { error: { code, message, hint } }),
    ...(seen && {
      host: seen.host,
      port: seen.port,
      remoteAddress: seen.remoteAddress,
      trusted: seen.untrusted === null,
      untrusted: brief(seen.untrusted),
      protocol: seen.protocol,
      cipher: seen.cipher,
      group: seen.group,
      alpn: seen.alpn,
      incomplete: brief(seen.incomplete),
      chain: seen.chain.map((/** @type {any} */ of) =>
        of.validTo ? { ...of, daysLeft: daysLeft(of.validTo, now) } : of
      ),
      path: seen.path
    }),
    ...(scanned && { versions: scanned.versions }),
    findings
  }
}

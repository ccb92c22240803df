'use strict'
// Whether servers still match a policy.

const { checkPolicy } = require('../check/policy.js')
const { junit } = require('../check/junit.js')
const { prometheus } = require('../check/prometheus.js')
const { text } = require('../check/text.js')
const { CliError, EXIT, usageError } = require('../errors.js')
const { inspectOptions } = require('../inspect/options.js')
const { nameOf, readPolicy } = require('../policies.js')

const usage = 'POLICY [HOST[:PORT]…]'

const help = `
  tls-pinning check policy.json                               every host that the policy names
  tls-pinning check policy.json --host eu.api.example.com     and one that a wildcard of it is for
  tls-pinning check policy.json api.example.com               this host alone
  tls-pinning check policy.json db.example.com:5432 --starttls postgres
  tls-pinning check policy.json --days 14 --strict --format junit > report.xml
  tls-pinning check policy.json --format prometheus > tls_pinning.prom

Shakes hands with each host as a client does, with the same trust and the same verifier, and closes: no application byte
is sent. Then tells which pin matched on which certificate or, one below the other, what the policy expects and what the
server has.

  --host HOST[:PORT]   besides the hosts of the policy; may be given again. A wildcard names no host that could be asked:
                       each one for which none is given is told as not checked
  --days N             how long ahead an expiry is a finding, of entries and of certificates on the path. Default: 30
  --strict             warnings are findings
  --format FORMAT      table (default), json, junit or prometheus; --json is --format json
  --timeout SECONDS    for the connection, and again for the handshake. Default: 10
  --ca FILE            trust anchors, PEM, instead of Node's own
  --pin-only           the pins are the only trust, as for clients with trust: 'pin-only'
  --proxy URL          as the client's option of that name; env for the one in the environment
  --starttls PROTOCOL  what is spoken before TLS
  --servername NAME    expects this name instead of the host's: to check one machine of several behind it

Findings: a mismatch (in an entry with "mode": "report" too), a server that is not trusted, an expiry that has come or
comes within --days (of the policy as a whole too), a host that was named and has no entry, one that is refused though its
pins match. Warnings: what lint tells, entries that only report, patterns
that were not checked.

Exit codes: 0 all match, 1 a finding, 2 wrong usage or a policy that cannot be used, 3 no finding, but a host that could
not be reached.
`

const options = /** @type {const} */ ({
  host: { type: 'string', multiple: true },
  days: { type: 'string' },
  strict: { type: 'boolean' },
  format: { type: 'string' },
  timeout: { type: 'string' },
  ca: { type: 'string' },
  'pin-only': { type: 'boolean' },
  proxy: { type: 'string' },
  starttls: { type: 'string' },
  servername: { type: 'string' }
})

const FORMATS = ['table', 'json', 'junit', 'prometheus']
/** When this was written. A clock that says less is wrong, and every date would be judged by it. */
const WRITTEN = Date.UTC(2025, 0, 1)

/** @param {import('../main.js').Call} call */
async function run({ args: [file, ...only], options: given, ui }) {
  if (file === undefined) throw usageError('no policy is given', 'tls-pinning check policy.json')
  const format = formatOf(given)
  ui.isJson = format === 'json'
  const days = numberOf(given.days, '--days', 30, 36_500)
  const inspect = optionsOf(given)
  if (given.servername !== undefined && only.length === 0) {
    const hint = 'tls-pinning check policy.json 192.0.2.7 --servername api.example.com'
    throw usageError('--servername needs the hosts that are to have this name', hint)
  }
  const now = Date.now()
  if (now < WRITTEN) {
    const hint = 'set the clock, by NTP for example: whether anything has expired cannot be told without it'
    const message = `by the clock of this machine it is ${new Date(now).toISOString()}, which cannot be`
    throw new CliError(message, { exit: EXIT.USAGE, hint, code: 'ERR_CLOCK' })
  }
  const pins = readPolicy(file)
  const checked = await checkPolicy(pins, { only, more: given.host ?? [], when: { now, days }, inspect }, (done, all) =>
    ui.progress(`checking ${all} hosts: ${done} done`)
  )
  const report = { policy: file, time: new Date(now), days, ...checked }
  const isStrict = Boolean(given.strict)
  if (format === 'junit') ui.write(junit(report, isStrict))
  else if (format === 'prometheus') ui.write(prometheus(report))
  else ui.result(report, () => text(report, nameOf(file), isStrict, ui.style.bind(ui)))
  const { findings, warnings, unreachable } = report.summary
  if (findings > 0 || (isStrict && warnings > 0)) return EXIT.FINDING
  return unreachable > 0 ? EXIT.NETWORK : EXIT.OK
}

/** @param {Record<string, any>} given */
function formatOf({ format, json }) {
  if (format !== undefined && !FORMATS.includes(format)) {
    throw usageError(`there is no format ${format}`, `give one of ${FORMATS.join(', ')}`)
  }
  if (json && format !== undefined && format !== 'json') {
    throw usageError(`--json and --format ${format} are two formats`, 'give one of them')
  }
  return json ? 'json' : (format ?? 'table')
}

/**
 * @param {string | undefined} text
 * @param {string} name
 * @param {number} otherwise
 * @param {number} most
 */
function numberOf(text, name, otherwise, most) {
  if (text === undefined) return otherwise
  if (/^\d+$/.test(text) && Number(text) <= most) return Number(text)
  throw usageError(`${name} ${text} is not a whole number from 0 to ${most}`, `leave it out for ${otherwise}`)
}

/** @param {Record<string, any>} given */
function optionsOf({ 'pin-only': pinOnly, ...given }) {
  if (!pinOnly) return inspectOptions(given)
  if (given.ca === undefined) return { ...inspectOptions(given), trust: /** @type {const} */ ('pin-only') }
  throw usageError('--pin-only makes the pins the only trust, so that --ca cannot count', 'give one of them')
}

module.exports = { usage, help, options, run }

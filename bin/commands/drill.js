'use strict'
// `tls-pinning drill -- COMMAND …`: which connections of a program a man in the middle can read.

const fs = require('node:fs')
const { CliError, EXIT, usageError } = require('../errors.js')
const { connectionsOf, findings } = require('../drill/judge.js')
const { html, text } = require('../drill/report.js')
const { run } = require('../drill/run.js')
const { PinSet } = require('../../lib/policy.js')

/** Seconds for one run. */
const TIMEOUT = 60
/** Any pin: only the patterns are asked. */
const ANY = `sha256/${Buffer.alloc(32, 1).toString('base64')}`
const VERDICTS = /** @type {const} */ ([
  'intercepted',
  'undecided',
  'unreached',
  'refused',
  'untrusted',
  'check',
  'pins'
])

/** @typedef {import('../drill/run.js').Run} Run */
/** @typedef {import('../drill/judge.js').Connection} Connection */

/** @type {import('../main.js').Command} */
module.exports = {
  usage: '[--host HOST[:PORT]] … [--each] [--timeout SECONDS] [--html FILE] [--verbose] -- COMMAND …',
  help: `
  tls-pinning drill -- node app.js
  tls-pinning drill -- npm test
  tls-pinning drill --timeout 20 -- node server.js       a program that does not end by itself
  tls-pinning drill --host api.example.com -- node app.js
  tls-pinning drill --json --html drill.html -- node app.js
  NODE_EXTRA_CA_CERTS=company.pem tls-pinning drill -- node app.js

Runs the program once to see whom it connects to, and then again with a man in the middle, whose certificates it trusts.
Tells of each connection whether it was refused, and why, or intercepted, and with what. A connection that was not made
again, because an earlier failure has stopped the program, is attacked alone in a run of its own.

The program does for real what it does: it is run several times, and what is not refused reaches the real servers.

  --host HOST[:PORT]   only these; as in a policy: *.example.com, **.example.com. May be given again
  --each               every connection in a run of its own from the start
  --timeout SECONDS    the time of one run, after which the program is stopped. Default: ${TIMEOUT}
  --html FILE          the report as a page
  --verbose            shows what the program prints

Exit codes: 0 all refused, 1 something was intercepted, 2 wrong usage, 3 something could not be put to the proof, such as
a program that cannot be run or makes no TLS connection.
`,
  options: {
    host: { type: 'string', multiple: true },
    each: { type: 'boolean' },
    timeout: { type: 'string' },
    html: { type: 'string' },
    verbose: { type: 'boolean' }
  },
  run: drill
}

/** @param {import('../main.js').Call} call */
async function drill({ args, options, rest, ui }) {
  if (args.length > 0 || rest.length === 0) {
    throw usageError('the command to run is missing', 'it stands behind --: tls-pinning drill -- node app.js')
  }
  const timeout = secondsOf(options.timeout)
  const hosts = options.host ?? []
  const isMeant = matcher(hosts)
  const onOutput = options.verbose ? (/** @type {string} */ output) => ui.error(output) : undefined
  let runs = 0
  /** @param {Omit<Parameters<typeof run>[1], 'timeout' | 'onOutput'>} how @param {string} what */
  const once = (how, what) => {
    ui.progress(`run ${++runs}: ${what} …`)
    return run(rest, { ...how, timeout, onOutput })
  }

  const baseline = await once({ intercept: false, only: null, hosts: [] }, 'whom the program connects to')
  checkBaseline(baseline, findings(baseline, [], isMeant).size, rest)
  /** @type {Run[]} */
  const attacks = []
  if (!options.each) attacks.push(await once({ intercept: true, only: null, hosts }, 'all under attack'))
  for (const [key, { connection }] of findings(baseline, [], isMeant)) {
    const found = findings(baseline, attacks, isMeant).get(key)
    if (found && !['unreached', 'undecided'].includes(found.finding.verdict)) continue
    attacks.push(await once(alone(connection), `${connection.host}:${connection.port} alone`))
  }

  const connections = Array.from(findings(baseline, attacks, isMeant).values(), ({ finding }) => finding).sort(
    (a, b) => VERDICTS.indexOf(a.verdict) - VERDICTS.indexOf(b.verdict)
  )
  const counts = /** @type {Record<import('../drill/judge.js').Verdict, number>} */ (
    Object.fromEntries(VERDICTS.map(name => [name, connections.filter(({ verdict }) => verdict === name).length]))
  )
  const missing = missingOf(baseline, isMeant)
  const report = { command: rest, runs, connections, plain: plainOf(baseline, isMeant), missing, counts }
  if (options.html) fs.writeFileSync(options.html, html(report))
  ui.result(report, () => text(report, ui))
  if (counts.intercepted > 0) return EXIT.FINDING
  return counts.undecided + counts.unreached + missing.length > 0 ? EXIT.NETWORK : EXIT.OK
}

/**
 * Only this one: by who makes it; where nobody knows, or one client makes several, by its host.
 * @param {Connection} connection
 */
function alone({ aim, isNative, hasStack }) {
  const byHost = isNative || !hasStack
  const host = `${aim.host.includes(':') ? `[${aim.host}]` : aim.host}:${aim.port}`
  return { intercept: true, only: hasStack ? [aim] : null, hosts: byHost ? [host] : [] }
}

/** @param {string | undefined} given */
function secondsOf(given = String(TIMEOUT)) {
  const seconds = Number(given)
  if (seconds > 0 && seconds <= 86_400) return seconds * 1000
  throw usageError(`--timeout ${given} is not a number of seconds`, 'write --timeout 30')
}

/** @param {string[]} hosts */
function matcher(hosts) {
  if (hosts.length === 0) return () => true
  const pins = policy(hosts)
  const knows = (/** @type {string} */ host, /** @type {number} */ port) => {
    try {
      return pins.match(host, port) !== null
    } catch {
      return false // not a name that a policy could have
    }
  }
  return (/** @type {{ host: string, port: number, aim: { host: string } }} */ { host, port, aim }) =>
    knows(host, port) || knows(aim.host, port)
}

/** @param {string[]} hosts */
function policy(hosts) {
  try {
    return new PinSet({ version: 1, hosts: Object.fromEntries(hosts.map(host => [host, [ANY]])) })
  } catch (error) {
    throw usageError(
      /** @type {Error} */ (error).message,
      'write --host example.com, *.example.com or example.com:8443'
    )
  }
}

/**
 * A drill that saw nothing proves nothing.
 * @param {Run} baseline
 * @param {number} count
 * @param {string[]} command
 */
function checkBaseline(baseline, count, command) {
  if (count > 0) return
  const { exit, signal, stopped, output, seen } = baseline
  const ended = stopped ? 'was stopped after its time' : `ended with ${signal ?? `exit code ${exit}`}`
  const plain = seen.some(({ outcome }) => outcome === 'plain') ? ' but in plain text' : ''
  const lost = missingOf({ seen }, () => true).map(({ host, port }) => `${host}:${port}`)
  const missing = lost.length > 0 ? `; not there: ${lost.join(', ')}` : ''
  const last = output.trim() ? `\n${output.trimEnd()}` : ''
  throw new CliError(
    `${command.join(' ')} made no TLS connection that could be seen${plain}, so nothing is proved. It ${ended}${missing}${last}`,
    {
      exit: EXIT.NETWORK,
      code: 'ERR_NOTHING_SEEN',
      hint: 'run what connects, such as a test of the program; --timeout gives it longer, --host names other hosts'
    }
  )
}

/**
 * Servers that the program asked for and that were not there: nothing is known of these connections.
 * @param {Pick<Run, 'seen'>} baseline
 * @param {(at: any) => boolean} isMeant
 */
function missingOf({ seen }, isMeant) {
  const lost = seen.filter(({ outcome }) => outcome === 'unreachable').map(({ host, port }) => ({ host, port }))
  const meant = lost.filter(at => isMeant({ ...at, aim: at }))
  return [...new Map(meant.map(at => [`${at.host}:${at.port}`, at])).values()]
}

/**
 * @param {Run} baseline
 * @param {(connection: Connection) => boolean} isMeant
 */
function plainOf(baseline, isMeant) {
  const plain = connectionsOf(baseline).filter(connection => connection.outcome === 'plain' && isMeant(connection))
  return [...new Map(plain.map(({ key, aim }) => [key, aim])).values()]
}

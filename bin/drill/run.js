'use strict'
// One run of a program with the man in the middle before it: relayed untouched, or attacked.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { CliError, EXIT } = require('../errors.js')
const { startMitm } = require('../../lib/mitm.js')

const PRELOAD = path.join(__dirname, 'preload.js')
/** From a polite end to one that cannot be refused, in milliseconds. */
const GRACE = 3_000
/** Characters of the program's output that are kept, to be shown where it fails. */
const OUTPUT = 4_000

/** @typedef {import('../../testing.js').MitmConnection} Seen What the man in the middle says of a connection. */
/** @typedef {{ type: string, id: string, host: string, port: number, client: string, place: string | null, stack: string, [name: string]: any }} Note */
/** @typedef {{ host: string, port: number, client: string, place: string | null, stack: string }} Aim */
/**
 * @typedef {object} Run
 * @property {Seen[]} seen
 * @property {Note[]} notes What the preload has noted.
 * @property {number | null} exit
 * @property {NodeJS.Signals | null} signal
 * @property {boolean} stopped By us, after its time.
 * @property {string} output The last of it.
 */

/**
 * @param {string[]} command
 * @param {{ intercept: boolean, only: Aim[] | null, hosts: string[], timeout: number, onOutput?: (text: string) => void }} options
 *   `only`: the connections that are attacked; null is all. `hosts`: the same by host, for those that have no stack.
 * @returns {Promise<Run>}
 */
async function run(command, { intercept, only, hosts, timeout, onOutput = () => {} }) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-drill-'))
  const mitm = await startMitm({ intercept, hosts })
  try {
    const log = path.join(folder, 'notes')
    fs.writeFileSync(log, '', { mode: 0o600 })
    const { environment, foreign } = environmentOf(mitm, path.join(folder, 'settings.json'))
    const settings = { port: mitm.port, log, folder: process.cwd(), only, environment, foreign }
    fs.writeFileSync(environment.TLS_PINNING_DRILL, JSON.stringify(settings), { mode: 0o600 })
    const ended = await execute(
      command,
      { ...process.env, ...environment },
      { timeout, onOutput, beforeStop: () => mitm.close() }
    )
    await mitm.close()
    const notes = fs.readFileSync(log, 'utf8').trimEnd().split('\n').filter(Boolean)
    return { ...ended, seen: mitm.connections, notes: notes.map(line => JSON.parse(line)) }
  } finally {
    await mitm.close()
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * @param {{ url: string, caFile: string }} mitm
 * @param {string} settings
 */
function environmentOf({ url, caFile }, settings) {
  const { NODE_OPTIONS = '', NODE_USE_ENV_PROXY, ...given } = process.env
  const names = ['HTTPS_PROXY', 'https_proxy']
  // Whoever has a proxy already reaches it through the man in the middle, who meets the TLS inside.
  const foreign = NODE_USE_ENV_PROXY || [...names, 'ALL_PROXY', 'all_proxy'].some(name => given[name]) ? [] : names
  const preload = `--require "${PRELOAD.replace(/["\\]/g, '\\$&')}"`
  const environment = {
    TLS_PINNING_DRILL: settings,
    NODE_EXTRA_CA_CERTS: caFile,
    NODE_OPTIONS: `${preload} ${NODE_OPTIONS}`.trim(),
    ...Object.fromEntries(foreign.map(name => [name, url]))
  }
  return { environment, foreign }
}

/**
 * @param {string[]} command
 * @param {NodeJS.ProcessEnv} env
 * @param {{ timeout: number, onOutput: (text: string) => void, beforeStop: () => Promise<void> }} options
 */
async function execute([program, ...args], env, { timeout, onOutput, beforeStop }) {
  const isGroup = process.platform !== 'win32'
  // A group of its own, so that what it has started ends with it.
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: isGroup })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', text => {
      output = (output + text).slice(-OUTPUT)
      onOutput(text)
    })
  }
  const end = (/** @type {NodeJS.Signals} */ signal) => {
    try {
      if (isGroup && child.pid) process.kill(-child.pid, signal)
      else child.kill(signal)
    } catch {
      // It has ended.
    }
  }
  const interrupted = () => {
    end('SIGKILL')
    process.exit(130)
  }
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted)
  let stopped = false
  /** @type {NodeJS.Timeout | undefined} */
  let last
  const timer = setTimeout(async () => {
    stopped = true
    // First: what is cut off because the program is stopped has not been refused.
    await beforeStop()
    end('SIGTERM')
    last = setTimeout(end, GRACE, 'SIGKILL')
  }, timeout)
  try {
    const [exit, signal] = await once(child, 'exit')
    return { exit, signal, stopped, output }
  } catch (cause) {
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (cause)
    throw new CliError(`${program} cannot be run: ${message}`, {
      exit: EXIT.NETWORK,
      code,
      hint: 'check the spelling; behind -- stands a command as in a shell, such as node app.js',
      cause
    })
  } finally {
    clearTimeout(timer)
    clearTimeout(last)
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted)
    end('SIGKILL')
  }
}

module.exports = { run }

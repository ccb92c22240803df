'use strict'
// `node --import tls-pinning/register app.js` with TLS_PINNING_POLICY=path: every TLS client connection of the process is
// subject to the policy in that file, in every thread. A policy that cannot be used stops the process.

const fs = require('node:fs')
const { syncBuiltinESMExports } = require('node:module')
const path = require('node:path')
const threads = require('node:worker_threads')
const { pinEverywhere } = require('./everywhere.js')
const { PinSet, PolicyText } = require('./policy.js')
const { isNode } = require('./runtime.js')

const VARIABLE = 'TLS_PINNING_POLICY'
/** Under this key every thread finds the text of the policy that its parent had. */
const KEY = 'tls-pinning/register'

const warned = new Set()

// Their own clients do not come by here, and would connect without pins.
if (!isNode)
  stop('only Node.js can be pinned as a whole: fetch and other clients of this runtime do not use its node:tls')

const text = /** @type {string | undefined} */ (threads.getEnvironmentData(KEY)) ?? read()
const pins = parse(text)
pinEverywhere(pins, warn)
pins.on('report', report)
if (threads.isMainThread) pins.on('expiring', expiring)
pinWorkers(text)

/**
 * Starts every thread with this file and this policy, whichever way it came here: not every worker inherits it.
 * @param {string} policy
 */
function pinWorkers(policy) {
  threads.setEnvironmentData(KEY, policy)
  const Worker = new Proxy(threads.Worker, {
    construct(target, [filename, options], newTarget) {
      const args = ['--require', __filename, ...(options?.execArgv ?? process.execArgv)]
      /** @param {string[]} execArgv */
      const make = execArgv => Reflect.construct(target, [filename, { ...options, execArgv }], newTarget)
      try {
        return make(args)
      } catch (error) {
        // Some of what this process was started with is for processes only; Node does not hand that down either.
        const invalid = options?.execArgv ? [] : flagsIn(error)
        if (invalid.length === 0) throw error
        // With their values, where those are arguments of their own.
        const isInvalid = (/** @type {string} */ arg) => invalid.includes(arg)
        return make(
          args.filter((arg, at) => !isInvalid(arg) && (arg.startsWith('-') || !isInvalid(args[at - 1] ?? '')))
        )
      }
    }
  })
  threads.Worker = Worker
  Worker.prototype.constructor = Worker
  syncBuiltinESMExports()
}

function read() {
  const file = process.env[VARIABLE]
  if (!file) return stop(`${VARIABLE} is not set. Give the path of a policy: ${VARIABLE}=policy.json node --import …`)
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (error) {
    return stop(`${VARIABLE}=${file} (${path.resolve(file)}) cannot be read: ${/** @type {Error} */ (error).message}`)
  }
}

/**
 * The flags that an error of `new Worker` names.
 * @param {any} error
 * @returns {string[]}
 */
function flagsIn({ code, message }) {
  return code === 'ERR_WORKER_INVALID_EXEC_ARGV' ? message.slice(message.indexOf(': ') + 2).split(', ') : []
}

/** @param {string} policy */
function parse(policy) {
  try {
    const pins = new PinSet(new PolicyText(policy))
    for (const { code, place, message } of threads.isMainThread ? pins.warnings : []) {
      // `"unlisted": "allow"` is how one asks not to be told of unlisted hosts.
      if (code !== 'unlisted-allowed') warn(`${place}: ${message}`)
    }
    return pins
  } catch (error) {
    return stop(`the policy in ${process.env[VARIABLE]} is not valid: ${/** @type {Error} */ (error).message}`)
  }
}

/**
 * Without a policy nothing may be connected to. Not a throw, which somebody might catch.
 * @param {string} why
 * @returns {never}
 */
function stop(why) {
  try {
    fs.writeSync(2, `tls-pinning/register: ${why}\n`)
  } finally {
    process.exit(1)
  }
  // Somebody has put another function in its place.
  // @ts-expect-error Not declared.
  process.reallyExit(1)
  throw new Error(why)
}

/**
 * Once for each message.
 * @param {string} message
 */
function warn(message) {
  if (warned.has(message)) return
  warned.add(message)
  process.emitWarning(message, { type: 'TlsPinningWarning', code: 'TLS_PINNING' })
}

/** @param {import('../index.js').Expiring} entry */
function expiring({ pattern, expires, expired, onExpiry, mode }) {
  const then = onExpiry === 'allow' || mode === 'report' ? 'is no longer pinned' : 'is refused'
  const verb = expired ? 'has expired' : 'expires'
  warn(
    `${pattern === null ? 'the policy' : `the entry for ${pattern}`} ${verb} at ${expires.toISOString()}, from when on it ${then}`
  )
}

/** @param {import('../index.js').Report} report */
function report({ reason, host, port, path: steps }) {
  const why = {
    unlisted: 'has no entry',
    expired: 'has an entry that has expired',
    mismatch: 'does not match its pins'
  }
  const name = host.includes(':') ? `[${host}]` : host
  const pattern = port === null || port === 443 ? name : `${name}:${port}`
  const pinsNeeded = JSON.stringify(steps.slice(0, 2).map(({ spkiPin }) => spkiPin))
  warn(
    `${pattern} ${why[reason]} in the policy and was connected to all the same. What it showed of itself, to be ` +
      `compared with another source: ${JSON.stringify(pattern)}: ${pinsNeeded}`
  )
}

/** The policy of this thread, for who wants to hear of what it decides. */
module.exports = { pins }

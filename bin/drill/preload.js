'use strict'
// Loaded first into every Node process and thread of a program that is drilled: leads its TCP connections through the man in
// the middle, and notes who made each and how it ended. To the program they are what they were: the same sockets, connected
// to whom it asked for.
//
// The man in the middle connects first and then hands out a port of loopback on which nothing but the server speaks, so
// that a server which is not there is one that is not there, and nothing has to be said or heard on the program's socket.

const { AsyncLocalStorage } = require('node:async_hooks')
const childProcess = require('node:child_process')
const diagnostics = require('node:diagnostics_channel')
const dns = require('node:dns')
const fs = require('node:fs')
const { syncBuiltinESMExports } = require('node:module')
const net = require('node:net')
const { checkServerIdentity: nodeCheck } = require('node:tls')
const threads = require('node:worker_threads')
const { UNKNOWN, callerOf } = require('./caller.js')

const VARIABLE = 'TLS_PINNING_DRILL'
const file = /** @type {string} */ (process.env[VARIABLE])

/**
 * @typedef {object} Settings What `run.js` has written for this run.
 * @property {number} port Of the man in the middle.
 * @property {string} log Where to note things, a line of JSON each.
 * @property {string} folder The program's working directory, which places are told from.
 * @property {Aim[] | null} only The connections that are attacked. Null: all.
 * @property {Record<string, string>} environment What every process of the program is to find in its environment.
 * @property {string[]} foreign The variables of it that are for programs other than Node.
 */
/** @typedef {{ host: string, port: number, client: string, stack: string }} Aim */
/** @type {Settings} */
const settings = JSON.parse(fs.readFileSync(file, 'utf8'))

/** The number of each connection. @type {WeakMap<object, string>} */
const numbers = new WeakMap()
/** Who has called `fetch`, which connects later. @type {AsyncLocalStorage<import('./caller.js').Caller>} */
const callers = new AsyncLocalStorage()
const { connect, _destroy: destroy } = /** @type {any} */ (net.Socket.prototype)
let last = 0

// Node itself is led, not told to use a proxy: a program that minds proxies would behave as it does not elsewhere.
for (const name of settings.foreign) delete process.env[name]
leadSockets()
leadNativeClients()
noteEnds()
noteCallersOfFetch()
keepChildren()

function leadSockets() {
  net.Socket.prototype.connect = /** @type {any} */ (
    /** @this {any} @param {any[]} args */
    function (...args) {
      const { options, callback } = normalize(args)
      const target = targetOf(options)
      if (!target) return connect.apply(this, args)
      lead(this, target, options, callback)
      return this
    }
  )
}

/**
 * @param {any} socket
 * @param {{ host: string, port: number }} target
 * @param {Record<string, any>} options
 * @param {(() => void) | undefined} callback
 */
function lead(socket, target, options, callback) {
  const { id, untouched } = noted(target, options)
  numbers.set(socket, id)
  if (callback) socket.once('connect', callback)
  // What Node sets when it has begun.
  socket.connecting = true
  if (net.isIP(target.host) === 0) socket._host = target.host
  resolve(target, options, (error, host) => {
    if (socket.destroyed) return
    if (error) return socket.destroy(error)
    hold({ host, port: target.port }, id, untouched, (code, port) => {
      if (socket.destroyed) return
      if (code !== null) return socket.destroy(connectError(code, target))
      const { lookup: _, localAddress: __, localPort: ___, ...rest } = options
      connect.call(socket, { ...rest, host: '127.0.0.1', port, family: 4, autoSelectFamily: false })
    })
  })
}

/**
 * The forms of `connect`: options; port and host; path; or what Node has put in order already.
 * @param {any[]} args
 * @returns {{ options: Record<string, any>, callback: (() => void) | undefined }}
 */
function normalize(args) {
  if (Array.isArray(args[0])) return { options: args[0][0], callback: args[0][1] ?? undefined }
  const [first, second] = args
  const last = args.at(-1)
  const callback = typeof last === 'function' ? last : undefined
  if (typeof first === 'object' && first !== null) return { options: first, callback }
  if (typeof first === 'string' && !(Number(first) >= 0)) return { options: { path: first }, callback }
  return { options: { port: first, ...(typeof second === 'string' && { host: second }) }, callback }
}

/**
 * Whom a socket is to be connected to; nobody where it is not TCP, or is the man in the middle himself. What is wrong with
 * the options is for Node to say.
 * @param {Record<string, any>} options
 */
function targetOf({ path, port: given, host = 'localhost' }) {
  const port = Number(given)
  if (path || !Number.isInteger(port) || port < 1 || port > 65_535 || typeof host !== 'string') return undefined
  if (port === settings.port && host === '127.0.0.1') return undefined
  return { host: host || 'localhost', port }
}

/**
 * A program with a look-up of its own may know names that the system does not.
 * @param {{ host: string, port: number }} target
 * @param {Record<string, any>} options
 * @param {(error: Error | null, host: string) => void} done
 */
function resolve({ host }, { lookup, family, hints }, done) {
  if (typeof lookup !== 'function' || lookup === dns.lookup || net.isIP(host) !== 0) return done(null, host)
  lookup(host, { family, hints, all: false }, (/** @type {any} */ error, /** @type {any} */ found) => {
    const first = Array.isArray(found) ? found[0]?.address : found
    if (error || net.isIP(first) !== 0) return done(error ?? null, first)
    done(Object.assign(new Error(`Invalid IP address: ${first}`), { code: 'ERR_INVALID_IP_ADDRESS' }), '')
  })
}

/**
 * Has a connection made, and is told of the port where it waits, or of the code why it was not made.
 * @param {{ host: string, port: number }} target
 * @param {string} id
 * @param {boolean} untouched
 * @param {(code: string | null, port: number) => void} done
 */
function hold({ host, port }, id, untouched, done) {
  const socket = new net.Socket()
  let answer = ''
  const name = host.includes(':') ? `[${host.replace(/%.*$/, '')}]` : host
  const user = Buffer.from(`${id}:${untouched ? 'untouched' : ''}`).toString('base64')
  connect.call(socket, { port: settings.port, host: '127.0.0.1' })
  socket.write(`HOLD ${name}:${port} HTTP/1.1\r\nProxy-Authorization: Basic ${user}\r\n\r\n`)
  socket.on('data', data => {
    answer += data
  })
  socket.on('error', () => {})
  socket.once('close', () => {
    const held = /^port: (\d+)\r$/im.exec(answer)
    if (held) done(null, Number(held[1]))
    else done(/^code: (\w+)\r$/im.exec(answer)?.[1] ?? 'ECONNRESET', 0)
  })
}

/**
 * As Node has it.
 * @param {string} code
 * @param {{ host: string, port: number }} target
 */
function connectError(code, { host, port }) {
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return Object.assign(new Error(`getaddrinfo ${code} ${host}`), { code, syscall: 'getaddrinfo', hostname: host })
  }
  return Object.assign(new Error(`connect ${code} ${host}:${port}`), { code, syscall: 'connect', address: host, port })
}

/** The native clients of this package open sockets of their own, by way of what `lib/options.js` finds here. */
function leadNativeClients() {
  /** @param {Record<string, any>} options */
  const route = ({ lookup }) => {
    // One client for many servers: who is connected to is known to the man in the middle alone, and so he aims by host.
    const caller = { ...callerOf(settings.folder), client: 'tls-pinning' }
    const id = number()
    note({ type: 'client', id, ...caller })
    const isAim = settings.only?.some(({ client, stack }) => client === caller.client && stack === caller.stack) ?? true
    return `${lookup ? 'socks5' : 'socks5h'}://${id}:${isAim ? 'aim' : 'untouched'}@127.0.0.1:${settings.port}`
  }
  Object.assign(globalThis, { [Symbol.for('tls-pinning.route')]: route })
  diagnostics.subscribe('tls-pinning:mismatch', message => {
    const { source, reason, host, port } = /** @type {any} */ (message)
    if (source === 'client') note({ type: 'pins', host, port, reason })
  })
}

/** A program that is over ends nothing itself. Of a TLS socket it is the one below that is known here. */
function noteEnds() {
  net.Socket.prototype._destroy = /** @type {any} */ (
    /** @this {any} @param {any} error @param {any} done */
    function (error, done) {
      const id = numberOf(this)
      if (id) {
        const { code, message } = error ?? {}
        // What Node says of a server whose certificate has not passed its own checks or that of `checkServerIdentity`.
        const checked = Boolean(error) && this.authorized === false && this.authorizationError === (code || message)
        note({ type: 'end', id, error: Boolean(error), code: text(code), message: text(message), checked })
      }
      return destroy.call(this, error, done)
    }
  )
}

/** @param {any} socket */
function numberOf(socket) {
  for (let below = socket, depth = 0; below && depth < 8; below = below._parent ?? below.stream, depth++) {
    if (numbers.has(below)) return numbers.get(below)
  }
  return undefined
}

/** It connects when its caller is gone from the stack. */
function noteCallersOfFetch() {
  const { fetch: nodes } = globalThis
  if (typeof nodes !== 'function') return
  globalThis.fetch = function fetch(...args) {
    const caller = callerOf(settings.folder)
    const client = caller.client === UNKNOWN.client ? 'fetch' : caller.client
    return callers.run({ ...caller, client }, () => nodes(...args))
  }
}

/** Processes and threads that are started with an environment of their own are led as well. */
function keepChildren() {
  const missing = (/** @type {Record<string, any>} */ env) => ({ ...settings.environment, ...env, ...preloading(env) })
  const { prototype } = /** @type {any} */ (childProcess.ChildProcess)
  const { spawn } = prototype
  prototype.spawn = function (/** @type {any} */ options) {
    const env = Object.fromEntries((options.envPairs ?? []).map((/** @type {string} */ pair) => split(pair)))
    const envPairs = Object.entries(missing(env)).map(([name, value]) => `${name}=${value}`)
    return spawn.call(this, { ...options, envPairs })
  }
  for (const name of /** @type {const} */ (['spawnSync', 'execFileSync', 'execSync'])) {
    const method = /** @type {any} */ (childProcess[name])
    childProcess[name] = /** @type {any} */ (
      (/** @type {any[]} */ ...args) => {
        const at = args.findIndex((arg, index) => index > 0 && typeof arg === 'object' && !Array.isArray(arg))
        const options = at < 0 ? {} : args[at]
        const env = missing(options?.env ?? process.env)
        return method(...(at < 0 ? args.filter(arg => arg !== undefined) : args.slice(0, at)), { ...options, env })
      }
    )
  }
  const Worker = new Proxy(threads.Worker, {
    construct(target, [filename, options], newTarget) {
      const env = options?.env
      const own = typeof env === 'object' && env !== null
      return Reflect.construct(target, [filename, own ? { ...options, env: missing(env) } : options], newTarget)
    }
  })
  threads.Worker = Worker
  Worker.prototype.constructor = Worker
  syncBuiltinESMExports()
}

/**
 * NODE_OPTIONS, with this file in it.
 * @param {Record<string, any>} env
 */
function preloading({ NODE_OPTIONS: given = '' }) {
  const own = settings.environment.NODE_OPTIONS
  return { NODE_OPTIONS: given.includes(__filename) ? given : `${own} ${given}`.trim() }
}

/** @param {string} pair */
function split(pair) {
  const at = pair.indexOf('=', 1)
  return [pair.slice(0, at), pair.slice(at + 1)]
}

/**
 * A connection that is about to be made.
 * @param {{ host: string, port: number }} target
 * @param {Record<string, any>} options
 */
function noted({ host, port }, options) {
  const caller = callerOf(settings.folder, callers.getStore())
  const traits = traitsOf(options)
  const { client } = caller
  const stack = `${caller.stack} ${traits}`
  const place = caller.place ?? (traits || null)
  const id = number()
  note({ type: 'connect', id, host, port, client, place, stack })
  const isAim = (/** @type {Aim} */ aim) =>
    aim.host === host && aim.port === port && aim.client === client && aim.stack === stack
  return { id, untouched: !(settings.only?.some(isAim) ?? true) }
}

/**
 * What tells a client with pins from the same without, when neither has its caller on the stack any more.
 * @param {Record<string, any>} options
 */
function traitsOf({ checkServerIdentity: check, ca }) {
  const names = [check && check !== nodeCheck && 'checkServerIdentity', ca && 'ca'].filter(Boolean)
  return names.length > 0 ? `with ${names.join(' and ')}` : ''
}

function number() {
  return `${process.pid}.${threads.threadId}.${++last}`
}

/** At once and whole: whoever notes something may be about to end. @param {object} entry */
function note(entry) {
  fs.appendFileSync(settings.log, `${JSON.stringify(entry)}\n`)
}

/** @param {unknown} value */
function text(value) {
  return typeof value === 'string' ? value.split('\n', 1)[0].slice(0, 200) : null
}

'use strict'
// A man in the middle on loopback, for tests: what does a client do whose traffic is intercepted under a CA that it trusts?

const { EventEmitter } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const binding = require('./native.js')
const { argumentError, own, unwrapObject } = require('./errors.js')
const { checkNames } = require('./options.js')
const { kind, trustOf } = require('./trust.js')

const OPTIONS = ['intercept', 'hosts', 'ca', 'port']
/** Connections that are remembered; an earlier one is forgotten for a later one. */
const KEPT = 10_000

class Mitm extends EventEmitter {
  #native
  #folder
  /** @type {() => void} */
  #onClosed = () => {}
  #closed = new Promise(resolve => {
    this.#onClosed = () => resolve(undefined)
  })
  #isClosing = false
  /** What became of each connection, when it is over. @type {import('../testing.js').MitmConnection[]} */
  connections = []

  /**
   * @param {import('../binding.js').NativeMitmOptions} options
   * @param {import('../binding.js').NativeTrust} trust
   */
  constructor(options, trust) {
    super()
    this.#native = unwrapObject(binding.mitm(options, trust, text => this.#hear(text)))
    this.#folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-mitm-'))
    const others = process.env.NODE_EXTRA_CA_CERTS
    this.port = this.#native.port
    this.url = `http://127.0.0.1:${this.port}`
    /** The CA alone, PEM. */
    this.ca = this.#native.ca
    /** The CA, and what NODE_EXTRA_CA_CERTS holds here: for that variable of another process. */
    this.caFile = path.join(this.#folder, 'ca.pem')
    fs.writeFileSync(this.caFile, `${others ? read(others) : ''}${this.ca}`, { mode: 0o600 })
  }

  /** Stops listening and cuts off what is under way. Resolves when every connection is among `connections`. */
  async close() {
    // The native side does not keep the process alive.
    const alive = setInterval(() => {}, 1 << 30)
    if (!this.#isClosing) this.#native.close()
    this.#isClosing = true
    await this.#closed
    clearInterval(alive)
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]() {
    await this.close()
  }

  /** @param {string} text */
  #hear(text) {
    if (text === '') return this.#onClosed()
    const connection = JSON.parse(text)
    if (this.connections.length >= KEPT) this.connections.shift()
    this.connections.push(connection)
    this.emit('connection', connection)
  }
}

/** As Node, which goes on without a file that it cannot read. @param {string} file */
function read(file) {
  try {
    return `${fs.readFileSync(file, 'utf8').trimEnd()}\n`
  } catch {
    return ''
  }
}

/** @param {Record<string, any>} [options] */
async function startMitm(options = {}) {
  if (typeof options !== 'object' || options === null) {
    throw argumentError('ERR_INVALID_ARG_TYPE', `options must be an object, not ${kind(options)}`)
  }
  checkNames(options, OPTIONS)
  const { intercept = true, hosts = [], ca, port = 0 } = own(options)
  if (typeof intercept !== 'boolean') {
    throw argumentError('ERR_INVALID_ARG_TYPE', `intercept must be true or false, not ${kind(intercept)}`)
  }
  if (!Array.isArray(hosts) || !hosts.every(host => typeof host === 'string')) {
    throw argumentError('ERR_INVALID_ARG_TYPE', 'hosts must be a list of hosts, as in a policy')
  }
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw argumentError('ERR_INVALID_ARG_VALUE', `port must be an integer from 0 to 65535, not ${String(port)}`)
  }
  const trust = /** @type {import('../binding.js').NativeTrust} */ (trustOf({ trust: 'ca', ca }))
  return new Mitm({ intercept, hosts, port }, trust)
}

module.exports = { startMitm }

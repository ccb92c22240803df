'use strict'
// Revocation lists in files, which are read again while a client uses them.

const fs = require('node:fs')
const { channel } = require('node:diagnostics_channel')
const { argumentError, isPlain, own } = require('./errors.js')
const { readRegular, readRegularSync } = require('./regular-file.js')

const loadErrorChannel = channel('tls-pinning:load-error')

/** Milliseconds between two looks at the files. */
const INTERVAL = 60_000
const MOST_INTERVAL = 2 ** 31 - 1
/** Bytes of a file. The largest public lists have some ten million. */
const MOST_BYTES = 64 * 1024 * 1024

/**
 * @typedef {{ replaceCrl(crl: unknown): void }} Client
 */

class CrlFiles {
  /** @type {string[]} */
  #files
  /** @type {number} */
  #interval
  /** What the files were when they were last read. */
  #state = ''
  /** What was last told to be wrong with them. */
  #told = ''

  /**
   * The option `crl`, where it names files.
   * @param {any} crl
   */
  static of(crl) {
    const isOther = typeof crl !== 'object' || crl === null || Array.isArray(crl) || !isPlain(crl)
    return isOther ? undefined : new CrlFiles(own(crl))
  }

  /** @param {Record<string, any>} options */
  constructor({ files, interval = INTERVAL, ...others }) {
    for (const name of Object.keys(others)) throw wrong(`unknown option crl.${name}`)
    this.#files = [files].flat()
    if (this.#files.length === 0 || !this.#files.every(file => typeof file === 'string' && file !== '')) {
      throw wrong('crl.files must be a path or a list of paths')
    }
    if (!Number.isInteger(interval) || interval < 1 || interval > MOST_INTERVAL) {
      throw wrong(`crl.interval must be an integer from 1 to ${MOST_INTERVAL}, not ${String(interval)}`)
    }
    this.#interval = interval
  }

  /** Their content. The state is taken first: what changes meanwhile is read once more. */
  read() {
    this.#state = this.#files.map(file => stateOf(fs.statSync(file, { bigint: true }))).join()
    return this.#files.map(file => limited(readRegularSync(file, MOST_BYTES), file))
  }

  /**
   * Reads them whenever they have changed, until the client is closed or nobody has it any more.
   * @param {Client} client
   * @returns {() => void} Stops that.
   */
  watch(client) {
    const weak = new WeakRef(client)
    const timer = setInterval(() => {
      const client = weak.deref()
      if (client) this.#look(client)
      else clearInterval(timer)
    }, this.#interval)
    timer.unref()
    return () => clearInterval(timer)
  }

  #busy = false

  /** @param {Client} client */
  async #look(client) {
    if (this.#busy) return
    this.#busy = true
    try {
      const stats = await Promise.all(this.#files.map(file => fs.promises.stat(file, { bigint: true })))
      const state = stats.map(stateOf).join()
      if (state === this.#state) return
      const lists = await Promise.all(this.#files.map(async file => limited(await readRegular(file, MOST_BYTES), file)))
      client.replaceCrl(lists)
      this.#state = state
      this.#told = ''
    } catch (error) {
      this.#tell(/** @type {Error} */ (error))
    } finally {
      this.#busy = false
    }
  }

  /**
   * The lists that were read last stay in force, until they run out. Told once for each reason.
   * @param {Error} error
   */
  #tell(error) {
    const why = error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
    if (this.#told === why) return
    this.#told = why
    const source = this.#files.join(', ')
    if (loadErrorChannel.hasSubscribers) return loadErrorChannel.publish({ source, error })
    const message = `the revocation lists in ${source} cannot be used, those read before stay: ${why}`
    process.emitWarning(message, { type: 'TlsPinningWarning', code: 'TLS_PINNING' })
  }
}

/**
 * What tells one content of a path from another: another file there, or a write to it.
 * @param {import('node:fs').BigIntStats} stats
 */
function stateOf({ dev, ino, size, mtimeNs, ctimeNs }) {
  return [dev, ino, size, mtimeNs, ctimeNs].join(':')
}

/**
 * @param {Buffer} bytes
 * @param {string} file
 */
function limited(bytes, file) {
  if (bytes.length > MOST_BYTES) throw wrong(`${file} is larger than ${MOST_BYTES} bytes`)
  return bytes
}

/** @param {string} message */
function wrong(message) {
  return argumentError('ERR_INVALID_ARG_VALUE', message)
}

module.exports = { CrlFiles }

'use strict'
// The last signed policy that was accepted, on disk: what a program starts with where its source cannot be reached, and the
// version that it does not go behind. It is verified like any other source; what has to be safe is that nobody removes it or
// puts an older one into its place.

const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { fromFailure } = require('../errors.js')
const { readRegular } = require('../regular-file.js')
const { MOST_BYTES } = require('./envelope.js')

class Cache {
  /** @param {string} file */
  constructor(file) {
    this.file = file
  }

  /** What is kept; `undefined` where there is nothing. */
  async read() {
    try {
      return await readRegular(this.file, MOST_BYTES)
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return undefined
      throw error
    }
  }

  /** Why others could have put there what is kept, if they could. */
  problem() {
    try {
      checkFolder(path.dirname(this.file))
      return undefined
    } catch (error) {
      return error
    }
  }

  /**
   * Whole or not at all, for the eyes of this user alone.
   * @param {Uint8Array | string} envelope
   */
  async write(envelope) {
    const folder = path.dirname(this.file)
    await fs.promises.mkdir(folder, { recursive: true, mode: 0o700 })
    checkFolder(folder)
    const temporary = `${this.file}.${crypto.randomUUID()}.tmp`
    try {
      await fs.promises.writeFile(temporary, envelope, { flag: 'wx', mode: 0o600, flush: true })
      await fs.promises.rename(temporary, this.file)
    } catch (error) {
      await fs.promises.rm(temporary, { force: true })
      throw error
    }
  }
}

/**
 * Others must not be able to remove the cache, nor to put another folder into the place of one above it, as `ssh` demands
 * of its files. Where there are no such users, on Windows, nothing is checked.
 * @param {string} folder
 */
function checkFolder(folder) {
  const user = process.getuid?.()
  if (user === undefined) return
  const real = fs.realpathSync(folder)
  for (let at = real; ; at = path.dirname(at)) {
    const { uid, mode } = fs.statSync(at)
    // In a sticky folder, such as /tmp, others remove nothing that is not theirs; the cache's own must be ours alone.
    const isOpen = (mode & 0o022) !== 0 && (at === real || (mode & 0o1000) === 0)
    if (isOpen || (uid !== 0 && uid !== user)) {
      const message = `${at} can be written to by other users, so no policy is kept in ${folder}; give another folder, or chmod go-w`
      throw fromFailure({ code: 'ERR_TLS_PIN_UNSAFE', message, phase: 'policy' })
    }
    if (at === path.dirname(at)) return
  }
}

module.exports = { Cache }

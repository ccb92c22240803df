'use strict'
// Keys and envelopes as files, for the commands that sign and verify.

const crypto = require('node:crypto')
const fs = require('node:fs')
const { privateKey, publicKeys } = require('../../lib/sources/keys.js')
const { usageError } = require('../errors.js')

/** An Ed25519 key as one line. It is never the name of a file: whoever can write one would choose the key. */
const KEY_LINE = /^MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=$/

/**
 * Public keys as the line that `keygen` prints, or files with it or with PEM in them.
 * @param {string[]} given
 */
function readPublicKeys(given) {
  const texts = given.map(text => {
    const isFile = !KEY_LINE.test(text.trim()) && fs.existsSync(text)
    return isFile ? fs.readFileSync(text, 'utf8') : text
  })
  return explained(
    () => publicKeys(texts),
    'give --public-key the line that `tls-pinning keygen` has printed, or a file'
  )
}

/** @param {string} file */
function readPrivateKey(file) {
  const text = fs.readFileSync(file, 'utf8')
  return explained(() => privateKey(text), 'give --key the file that `tls-pinning keygen` has made')
}

/**
 * @template T
 * @param {() => T} read
 * @param {string} hint
 */
function explained(read, hint) {
  try {
    return read()
  } catch (error) {
    throw usageError(/** @type {Error} */ (error).message, hint)
  }
}

/**
 * Whole or not at all, and never over what is there, unless that is wanted.
 * @param {string} file
 * @param {string} text
 * @param {{ mode: number, replace: boolean }} options
 */
function write(file, text, { mode, replace }) {
  if (!replace) {
    try {
      return fs.writeFileSync(file, text, { flag: 'wx', mode })
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error
      throw usageError(`${file} is there already, and is not overwritten`, 'give another --out, or move it away')
    }
  }
  const temporary = `${file}.${crypto.randomUUID()}.tmp`
  try {
    fs.writeFileSync(temporary, text, { flag: 'wx', mode })
    fs.renameSync(temporary, file)
  } catch (error) {
    fs.rmSync(temporary, { force: true })
    throw error
  }
}

module.exports = { readPrivateKey, readPublicKeys, write }

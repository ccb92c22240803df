'use strict'
// A pin on the command line: written out, or as the file of a certificate or key.

const fs = require('node:fs')
const { parsePin } = require('../../lib/pins.js')
const { usageError } = require('../errors.js')
const { readMaterial } = require('./material.js')

/**
 * The pin that an argument stands for. A file gives the pin of its key.
 * @param {string} text
 * @param {{ 'passphrase-file'?: string }} options
 * @returns {string}
 */
function pinArgument(text, options) {
  const written = asPin(text)
  if (typeof written === 'string') return written
  if (text !== '-' && !fs.existsSync(text)) {
    // A pin with a mistake in it is told what the mistake is.
    if (/^(sha\d|spki:|cert:|pin-|[0-3] [01] [0-2] |[0-9a-f:]{32,}$)/i.test(text)) throw written
    throw usageError(`${text} is neither a pin nor a file`, 'give sha256/… or the path of a certificate or key')
  }
  const keys = new Map(readMaterial(text, options).map(found => [found.pins.sha256, found]))
  const [[pin]] = keys
  if (keys.size === 1) return pin
  const list = [...keys].map(([sha256, { kind, subject }]) => `${sha256} (${subject ?? kind})`)
  throw usageError(`${text} holds ${keys.size} keys`, `give the pin of the one that is meant:\n  ${list.join('\n  ')}`)
}

/**
 * Its canonical text, or the error that reading it ended with.
 * @param {string} text
 */
function asPin(text) {
  try {
    return String(parsePin(text))
  } catch (error) {
    return /** @type {Error} */ (error)
  }
}

module.exports = { pinArgument }

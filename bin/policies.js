'use strict'
// Policy files, as a command reads them.

const fs = require('node:fs')
const { PinInvalidError } = require('../lib/errors.js')
const { PinSet, PolicyText } = require('../lib/policy.js')
const { CliError, EXIT } = require('./errors.js')
const { printable } = require('./ui.js')

/**
 * A file's text; `-` is standard input.
 * @param {string} file
 */
function readText(file) {
  try {
    return fs.readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (cause) {
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (cause)
    const hint = code === 'EISDIR' ? 'give the file, not its folder' : 'check the path and the permissions of the file'
    throw new CliError(`${nameOf(file)} cannot be read: ${message}`, { exit: EXIT.USAGE, hint, code, cause })
  }
}

/**
 * The policy in a file.
 * @param {string} file
 */
function readPolicy(file) {
  return parsePolicy(file, readText(file))
}

/**
 * @param {string} file
 * @param {string} text
 */
function parsePolicy(file, text) {
  try {
    return new PinSet(new PolicyText(text))
  } catch (cause) {
    throw inFile(file, cause, `correct it, and look at it with: tls-pinning lint ${printable(file)}`)
  }
}

/**
 * An error about what stands in a file, with the file's name.
 * @param {string} file
 * @param {unknown} cause
 * @param {string} hint
 */
function inFile(file, cause, hint) {
  if (!(cause instanceof PinInvalidError)) return cause
  return new CliError(`${nameOf(file)}: ${cause.message}`, { exit: EXIT.USAGE, hint, code: cause.code, cause })
}

/**
 * What a file is called in messages.
 * @param {string} file
 */
function nameOf(file) {
  return file === '-' ? 'standard input' : printable(file)
}

module.exports = { inFile, nameOf, parsePolicy, readPolicy, readText }

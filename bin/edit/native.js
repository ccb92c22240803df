'use strict'
// Changes to a policy's text, which native code makes.

const binding = require('../../lib/native.js')
const { unwrap } = require('../../lib/errors.js')
const { inFile } = require('../policies.js')

/** @typedef {{ text: string, done: import('./file.js').Rule[], skipped: import('./file.js').Rule[] }} Edit */

/**
 * @param {{ file: string, text: string, pattern: string, pins: string[], role?: string, first?: boolean }} what
 * @returns {Edit}
 */
function addPins({ file, text, pattern, pins, role, first = false }) {
  return told(file, binding.policyAdd(text, pattern, pins, role, first))
}

/**
 * Without pins the whole entry.
 * @param {{ file: string, text: string, pattern: string, pins: string[], role?: string }} what
 * @returns {Edit}
 */
function removePins({ file, text, pattern, pins, role }) {
  return told(file, binding.policyRemove(text, pattern, pins, role))
}

/**
 * @param {string} file
 * @param {string} answer
 */
function told(file, answer) {
  try {
    return unwrap(answer)
  } catch (error) {
    throw inFile(file, error, 'nothing was written')
  }
}

module.exports = { addPins, removePins }

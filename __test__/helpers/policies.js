'use strict'
// Policies that are told apart by the one host they are for.

const crypto = require('node:crypto')

/** @param {string} text */
function pinFor(text) {
  return `sha256/${crypto.createHash('sha256').update(text).digest('base64')}`
}

/**
 * The text of a policy for one host.
 * @param {string} host
 * @param {Record<string, unknown>} [more]
 */
function pinned(host, more = {}) {
  return JSON.stringify({ hosts: { [host]: [pinFor(host), pinFor('backup')] }, ...more })
}

module.exports = { pinFor, pinned }

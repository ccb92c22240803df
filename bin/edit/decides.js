'use strict'
// Which entry of a policy decides about the host of a pattern: an entry more or less can change it.

const { PinSet, PolicyText } = require('../../lib/policy.js')
const { parseHost } = require('../hosts.js')

/**
 * The pattern that decides about a host, or null. Undefined where the pattern is not for one host.
 * @param {string} text
 * @param {string} pattern
 * @returns {string | null | undefined}
 */
function deciding(text, pattern) {
  if (pattern.includes('*')) return undefined
  const { host, port } = parseHost(pattern)
  return new PinSet(new PolicyText(text)).match(host, port)?.pattern ?? null
}

/**
 * What a policy says of hosts that no entry is for.
 * @param {string} text
 */
function unlisted(text) {
  return /** @type {import('../../index.js').Policy} */ (new PinSet(new PolicyText(text)).toJSON()).unlisted
}

module.exports = { deciding, unlisted }

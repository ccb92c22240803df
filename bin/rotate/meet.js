'use strict'
// Which pins of an entry a server meets now.

const fs = require('node:fs')
const { PinMismatchError } = require('../../lib/errors.js')
const { verifyChain } = require('../../lib/policy.js')

/**
 * A pin, and the certificate on a verified path that meets it, or null.
 * @typedef {{ pin: string, role: 'any' | 'leaf' | 'ca', isMet: boolean, by: string | null }} Compared
 */

/**
 * Each pin is put to the verifier by itself: a path is looked for on which it matches, as a connection would.
 * @param {import('../../index.js').Match} entry
 * @param {import('../look.js').Seen} seen
 * @param {{ ca?: string }} options
 * @returns {Compared[]}
 */
function compare(entry, seen, { ca }) {
  const anchors = ca === undefined ? undefined : fs.readFileSync(ca)
  const rules = [
    ...entry.pins.map(pin => ({ pin, role: /** @type {const} */ ('any') })),
    ...entry.leaf.map(pin => ({ pin, role: /** @type {const} */ ('leaf') })),
    ...entry.ca.map(pin => ({ pin, role: /** @type {const} */ ('ca') }))
  ]
  return rules.map(rule => {
    const by = metBy(rule, seen, anchors)
    return { ...rule, isMet: by !== null, by }
  })
}

/**
 * @param {{ pin: string, role: 'any' | 'leaf' | 'ca' }} rule
 * @param {import('../look.js').Seen} seen
 * @param {Buffer | undefined} ca
 */
function metBy({ pin, role }, { host, port, label, chain }, ca) {
  const list = role === 'any' ? 'pins' : role
  try {
    /** @type {import('../../index.js').Verified} */
    const { path } = verifyChain({ chain, hostname: host, port, ca, pins: { [label]: { [list]: [pin] } } })
    const match =
      path.find(({ spkiPin }) => spkiPin === pin) ?? path.find(({ fingerprint256 }) => isOf(pin, fingerprint256))
    return match?.subject ?? 'a certificate on its path'
  } catch (error) {
    if (error instanceof PinMismatchError) return null
    throw error
  }
}

/**
 * @param {string} pin
 * @param {string | null} fingerprint
 */
function isOf(pin, fingerprint) {
  return fingerprint !== null && pin === `cert:sha256:${fingerprint.replaceAll(':', '').toLowerCase()}`
}

module.exports = { compare }

'use strict'
// Which pins of an entry go and which come after a server's key has changed: the decision alone.
//
// A list of pins is in the order of their use: the one in use first, the backups behind it. So in a list that has a pin
// which the server meets, those before it have been retired and those behind it are backups that wait. In `ca` the order
// says nothing then: the others are alternatives. Where a list has no pin that is met, its first is retired if a new one is
// accepted in its place, if nothing at all is met, or if it is a list of the server's own keys: the key has changed then.

/** @typedef {{ pin: string, role: 'any' | 'leaf' | 'ca', isMet: boolean }} Rule */
/** @typedef {{ pin: string, role: 'any' | 'leaf' | 'ca' }} Added */

/**
 * @param {{ rules: Rule[], accepted?: { pin: string, isLeaf: boolean }, backup?: string }} given
 * @returns {{ retired: Rule[], waiting: Rule[], accepted: Added | null, backup: Added | null }}
 */
function plan({ rules, accepted, backup }) {
  const isKnown = (/** @type {string} */ pin) => rules.some(rule => rule.pin === pin)
  const fresh = accepted && !isKnown(accepted.pin) ? { pin: accepted.pin, role: listFor(rules, accepted.isLeaf) } : null
  const isMet = rules.some(rule => rule.isMet)
  const retired = /** @type {const} */ (['any', 'leaf', 'ca']).flatMap(role => {
    const list = rules.filter(rule => rule.role === role)
    const met = list.findIndex(rule => rule.isMet)
    if (met >= 0) return role === 'ca' ? [] : list.slice(0, met)
    return fresh?.role === role || !isMet || role === 'leaf' ? list.slice(0, 1) : []
  })
  return {
    retired,
    waiting: rules.filter(rule => !rule.isMet && !retired.includes(rule)),
    accepted: fresh,
    backup: backup === undefined ? null : { pin: backup, role: listFor(rules, true) }
  }
}

/**
 * The list that a key belongs into: the entry's own for its position, else the one for any.
 * @param {Rule[]} rules
 * @param {boolean} isLeaf
 * @returns {Rule['role']}
 */
function listFor(rules, isLeaf) {
  const own = isLeaf ? 'leaf' : 'ca'
  const has = (/** @type {string} */ role) => rules.some(rule => rule.role === role)
  return has('any') && !has(own) ? 'any' : own
}

module.exports = { plan }

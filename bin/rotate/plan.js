'use strict'
// Which pins of an entry go and which come after a server's key has changed: the decision alone.
//
// A list of pins is in the order of their use: the one in use first, the backups behind it. So in a list that has a pin
// which the server meets, those before it have been retired and those behind it are backups that wait. In a list that has
// none, the first is the one that is no longer in use. In `ca` the order says nothing while one of the issuers is met: the
// others are alternatives.

/** @typedef {{ pin: string, role: 'any' | 'leaf' | 'ca', isMet: boolean }} Rule */
/** @typedef {{ pin: string, role: 'any' | 'leaf' | 'ca' }} Added */

/**
 * @param {{ rules: Rule[], accepted?: { pin: string, isLeaf: boolean }, backup?: string }} given
 * @returns {{ retired: Rule[], waiting: Rule[], accepted: Added | null, backup: Added | null }}
 */
function plan({ rules, accepted, backup }) {
  const lists = ['any', 'leaf', 'ca'].map(role => rules.filter(rule => rule.role === role))
  const retired = lists.flatMap(retiredOf)
  const isKnown = (/** @type {string} */ pin) => rules.some(rule => rule.pin === pin)
  return {
    retired,
    waiting: rules.filter(rule => !rule.isMet && !retired.includes(rule)),
    accepted: accepted && !isKnown(accepted.pin) ? { pin: accepted.pin, role: listFor(rules, accepted.isLeaf) } : null,
    backup: backup === undefined ? null : { pin: backup, role: listFor(rules, true) }
  }
}

/** @param {Rule[]} list */
function retiredOf(list) {
  const met = list.findIndex(rule => rule.isMet)
  if (met < 0) return list.slice(0, 1)
  return list[met]?.role === 'ca' ? [] : list.slice(0, met)
}

/**
 * The list that a key belongs into: the entry's own for its position, else the one for any.
 * @param {Rule[]} rules
 * @param {boolean} isLeaf
 */
function listFor(rules, isLeaf) {
  const own = isLeaf ? 'leaf' : 'ca'
  const has = (/** @type {string} */ role) => rules.some(rule => rule.role === role)
  return has('any') && !has(own) ? 'any' : own
}

module.exports = { plan }

'use strict'
// What changes for a host from one policy to another. Pure.
//
// A change is looser if a server is accepted that was not, stricter if one no longer is, and neutral where what is accepted
// stays the same.

/**
 * The entry that decides about a host, or what the policy says of hosts without one.
 * @typedef {{ entry: Entry, unlisted?: undefined } | { entry?: undefined, unlisted: Unlisted }} Decision
 */
/** @typedef {'deny' | 'allow' | 'report'} Unlisted */
/** @typedef {Pick<import('../../index.js').Match, 'pattern' | 'pins' | 'leaf' | 'ca' | 'expires' | 'onExpiry' | 'mode'>} Entry */
/** @typedef {'looser' | 'stricter' | 'neutral'} Direction */
/**
 * @typedef {object} Change
 * @property {'host' | 'unlisted' | 'mode' | 'pin' | 'expiry'} what `host`: it has an entry and had none, or the reverse.
 * @property {Direction} direction
 * @property {string | null} from Of a pin the position it counts at (`any`, `leaf`, `ca`), or null where it is not there.
 * @property {string | null} to
 * @property {string} [pin]
 */

/** An entry of nothing: what a host without one is compared with. @type {Entry} */
const NOTHING = { pattern: null, pins: [], leaf: [], ca: [], expires: null, onExpiry: 'deny', mode: 'enforce' }

/** What becomes of a host without an entry. */
const OUTCOMES = { deny: 'refused', allow: 'not pinned', report: 'not pinned, reported' }

/**
 * @param {Decision} from
 * @param {Decision} to
 * @returns {Change[]}
 */
function changes(from, to) {
  if (from.entry && to.entry) return entryChanges(from.entry, to.entry)
  if (to.entry) {
    const direction = pinning(/** @type {Unlisted} */ (from.unlisted), to.entry)
    const before = OUTCOMES[/** @type {Unlisted} */ (from.unlisted)]
    return [{ what: 'host', direction, from: before, to: outcomeOf(to.entry) }, ...details(NOTHING, to.entry)]
  }
  if (from.entry) {
    const direction = opposite(pinning(/** @type {Unlisted} */ (to.unlisted), from.entry))
    const after = OUTCOMES[/** @type {Unlisted} */ (to.unlisted)]
    return [{ what: 'host', direction, from: outcomeOf(from.entry), to: after }, ...details(from.entry, NOTHING)]
  }
  return unlistedChange(from.unlisted, to.unlisted)
}

/**
 * @param {Entry} from
 * @param {Entry} to
 */
function entryChanges(from, to) {
  // Where one of both refuses nothing, what else changes makes no difference to what is accepted.
  if (from.mode === 'report' || to.mode === 'report') return [...modeChange(from, to), ...details(from, to)]
  return [...pinChanges(from, to), ...expiryChange(from, to)]
}

/**
 * What an entry consists of, where something else has said what it means.
 * @param {Entry} from
 * @param {Entry} to
 * @returns {Change[]}
 */
function details(from, to) {
  return [...pinChanges(from, to), ...expiryChange(from, to)].map(change => ({ ...change, direction: 'neutral' }))
}

/** @param {Entry} entry */
function outcomeOf({ mode }) {
  return mode === 'enforce' ? 'pinned' : 'not pinned, reported'
}

/**
 * What it means that hosts which were unlisted get an entry.
 * @param {Unlisted} unlisted
 * @param {Entry} entry
 * @returns {Direction}
 */
function pinning(unlisted, { mode }) {
  if (unlisted === 'deny') return 'looser'
  return mode === 'enforce' ? 'stricter' : 'neutral'
}

/**
 * @param {Unlisted} from
 * @param {Unlisted} to
 * @returns {Change[]}
 */
function unlistedChange(from, to) {
  if (from === to) return []
  const direction = from === 'deny' ? 'looser' : to === 'deny' ? 'stricter' : 'neutral'
  return [{ what: 'unlisted', direction, from, to }]
}

/**
 * @param {Entry} from
 * @param {Entry} to
 * @returns {Change[]}
 */
function modeChange({ mode: from }, { mode: to }) {
  if (from === to) return []
  return [{ what: 'mode', direction: to === 'report' ? 'looser' : 'stricter', from, to }]
}

/**
 * @param {Entry} from
 * @param {Entry} to
 * @returns {Change[]}
 */
function pinChanges(from, to) {
  const before = positions(from)
  const after = positions(to)
  return [...new Set([...before.keys(), ...after.keys()])].flatMap(pin => {
    const old = before.get(pin) ?? 0
    const now = after.get(pin) ?? 0
    const change = (/** @type {number} */ from, /** @type {number} */ to) => pinChange(pin, from, to)
    if (old === now) return []
    // From the leaf to the issuers or back: one is lost and another won.
    return (old | now) !== old && (old | now) !== now ? [change(old, 0), change(0, now)] : [change(old, now)]
  })
}

const LEAF = 1
const CA = 2
const NAMES = [null, 'leaf', 'ca', 'any']

/**
 * Where each pin of an entry counts.
 * @param {Entry} entry
 */
function positions({ pins, leaf, ca }) {
  /** @type {Map<string, number>} */
  const all = new Map()
  for (const [list, where] of /** @type {const} */ ([
    [pins, LEAF | CA],
    [leaf, LEAF],
    [ca, CA]
  ])) {
    for (const pin of list) all.set(pin, (all.get(pin) ?? 0) | where)
  }
  return all
}

/**
 * @param {string} pin
 * @param {number} from
 * @param {number} to
 * @returns {Change}
 */
function pinChange(pin, from, to) {
  return { what: 'pin', direction: to > from ? 'looser' : 'stricter', from: NAMES[from], to: NAMES[to], pin }
}

/**
 * @param {Entry} from
 * @param {Entry} to
 * @returns {Change[]}
 */
function expiryChange(from, to) {
  const [before, after] = [expiry(from), expiry(to)]
  if (before.text === after.text) return []
  const times = [before.at, after.at].filter(Number.isFinite)
  // Before the first moment both hold; what counts is the time from each moment on.
  const steps = times.map(time => after.level(time) - before.level(time))
  const direction = steps.some(step => step > 0) ? 'looser' : steps.some(step => step < 0) ? 'stricter' : 'neutral'
  return [{ what: 'expiry', direction, from: before.text, to: after.text }]
}

/**
 * From when on a policy refuses every host, whatever else it says.
 * @param {Date | null} from
 * @param {Date | null} to
 */
function wholeChanges(from, to) {
  return expiryChange({ ...NOTHING, expires: from }, { ...NOTHING, expires: to })
}

/**
 * How much an entry lets through at a time: nothing (0), what matches (1), or everything (2).
 * @param {Entry} entry
 */
function expiry({ expires, onExpiry }) {
  const at = expires?.getTime() ?? Number.POSITIVE_INFINITY
  const then = onExpiry === 'allow' ? 'not pinned' : 'refused'
  return {
    at,
    level: (/** @type {number} */ time) => (time < at ? 1 : onExpiry === 'allow' ? 2 : 0),
    text: expires ? `${expires.toISOString().replace('.000Z', 'Z')}, then ${then}` : 'never'
  }
}

/**
 * @param {Direction} direction
 * @returns {Direction}
 */
function opposite(direction) {
  if (direction === 'neutral') return 'neutral'
  return direction === 'looser' ? 'stricter' : 'looser'
}

module.exports = { changes, wholeChanges }

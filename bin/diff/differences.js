'use strict'
// What changes from one policy to another, by host.

const { changes, wholeChanges } = require('./changes.js')
const { expiryOf, regions } = require('./regions.js')

/** @typedef {import('./changes.js').Change} Change */
/** @typedef {import('./regions.js').Region} Region */
/**
 * @typedef {object} Difference
 * @property {string} hosts Which ones, for people; `every host` where it is about the policy as a whole.
 * @property {string | null} from The pattern of the entry that decides; null where there is none.
 * @property {string | null} to
 * @property {Change[]} changes
 */

/**
 * @param {Parameters<typeof regions>[0]} a
 * @param {Parameters<typeof regions>[1]} b
 * @returns {Difference[]}
 */
function differences(a, b) {
  const whole = wholeChanges(expiryOf(a.toJSON()), expiryOf(b.toJSON()))
  // What is told of every host is not told of each.
  const isOwn = (/** @type {Change} */ { what, from, to }) =>
    !whole.some(change => change.what === what && change.from === from && change.to === to)
  const compared = regions(a, b).map(region => ({ ...region, changes: changes(region.from, region.to).filter(isOwn) }))
  const ofTheWhole = whole.length > 0 ? [{ hosts: 'every host', from: null, to: null, changes: whole }] : []
  const ofHosts = [...byHosts(compared)].flatMap(([hosts, all]) => {
    const rest = all.find(({ port }) => port === null)
    const apart = all.filter(({ port, changes }) => port !== null && !isSame(changes, rest?.changes ?? []))
    const told = [...(rest ? [rest] : []), ...apart].filter(({ changes }) => changes.length > 0)
    return told.map(({ port, from, to, changes }) => ({
      hosts: label(hosts, port, apart),
      from: patternOf(from),
      to: patternOf(to),
      changes
    }))
  })
  return [...ofTheWhole, ...ofHosts]
}

/**
 * @template {Region} T
 * @param {T[]} compared
 */
function byHosts(compared) {
  /** @type {Map<string, T[]>} */
  const groups = new Map()
  for (const region of compared) {
    const group = groups.get(region.hosts)
    if (group) group.push(region)
    else groups.set(region.hosts, [region])
  }
  return groups
}

/**
 * @param {Change[]} some
 * @param {Change[]} others
 */
function isSame(some, others) {
  return JSON.stringify(some) === JSON.stringify(others)
}

/**
 * @param {string} hosts
 * @param {number | null} port
 * @param {Region[]} apart Ports for which something else changes, or nothing.
 */
function label(hosts, port, apart) {
  if (hosts === '*') return 'hosts that no other entry is for'
  if (port !== null) return `${hosts}:${port}`
  return apart.length > 0 ? `${hosts} except :${apart.map(region => region.port).join(', :')}` : hosts
}

/** @param {import('./changes.js').Decision} decision */
function patternOf({ entry }) {
  return entry ? (entry.pattern ?? 'pins') : null
}

module.exports = { differences }

'use strict'
// Tells ahead of the entries of a policy that are about to expire: the event `expiring` of a pin set.

const { argumentError } = require('./errors.js')

const DAY = 86_400_000
/** As the warnings of a policy have it. */
const WARN_BEFORE = 30 * DAY
/** The longest that a timer can wait. */
const MOST_DELAY = 2 ** 31 - 1

/**
 * @typedef {import('node:events').EventEmitter & { toJSON(): any }} Pins
 */

/** Looks at one pin set from the moment that somebody listens. */
class Expiry {
  #pins
  #warnBefore = WARN_BEFORE
  /** Entries of the policy in force that were told of. @type {Set<string | null>} */
  #told = new Set()
  /** @type {NodeJS.Timeout | undefined} */
  #timer
  #scheduled = false

  /** @param {Pins} pins */
  constructor(pins) {
    // Neither a timer nor anything else keeps a pin set that nobody uses any more.
    this.#pins = new WeakRef(pins)
    pins.on('newListener', name => {
      if (name === 'expiring') this.#soon()
    })
  }

  get warnBefore() {
    return this.#warnBefore
  }

  set warnBefore(milliseconds) {
    if (typeof milliseconds !== 'number' || !(milliseconds >= 0)) {
      const message = `warnBefore must be milliseconds, 0 or more, not ${String(milliseconds)}`
      throw argumentError('ERR_INVALID_ARG_VALUE', message)
    }
    this.#warnBefore = milliseconds
    this.#soon()
  }

  /** Another policy is in force, whose entries have not been told of. */
  changed() {
    this.#told.clear()
    this.#soon()
  }

  /** In the next tick: not before the one who asks has listened, and once for all that happens in this one. */
  #soon() {
    if (this.#scheduled) return
    this.#scheduled = true
    process.nextTick(() => {
      this.#scheduled = false
      this.#look()
    })
  }

  #look() {
    clearTimeout(this.#timer)
    const pins = this.#pins.deref()
    if (!pins || pins.listenerCount('expiring') === 0) return
    const now = Date.now()
    let next = Number.POSITIVE_INFINITY
    const due = []
    for (const entry of entriesOf(pins.toJSON())) {
      const left = entry.expires.getTime() - now
      if (left > this.#warnBefore) next = Math.min(next, left - this.#warnBefore)
      else if (!this.#told.has(entry.pattern)) due.push({ ...entry, expired: left <= 0 })
    }
    for (const { pattern } of due) this.#told.add(pattern)
    if (next !== Number.POSITIVE_INFINITY) {
      this.#timer = setTimeout(() => this.#look(), Math.min(next, MOST_DELAY)).unref()
    }
    // Each by itself: what one listener throws must not cost the others their event.
    for (const entry of due) process.nextTick(() => pins.emit('expiring', entry))
  }
}

/**
 * The entries that expire; the policy as a whole, where it does, is one for no pattern.
 * @param {any} policy In canonical form.
 * @returns {{ pattern: string | null, expires: Date, onExpiry: 'deny' | 'allow', mode: 'enforce' | 'report' }[]}
 */
function entriesOf({ hosts = {}, expires: end }) {
  /** @type {[string | null, any][]} */
  const entries = [[null, { expires: end }], ...Object.entries(hosts)]
  return entries.flatMap(([pattern, entry]) => {
    const { expires, onExpiry = 'deny', mode = 'enforce' } = entry
    return expires === undefined ? [] : [{ pattern, expires: new Date(expires), onExpiry, mode }]
  })
}

/** @type {WeakMap<Pins, Expiry>} */
const expiries = new WeakMap()

/**
 * What looks at a pin set's expiry.
 * @param {Pins} pins
 */
function expiryOf(pins) {
  const known = expiries.get(pins) ?? new Expiry(pins)
  expiries.set(pins, known)
  return known
}

module.exports = { expiryOf }

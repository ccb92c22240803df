'use strict'
// Posts what a policy refused, or let through although it did not match, to a collector.

const { EventEmitter } = require('node:events')
const { PinnedClient } = require('./client.js')
const { argumentError } = require('./errors.js')
const { PinSet } = require('./policy.js')
const { hold, release } = require('./port.js')
const { FORMATS, keyOf } = require('./report-json.js')
const { post } = require('./report-post.js')
const { MOST_DELAY, reporterOptions } = require('./reporter-options.js')
const { kind } = require('./trust.js')

/** Reports that were sent, so that the same need not be sent again: the oldest are forgotten. */
const REMEMBERED = 1_000
/** Bytes of an answer that are read. */
const MOST_ANSWER = 65_536
/** Milliseconds that a collector may have this program wait. */
const MOST_PATIENCE = 86_400_000
/** A policy has to name a host; this is one that there never is (RFC 6761). */
const NOBODY = ['sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=']
const ANY_TRUSTED = { unlisted: 'allow', hosts: { 'nobody.invalid': NOBODY } }
/** @typedef {import('./report-json.js').Observed} Observed */
/** @typedef {Observed & { key: string, attempts: number }} Waiting */

class Reporter extends EventEmitter {
  #pins
  #options
  #client
  /** By what they say, in the order of arrival. @type {Map<string, Waiting>} */
  #waiting = new Map()
  /** When a report of that kind was last sent. @type {Map<string, number>} */
  #sent = new Map()
  /** Sent since the beginning of the interval that is running. */
  #window = { since: 0, count: 0 }
  /** The next attempt after a failure. */
  #notBefore = 0
  /** The collector's own wish, which holds whoever asks. */
  #retryAfter = 0
  #failures = 0
  /** @type {Promise<void> | undefined} */
  #sending
  /** @type {NodeJS.Timeout | undefined} */
  #timer
  /** @type {Promise<void> | undefined} */
  #closing
  #stats = { sent: 0, failed: 0, dropped: 0, repeated: 0 }
  /** Since the last report that arrived. */
  #lost = 0

  /**
   * @param {InstanceType<typeof PinSet>} pins
   * @param {Required<import('../index.js').ReporterOptions> & { url: string }} options
   */
  constructor(pins, options) {
    super()
    this.#pins = pins
    this.#options = options
    const { client } = options
    // Trusted as any server is: nothing that these pins refuse must keep a report of it from arriving.
    const collector = client.pins ?? ANY_TRUSTED
    if (collector === pins) {
      throw argumentError('ERR_INVALID_ARG_VALUE', 'client.pins must not be the pins that are reported about')
    }
    this.#client = new PinnedClient({ maxResponseSize: MOST_ANSWER, ...client, pins: collector })
    pins.on('report', this.#onReport).on('refused', this.#onRefused)
  }

  #onReport = (/** @type {import('../index.js').Report} */ report) => this.#observe('excused', report)
  #onRefused = (/** @type {import('../index.js').Report} */ report) => this.#observe('refused', report)

  /** What was sent so far, what waits, and what was lost. */
  stats() {
    return { ...this.#stats, waiting: this.#waiting.size }
  }

  /** Sends what is waiting, each report once; what fails goes on waiting. Never rejects. */
  async flush() {
    // Whoever waits for it keeps the process alive, as with a request.
    hold()
    while (this.#sending) await this.#sending
    await this.#run(true)
    release()
  }

  /** Sends what is waiting, once, and ends. */
  close() {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close() {
    this.#pins.off('report', this.#onReport).off('refused', this.#onRefused)
    await this.flush()
    clearTimeout(this.#timer)
    for (const waiting of this.#waiting.values()) this.#drop('closed', waiting)
    this.#waiting.clear()
    await this.#client.destroy()
  }

  async [Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')]() {
    await this.close()
  }

  /**
   * @param {'refused' | 'excused'} decision
   * @param {import('../index.js').Report} report
   */
  #observe(decision, report) {
    if (!wanted(this.#options.filter, report)) return
    const now = new Date()
    const key = keyOf(decision, report)
    const known = this.#waiting.get(key)
    if (known) {
      known.count++
      known.last = now
      this.#stats.repeated++
      return
    }
    const entry = entryFor(this.#pins, report)
    const waiting = { key, decision, report, entry, first: now, last: now, count: 1, attempts: 0 }
    // Those that are there already are the older evidence.
    if (this.#waiting.size >= this.#options.queue) return this.#drop('queue', waiting)
    this.#waiting.set(key, waiting)
    this.#schedule()
  }

  /** Sets the timer for what is due next. */
  #schedule() {
    clearTimeout(this.#timer)
    if (this.#sending || this.#waiting.size === 0 || this.#closing) return
    const now = Date.now()
    let next = Number.POSITIVE_INFINITY
    for (const key of this.#waiting.keys()) next = Math.min(next, this.#dueAt(key))
    const at = Math.max(next, this.#notBefore, this.#retryAfter, this.#mayNotBefore(now), now)
    // In an event of its own: what happens at once is sent together.
    this.#timer = setTimeout(() => this.#run(false), Math.min(at - now, MOST_DELAY)).unref()
  }

  /**
   * The same is sent once an interval.
   * @param {string} key
   */
  #dueAt(key) {
    const sent = this.#sent.get(key)
    return sent === undefined ? 0 : sent + this.#options.interval
  }

  /**
   * When the limit allows the next report.
   * @param {number} now
   */
  #mayNotBefore(now) {
    const { since, count } = this.#window
    const { interval, limit } = this.#options
    if (now >= since + interval) this.#window = { since: now, count: 0 }
    return count < limit ? 0 : since + interval
  }

  /**
   * Sends what is due, one after the other over one connection.
   * @param {boolean} all Also what would have to wait for its time.
   */
  async #run(all) {
    if (this.#sending) return
    this.#sending = this.#sendDue(all)
    await this.#sending
    this.#sending = undefined
    this.#schedule()
  }

  /** @param {boolean} all */
  async #sendDue(all) {
    for (const waiting of [...this.#waiting.values()]) {
      const now = Date.now()
      if (this.#mayNotBefore(now) > now || this.#retryAfter > now) return
      if (!all && (this.#dueAt(waiting.key) > now || this.#notBefore > now)) continue
      // What happens from now on is of another report.
      this.#waiting.delete(waiting.key)
      this.#window.count++
      waiting.attempts++
      const lost = this.#lost
      const outcome = await post(this.#client, this.#options, this.#json(waiting))
      if (outcome === undefined) {
        this.#lost -= lost
        this.#remember(waiting.key)
        this.#failures = 0
        this.#notBefore = 0
        this.#stats.sent++
        continue
      }
      this.#stats.failed++
      if (!outcome.transient || waiting.attempts >= this.#options.attempts) {
        this.#drop('failed', waiting, outcome.error)
      } else {
        this.#again(waiting)
      }
      if (outcome.transient) this.#backOff(outcome.after)
      // The others would fare no better just now.
      if (outcome.isDown) return
    }
  }

  /** @param {Waiting} waiting */
  #json(waiting) {
    const { format, app, details } = this.#options
    const { 'tls-pinning': more, ...report } = FORMATS[format](waiting, this.#lost, app)
    return JSON.stringify(details ? { ...report, 'tls-pinning': more } : report)
  }

  /**
   * Behind the others, and together with what the same has said meanwhile.
   * @param {Waiting} waiting
   */
  #again(waiting) {
    const since = this.#waiting.get(waiting.key)
    if (!since && this.#waiting.size >= this.#options.queue) return this.#drop('queue', waiting)
    this.#waiting.delete(waiting.key)
    const { last, count } = since ?? { last: waiting.last, count: 0 }
    this.#waiting.set(waiting.key, { ...waiting, last, count: waiting.count + count })
  }

  /**
   * Twice as long after each failure, and a little by chance, so that not all programs come back at once.
   * @param {number} [after] What the collector has asked for.
   */
  #backOff(after) {
    const delay = this.#options.retryDelay * 2 ** Math.min(this.#failures++, 20) * (1 + Math.random() / 4)
    const now = Date.now()
    if (after === undefined) this.#notBefore = now + Math.min(delay, MOST_PATIENCE)
    else this.#retryAfter = now + Math.min(after, MOST_PATIENCE)
  }

  /** @param {string} key */
  #remember(key) {
    this.#sent.delete(key)
    this.#sent.set(key, Date.now())
    if (this.#sent.size > REMEMBERED) this.#sent.delete(/** @type {string} */ (this.#sent.keys().next().value))
  }

  /**
   * @param {'queue' | 'failed' | 'closed'} reason
   * @param {Waiting} waiting
   * @param {Error} [error]
   */
  #drop(reason, { report, count }, error) {
    this.#stats.dropped += count
    this.#lost += count
    process.nextTick(() => this.emit('drop', { reason, report, count, error }))
  }
}

/**
 * What the policy says of a host, by which its report is filled in. It may have been replaced meanwhile.
 * @param {InstanceType<typeof PinSet>} pins
 * @param {import('../index.js').Report} report
 */
function entryFor(pins, { host, port, pattern, reason }) {
  if (reason === 'unlisted') return null
  try {
    const entry = pins.match(host, port ?? undefined)
    return pattern === null || entry?.pattern === pattern ? entry : null
  } catch {
    return null
  }
}

/**
 * Whether a report is to be sent. What a filter throws is no reason to be silent, and must not end the process.
 * @param {Function} filter
 * @param {import('../index.js').Report} report
 */
function wanted(filter, report) {
  try {
    return Boolean(filter(report))
  } catch {
    return true
  }
}

/**
 * @param {unknown} source A pin set, or what has one: a client, an agent.
 * @param {Record<string, any>} options
 */
function createReporter(source, options) {
  const pins = source instanceof PinSet ? source : /** @type {any} */ (source)?.pins
  if (!(pins instanceof PinSet)) {
    throw argumentError('ERR_INVALID_ARG_TYPE', `pins must be a PinSet or what has one as pins, not ${kind(source)}`)
  }
  return new Reporter(pins, reporterOptions(options))
}

module.exports = { createReporter }

'use strict'
// One attempt to have a collector take a report.

const { kUnheld } = require('./client.js')

/** Answers that another attempt may change. */
const TRANSIENT = [408, 425, 429, 500, 502, 503, 504]
/** Answers that say the same of whatever else is sent. */
const BUSY = [429, 503]

/**
 * @typedef {object} Refused
 * @property {Error} error
 * @property {boolean} transient Whether another attempt may do better.
 * @property {boolean} isDown Whether other reports would fare no better just now.
 * @property {number} [after] Milliseconds that the collector wants to be left alone.
 */

/**
 * @param {InstanceType<typeof import('./client.js').PinnedClient>} client
 * @param {{ url: string, headers: Record<string, string>, timeout: number }} to
 * @param {string} json
 * @returns {Promise<Refused | undefined>} Nothing, if it has arrived.
 */
async function post(client, { url, headers, timeout }, json) {
  try {
    const request = {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json; charset=utf-8' },
      body: json,
      redirect: 'manual',
      signal: timeout === 0 ? undefined : AbortSignal.timeout(timeout),
      [kUnheld]: true
    }
    const response = await client.request(url, request)
    // To its end, for the sake of the connection; what it says is of no interest.
    await response.bytes().catch(() => {})
    const { status } = response
    if (status >= 200 && status < 300) return undefined
    const error = Object.assign(new Error(`the collector answered ${status}`), { code: 'ERR_REPORT_REFUSED', status })
    const after = retryAfter(response.headers.get('retry-after'))
    return { error, transient: TRANSIENT.includes(status), isDown: BUSY.includes(status), after }
  } catch (error) {
    // A wrong argument, such as a header that is none, stays one.
    const transient = !(error instanceof TypeError)
    return { error: /** @type {Error} */ (error), transient, isDown: transient }
  }
}

/**
 * RFC 9110, 10.2.3, in milliseconds from now.
 * @param {string | null} value
 */
function retryAfter(value) {
  if (value === null) return undefined
  if (/^\d+$/.test(value)) return Number(value) * 1_000
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now())
}

module.exports = { post }

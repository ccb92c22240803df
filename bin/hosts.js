'use strict'
// Hosts as a user names them, and work on many of them side by side.

const { isIP } = require('node:net')
const { usageError } = require('./errors.js')

/** So many at once: enough to hide the slow ones, few enough not to look like an attack. */
const AT_ONCE = 16

/**
 * `example.com`, `example.com:8443`, `192.0.2.7`, `2001:db8::1`, `[2001:db8::1]:443` or an https URL.
 * @param {string} text
 * @param {number} [defaultPort]
 * @returns {{ host: string, port: number, label: string }} `label` is `host`, and the port where it is not 443.
 */
function parseHost(text, defaultPort = 443) {
  const shown = text.includes('://') ? text : `https://${isIP(text) === 6 ? `[${text}]` : text}`
  const url = URL.canParse(shown) ? new URL(shown) : undefined
  if (url?.protocol !== 'https:' || !url.hostname || url.username || url.password) {
    throw usageError(`${text} is not a host`, 'write example.com, example.com:8443, 192.0.2.7 or [2001:db8::1]:443')
  }
  const host = url.hostname.replace(/^\[|\]$/g, '')
  // A URL does not keep the port that is its scheme's default: `example.com:443` must stay 443 for STARTTLS too.
  const given = /:(\d+)$/.exec(text.replace(/\/.*$/, '').replace(/^\[[^\]]*\]/, ''))
  const port = url.port ? Number(url.port) : given && isIP(text) !== 6 ? 443 : defaultPort
  const name = host.includes(':') ? `[${host}]` : host
  return { host, port, label: port === 443 ? (host.includes(':') ? name : host) : `${name}:${port}` }
}

/**
 * The outcomes of `work` for each item, in the order of the items, some at once.
 * @template T, R
 * @param {T[]} items
 * @param {(item: T) => Promise<R>} work
 * @param {(done: number) => void} [onProgress]
 * @returns {Promise<R[]>}
 */
async function sideBySide(items, work, onProgress = () => {}) {
  /** @type {R[]} */
  const outcomes = new Array(items.length)
  let next = 0
  let done = 0
  const worker = async () => {
    while (next < items.length) {
      const at = next++
      outcomes[at] = await work(/** @type {T} */ (items[at]))
      onProgress(++done)
    }
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker))
  return outcomes
}

module.exports = { parseHost, sideBySide }

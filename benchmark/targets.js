'use strict'
// What is aimed at: how many times better than a peer, by workload and column. `must` is the promise, `good` the wish.

/**
 * @typedef {object} Target
 * @property {string} column
 * @property {string} [peer] Without one the figure itself is meant, in the unit of the column, and less is better.
 * @property {number} must
 * @property {number} [good]
 */

/** @param {string} column @param {string} peer @param {number} must @param {number} [good] @returns {Target} */
const than = (column, peer, must, good) => ({ column, peer, must, good })

const HANDSHAKES_1 = [than('rate', 'undici', 2.3, 3), than('rate', 'https', 2.3)]
const HANDSHAKES_16 = [
  than('cpu', 'undici', 4.5, 5.5),
  than('cpu', 'https', 4),
  than('main', 'undici', 20, 50),
  than('main', 'https', 20),
  than('rate', 'undici', 3.5, 5),
  than('rate', 'https', 3.5)
]

/** @type {Record<string, Target[]>} */
const TARGETS = {
  'keep-alive-1': [than('p50', 'undici', 1.2, 2), than('p50', 'https', 1.8)],
  'keep-alive-64': [
    than('cpu', 'undici', 2.5, 4),
    than('cpu', 'https', 4),
    than('main', 'undici', 4, 8),
    than('main', 'https', 6),
    than('rate', 'undici', 1.8, 2.5),
    than('rate', 'https', 2.7)
  ],
  'handshake-p256-1': HANDSHAKES_1,
  'handshake-p256-16': HANDSHAKES_16,
  'handshake-rsa-1': HANDSHAKES_1,
  'handshake-rsa-16': HANDSHAKES_16,
  resumed: [than('cpu', 'undici', 4, 6), than('cpu', 'https', 3.5)],
  download: [
    than('cpu', 'undici', 1.2, 1.5),
    than('cpu', 'https', 1.5),
    than('main', 'undici', 3, 5),
    than('main', 'https', 4),
    than('memory', 'undici', 1.4, 2),
    than('memory', 'https', 1.5)
  ],
  upload: [
    than('cpu', 'undici', 0.9, 1.1),
    than('cpu', 'https', 0.9),
    than('main', 'undici', 1.5, 2),
    than('throughput', 'undici', 0.9, 1)
  ],
  medium: [
    than('delay', 'undici', 4, 8),
    than('delay', 'https', 6),
    than('main', 'undici', 3, 6),
    than('main', 'https', 4)
  ],
  http2: [
    than('cpu', 'undici', 2.5, 4),
    than('cpu', 'node:http2', 1.8),
    than('main', 'undici', 4, 8),
    than('main', 'node:http2', 3)
  ],
  fetch: [than('cpu', 'undici fetch', 2, 3), than('rate', 'undici fetch', 2, 3)],
  first: [than('time', 'undici', 2.2, 2.5), than('time', 'https', 1)],
  size: [{ column: 'size', must: 6 * 2 ** 20, good: 5 * 2 ** 20 }]
}

module.exports = { TARGETS }

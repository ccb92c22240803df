'use strict'
// An endless stream of bytes that both sides can make and check without storing it. Its period is a prime number of bytes, so
// that a piece which is lost, repeated or moved does not fit.

const crypto = require('node:crypto')

const PERIOD = 1_048_573
const LARGEST = 4 * 1024 * 1024

const BYTES = (() => {
  const key = Buffer.alloc(16, 3)
  const one = crypto.createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(PERIOD))
  return Buffer.concat(Array.from({ length: Math.ceil(LARGEST / PERIOD) + 1 }, () => one))
})()

class Pattern {
  #at = 0

  /** @param {number} length */
  next(length) {
    const piece = BYTES.subarray(this.#at, this.#at + length)
    this.#at = (this.#at + length) % PERIOD
    return piece
  }

  /** @param {Uint8Array} chunk */
  check(chunk) {
    for (let from = 0; from < chunk.length; from += LARGEST) {
      const part = chunk.subarray(from, from + LARGEST)
      if (this.next(part.length).compare(part) !== 0) throw new Error('the stream is not what was sent')
    }
  }
}

module.exports = { Pattern }

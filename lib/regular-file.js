'use strict'
// Reads files that are named from outside: a pipe or a device in the place of one must not hold a thread for ever, and none may
// fill the memory.

const fs = require('node:fs')
const { argumentError } = require('./errors.js')

/** Opening a pipe does not wait for somebody to write to it. Windows has neither the flag nor such files. */
const FLAGS = fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0)
const PIECE = 64 * 1024

/**
 * @param {string} file
 * @param {number} most Bytes. One more is read where there are more, so that the caller can tell.
 * @param {AbortSignal} [signal]
 */
async function readRegular(file, most, signal) {
  signal?.throwIfAborted()
  const handle = await fs.promises.open(file, FLAGS)
  try {
    check(await handle.stat(), file)
    const pieces = []
    for (let left = most + 1; left > 0; ) {
      signal?.throwIfAborted()
      const piece = Buffer.allocUnsafe(Math.min(left, PIECE))
      const { bytesRead } = await handle.read(piece, 0, piece.length)
      if (bytesRead === 0) break
      pieces.push(piece.subarray(0, bytesRead))
      left -= bytesRead
    }
    return Buffer.concat(pieces)
  } finally {
    await handle.close()
  }
}

/**
 * @param {string} file
 * @param {number} most As above.
 */
function readRegularSync(file, most) {
  const handle = fs.openSync(file, FLAGS)
  try {
    check(fs.fstatSync(handle), file)
    const pieces = []
    for (let left = most + 1; left > 0; ) {
      const piece = Buffer.allocUnsafe(Math.min(left, PIECE))
      const bytesRead = fs.readSync(handle, piece)
      if (bytesRead === 0) break
      pieces.push(piece.subarray(0, bytesRead))
      left -= bytesRead
    }
    return Buffer.concat(pieces)
  } finally {
    fs.closeSync(handle)
  }
}

/**
 * @param {import('node:fs').Stats} stats
 * @param {string} file
 */
function check(stats, file) {
  // Reading a folder fails by itself, with the system's own word for it.
  if (stats.isFile() || stats.isDirectory()) return
  throw argumentError('ERR_INVALID_ARG_VALUE', `${file} is not a regular file`)
}

module.exports = { readRegular, readRegularSync }

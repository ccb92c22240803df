'use strict'
// What tests of policy sources share: a folder of their own, policies by name, and waiting for a pin set that keeps no
// process alive.

const { execFileSync } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { pinned } = require('./policies')

/**
 * A folder that ends with the test.
 * @param {{ after: (end: () => void) => void }} t
 */
function temporaryFolder(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-sources-'))
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }))
  return folder
}

/**
 * A named pipe that nobody writes to. Whoever waits at it is let go when the test has ended.
 * @param {{ after: (end: () => void) => void }} t
 */
function pipe(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-pipe-'))
  const file = path.join(folder, 'pipe')
  execFileSync('mkfifo', [file])
  t.after(() => {
    fs.closeSync(fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_NONBLOCK))
    fs.rmSync(folder, { recursive: true })
  })
  return file
}

/**
 * As an editor or a deployment saves: beside it, then over it.
 * @param {string} file
 * @param {string} text
 */
function replaceFile(file, text) {
  fs.writeFileSync(`${file}.new`, text)
  fs.renameSync(`${file}.new`, file)
}

/**
 * What happens next at a pin set. What watches keeps no process alive, so something else has to.
 * @param {import('node:events').EventEmitter} pins
 * @param {'change' | 'loadError'} event
 * @returns {Promise<any>} What the event brings.
 */
async function next(pins, event) {
  const held = setInterval(() => {}, 1000)
  try {
    const [value] = await once(pins, event, { signal: AbortSignal.timeout(20_000) })
    return value
  } finally {
    clearInterval(held)
  }
}

/** The hosts that a policy has, as text. @param {{ toJSON: () => any }} pins */
function hostsOf(pins) {
  return Object.keys(pins.toJSON().hosts).join()
}

module.exports = { hostsOf, next, pinned, pipe, replaceFile, temporaryFolder }

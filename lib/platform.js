'use strict'
// Which addon this process takes.

const fs = require('node:fs')

/** As the napi CLI names what it builds, and `scripts/release/targets.js` the packages. */
function nameOfPlatform() {
  const { platform, arch } = process
  if (platform === 'win32') return `win32-${arch}-msvc`
  if (platform !== 'linux') return `${platform}-${arch}`
  const abi = arch === 'arm' ? 'eabihf' : ''
  return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}${abi}`
}

/**
 * Which C library this process runs on. What files the system has says less: a system can have both. A program's file names
 * near its beginning what loads it; reading that takes 0.3 ms, `/proc/self/maps` 0.7 ms and a report 12 ms. So the report is
 * for a file that may not be read, or that a tool has changed so that the name lies elsewhere.
 */
function isMusl() {
  const start = startOf(process.execPath)
  if (start.includes('/ld-linux')) return false
  return start.includes('/ld-musl-') || sharedObjects().some(file => /\/(?:ld-musl-|libc\.musl-)/.test(file))
}

/** @param {string} file */
function startOf(file) {
  const start = Buffer.alloc(2048)
  try {
    const handle = fs.openSync(file, 'r')
    fs.readSync(handle, start)
    fs.closeSync(handle)
  } catch {
    // Nothing is known, then.
  }
  return start
}

/** @returns {string[]} */
function sharedObjects() {
  const { report } = /** @type {any} */ (process)
  if (!report) return []
  const { excludeNetwork } = report
  report.excludeNetwork = true // else it looks up the names of all peers
  try {
    return report.getReport().sharedObjects ?? []
  } finally {
    report.excludeNetwork = excludeNetwork
  }
}

module.exports = { nameOfPlatform }

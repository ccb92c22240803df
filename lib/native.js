'use strict'
// Loads the addon: the one that was built in this clone or, as installed from a registry, that of the package for this
// platform. What exists is what counts: an addon that does not load is an error, and no other is looked for.

const fs = require('node:fs')
const path = require('node:path')
const { version } = require('../package.json')

/** @returns {typeof import('../binding.js')} */
function load() {
  const platform = nameOfPlatform()
  const built = path.join(__dirname, '..', `tls-pinning.${platform}.node`)
  try {
    // Not by `require`: bundlers follow that, and warn of a name that they can't know.
    if (fs.existsSync(built)) return require('node:module').createRequire(__filename)(built)
    const addon = require('./prebuilt.js').requirePrebuilt(platform, found => {
      // The addon and the JavaScript around it are halves of one thing: another version's may decide differently.
      if (found === version) return
      throw new Error(`@tls-pinning/${platform} is ${found}, tls-pinning is ${version}`)
    })
    // Bundlers can be told to put nothing or a file's name in its place.
    if (typeof addon.pinSet === 'function') return addon
    throw Object.assign(new Error(`@tls-pinning/${platform} is no addon`), { code: 'ERR_INVALID_MODULE' })
  } catch (cause) {
    throw require('./load-error.js').loadError(platform, built, cause)
  }
}

/** As the napi CLI names what it builds, and `scripts/release/targets.js` the packages. */
function nameOfPlatform() {
  const { platform, arch } = process
  if (platform === 'win32') return `win32-${arch}-msvc`
  if (platform !== 'linux') return `${platform}-${arch}`
  const abi = arch === 'arm' ? 'eabihf' : ''
  return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}${abi}`
}

/**
 * Which C library this process runs on: what is mapped into it, which takes 0.7 ms to read. Node's report knows
 * it too and takes more than ten times as long, so it is for where `/proc` may not be read. What files the system has says
 * less: a system can have both libraries.
 */
function isMusl() {
  const musl = /\/(?:ld-musl-[^/]*|libc\.musl-[^/]*|libc\.so)$/m
  try {
    return musl.test(fs.readFileSync('/proc/self/maps', 'utf8'))
  } catch {
    return musl.test(reported().join('\n'))
  }
}

/** The libraries in Node's report. Deno has none, and asks for a permission to say so. @returns {string[]} */
function reported() {
  const { report } = /** @type {any} */ (process)
  try {
    const { excludeNetwork } = report
    report.excludeNetwork = true // else it looks up the names of all peers
    const { sharedObjects } = report.getReport()
    report.excludeNetwork = excludeNetwork
    return sharedObjects ?? []
  } catch {
    return []
  }
}

module.exports = load()

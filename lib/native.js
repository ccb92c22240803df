'use strict'
// Loads the addon: the one that was built in this clone or, as installed from a registry, that of the package for this
// platform. What exists is what counts: an addon that does not load is an error, and no other is looked for.

const fs = require('node:fs')
const path = require('node:path')
const { version } = require('../package.json')

const ROOT = path.join(__dirname, '..')

/** @returns {typeof import('../binding.js')} */
function load() {
  const platform = nameOfPlatform()
  const built = isClone() ? path.join(ROOT, `tls-pinning.${platform}.node`) : undefined
  try {
    const addon =
      built && fs.existsSync(built)
        ? // Not by `require`: bundlers follow that, and warn of a name that they can't know.
          require('node:module').createRequire(__filename)(built)
        : require('./prebuilt.js').requirePrebuilt(platform, checkVersion)
    // Bundlers can be told to put nothing or a file's name in its place.
    if (typeof addon.version !== 'function') {
      throw Object.assign(new Error('what was loaded is no addon of tls-pinning'), { code: 'ERR_INVALID_MODULE' })
    }
    checkVersion(addon.version())
    return addon
  } catch (cause) {
    throw require('./load-error.js').loadError(platform, built, cause)
  }
}

/** The addon and the JavaScript around it are halves of one thing: another version's may decide differently. @param {string} found */
function checkVersion(found) {
  if (found !== version) throw new Error(`the addon is version ${found}, and tls-pinning ${version}`)
}

/** Whether this is a clone. In a bundle the folder above is anybody's, and so would be an addon in it. */
function isClone() {
  return (
    path.isAbsolute(__dirname) &&
    path.basename(__filename) === 'native.js' &&
    fs.existsSync(path.join(ROOT, 'Cargo.toml'))
  )
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

'use strict'
// Loads the addon: the one that was built in this clone or, as installed from a registry, that of the package for this
// platform. What exists is what counts: an addon that does not load is an error, and no other is looked for.

const fs = require('node:fs')
const { createRequire } = require('node:module')
const path = require('node:path')
const { isCutOff } = require('./binary.js')
const { nameOfPlatform } = require('./platform.js')
const { requirePrebuilt } = require('./prebuilt.js')
const { version } = require('../package.json')

/** For what is not to be followed by bundlers, which warn of names that they do not know. */
const requireNow = createRequire(__filename)

/** @returns {typeof import('../binding.js')} */
function load() {
  const platform = nameOfPlatform()
  const built = path.join(__dirname, '..', `tls-pinning.${platform}.node`)
  try {
    if (fs.existsSync(built)) {
      refuseCutOff(built)
      return requireNow(built)
    }
    const prebuilt = `@tls-pinning/${platform}`
    return requirePrebuilt(platform, manifest => {
      // The addon and the JavaScript around it are halves of one thing: another version's may decide differently.
      const found = manifest.version
      if (found !== version) throw new Error(`${prebuilt} is ${found}, tls-pinning is ${version}`)
      refuseCutOff(resolved(prebuilt))
    })
  } catch (cause) {
    throw require('./load-error.js').loadError(platform, built, cause)
  }
}

/** Loading it would end the process by a signal (SIGBUS), without a word. @param {string | undefined} file */
function refuseCutOff(file) {
  if (file && isCutOff(file)) throw new Error(`${file} is not whole`)
}

/** Nowhere, where a bundler has taken it in. @param {string} name */
function resolved(name) {
  try {
    return requireNow.resolve(name)
  } catch {
    return undefined
  }
}

module.exports = load()

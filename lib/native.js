'use strict'
// The addon, or an error that says what is missing: the generated loader blames the package manager for everything.

/** @returns {typeof import('../binding.js')} */
function load() {
  try {
    return require('../binding.js')
  } catch (cause) {
    const place = `${process.platform}-${process.arch}`
    const fix = 'build it in a clone with "npm install" and "npm run build" (see Install in the README)'
    const error = new Error(`tls-pinning has no addon that loads on ${place}, Node.js ${process.version}; ${fix}`, {
      cause
    })
    throw Object.assign(error, { code: 'ERR_DLOPEN_FAILED' })
  }
}

module.exports = load()

'use strict'
// @ts-nocheck: none of these packages is there in a clone.
// The packages with prebuilt addons. Their names are written out for what follows `require`: bundlers, and tools that collect
// the files of a deployment (Next.js, serverless hosts). Inside `try` they pass over those that are not installed.

/**
 * @param {string} platform
 * @param {(manifest: { version: string }) => void} check is given the package.json before the addon is loaded
 */
function requirePrebuilt(platform, check) {
  // biome-ignore lint/complexity/noUselessCatch: see above
  try {
    switch (platform) {
      case 'linux-x64-gnu':
        check(require('@tls-pinning/linux-x64-gnu/package.json'))
        return require('@tls-pinning/linux-x64-gnu')
      case 'linux-arm64-gnu':
        check(require('@tls-pinning/linux-arm64-gnu/package.json'))
        return require('@tls-pinning/linux-arm64-gnu')
      case 'linux-x64-musl':
        check(require('@tls-pinning/linux-x64-musl/package.json'))
        return require('@tls-pinning/linux-x64-musl')
      case 'linux-arm64-musl':
        check(require('@tls-pinning/linux-arm64-musl/package.json'))
        return require('@tls-pinning/linux-arm64-musl')
      case 'linux-arm-gnueabihf':
        check(require('@tls-pinning/linux-arm-gnueabihf/package.json'))
        return require('@tls-pinning/linux-arm-gnueabihf')
      case 'darwin-x64':
        check(require('@tls-pinning/darwin-x64/package.json'))
        return require('@tls-pinning/darwin-x64')
      case 'darwin-arm64':
        check(require('@tls-pinning/darwin-arm64/package.json'))
        return require('@tls-pinning/darwin-arm64')
      case 'win32-x64-msvc':
        check(require('@tls-pinning/win32-x64-msvc/package.json'))
        return require('@tls-pinning/win32-x64-msvc')
      case 'win32-arm64-msvc':
        check(require('@tls-pinning/win32-arm64-msvc/package.json'))
        return require('@tls-pinning/win32-arm64-msvc')
      case 'freebsd-x64':
        check(require('@tls-pinning/freebsd-x64/package.json'))
        return require('@tls-pinning/freebsd-x64')
      default:
        throw new Error(`there is no package for ${platform}`)
    }
  } catch (error) {
    throw error
  }
}

module.exports = { requirePrebuilt }

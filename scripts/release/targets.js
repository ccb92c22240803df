'use strict'
// The platforms that have a prebuilt binary, each in a package of its own, `@tls-pinning/<platform>`.

/**
 * @typedef {object} Target
 * @property {string} platform the name that the loader, the packages and the files have
 * @property {string} triple Rust's name
 * @property {string} os as `process.platform`
 * @property {string} cpu as `process.arch`
 * @property {'glibc' | 'musl'} [libc] as npm's `libc` field
 * @property {string} [glibc] the oldest version of glibc that the binary runs on
 */

/** @type {Target[]} */
const TARGETS = [
  {
    platform: 'linux-x64-gnu',
    triple: 'x86_64-unknown-linux-gnu',
    os: 'linux',
    cpu: 'x64',
    libc: 'glibc',
    glibc: '2.17'
  },
  {
    platform: 'linux-arm64-gnu',
    triple: 'aarch64-unknown-linux-gnu',
    os: 'linux',
    cpu: 'arm64',
    libc: 'glibc',
    glibc: '2.28'
  },
  { platform: 'linux-x64-musl', triple: 'x86_64-unknown-linux-musl', os: 'linux', cpu: 'x64', libc: 'musl' },
  { platform: 'linux-arm64-musl', triple: 'aarch64-unknown-linux-musl', os: 'linux', cpu: 'arm64', libc: 'musl' },
  {
    platform: 'linux-arm-gnueabihf',
    triple: 'armv7-unknown-linux-gnueabihf',
    os: 'linux',
    cpu: 'arm',
    libc: 'glibc',
    glibc: '2.28'
  },
  { platform: 'darwin-x64', triple: 'x86_64-apple-darwin', os: 'darwin', cpu: 'x64' },
  { platform: 'darwin-arm64', triple: 'aarch64-apple-darwin', os: 'darwin', cpu: 'arm64' },
  // Built with zig and without Microsoft's tools; the name is what Node's ecosystem expects on Windows, and the package has no
  // `libc` field.
  { platform: 'win32-x64-msvc', triple: 'x86_64-pc-windows-gnullvm', os: 'win32', cpu: 'x64' },
  { platform: 'win32-arm64-msvc', triple: 'aarch64-pc-windows-gnullvm', os: 'win32', cpu: 'arm64' },
  { platform: 'freebsd-x64', triple: 'x86_64-unknown-freebsd', os: 'freebsd', cpu: 'x64' }
]

module.exports = { TARGETS }

'use strict'
// What a platform's package says of itself. Its other files are the addon, `tls-pinning.<platform>.node`, the licences of what is
// linked into it, and the list of that.

const root = require('../../package.json')

const SYSTEMS = /** @type {Record<string, string>} */ ({
  linux: 'Linux',
  darwin: 'macOS',
  win32: 'Windows',
  freebsd: 'FreeBSD'
})

/**
 * @param {import('./targets.js').Target} target
 * @param {string} version that of `tls-pinning`, whose loader takes no other
 */
function platformPackage(target, version) {
  const { platform, os, cpu, libc } = target
  const name = `@tls-pinning/${platform}`
  const addon = `tls-pinning.${platform}.node`
  const place = `${SYSTEMS[os]} on ${cpu}${runsOn(target)}`
  return {
    packageJson: {
      name,
      version,
      description: `The prebuilt addon of tls-pinning for ${place}`,
      license: root.license,
      author: root.author,
      type: 'commonjs',
      main: addon,
      files: [addon, 'THIRD-PARTY-LICENSES.txt', 'sbom.cdx.json'],
      os: [os],
      cpu: [cpu],
      ...(libc && { libc: [libc] }),
      engines: root.engines,
      // An addon can't be loaded out of the archives of Yarn's Plug'n'Play.
      preferUnplugged: true
    },
    readme: `# ${name}

The prebuilt addon of \`tls-pinning\` for ${place}.

Do not depend on this package: \`npm install tls-pinning\` installs the one that is right for the system.
`
  }
}

/** @param {import('./targets.js').Target} target */
function runsOn({ libc, glibc }) {
  if (glibc) return `, glibc ${glibc} or newer`
  return libc ? `, ${libc}` : ''
}

module.exports = { platformPackage }

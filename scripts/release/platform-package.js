'use strict'
// The package that brings the addon to one platform.

const manifest = require('../../package.json')

/**
 * @param {import('./targets.js').Target} target
 * @param {string} version
 */
function platformPackage({ platform, os, cpu, libc }, version) {
  const addon = `tls-pinning.${platform}.node`
  const packageJson = {
    name: `@tls-pinning/${platform}`,
    version,
    description: `The prebuilt addon of tls-pinning for ${platform}`,
    license: manifest.license,
    author: manifest.author,
    main: addon,
    files: [addon],
    os: [os],
    cpu: [cpu],
    ...(libc && { libc: [libc] }),
    engines: manifest.engines
  }
  const readme = `# \`@tls-pinning/${platform}\`\n\nThe prebuilt addon of \`tls-pinning\` for ${platform}. Install \`tls-pinning\`, which brings it.\n`
  return { packageJson, readme }
}

module.exports = { platformPackage }

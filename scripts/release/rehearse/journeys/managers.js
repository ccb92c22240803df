'use strict'
// Package managers that are not npm. Each installs from the registry of the rehearsal, into stores of its own user.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { platformPackages } = require('../steps.js')
const { TOOLS } = require('../tools.js')

/** @typedef {import('../user.js').User} User @typedef {import('../service.js').Service} Service */

/** @type {import('../../rehearse.js').Journey[]} */
module.exports = [
  {
    name: 'pnpm add',
    async run({ user, service }) {
      await user.tool('pnpm', ['add', 'tls-pinning', ...pnpmFolders(user)])
      await runBoth(user, service)
    }
  },
  {
    name: 'pnpm add with supportedArchitectures',
    async run({ user, service, packed }) {
      user.write('pnpm-workspace.yaml', 'supportedArchitectures:\n  os: [current, win32]\n  cpu: [current, x64]\n')
      await user.tool('pnpm', ['add', 'tls-pinning', ...pnpmFolders(user)])
      const stored = fs.readdirSync(user.path('node_modules/.pnpm')).filter(name => name.startsWith('@tls-pinning'))
      const wanted = packed.filter(({ name }) => /linux-x64-gnu|win32-x64/.test(name))
      assert.equal(stored.length, wanted.length, stored.join(', '))
      await runBoth(user, service)
      return stored.join(', ')
    }
  },
  {
    name: 'yarn add (classic)',
    async run({ user, service }) {
      const folders = ['--cache-folder', user.path('../cache'), '--global-folder', user.path('../global')]
      await user.run('node', [yarnClassic(), 'add', 'tls-pinning', '--registry', user.registry.url, ...folders])
      await runBoth(user, service)
      return `installs ${platformPackages(user).join(', ')}`
    }
  },
  {
    name: 'yarn add (berry, nodeLinker: node-modules)',
    async run({ user, service }) {
      await berry(user, 'nodeLinker: node-modules\n')
      await runBoth(user, service)
    }
  },
  {
    name: 'yarn add (berry, supportedArchitectures)',
    async run({ user, service, packed }) {
      await berry(user, 'nodeLinker: node-modules\nsupportedArchitectures:\n  os: [current, win32]\n  cpu: [current, x64]\n')
      const wanted = packed.filter(({ name }) => /linux-x64-gnu|win32-x64/.test(name))
      assert.equal(platformPackages(user).length, wanted.length, platformPackages(user).join(', '))
      await runBoth(user, service)
      return platformPackages(user).join(', ')
    }
  },
  {
    name: "yarn add (berry, Plug'n'Play)",
    async run({ user, service }) {
      await berry(user, 'nodeLinker: pnp\npnpEnableEsmLoader: true\n')
      user.write('app.cjs', service.cjs)
      user.write('app.mjs', service.esm)
      for (const file of ['app.cjs', 'app.mjs']) {
        await service.talk(() => user.run('node', [yarnBerry(), 'node', file]))
      }
      const unplugged = fs.readdirSync(user.path('.yarn/unplugged'))
      assert.equal(unplugged.length, 1, unplugged.join(', '))
      return 'the platform package is unplugged'
    }
  },
  {
    name: 'bun add',
    async run({ user, service }) {
      const env = { BUN_CONFIG_REGISTRY: user.registry.url, BUN_INSTALL_CACHE_DIR: user.path('../cache') }
      await user.tool('bun', ['add', 'tls-pinning'], { env })
      await runBoth(user, service)
    }
  }
]

/** @param {User} user */
function pnpmFolders(user) {
  const folders = { 'store-dir': 'store', 'cache-dir': 'cache', 'state-dir': 'state' }
  return Object.entries(folders).map(([name, folder]) => `--${name}=${path.join(user.home, folder)}`)
}

function yarnBerry() {
  return path.join(TOOLS, 'node_modules', '@yarnpkg', 'cli-dist', 'bin', 'yarn.js')
}

function yarnClassic() {
  return path.join(TOOLS, 'node_modules', 'yarn-classic', 'bin', 'yarn.js')
}

/**
 * @param {User} user
 * @param {string} settings
 */
async function berry(user, settings) {
  const folder = JSON.stringify(path.join(user.home, 'yarn'))
  user.write(
    '.yarnrc.yml',
    `npmRegistryServer: "${user.registry.url}"
unsafeHttpWhitelist: ["127.0.0.1"]
enableTelemetry: false
enableImmutableInstalls: false
globalFolder: ${folder}
npmMinimalAgeGate: 0
${settings}`
  )
  user.write('yarn.lock', '')
  await user.run('node', [yarnBerry(), 'add', 'tls-pinning'])
}

/**
 * @param {User} user
 * @param {Service} service
 */
async function runBoth(user, service) {
  user.write('app.mjs', service.esm)
  user.write('app.cjs', service.cjs)
  for (const file of ['app.mjs', 'app.cjs']) await service.talk(() => user.run('node', [file]))
}

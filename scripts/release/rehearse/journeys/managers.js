'use strict'
// Other package managers and runtimes.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { TARGETS } = require('../../targets.js')
const { CJS, ESM, assertPrinted } = require('../programs.js')

const NODE_MODULES = path.join(__dirname, '..', 'node_modules')
const PNPM = path.join(NODE_MODULES, '.bin', 'pnpm')
const YARN_1 = path.join(NODE_MODULES, 'yarn', 'bin', 'yarn.js')
const YARN = path.join(NODE_MODULES, '@yarnpkg', 'cli-dist', 'bin', 'yarn.js')
const BUN = path.join(NODE_MODULES, '.bin', 'bun')
const DENO = path.join(NODE_MODULES, '.bin', 'deno')

/** @typedef {InstanceType<typeof import('../user.js').User>} User */

/** As docs/bundlers.md has it: this system, and one more. */
const ARCHITECTURES = 'supportedArchitectures:\n  os: [current, win32]\n  cpu: [current, x64]\n'

/** @param {User} user @param {string} settings more lines of the file */
function berry(user, settings) {
  user.write({
    'package.json': { name: 'app', private: true },
    'yarn.lock': '',
    '.yarnrc.yml': `npmRegistryServer: ${user.world.registry}\nunsafeHttpWhitelist: ['127.0.0.1']\nenableTelemetry: false\nenableImmutableInstalls: false\nenableGlobalCache: false\nnpmMinimalAgeGate: 0\n${settings}`
  })
}

/**
 * The addons of both systems that were asked for, as far as they are published.
 * @param {User} user @param {string} folder
 */
function assertInstalled(user, folder) {
  const own = `${process.platform}-${process.arch}`
  const wanted = user.world.folders
    .map(one => path.basename(one))
    .filter(name => /^win32-x64/.test(name) || name === `${own}-gnu`)
  const found = fs
    .readdirSync(path.join(user.folder, folder))
    .map(name => name.replace(/^@tls-pinning\+|@[\d.]+$/g, ''))
    .filter(name => TARGETS.some(({ platform }) => platform === name))
  assert.deepEqual(found.sort(), wanted.sort())
}

/** @type {Record<string, (user: User) => Promise<void>>} */
const journeys = {
  pnpm: async user => {
    user.write({ 'package.json': { name: 'app', private: true }, 'app.mjs': ESM, 'app.cjs': CJS })
    user.write({ '.npmrc': `registry=${user.world.registry}\n` })
    await user.run(PNPM, ['add', 'tls-pinning'])
    assertPrinted(await user.run('node', ['app.mjs']))
    assertPrinted(await user.run('node', ['app.cjs']))
  },

  'pnpm, supportedArchitectures': async user => {
    user.write({ 'package.json': { name: 'app', private: true }, 'app.mjs': ESM })
    user.write({ '.npmrc': `registry=${user.world.registry}\n`, 'pnpm-workspace.yaml': ARCHITECTURES })
    await user.run(PNPM, ['add', 'tls-pinning'])
    assertInstalled(user, 'node_modules/.pnpm')
    assertPrinted(await user.run('node', ['app.mjs']))
  },

  'yarn 1': async user => {
    user.write({ 'package.json': { name: 'app', private: true }, 'app.mjs': ESM })
    const env = { npm_config_registry: user.world.registry, YARN_REGISTRY: user.world.registry }
    await user.run('node', [YARN_1, 'add', 'tls-pinning', '--no-progress'], { env })
    assertPrinted(await user.run('node', ['app.mjs']))
  },

  'yarn 4, nodeLinker node-modules': async user => {
    berry(user, 'nodeLinker: node-modules\n')
    await user.run('node', [YARN, 'add', 'tls-pinning'])
    user.write({ 'app.mjs': ESM })
    assertPrinted(await user.run('node', ['app.mjs']))
  },

  "yarn 4, Plug'n'Play": async user => {
    // Without the loader for ES modules, Node finds no package by `import`: not this one, and no other.
    berry(user, 'nodeLinker: pnp\npnpEnableEsmLoader: true\n')
    await user.run('node', [YARN, 'add', 'tls-pinning'])
    user.write({ 'app.cjs': CJS, 'app.mjs': ESM })
    assertPrinted(await user.run('node', [YARN, 'node', 'app.cjs']))
    assertPrinted(await user.run('node', [YARN, 'node', 'app.mjs']))
  },

  'yarn 4, supportedArchitectures': async user => {
    berry(user, `nodeLinker: node-modules\n${ARCHITECTURES}`)
    await user.run('node', [YARN, 'add', 'tls-pinning'])
    assertInstalled(user, 'node_modules/@tls-pinning')
    user.write({ 'app.mjs': ESM })
    assertPrinted(await user.run('node', ['app.mjs']))
  },

  bun: async user => {
    user.write({ 'package.json': { name: 'app', private: true }, 'app.mjs': ESM, 'app.cjs': CJS })
    await user.run(BUN, ['add', 'tls-pinning'], { env: { BUN_CONFIG_REGISTRY: user.world.registry } })
    assertPrinted(await user.run(BUN, ['app.mjs']))
    assertPrinted(await user.run(BUN, ['app.cjs']))
  },

  'deno, npm: specifier': async user => {
    user.write({ 'app.mjs': ESM.replace("from 'tls-pinning'", "from 'npm:tls-pinning'") })
    const env = { NPM_CONFIG_REGISTRY: user.world.registry, DENO_DIR: path.join(user.folder, '.deno') }
    assertPrinted(await user.run(DENO, ['run', '-A', '--quiet', '--minimum-dependency-age=0', 'app.mjs'], { env }))
  },

  'deno, node_modules': async user => {
    await user.npm(['install', 'tls-pinning'])
    user.write({ 'app.mjs': ESM })
    const env = { DENO_DIR: path.join(user.folder, '.deno') }
    assertPrinted(await user.run(DENO, ['run', '-A', '--quiet', '--node-modules-dir=manual', 'app.mjs'], { env }))
  }
}

module.exports = { journeys }

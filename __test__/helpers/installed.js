'use strict'
// The package as npm would have installed it: a copy in `node_modules` of a new folder, and beside it packages of platforms.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { platformPackage } = require('../../scripts/release/platform-package.js')
const { TARGETS } = require('../../scripts/release/targets.js')
const manifest = require('../../package.json')

const ROOT = path.join(__dirname, '..', '..')
/** The addon of this clone. */
const BUILT = fs.readdirSync(ROOT).find(name => name.endsWith('.node')) ?? 'none'
const PLATFORM = BUILT.replace(/^tls-pinning\.|\.node$/g, '')
const ADDON = path.join(ROOT, BUILT)
/** What publishing adds. */
const OPTIONAL = Object.fromEntries(TARGETS.map(({ platform }) => [`@tls-pinning/${platform}`, manifest.version]))

/** @param {{ optionalDependencies?: Record<string, string> }} [added] to package.json; without, it is a clone */
function install(added = { optionalDependencies: OPTIONAL }) {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-installed-')))
  const own = path.join(folder, 'node_modules', 'tls-pinning')
  fs.mkdirSync(own, { recursive: true })
  for (const file of ['lib', 'index.js', 'index.mjs']) {
    fs.cpSync(path.join(ROOT, file), path.join(own, file), { recursive: true })
  }
  fs.writeFileSync(path.join(own, 'package.json'), JSON.stringify({ ...manifest, ...added }))
  if (!added.optionalDependencies) fs.writeFileSync(path.join(own, 'Cargo.toml'), '')
  return {
    folder,
    own,
    /**
     * Adds a platform's package and returns where its addon is.
     * @param {string} [platform] @param {{ version?: string, content?: Uint8Array | string }} [options]
     */
    add(platform = PLATFORM, { version = manifest.version, content } = {}) {
      const target = /** @type {import('../../scripts/release/targets.js').Target} */ (
        TARGETS.find(target => target.platform === platform)
      )
      const { packageJson } = platformPackage(target, version)
      const place = path.join(folder, 'node_modules', packageJson.name)
      fs.mkdirSync(place, { recursive: true })
      fs.writeFileSync(path.join(place, 'package.json'), JSON.stringify(packageJson))
      const addon = path.join(place, packageJson.main)
      if (content === undefined) fs.copyFileSync(ADDON, addon)
      else fs.writeFileSync(addon, content)
      return addon
    },
    /**
     * What a program is told that loads it: the folder of the test is `<app>`, versions are `<version>`.
     * @param {{ before?: string, request?: string, flags?: string[] }} [options]
     */
    load({ before = '', request = 'tls-pinning', flags = [] } = {}) {
      const program = `${before}
        let answer
        try {
          answer = { names: Object.keys(require(${JSON.stringify(request)})) }
        } catch ({ code, message, cause }) {
          answer = { code, message, cause: String(cause?.message) }
        }
        console.log(JSON.stringify(answer))`
      const { stdout, stderr } = spawnSync(process.execPath, [...flags, '-e', program], {
        cwd: folder,
        encoding: 'utf8',
        timeout: 60_000
      })
      if (!stdout) throw new Error(stderr || 'the program ended without a word')
      const text = stdout
        .replaceAll(JSON.stringify(folder).slice(1, -1), '<app>')
        .replaceAll(JSON.stringify(process.version).slice(1, -1), '<version>')
        .replace(/glibc [\d.]+(?=\\n)/, 'glibc <version>')
      return JSON.parse(text)
    },
    remove: () => fs.rmSync(folder, { recursive: true })
  }
}

module.exports = { ADDON, OPTIONAL, PLATFORM, ROOT, install }

'use strict'
// Lays out in `dist/` what is published: `tls-pinning` and a package for each platform that has an addon in `artifacts/`.
//
//   node scripts/release/stage.js [--all | --host]
//
// With `--all` it is an error when the addon of a platform is missing; with `--host` only this clone's own addon is taken.

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { thirdPartyLicenses } = require('./licenses.js')
const { platformPackage } = require('./platform-package.js')
const { packageSbom, platformSbom } = require('./sbom.js')
const { TARGETS } = require('./targets.js')

const ROOT = path.join(__dirname, '..', '..')
const DIST = path.join(ROOT, 'dist')

/**
 * @param {{ all?: boolean, host?: boolean }} [options]
 * @returns {{ folders: string[], missing: string[] }} the folders, platforms first, and the platforms without an addon
 */
function stage({ all = false, host = false } = {}) {
  const manifest = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8'))
  const addonOf = (/** @type {string} */ platform) =>
    path.join(ROOT, host ? '.' : 'artifacts', `tls-pinning.${platform}.node`)
  const missing = TARGETS.filter(({ platform }) => !fs.existsSync(addonOf(platform))).map(({ platform }) => platform)
  const targets = TARGETS.filter(({ platform }) => !missing.includes(platform))
  if (targets.length === 0 || (all && missing.length > 0))
    throw new Error(`no addon in artifacts/ for ${missing.join(', ')}`)

  fs.rmSync(DIST, { recursive: true, force: true })
  const folders = targets.map(target => {
    const { packageJson, readme } = platformPackage(target, manifest.version)
    const folder = path.join(DIST, packageJson.name)
    fs.mkdirSync(folder, { recursive: true })
    const addon = path.join(folder, packageJson.main)
    fs.copyFileSync(addonOf(target.platform), addon)
    fs.copyFileSync(path.join(ROOT, 'LICENSE'), path.join(folder, 'LICENSE'))
    fs.writeFileSync(path.join(folder, 'README.md'), readme)
    fs.writeFileSync(path.join(folder, 'THIRD-PARTY-LICENSES.txt'), thirdPartyLicenses(target))
    fs.writeFileSync(path.join(folder, 'sbom.cdx.json'), platformSbom(target, manifest.version, addon))
    writeJson(path.join(folder, 'package.json'), packageJson)
    return folder
  })
  return { folders: [...folders, stageMain(manifest, targets)], missing }
}

/**
 * @param {Record<string, any>} manifest
 * @param {import('./targets.js').Target[]} targets
 */
function stageMain(manifest, targets) {
  const folder = path.join(DIST, manifest.name)
  for (const file of packed()) {
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true })
    fs.copyFileSync(path.join(ROOT, file), path.join(folder, file))
  }
  // What only a clone needs; and the platforms, which the clone's own lock file could not name before they are published.
  const { scripts, devDependencies, napi, ...rest } = manifest
  const names = targets.map(({ platform }) => [`@tls-pinning/${platform}`, manifest.version])
  const files = [...manifest.files, 'sbom.cdx.json']
  fs.writeFileSync(path.join(folder, 'sbom.cdx.json'), packageSbom(manifest.version, targets))
  writeJson(path.join(folder, 'package.json'), { ...rest, files, optionalDependencies: Object.fromEntries(names) })
  return folder
}

/** The files that npm takes for the package of the clone. @returns {string[]} */
function packed() {
  const options = { cwd: ROOT, encoding: /** @type {const} */ ('utf8'), maxBuffer: 1 << 26 }
  const said = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], options))
  // A list, and from npm 12 on an object by name.
  const [{ files }] = /** @type {any[]} */ (Object.values(said))
  return files.map((/** @type {{ path: string }} */ file) => file.path)
}

/** @param {string} file @param {object} value */
function writeJson(file, value) {
  fs.writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`)
}

module.exports = { DIST, stage }

if (require.main === module) {
  const { folders, missing } = stage({ all: process.argv.includes('--all'), host: process.argv.includes('--host') })
  for (const folder of folders) console.log(path.relative(ROOT, folder))
  if (missing.length > 0) console.error(`without an addon, and so left out: ${missing.join(', ')}`)
}

'use strict'
// From the clone and `artifacts/` to what is published, in `dist/`: the package itself, and one package for each platform
// that has an addon there.
//
//   node scripts/release/stage.js

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { thirdPartyLicenses } = require('./licenses.js')
const { platformPackage } = require('./platform-package.js')
const { packageSbom, platformSbom } = require('./sbom.js')
const { TARGETS } = require('./targets.js')

/** @typedef {import('./targets.js').Target} Target */

const ROOT = path.join(__dirname, '..', '..')
const ARTIFACTS = path.join(ROOT, 'artifacts')
const DIST = path.join(ROOT, 'dist')
/** What a user has no use for, or what would run on a user's machine. */
const LEFT_OUT = ['scripts', 'devDependencies', 'napi']

/**
 * @param {{ artifacts?: string, dist?: string }} [options]
 * @returns {{ folders: string[], missing: string[] }} platform packages first, as they have to be published
 */
function stage({ artifacts = ARTIFACTS, dist = DIST } = {}) {
  const targets = TARGETS.filter(({ platform }) => fs.existsSync(path.join(artifacts, addonOf(platform))))
  if (targets.length === 0) throw new Error(`there is no addon in ${artifacts}: npm run build:all`)
  fs.rmSync(dist, { recursive: true, force: true })
  const folders = [...targets.map(target => stagePlatform(target, artifacts, dist)), stageRoot(targets, dist)]
  const missing = TARGETS.filter(target => !targets.includes(target)).map(({ platform }) => platform)
  return { folders, missing }
}

/**
 * The files that npm would pack out of the clone, and a package.json that asks for the platforms' packages.
 * @param {Target[]} targets
 * @param {string} dist
 */
function stageRoot(targets, dist) {
  const folder = path.join(dist, 'tls-pinning')
  const packed = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: ROOT,
    encoding: 'utf8'
  })
  for (const { path: file } of filesOf(JSON.parse(packed))) {
    if (file.endsWith('.node')) throw new Error(`the addon belongs into a package of its own: ${file}`)
    copy(path.join(ROOT, file), path.join(folder, file))
  }
  const manifest = readJson(path.join(ROOT, 'package.json'))
  for (const name of LEFT_OUT) delete manifest[name]
  manifest.optionalDependencies = Object.fromEntries(
    targets.map(({ platform }) => [`@tls-pinning/${platform}`, manifest.version])
  )
  manifest.files.push('sbom.cdx.json')
  fs.writeFileSync(path.join(folder, 'sbom.cdx.json'), packageSbom(manifest.version, targets))
  writeJson(path.join(folder, 'package.json'), manifest)
  return folder
}

/**
 * @param {Target} target
 * @param {string} artifacts
 * @param {string} dist
 */
function stagePlatform(target, artifacts, dist) {
  const folder = path.join(dist, '@tls-pinning', target.platform)
  const { version } = readJson(path.join(ROOT, 'package.json'))
  const { packageJson, readme } = platformPackage(target, version)
  writeJson(path.join(folder, 'package.json'), packageJson)
  fs.writeFileSync(path.join(folder, 'README.md'), readme)
  copy(path.join(ROOT, 'LICENSE'), path.join(folder, 'LICENSE'))
  const addon = path.join(folder, addonOf(target.platform))
  copy(path.join(artifacts, addonOf(target.platform)), addon)
  fs.writeFileSync(path.join(folder, 'THIRD-PARTY-LICENSES.txt'), thirdPartyLicenses(target))
  fs.writeFileSync(path.join(folder, 'sbom.cdx.json'), platformSbom(target, version, addon))
  return folder
}

/**
 * npm 12 gives an object by name, npm before it a list.
 * @param {any} packed
 * @returns {{ path: string }[]}
 */
function filesOf(packed) {
  return Object.values(packed)[0].files
}

/** @param {string} platform */
function addonOf(platform) {
  return `tls-pinning.${platform}.node`
}

/**
 * @param {string} from
 * @param {string} to
 */
function copy(from, to) {
  fs.mkdirSync(path.dirname(to), { recursive: true })
  fs.copyFileSync(from, to)
}

/** @param {string} file */
function readJson(file) {
  return JSON.parse(fs.readFileSync(file, 'utf8'))
}

/**
 * @param {string} file
 * @param {object} value
 */
function writeJson(file, value) {
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`)
}

module.exports = { addonOf, stage }

if (require.main === module) {
  const { folders, missing } = stage()
  for (const folder of folders) console.log(path.relative(ROOT, folder))
  if (missing.length > 0) console.log(`without an addon in artifacts/: ${missing.join(', ')}`)
}

'use strict'
// Publishes `dist/`: the platforms' packages first, so that whoever gets the package itself gets its addon too. What the
// registry has already is left out: after a failure the same command goes on. Arguments are handed to `npm publish`.
//
//   node scripts/release/publish.js [--provenance] [--dry-run]

const { execFileSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const semver = require('semver')
const { TARGETS } = require('./targets')

const DIST = path.join(process.cwd(), 'dist')
const options = process.argv.slice(2)

main()

function main() {
  const names = TARGETS.map(({ platform }) => `@tls-pinning/${platform}`)
  const missing = [...names, 'tls-pinning'].filter(name => !fs.existsSync(path.join(DIST, name, 'package.json')))
  if (missing.length > 0) throw new Error(`not in dist/: ${missing.join(', ')}`)
  const { version, optionalDependencies } = manifest('tls-pinning')
  for (const name of names) {
    if (manifest(name).version !== version || optionalDependencies?.[name] !== version) {
      throw new Error(`${name} is not at ${version}, or tls-pinning does not ask for it`)
    }
  }
  // A prerelease is not what `npm install tls-pinning` gets.
  const tag = semver.prerelease(version) ? 'next' : 'latest'
  for (const name of [...names, 'tls-pinning']) publish(name, version, tag)
}

/** @param {string} name @param {string} version @param {string} tag */
function publish(name, version, tag) {
  const { status, stdout } = spawnSync('npm', ['view', `${name}@${version}`, 'version', '--json'], { encoding: 'utf8' })
  if (status === 0 && stdout.includes(version)) {
    console.log(`${name}@${version} is published already`)
    return
  }
  const args = ['publish', path.join(DIST, name), '--access', 'public', '--tag', tag, '--ignore-scripts', ...options]
  execFileSync('npm', args, { stdio: 'inherit' })
}

/** @param {string} name */
function manifest(name) {
  return JSON.parse(fs.readFileSync(path.join(DIST, name, 'package.json'), 'utf8'))
}

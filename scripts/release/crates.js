'use strict'
// The crates whose code is in the addon of a platform: what Cargo resolves for it, without what only builds or tests need and
// without procedural macros.

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const ROOT = path.join(__dirname, '..', '..')

/**
 * @typedef {object} Crate
 * @property {string} name
 * @property {string} version
 * @property {string} license an SPDX expression
 * @property {string} folder its sources
 * @property {string} [description]
 * @property {string} [repository]
 * @property {string} [sha256] of the archive that Cargo.lock names
 * @property {string} [links] the C library that it builds and links
 * @property {string[]} needs the crates it depends on, as `name@version`
 */

/** What is the same for all platforms. @type {{ packages: any[], hashes: Map<string, string> } | undefined} */
let known

/**
 * The first is the project's own.
 * @param {string} triple
 * @returns {Crate[]}
 */
function linkedCrates(triple) {
  known ??= { packages: JSON.parse(cargo(['metadata', '--format-version', '1'])).packages, hashes: checksums() }
  const { packages, hashes } = known
  return [...resolved(triple)].map(([id, needs]) => {
    const found = packages.find((/** @type {any} */ one) => `${one.name}@${one.version}` === id)
    if (!found?.license) throw new Error(`${id} does not say which licence it has`)
    return {
      name: found.name,
      version: found.version,
      // The older way to write it, which is not SPDX.
      license: found.license.replaceAll(/ ?\/ ?/g, ' OR '),
      folder: path.dirname(found.manifest_path),
      description: found.description?.replaceAll(/\s+/g, ' ').trim(),
      repository: found.repository,
      sha256: hashes.get(id),
      links: found.links ?? undefined,
      needs: [...needs]
    }
  })
}

/**
 * Each crate with those it depends on. `cargo tree` knows which features are on in a build, as `cargo metadata` does not.
 * @param {string} triple
 */
function resolved(triple) {
  const edges = ['--target', triple, '--edges', 'normal,no-proc-macro', '--prefix', 'depth', '--format', ' {p}']
  /** @type {Map<string, Set<string>>} */
  const found = new Map()
  /** @type {string[]} */
  const above = []
  for (const line of cargo(['tree', ...edges])
    .trim()
    .split('\n')) {
    const [, depth, name, version] = line.match(/^(\d+) (\S+) v(\S+)/) ?? fail(`not understood: ${line}`)
    const id = `${name}@${version}`
    if (!found.has(id)) found.set(id, new Set())
    above[Number(depth)] = id
    if (Number(depth) > 0) found.get(above[Number(depth) - 1])?.add(id)
  }
  return found
}

/** What Cargo.lock says of the archives. */
function checksums() {
  const lock = fs.readFileSync(path.join(ROOT, 'Cargo.lock'), 'utf8')
  const all = lock.matchAll(/name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "(.+)"/g)
  return new Map([...all].map(([, name, version, sha256]) => [`${name}@${version}`, sha256]))
}

/** @param {string[]} args */
function cargo(args) {
  return execFileSync('cargo', [...args, '--locked'], { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 28 })
}

/** @param {string} message @returns {never} */
function fail(message) {
  throw new Error(message)
}

module.exports = { ROOT, linkedCrates }

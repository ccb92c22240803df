'use strict'
// What an installation takes on the disk.

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { ADAPTERS } = require('./clients')
const { folderOf } = require('./clients/shared.js')
const { OURS } = require('./workloads.js')

const ROOT = path.join(__dirname, '..')

/**
 * Bytes of a client's package as it is installed, without what it depends on; of a native one with its binary.
 * @param {string} client
 * @returns {number | undefined}
 */
function installedSize(client) {
  if (client === OURS) return packedSize() + addonSize()
  const name = ADAPTERS[client].package
  const folder = name && folderOf(name)
  if (!folder) return undefined
  const { optionalDependencies = {} } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'))
  const binaries = Object.keys(optionalDependencies).map(binary => path.join(folder, '../', binary))
  return [folder, ...binaries].reduce((sum, place) => sum + folderSize(place), 0)
}

/** What `npm pack` would put into the package. */
function packedSize() {
  const answer = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    shell: process.platform === 'win32'
  })
  return Object.values(JSON.parse(answer))[0].unpackedSize
}

/** The one file of the platform's own package that weighs anything. */
function addonSize() {
  const file = fs.readdirSync(ROOT).find(name => name.endsWith('.node'))
  return file ? fs.statSync(path.join(ROOT, file)).size : 0
}

/** @param {string} folder */
function folderSize(folder) {
  if (!fs.existsSync(folder)) return 0
  const entries = fs.readdirSync(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter(entry => entry.isFile())
    .reduce((sum, entry) => sum + fs.statSync(path.join(entry.parentPath, entry.name)).size, 0)
}

module.exports = { installedSize }

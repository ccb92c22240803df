'use strict'
// Makes a clone ready to run: installs the development packages and builds the addon, each where it is missing or older
// than what it is made from. Needs Node, Rust and a C compiler.

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const root = path.join(__dirname, '..')
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'

/** @param {string} file */
function changed(file) {
  return fs.statSync(path.join(root, file), { throwIfNoEntry: false })?.mtimeMs ?? 0
}

/** @param {string} folder @returns {number} */
function newest(folder) {
  const entries = fs.readdirSync(path.join(root, folder), { withFileTypes: true })
  const times = entries.map(entry => {
    const file = path.join(folder, entry.name)
    return entry.isDirectory() ? newest(file) : changed(file)
  })
  return Math.max(0, ...times)
}

function addon() {
  return fs.readdirSync(root).find(name => name.endsWith('.node'))
}

/** @param {string} why @param {string[]} args */
function run(why, args) {
  console.error(`${why}: npm ${args.join(' ')}`)
  execFileSync(npm, args, { cwd: root, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' })
}

if (changed('node_modules/.package-lock.json') < changed('package-lock.json')) {
  run('Installing the development packages', ['ci', '--no-audit', '--no-fund'])
}
const built = addon()
const sources = Math.max(newest('src'), changed('Cargo.toml'), changed('Cargo.lock'), changed('build.rs'))
if (!built || changed(built) < sources)
  run('Building the addon, which takes some minutes the first time', ['run', 'build'])

'use strict'
// Runs the suites of `__test__` that need nothing but Node, or those whose names begin with an argument. Suites in
// `external` need other programs and run only by name. A pattern that matches nothing would pass, so the files are listed
// here and counted.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const LEAST = 8
/** Folders of suites that need more, and have scripts of their own. */
const APART = ['external']

const folder = path.join(__dirname, '..', '__test__')
const names = process.argv.slice(2)
const suites = suitesIn('')
  .filter(file =>
    names.length === 0 ? !APART.includes(path.dirname(file)) : names.some(name => path.basename(file).startsWith(name))
  )
  .sort()

/**
 * Not `readdirSync` with `recursive`: it follows links, and an installed package may be linked to the one it is in.
 * @param {string} inside
 * @returns {string[]}
 */
function suitesIn(inside) {
  return fs.readdirSync(path.join(folder, inside), { withFileTypes: true }).flatMap(entry => {
    const file = path.join(inside, entry.name)
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : suitesIn(file)
    return /\.test\.m?js$/.test(entry.name) ? [file] : []
  })
}

if (suites.length < (names.length === 0 ? LEAST : 1)) {
  console.error(`only ${suites.length} suites found in ${folder}`)
  process.exit(1)
}
const files = suites.map(file => path.join(folder, file))
const { status } = spawnSync(process.execPath, ['--test', ...files], { stdio: 'inherit' })
process.exit(status ?? 1)

'use strict'
// The notes of a release: the changelog's section of a tag, which must name the version that the files have.
//
//   node scripts/release/notes.js v0.2.0

const fs = require('node:fs')
const path = require('node:path')
const { sectionOf } = require('./changelog')

const root = path.join(__dirname, '..', '..')
const { version } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'))
const section = sectionOf(fs.readFileSync(path.join(root, 'CHANGELOG.md'), 'utf8'), version)

if (process.argv[2] === `v${version}` && section) console.log(section)
else {
  console.error(section ? `package.json says ${version}` : `CHANGELOG.md has nothing about ${version}`)
  process.exitCode = 1
}

'use strict'
// A version, in everything that names it, as a commit and a tag. Nothing is pushed; the tag, once pushed, is what starts
// .github/workflows/release.yml.
//
//   npm run release -- [--dry-run] 0.2.0

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const { parseArgs } = require('node:util')
const semver = require('semver')
const { released } = require('./changelog')

const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
const FILES = ['package.json', 'package-lock.json', 'Cargo.toml', 'Cargo.lock', 'CHANGELOG.md']

/** In the current folder, which npm makes the project's. */
function main() {
  const options = { 'dry-run': { type: /** @type {const} */ ('boolean') } }
  const { values, positionals } = parseArgs({ options, allowPositionals: true })
  const [version, ...rest] = positionals
  if (!version || rest.length > 0) throw new Error('one version, as in: npm run release -- 0.2.0')
  const before = JSON.parse(fs.readFileSync('package.json', 'utf8')).version
  refuseUnless(version, before)
  const date = new Date().toISOString().slice(0, 10)
  const changelog = released(fs.readFileSync('CHANGELOG.md', 'utf8'), version, date)
  const crate = [numbered('Cargo.toml', version), numbered('Cargo.lock', version)]
  console.log(`${before} → ${version}, in ${FILES.join(', ')}; commit and tag v${version}`)
  if (values['dry-run']) return

  try {
    fs.writeFileSync('CHANGELOG.md', changelog)
    for (const { file, text } of crate) fs.writeFileSync(file, text)
    run(npm, ['version', version, '--no-git-tag-version', '--allow-same-version'])
    run('git', ['commit', '--quiet', '--message', `Version ${version}`, '--', ...FILES])
  } catch (error) {
    run('git', ['checkout', '--quiet', 'HEAD', '--', ...FILES])
    throw error
  }
  run('git', ['tag', '--annotate', '--message', `tls-pinning ${version}`, `v${version}`])
  console.log(`What follows: git push --follow-tags`)
}

/** @param {string} version @param {string} before */
function refuseUnless(version, before) {
  if (semver.valid(version) !== version) throw new Error(`"${version}" is not a version, as 0.2.0 or 0.2.0-beta.1 is`)
  const changes = run('git', ['status', '--porcelain'])
  if (changes) throw new Error(`what is not committed would be missing from the release:\n${changes}`)
  const tags = run('git', ['tag', '--list', 'v*']).split('\n')
  if (tags.includes(`v${version}`)) throw new Error(`the tag v${version} exists already`)
  // The first release has the version that the project has had from its beginning.
  const first = tags.includes(`v${before}`) ? semver.gt : semver.gte
  if (!first(version, before)) throw new Error(`${version} is not higher than ${before}`)
}

/** One of Cargo's files with the version of the project's own crate. @param {string} file @param {string} version */
function numbered(file, version) {
  const text = fs.readFileSync(file, 'utf8')
  const line = /(?<=^name = "tls-pinning"\nversion = ").*(?="$)/m
  if (!line.test(text)) throw new Error(`${file} has no version of tls-pinning`)
  return { file, text: text.replace(line, version) }
}

/** @param {string} program @param {string[]} args */
function run(program, args) {
  return execFileSync(program, args, { encoding: 'utf8', shell: program.endsWith('.cmd') }).trim()
}

try {
  main()
} catch (error) {
  console.error(/** @type {Error} */ (error).message)
  process.exitCode = 1
}

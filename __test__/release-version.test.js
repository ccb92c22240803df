'use strict'
// Promise: `npm run release -- VERSION` sets the version in every file that names it, in one commit with a tag, or changes nothing.

const assert = require('node:assert/strict')
const { execFileSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, beforeEach, describe, it } = require('node:test')
const { released, sectionOf } = require('../scripts/release/changelog')

const ROOT = path.join(__dirname, '..')
const SCRIPTS = path.join(ROOT, 'scripts', 'release')
const FILES = [
  'package.json',
  'package-lock.json',
  'Cargo.toml',
  'Cargo.lock',
  'src/lib.rs',
  'scripts/release/notes.js'
]
const CHANGES = '# Unreleased\n\n- What is new.\n\n# 0.1.0 (2026-01-01)\n\nThe first.\n'

describe('npm run release', { timeout: 120_000 }, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-release-'))
  const git = (/** @type {string[]} */ ...args) => execFileSync('git', args, { cwd: folder, encoding: 'utf8' }).trim()
  const read = (/** @type {string} */ name) => fs.readFileSync(path.join(folder, name), 'utf8')
  const write = (/** @type {string} */ name, /** @type {string} */ text) =>
    fs.writeFileSync(path.join(folder, name), text)
  /** @type {string} */
  let start

  /** @param {string[]} args */
  function release(...args) {
    // As after `npm run`, whose folder is the project's.
    const result = spawnSync(process.execPath, [path.join(SCRIPTS, 'version.js'), ...args], {
      cwd: folder,
      encoding: 'utf8'
    })
    return { status: result.status, out: result.stdout, err: result.stderr }
  }

  before(() => {
    git('init', '--quiet')
    for (const [key, value] of [
      ['user.name', 'T'],
      ['user.email', 't@example.com'],
      ['commit.gpgSign', 'false'],
      ['tag.gpgSign', 'false'],
      ['core.autocrlf', 'false']
    ]) {
      git('config', key, value)
    }
    for (const file of FILES) {
      fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true })
      fs.copyFileSync(path.join(ROOT, file), path.join(folder, file))
    }
    fs.copyFileSync(path.join(SCRIPTS, 'changelog.js'), path.join(folder, 'scripts/release/changelog.js'))
    for (const file of ['package.json', 'package-lock.json', 'Cargo.toml', 'Cargo.lock']) {
      const own = /("name": "tls-pinning",\s+"version": |name = "tls-pinning"\nversion = )"[^"]*"/g
      write(file, read(file).replaceAll(own, '$1"0.1.0"'))
    }
    write('CHANGELOG.md', CHANGES)
    git('add', '--all')
    git('commit', '--quiet', '-m', 'start')
    git('tag', 'v0.1.0')
    start = git('rev-parse', 'HEAD')
  })

  beforeEach(() => {
    git('reset', '--quiet', '--hard', start)
    if (git('tag', '--list', 'v0.2.0')) git('tag', '--delete', 'v0.2.0')
  })

  after(() => fs.rmSync(folder, { recursive: true, force: true }))

  it('sets the version everywhere, and tags', () => {
    const { status, out, err } = release('0.2.0')
    assert.equal(status, 0, err)
    assert.match(out, /0\.1\.0 → 0\.2\.0(.|\n)*git push --follow-tags/)
    assert.equal(JSON.parse(read('package.json')).version, '0.2.0')
    const lock = JSON.parse(read('package-lock.json'))
    assert.deepEqual([lock.version, lock.packages[''].version], ['0.2.0', '0.2.0'])
    assert.match(read('Cargo.toml'), /^name = "tls-pinning"\nversion = "0\.2\.0"$/m)
    assert.match(read('Cargo.lock'), /^name = "tls-pinning"\nversion = "0\.2\.0"$/m)
    assert.match(read('CHANGELOG.md'), /^# Unreleased\n\n# 0\.2\.0 \(\d{4}-\d\d-\d\d\)\n\n- What is new\.\n\n# 0\.1\.0/)
    assert.equal(git('status', '--porcelain'), '')
    const changed = git('diff', '--name-only', start, 'HEAD').split('\n')
    assert.deepEqual(changed, ['CHANGELOG.md', 'Cargo.lock', 'Cargo.toml', 'package-lock.json', 'package.json'])
    assert.equal(git('cat-file', '-t', 'v0.2.0'), 'tag')
    assert.equal(git('rev-parse', 'v0.2.0^{commit}'), git('rev-parse', 'HEAD'))
    // No line of the locks but the versions: no other package was updated by the way.
    assert.match(git('diff', '--shortstat', start, 'HEAD', '--', 'Cargo.lock'), /1 insertion.*1 deletion/)
    assert.match(git('diff', '--shortstat', start, 'HEAD', '--', 'package-lock.json'), /2 insertions.*2 deletions/)

    const notes = spawnSync(process.execPath, ['scripts/release/notes.js', 'v0.2.0'], { cwd: folder, encoding: 'utf8' })
    assert.deepEqual([notes.status, notes.stdout], [0, '- What is new.\n'])
    const other = spawnSync(process.execPath, ['scripts/release/notes.js', 'v0.3.0'], { cwd: folder, encoding: 'utf8' })
    assert.deepEqual([other.status, other.stderr], [1, 'package.json says 0.2.0\n'])
  })

  it('--dry-run changes nothing', () => {
    assert.equal(release('--dry-run', '0.2.0').status, 0)
    untouched()
  })

  for (const [why, args, message, prepare] of /** @type {[string, string[], RegExp, (() => void)?][]} */ ([
    ['no version', [], /^one version/],
    ['two versions', ['0.2.0', '0.3.0'], /^one version/],
    ['not a version', ['0.2'], /^"0\.2" is not a version/],
    ['a leading v', ['v0.2.0'], /^"v0\.2\.0" is not a version/],
    ['a lower one', ['0.0.9'], /^0\.0\.9 is not higher than 0\.1\.0/],
    ['a prerelease of the present one', ['0.1.0-rc.1'], /^0\.1\.0-rc\.1 is not higher/],
    ['the present one, which is tagged', ['0.1.0'], /^the tag v0\.1\.0 exists/],
    ['an option that there is not', ['--force', '0.2.0'], /--force/],
    [
      'an empty section',
      ['0.2.0'],
      /nothing under "# Unreleased"/,
      () => write('CHANGELOG.md', CHANGES.replace('- What is new.\n', ''))
    ],
    [
      'a manifest without a version',
      ['0.2.0'],
      /Cargo\.toml has no version/,
      () => write('Cargo.toml', read('Cargo.toml').replace(/^version = .*/m, ''))
    ],
    ['no section', ['0.2.0'], /nothing under/, () => write('CHANGELOG.md', CHANGES.replace('# Unreleased', 'x'))]
  ])) {
    it(`refuses ${why}`, () => {
      prepare?.()
      if (prepare) git('commit', '--quiet', '--all', '-m', 'prepared')
      const { status, err } = release(...args)
      assert.equal(status, 1)
      assert.match(err, message)
      untouched()
    })
  }

  it('refuses while something is not committed', () => {
    write('new.js', '')
    const { status, err } = release('0.2.0')
    fs.rmSync(path.join(folder, 'new.js'))
    assert.equal(status, 1)
    assert.match(err, /not committed(.|\n)*new\.js/)
    untouched()
  })

  it('changes nothing when a step fails', () => {
    const hook = path.join(folder, '.git', 'hooks', 'pre-commit')
    fs.mkdirSync(path.dirname(hook), { recursive: true })
    fs.writeFileSync(hook, '#!/bin/sh\nexit 1\n', { mode: 0o755 })
    const { status, err } = release('0.2.0')
    fs.rmSync(hook)
    assert.equal(status, 1)
    assert.match(err, /git commit/)
    untouched()
  })

  it('takes the present version once, for the first release', () => {
    git('tag', '--delete', 'v0.1.0')
    write('CHANGELOG.md', '# Unreleased\n\nThe first.\n')
    git('commit', '--quiet', '--all', '-m', 'prepared')
    const { status, err } = release('0.1.0')
    assert.equal(status, 0, err)
    assert.equal(git('cat-file', '-t', 'v0.1.0'), 'tag')
  })

  function untouched() {
    assert.equal(git('status', '--porcelain'), '')
    assert.deepEqual(git('tag', '--list'), 'v0.1.0')
    assert.equal(JSON.parse(read('package.json')).version, '0.1.0')
  }
})

describe('the changelog', () => {
  it('of the project has a section for what is unreleased or for its version', () => {
    const text = fs.readFileSync(path.join(ROOT, 'CHANGELOG.md'), 'utf8')
    const { version } = require('../package.json')
    assert.ok(sectionOf(text, 'Unreleased') || sectionOf(text, version))
  })

  it('is read and changed by headings of the first level', () => {
    assert.equal(sectionOf(CHANGES, '0.1.0'), 'The first.')
    assert.equal(sectionOf(CHANGES, '0.1'), undefined)
    assert.equal(sectionOf(released(CHANGES, '0.2.0', '2026-02-03'), '0.2.0'), '- What is new.')
    assert.throws(() => released(CHANGES, '0.1.0', '2026-02-03'), /section 0\.1\.0 already/)
  })
})

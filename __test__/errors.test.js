'use strict'
// Promise: docs/errors.md has an entry, with what to do, for every code that can reach a user, and none for a code that nothing makes.
// The codes are found in the sources, as text in quotes that has the form of one.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { describe, it } = require('node:test')

const ROOT = path.join(__dirname, '..')
const DOCUMENT = fs.readFileSync(path.join(ROOT, 'docs', 'errors.md'), 'utf8')

/** How Node and OpenSSL begin their codes, and this package its own. */
const FORM =
  /^(ERR|UND_ERR|HPE|Z|CERT|CRL|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|UNSUPPORTED|UNHANDLED|INVALID|PATH_LENGTH|PERMITTED|TLS)_.*[A-Z0-9]$/
/** Codes of getaddrinfo: not of the system, but told like those. */
const LOOKUP = ['ENOTFOUND', 'EAI_AGAIN']
/** In quotes for another reason. */
const NO_CODES = {
  ERR_WORKER_INVALID_EXEC_ARGV: 'handled, and not passed on',
  ERR_ACCESS_DENIED: 'handled, and not passed on',
  ERR_DLOPEN_DISABLED: 'handled, and not passed on',
  ERR_INVALID_MODULE: 'handled, and not passed on',
  EEXIST: 'handled, and not passed on',
  TLS_PINNING_POLICY: 'a variable of the environment',
  TLS_PINNING_DRIVER: 'a variable of the environment',
  TLS_PINNING_DRILL: 'a variable of the environment'
}

const entries = DOCUMENT.split(/^### /m)
  .slice(1)
  .map(text => ({ title: text.slice(0, text.indexOf('\n')), body: text.split(/^## /m)[0] ?? '' }))
const documented = [
  ...entries.flatMap(({ title }) => codesIn(title)),
  // The alerts stand in a table.
  ...[...DOCUMENT.matchAll(/^\| (`ERR_.*?) \|/gm)].flatMap(([, cell]) => codesIn(cell ?? ''))
]

describe('docs/errors.md', () => {
  const made = codesOfSources()

  it('has an entry for every code of the sources', () => {
    assert.ok(made.size > 90, `only ${made.size} codes were found`)
    const missing = [...made].filter(([code]) => !documented.includes(code))
    assert.deepEqual(missing, [])
  })

  it('has no entry for a code that no source has', () => {
    assert.deepEqual(
      documented.filter(code => !made.has(code)),
      []
    )
  })

  it('has one entry for each code', () => {
    const again = documented.filter((code, index) => documented.indexOf(code) !== index)
    assert.deepEqual(again, [])
  })

  it('says in every entry what to do', () => {
    const silent = entries.filter(({ title, body }) => codesIn(title).length > 0 && !body.includes('**Do**: '))
    assert.deepEqual(
      silent.map(({ title }) => title),
      []
    )
  })
})

/** @returns {Map<string, string>} each with a file that has it */
function codesOfSources() {
  /** @type {Map<string, string>} */
  const codes = new Map()
  for (const file of [...filesIn('src', '.rs'), ...filesIn('lib', '.js'), ...filesIn('bin', '.js')]) {
    const text = withoutTests(fs.readFileSync(path.join(ROOT, file), 'utf8'))
    // Codes that are put together, as `ERR_SSL_{reason}`: the rest stands in quotes in the same file.
    const prefix = /["`](ERR_[A-Z_]+_)\$?\{/.exec(text)?.[1]
    for (const [, word = ''] of text.matchAll(/["']([A-Z][A-Z0-9_]+)["']/g)) {
      const code = isCode(word) || !prefix ? word : prefix + word
      if (isCode(code) && !Object.hasOwn(NO_CODES, code)) codes.set(code, file)
    }
  }
  return codes
}

/** @param {string} word */
function isCode(word) {
  return FORM.test(word) || Object.hasOwn(os.constants.errno, word) || LOOKUP.includes(word)
}

/**
 * @param {string} folder
 * @param {string} suffix
 */
function filesIn(folder, suffix) {
  return fs
    .readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith(suffix) && !name.endsWith('_tests.rs'))
    .map(name => path.join(folder, name))
}

/** @param {string} text */
function withoutTests(text) {
  return text.split(/^#\[cfg\(test\)\]\nmod \w+ \{$/m)[0] ?? ''
}

/** @param {string} text */
function codesIn(text) {
  return [...text.matchAll(/`([A-Z][A-Z0-9_]+)`/g)].map(([, code]) => code ?? '')
}

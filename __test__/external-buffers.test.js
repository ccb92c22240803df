'use strict'
// The promise: the addon never hands out memory of its own as a buffer, so that it works where V8's memory cage is on, as in
// Electron. Proven on Linux by a library that ends a process that asks Node for such a buffer.

const assert = require('node:assert/strict')
const { execFileSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')

const SUITES = ['decode', 'fetch', 'inspect', 'threads']
/** napi-rs looks up every function of Node's when the addon loads. */
const ASKED = [
  'external buffer: asked for napi_create_external_arraybuffer',
  'external buffer: asked for napi_create_external_buffer'
]

/** @type {string} */ let folder
/** @type {string} */ let library

/** @type {{ skip: string | false, timeout: number }} */
const OPTIONS = { skip: why(), timeout: 120_000 }

describe('buffers that are not of V8', OPTIONS, () => {
  before(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-'))
    library = path.join(folder, 'no-external-buffers.node')
    const source = path.join(__dirname, 'fixtures', 'no-external-buffers.c')
    execFileSync('cc', ['-shared', '-fPIC', '-Wall', '-Werror', '-o', library, source, '-ldl'])
  })
  after(() => fs.rmSync(folder, { recursive: true, force: true }))

  test('an addon that makes one ends the process', () => {
    const { signal, stderr } = run('-e', `require(${JSON.stringify(library)})`)
    assert.equal(signal, 'SIGABRT')
    assert.match(stderr, /^external buffer: made$/m)
  })

  test('this addon is given these functions', () => {
    const { status, stderr } = run('-e', `require(${JSON.stringify(path.join(__dirname, '..'))})`)
    assert.equal(status, 0)
    assert.deepEqual(stderr.trim().split('\n').sort(), ASKED)
  })

  test('and calls none: bodies, responses, chains, in every thread', () => {
    const files = SUITES.map(name => path.join(__dirname, `${name}.test.js`))
    const { status, stdout } = run('--test', '--test-reporter=tap', ...files)
    assert.equal(status, 0, stdout.slice(-4000))
    assert.ok(Number(/^# pass (\d+)$/m.exec(stdout)?.[1]) > 100, stdout.slice(-400))
  })
})

/** @param {string[]} args */
function run(...args) {
  // Else what runs there takes itself for a part of this run.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  return spawnSync(process.execPath, args, { encoding: 'utf8', env: { ...env, LD_PRELOAD: library } })
}

/** Why this cannot be tried here. */
function why() {
  const { header } = /** @type {any} */ (process.report.getReport())
  if (!header.glibcVersionRuntime) return 'it takes LD_PRELOAD and glibc'
  return spawnSync('cc', ['--version']).status === 0 ? false : 'it takes a C compiler'
}

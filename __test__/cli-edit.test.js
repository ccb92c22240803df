'use strict'
// The promise: `tls-pinning add` and `remove` change a policy file as they were told and nothing else in it, whole or not
// at all, and say what that means for the host.

const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const crypto = require('node:crypto')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { afterEach, beforeEach, describe, test } = require('node:test')
const { PinSet } = require('..')
const { writeWhole } = require('../bin/edit/file.js')
const { unified } = require('../bin/edit/unified.js')
const { cli } = require('./helpers/cli')
const pki = require('./helpers/pki')

/** @param {string} name */
const pin = name => `sha256/${crypto.createHash('sha256').update(name).digest('base64')}`
const [A, B, C] = ['A', 'B', 'C'].map(pin)

/** By hand, with everything in it that a formatter would change. */
const POLICY = `{
\t"hosts":   {
\t\t"**.example.com": ["${A}", "${B}"],

\t\t"API.example.com" : {
\t\t\t"leaf": "${A}",   "expires": "2099-01-01T00:00:00Z",
\t\t\t"ca": [
\t\t\t\t"${B}"
\t\t\t]
\t\t}
\t},
\t"unlisted": "deny"
}`

/** @type {string} */
let folder

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-edit-'))
  fs.writeFileSync(path.join(folder, 'policy.json'), POLICY)
})
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

/** @param {string} [name] */
const read = (name = 'policy.json') => fs.readFileSync(path.join(folder, name), 'utf8')

/** @param {string[]} args @param {Parameters<typeof cli>[1]} [options] */
const run = (args, options) => cli(args, { cwd: folder, ...options })

/** No temporary file is left behind. @param {string[]} names */
const onlyFiles = (...names) => assert.deepEqual(fs.readdirSync(folder).sort(), names.sort())

describe('add', () => {
  test('puts a pin where it belongs, in the manner of the file', async () => {
    const { status, stdout, stderr } = await run(['add', 'api.example.com', C, '--role', 'leaf'])
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' })
    assert.equal(stdout, `policy.json, api.example.com:\n  added    ${C} (leaf)\n`)
    // `leaf` is a lone pin, and becomes a list as the one beside it.
    assert.equal(read(), POLICY.replace(`"leaf": "${A}"`, `"leaf": [\n\t\t\t\t"${A}",\n\t\t\t\t"${C}"\n\t\t\t]`))
    onlyFiles('policy.json')
  })

  test('says what a new entry takes away from another one', async () => {
    const { status, stderr } = await run(['add', 'www.example.com', B, C])
    assert.equal(status, 0)
    assert.equal(
      stderr,
      'the pins of **.example.com no longer hold for www.example.com: the most specific entry alone decides\n'
    )
    assert.deepEqual(new PinSet(JSON.parse(read())).match('www.example.com')?.pins, [B, C])
  })

  test('a pin that is there already changes nothing; a host without backup is warned of', async () => {
    const { status, stdout, stderr } = await run(['add', '*.b.example', `spki:sha256:${hexOf(A)}`])
    assert.equal(status, 0)
    assert.equal(stdout, `policy.json, *.b.example:\n  added    ${A}\n`)
    assert.match(stderr, /^warning: hosts\["\*\.b\.example"\]: it has one pin: .*\n$/)
    const text = read()
    const again = await run(['add', '*.b.example', A])
    assert.deepEqual(again, { status: 0, stdout: '', stderr: `${A} is there already\n` })
    assert.equal(read(), text)
  })

  test('takes the key out of a file, a private one too', async () => {
    const leaf = await pki.leaf({ selfSigned: true, names: ['a.example'] })
    fs.writeFileSync(path.join(folder, 'backup.pem'), leaf.key)
    fs.writeFileSync(path.join(folder, 'leaf.pem'), leaf.pem)
    const { status, stdout } = await run(['add', 'api.example.com', 'backup.pem', '--json'])
    assert.equal(status, 0)
    assert.deepEqual(JSON.parse(stdout), {
      policy: 'policy.json',
      pattern: 'api.example.com',
      added: [{ pin: leaf.pin, role: 'any' }],
      removed: [],
      written: true,
      skipped: []
    })
    const { stderr } = await run(['add', 'api.example.com', 'leaf.pem'])
    assert.equal(stderr, `${leaf.pin} is there already\n`)
  })

  test('a TLSA record brings its role', async () => {
    const { status, stdout } = await run(['add', '**.example.com', `2 1 1 ${hexOf(C)}`])
    assert.deepEqual({ status, stdout }, { status: 0, stdout: `policy.json, **.example.com:\n  added    ${C} (ca)\n` })
    assert.deepEqual(new PinSet(JSON.parse(read())).match('x.example.com')?.ca, [C])
  })
})

describe('remove', () => {
  test('a pin, in whatever form it stands', async () => {
    const { status, stdout, stderr } = await run(['remove', '**.example.com', `pin-sha256="${A.slice(7)}"`])
    assert.deepEqual({ status, stdout }, { status: 0, stdout: `policy.json, **.example.com:\n  removed  ${A}\n` })
    assert.match(stderr, /^warning: hosts\["\*\*\.example\.com"\]: it has one pin/)
    assert.equal(read(), POLICY.replace(`["${A}", "${B}"]`, `["${B}"]`))
  })

  test('a host, and says what holds for it then', async () => {
    const { status, stdout, stderr } = await run(['remove', 'api.example.com'])
    assert.equal(status, 0)
    assert.equal(stdout, `policy.json, api.example.com:\n  removed  ${A} (leaf)\n  removed  ${B} (ca)\n`)
    assert.equal(stderr, 'api.example.com is now decided about by **.example.com\n')
    assert.equal(read(), `${POLICY.slice(0, POLICY.indexOf(',\n\n'))}\n\t},\n\t"unlisted": "deny"\n}`)

    for (const [unlisted, told] of [
      ['deny', 'connections to b.example are now refused, unless another entry is for them\n'],
      ['allow', 'warning: connections to b.example are no longer pinned: the policy says "unlisted": "allow"\n']
    ]) {
      const text = JSON.stringify({ hosts: { 'a.example': [A, B], 'b.example': [A, B] }, unlisted })
      fs.writeFileSync(path.join(folder, 'policy.json'), text)
      assert.equal((await run(['remove', 'b.example'])).stderr, told)
      assert.equal(read(), JSON.stringify({ hosts: { 'a.example': [A, B] }, unlisted }))
    }
  })
})

test('what was added and is removed again leaves the file as it was, byte by byte', async () => {
  for (const args of [
    ['new.example', A, B],
    ['**.example.com', C],
    ['api.example.com', C, '--role', 'ca']
  ]) {
    assert.equal((await run(['add', ...args])).status, 0)
    assert.notEqual(read(), POLICY)
    const host = String(args[0])
    assert.equal((await run(['remove', host, ...(host === 'new.example' ? [] : [String(C)])])).status, 0)
    assert.equal(read(), POLICY, String(args))
  }
})

describe('the file', () => {
  test('--dry-run shows the change as diff -u does, and writes nothing', async () => {
    const { status, stdout, stderr } = await run(['add', '**.example.com', C, '--dry-run'])
    assert.deepEqual({ status, stderr }, { status: 0, stderr: 'nothing was written\n' })
    assert.equal(read(), POLICY)
    const after = POLICY.replace(`"${B}"]`, `"${B}", "${C}"]`)
    assert.equal(stdout, diff(POLICY, after))
    const json = JSON.parse((await run(['add', '**.example.com', C, '--dry-run', '--json'])).stdout)
    assert.deepEqual({ written: json.written, diff: json.diff }, { written: false, diff: stdout })
    const { stdout: shown } = await run(['add', '**.example.com', C, '--dry-run'], { pty: true })
    assert.match(shown, /\x1b\[32m\+\t\t"\*\*\.example\.com"/)
    assert.match(shown, /\x1b\[31m-\t\t"\*\*\.example\.com"/)
  })

  test('keeps its mode, and a link to it stays one', async () => {
    fs.mkdirSync(path.join(folder, 'etc'))
    fs.renameSync(path.join(folder, 'policy.json'), path.join(folder, 'etc', 'real.json'))
    fs.chmodSync(path.join(folder, 'etc', 'real.json'), 0o606)
    fs.symlinkSync(path.join('etc', 'real.json'), path.join(folder, 'policy.json'))
    const inode = fs.statSync(path.join(folder, 'policy.json')).ino
    assert.equal((await run(['add', '**.example.com', C])).status, 0)
    assert.equal(fs.readlinkSync(path.join(folder, 'policy.json')), path.join('etc', 'real.json'))
    const { mode, ino } = fs.statSync(path.join(folder, 'etc', 'real.json'))
    assert.equal(mode & 0o777, 0o606)
    assert.notEqual(ino, inode, 'another file has taken its place')
    assert.ok(read().includes(C ?? '?'))
    assert.deepEqual(fs.readdirSync(path.join(folder, 'etc')), ['real.json'])
  })

  test('is whole whoever reads it meanwhile', async () => {
    // A reader that looks all the time sees policies and nothing else.
    const changes = (async () => {
      for (const args of [
        ['add', 'x.example', A, B],
        ['add', 'x.example', C],
        ['remove', 'x.example']
      ])
        await run(args)
      return true
    })()
    let [seen, isDone] = [0, false]
    changes.then(() => {
      isDone = true
    })
    while (!isDone) {
      new PinSet(JSON.parse(read()))
      seen++
      await new Promise(setImmediate)
    }
    assert.ok(seen > 10)
    assert.equal(read(), POLICY)
  })

  test('that somebody else has changed in the meantime is not overwritten', () => {
    const file = path.join(folder, 'policy.json')
    assert.throws(() => writeWhole(file, 'mine', 'what was read'), /changed by somebody else/)
    assert.equal(read(), POLICY)
    onlyFiles('policy.json')
    writeWhole(file, 'mine', POLICY)
    assert.equal(read(), 'mine')
  })

  test('that cannot be replaced stays as it is', {
    skip: process.getuid?.() === 0 && 'root may write anywhere'
  }, async () => {
    fs.chmodSync(folder, 0o555)
    const { status, stderr } = await run(['add', '**.example.com', C])
    fs.chmodSync(folder, 0o755)
    assert.equal(status, 2)
    assert.match(stderr, /EACCES/)
    assert.equal(read(), POLICY)
  })
})

test('what cannot be done is said, and nothing is written', async () => {
  fs.writeFileSync(path.join(folder, 'bare.json'), `["${A}"]`)
  fs.writeFileSync(path.join(folder, 'comment.json'), `// pins\n{ "a.example": "${A}" }`)
  fs.writeFileSync(path.join(folder, 'twice.json'), `{ "a.example": "${A}", "A.example": "${B}" }`)
  fs.writeFileSync(path.join(folder, 'latin1.json'), Buffer.from(`{ "$schema": "\xe9", "hosts": {} }`, 'latin1'))
  fs.writeFileSync(path.join(folder, 'bom.json'), `\ufeff${POLICY}`)
  const before = fs.readdirSync(folder).map(name => [name, read(name)])
  for (const [args, message, hint] of /** @type {[string[], string, string][]} */ ([
    [['add'], 'a host and at least one pin are needed', '--help'],
    [['add', 'a.example'], 'a host and at least one pin are needed', '--help'],
    [['add', 'a.example', 'nowhere.pem'], 'neither a pin nor a file', 'sha256/…'],
    [['add', 'a.example', 'sha256/AAAA'], 'has 3 bytes', ''],
    [['add', 'a.example', 'sha1/AAAA'], 'SHA-1', ''],
    [['add', 'a.example', hexOf(A)], 'bare hexadecimal', ''],
    [['add', 'https://a.example/', A ?? ''], 'is a URL', 'nothing was written'],
    [['add', 'a.*.example', A ?? ''], 'a.*.example', 'nothing was written'],
    [['add', 'a.example', A ?? '', '--role', 'root'], '--role root is not known', '--role leaf'],
    [['add', 'a.example', `3 1 1 ${hexOf(A)}`, '--role', 'ca'], 'contradicts', 'nothing was written'],
    [['add', 'a.example', A ?? '', '--policy', 'nowhere.json'], 'nowhere.json cannot be read', 'tls-pinning init'],
    [['add', 'a.example', A ?? '', '--policy', 'bare.json'], 'bare list', 'nothing was written'],
    [['add', 'a.example', A ?? '', '--policy', 'comment.json'], 'not JSON', 'tls-pinning lint comment.json'],
    [['add', 'a.example', A ?? '', '--policy', 'twice.json'], 'repeated', 'tls-pinning lint twice.json'],
    [['add', 'a.example', A ?? '', '--policy', 'latin1.json'], 'latin1.json cannot be read: it is not UTF-8', ''],
    [['add', 'a.example', A ?? '', '--policy', 'bom.json'], 'not JSON', 'tls-pinning lint bom.json'],
    [['remove'], 'a host is needed', '--help'],
    [['remove', 'a.example'], 'no entry `a.example`', 'nothing was written'],
    [['remove', 'www.example.com', A ?? ''], 'no entry `www.example.com`', 'nothing was written'],
    [['remove', '**.example.com', C ?? ''], 'the entry has no pin', 'nothing was written'],
    [['remove', '**.example.com', A ?? '', B ?? ''], 'no pin would be left', 'nothing was written']
  ])) {
    const { status, stdout, stderr } = await run(args)
    assert.deepEqual({ status, stdout }, { status: 2, stdout: '' }, `${args}: ${stderr}`)
    assert.ok(stderr.includes(message) && stderr.includes(hint), `${args}: ${stderr}`)
    const { error } = JSON.parse((await run([...args, '--json'])).stdout)
    assert.ok(error.message.includes(message))
  }
  assert.deepEqual(
    fs.readdirSync(folder).map(name => [name, read(name)]),
    before
  )
})

test('--help shows examples', async () => {
  for (const [name, usage] of [
    ['add', 'HOST PIN|FILE…'],
    ['remove', 'HOST [PIN|FILE…]']
  ]) {
    const { status, stdout } = await run([String(name), '--help'])
    assert.equal(status, 0)
    assert.ok(stdout.startsWith(`usage: tls-pinning ${name} ${usage}\n\n`))
    assert.ok(stdout.includes(`\n  tls-pinning ${name} api.example.com sha256/…`))
  }
})

test('the unified format is one that patch applies', {
  skip: spawnSync('patch', ['--version']).error && 'no patch'
}, () => {
  // Numbered lines, some of them changed: by a generator with a seed.
  let state = 7
  const random = (/** @type {number} */ below) => {
    state = (state * 1103515245 + 12345) % 2147483648
    return state % below
  }
  for (let round = 0; round < 40; round++) {
    const before = Array.from({ length: random(30) }, (_, at) => `line ${at % 7}`)
    const after = before.flatMap(
      line => [[], [line], [line], [line], [line], [line, 'new'], ['changed']][random(7)] ?? []
    )
    const [from, to] = [before, after].map(all => all.join('\n') + (random(2) ? '\n' : ''))
    fs.writeFileSync(path.join(folder, 'text'), from ?? '')
    const text = unified('text', from ?? '', to ?? '')
    assert.equal(text === '', from === to)
    if (text === '') continue
    const { status, stdout } = spawnSync('patch', ['-s', 'text'], { cwd: folder, input: text })
    assert.equal(status, 0, `${stdout}\n${text}`)
    assert.equal(fs.existsSync(path.join(folder, 'text')) ? read('text') : '', to, text)
  }
})

/** @param {string} pin */
function hexOf(pin = '') {
  return Buffer.from(pin.slice('sha256/'.length), 'base64').toString('hex')
}

/**
 * What is expected of a change of one line.
 * @param {string} before
 * @param {string} after
 */
function diff(before, after) {
  const [old, fresh] = [before.split('\n'), after.split('\n')]
  const at = old.findIndex((line, index) => line !== fresh[index])
  const from = Math.max(0, at - 3)
  const body = [
    ...old.slice(from, at).map(line => ` ${line}`),
    `-${old[at]}`,
    `+${fresh[at]}`,
    ...old.slice(at + 1, at + 4).map(line => ` ${line}`)
  ]
  const length = Math.min(at + 4, old.length) - from
  const header = `--- policy.json\n+++ policy.json\n@@ -${from + 1},${length} +${from + 1},${length} @@`
  return `${[header, ...body].join('\n')}\n`
}

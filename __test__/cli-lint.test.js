'use strict'
// Promise: `lint` names what is malformed, and what is valid and still unwise, with its place; several files, one answer.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, it } = require('node:test')
const { cli } = require('./helpers/cli')

const [A, B] = ['a', 'b'].map(name => `sha256/${crypto.createHash('sha256').update(name).digest('base64')}`)
const HEX = `spki:sha256:${crypto.createHash('sha256').update('a').digest('hex')}`
const FOLDER = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-lint-'))

/** @type {Record<string, unknown>} */
const FILES = {
  'good.json': { hosts: { 'a.example': [A, B], 'b.example': [A, B] } },
  'unwise.json': {
    unlisted: 'allow',
    hosts: {
      'B.example': A,
      'a.example': { pins: [A, B, HEX], mode: 'report' },
      '*.c.example': { leaf: B, expires: '2020-01-01T00:00:00Z' }
    }
  },
  'pin.json': { hosts: { 'a.example': { pins: [A, 'sha256/short'] } } },
  'twice.json': `{"hosts": {"a.example": "${A}", "A.example": "${B}"}}`,
  'syntax.json': '{\n  "hosts": {\n    "a.example": ["x",]\n  }\n}',
  'evil \u001b[31m.json': '{"\u009b2J\\u001b[2J": 1, "hosts": {}}'
}

before(() => {
  for (const [name, content] of Object.entries(FILES)) {
    fs.writeFileSync(path.join(FOLDER, name), typeof content === 'string' ? content : JSON.stringify(content))
  }
})
after(() => fs.rmSync(FOLDER, { recursive: true, force: true }))

const UNWISE = `unwise.json: warning unlisted-allowed: unlisted: a host that no entry is for, a misspelled one among them, is connected to without pins and without a word; write \`report\` to hear of it, or \`deny\`
unwise.json: warning leaf-without-backup: hosts["*.c.example"]: its only pin is the leaf's: the next key of the server locks every user out; add the pin of a key kept offline, or of an issuer
unwise.json: warning expired: hosts["*.c.example"]: it expired at 2020-01-01T00:00:00Z
unwise.json: warning duplicate-pin: hosts["a.example"]: ${A} is there more than once
unwise.json: warning report-without-expiry: hosts["a.example"]: it only reports, and nothing says until when: add \`expires\`, so that it is not forgotten, or enforce it
unwise.json: warning no-backup-pin: hosts["b.example"]: it has one pin: if that key is lost or replaced, every user is locked out; add a backup
`

/** @type {[name: string, args: string[], status: number, stdout: string][]} */
const ROWS = [
  ['nothing found', ['good.json'], 0, 'good.json: nothing found\n'],
  ['warnings', ['unwise.json'], 1, UNWISE],
  ['several files', ['good.json', 'unwise.json'], 1, `good.json: nothing found\n${UNWISE}`],
  [
    'a malformed pin',
    ['pin.json'],
    1,
    'pin.json: malformed ERR_TLS_PIN_INVALID: hosts["a.example"].pins[1]: "short" is not canonical base64; copy the whole digest: 44 characters, the last of them `=`\n'
  ],
  [
    'a pattern twice, which a map would hide, and a good one',
    ['twice.json', 'good.json'],
    1,
    'twice.json: malformed ERR_TLS_PIN_INVALID: hosts["A.example"]: the pattern `a.example` is repeated; merge its entries into one\n' +
      'good.json: nothing found\n'
  ],
  [
    'no JSON, with line and column',
    ['syntax.json'],
    1,
    'syntax.json: malformed ERR_TLS_PIN_INVALID: the policy is not JSON: trailing comma at line 3 column 23; write a policy, a pin or a list of pins\n'
  ],
  [
    'a name and a key that are meant for the terminal',
    ['evil \u001b[31m.json'],
    1,
    'evil \\u{1b}[31m.json: malformed ERR_TLS_PIN_INVALID: the key "\\u{9b}2J\\u{1b}[2J" is unknown; write `$schema`, `version`, `unlisted`, `expires` or `hosts`\n'
  ]
]

for (const [name, args, status, stdout] of ROWS) {
  it(`${name}: ${status}`, async () => {
    const piped = await lint(args)
    assert.deepEqual(piped, { status, stdout, stderr: '' })
    const seen = await cli(['lint', ...args], { cwd: FOLDER, pty: true })
    assert.equal(seen.status, status)
    assert.match(seen.stdout, /\x1b\[3[123]m/)
    assert.equal(seen.stdout.replaceAll(/\x1b\[\d+m/g, '').replaceAll('\r\n', '\n'), stdout)
  })
}

it('reads standard input', async () => {
  const stdin = JSON.stringify({ 'a.example': A })
  const { status, stdout } = await lint(['good.json', '-'], { stdin })
  assert.equal(status, 1)
  assert.match(stdout, /^good\.json: nothing found\nstandard input: warning no-backup-pin: hosts\["a\.example"\]: /)
})

it('--json: every file, with the same problems', async () => {
  const { status, stdout } = await lint(['good.json', 'unwise.json', 'pin.json', '--json'])
  assert.equal(status, 1)
  const [good, unwise, pin] = JSON.parse(stdout)
  assert.deepEqual(good, { file: 'good.json', valid: true, warnings: [] })
  assert.deepEqual([unwise.file, unwise.valid, unwise.warnings.length], ['unwise.json', true, 6])
  for (const warning of unwise.warnings) assert.deepEqual(Object.keys(warning).sort(), ['code', 'message', 'place'])
  const { error, ...rest } = pin
  assert.deepEqual(rest, { file: 'pin.json', valid: false, warnings: [] })
  assert.deepEqual([error.code, error.place], ['ERR_TLS_PIN_INVALID', 'hosts["a.example"].pins[1]'])
})

it('a file that cannot be read: 2, after what could be said of the others', async () => {
  const { status, stdout, stderr } = await lint(['nowhere.json', 'good.json', '.'])
  assert.deepEqual([status, stdout], [2, 'good.json: nothing found\n'])
  assert.match(stderr, /^error: nowhere\.json cannot be read: ENOENT.*\n\. cannot be read: EISDIR.*\ncheck the path/)
  const { error } = JSON.parse((await lint(['nowhere.json', 'good.json', '--json'])).stdout)
  assert.deepEqual([error.code, error.hint], ['ENOENT', 'check the path and the permissions of the file'])
})

/** @type {[name: string, args: string[], message: RegExp][]} */
const WRONG = [
  ['no file', [], /no policy is given/],
  ['standard input twice', ['-', '-'], /standard input is given twice/],
  ['an unknown option', ['--fix', 'good.json'], /Unknown option '--fix'/]
]
for (const [name, args, message] of WRONG) {
  it(`${name}: 2`, async () => {
    const { status, stdout, stderr } = await lint(args)
    assert.deepEqual([status, stdout], [2, ''])
    assert.match(stderr, message)
  })
}

/** @param {string[]} args @param {object} [options] */
function lint(args, options) {
  return cli(['lint', ...args], { cwd: FOLDER, ...options })
}

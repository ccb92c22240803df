'use strict'
// Promise: the scripts of docs/cli.md do what is said of them, as they stand there; and the document knows every finding,
// warning, status, option and metric.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
const { BIN } = require('./helpers/cli')
const { ca, daysFromNow, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const LIMIT = { timeout: 60_000 }
const ROOT = path.join(__dirname, '..')
const FOLDER = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-recipes-'))
const TEXT = fs.readFileSync(path.join(ROOT, 'docs', 'cli.md'), 'utf8')
const SCRIPTS = [...TEXT.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, code]) => code)
const BACKUP = `sha256/${Buffer.alloc(32, 2).toString('base64')}`
const OTHER = `sha256/${Buffer.alloc(32, 1).toString('base64')}`

/** @type {any} */ let server
/** @type {import('./helpers/pki').Certificate} */ let cert

before(async () => {
  const root = await ca({ name: 'Root', notAfter: daysFromNow(100) })
  cert = await leaf({ issuer: root, notAfter: daysFromNow(100) })
  server = await httpsServer({ cert })
  write('ca.pem', root.pem)
  // What `npx` finds in a project that has the package.
  write('npx', `#!/bin/sh\nshift\nexec "${process.execPath}" "${BIN}" "$@"\n`)
  fs.chmodSync(path.join(FOLDER, 'npx'), 0o755)
})

after(async () => {
  await server.close()
  fs.rmSync(FOLDER, { recursive: true, force: true })
})

describe('check-pins.sh', LIMIT, () => {
  const script = scriptOf('check-pins.sh')

  it('says nothing while all is well', async () => {
    policy(cert.pin)
    assert.deepEqual(await run(script), { status: 0, output: '' })
  })

  it('prints what is wrong, and ends with the code of the check', async () => {
    policy(OTHER)
    const mismatch = await run(script)
    assert.equal(mismatch.status, 1)
    assert.match(mismatch.output, /^mismatch .*\n.*- sha256\/.*\n.*\+ sha256\//s)
    write('policy.json', '{}')
    const malformed = await run(script)
    assert.equal(malformed.status, 2)
    assert.match(malformed.output, /^error: policy\.json: .*lists no hosts/)
  })
})

describe('pin-metrics.sh', LIMIT, () => {
  const script = scriptOf('pin-metrics.sh')
  const file = path.join(FOLDER, 'tls_pinning.prom')
  const metric = (/** @type {string} */ name) =>
    fs.readFileSync(file, 'utf8').match(new RegExp(`^${name}\\{.* (\\d+)$`, 'm'))?.[1]

  it('writes the metrics, also of a mismatch, and keeps the old ones where there are none', async () => {
    policy(cert.pin)
    assert.deepEqual(await run(script), { status: 0, output: '' })
    assert.equal(metric('tls_pinning_match'), '1')
    policy(OTHER)
    assert.deepEqual(await run(script), { status: 0, output: '' })
    assert.equal(metric('tls_pinning_match'), '0')
    write('policy.json', '{}')
    assert.equal((await run(script)).status, 2)
    assert.equal(metric('tls_pinning_match'), '0')
    assert.deepEqual(
      fs.readdirSync(FOLDER).filter(name => name.includes('.prom')),
      ['tls_pinning.prom']
    )
  })
})

describe('the document', () => {
  const source = ['check/examine.js', 'check/findings.js', 'check/policy.js', 'commands/check.js']
    .map(file => fs.readFileSync(path.join(ROOT, 'bin', file), 'utf8'))
    .join('\n')

  it('knows every code that check can tell', () => {
    const codes = [...source.matchAll(/(?:finding|warning)\('([a-z-]+)'/g)].map(([, code]) => code)
    assert.ok(codes.length >= 8, `${codes}`)
    for (const code of codes) assert.ok(TEXT.includes(`\`${code}\``), code)
  })

  it('knows every warning of the lint', () => {
    const lint = fs.readFileSync(path.join(ROOT, 'src', 'pinning', 'lint.rs'), 'utf8')
    const codes = [...(/Stable: ([^.]+)\./.exec(lint)?.[1] ?? '').matchAll(/`([a-z-]+)`/g)].map(([, code]) => code)
    assert.ok(codes.length >= 10, `${codes}`)
    for (const code of codes) assert.ok(TEXT.includes(`\`${code}\``), code)
  })

  it('knows every option of check, and so does its help', () => {
    const { help, options } = require('../bin/commands/check.js')
    for (const name of Object.keys(options)) {
      assert.ok(TEXT.includes(`\`--${name}`), name)
      assert.ok(help.includes(`  --${name}`), name)
    }
  })

  it('knows every metric', () => {
    const text = fs.readFileSync(path.join(ROOT, 'bin', 'check', 'prometheus.js'), 'utf8')
    const names = [...text.matchAll(/^ {4}\[?\s*'([a-z_]+)',/gm)].map(([, name]) => name)
    assert.ok(names.length >= 9, `${names}`)
    for (const name of names) assert.ok(TEXT.includes(`\`tls_pinning_${name}\``), name)
  })
})

/** @param {string} name */
function scriptOf(name) {
  return SCRIPTS.find(code => code.startsWith(`# ${name}`)) ?? assert.fail(`${name} is not in docs/cli.md`)
}

/** @param {string} pin */
function policy(pin) {
  write('policy.json', JSON.stringify({ hosts: { [`localhost:${server.port}`]: [pin, BACKUP] } }))
}

/** @param {string} name @param {string} text */
function write(name, text) {
  fs.writeFileSync(path.join(FOLDER, name), text)
}

/** @param {string} script */
async function run(script) {
  const child = spawn('sh', ['-c', script], {
    cwd: FOLDER,
    env: {
      PATH: `${FOLDER}${path.delimiter}${process.env.PATH}`,
      NODE_EXTRA_CA_CERTS: path.join(FOLDER, 'ca.pem'),
      TEXTFILES: FOLDER
    }
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', data => (output += data))
  const [status] = await once(child, 'close')
  return { status, output }
}

'use strict'
// Promise: docs/getting-started.md, followed in an empty folder from top to bottom, does what it says. It is gone through as by a
// reader without a network: with the server that the page makes, on a port that is free.

const assert = require('node:assert/strict')
const { execFileSync, spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')

const ROOT = path.join(__dirname, '..')
const TEXT = fs.readFileSync(path.join(ROOT, 'docs', 'getting-started.md'), 'utf8')
const BLOCKS = [...TEXT.matchAll(/^```(js|sh)\n(.*?)^```$/gms)].map(([, language, code]) => ({ language, code }))
const HEADER = /^\/\/ (\S+\.mjs)$/m
const SKIPPED = process.platform === 'win32' ? 'it is written for sh' : opensslIsMissing()

/** Blocks of the shell that a test has gone through. */
const run = new Set()

describe('docs/getting-started.md', { timeout: 120_000, skip: SKIPPED }, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-getting-started-'))
  let port = 0
  /** @type {import('node:child_process').ChildProcess | undefined} */ let server

  before(async () => {
    port = await freePort()
    for (const { language, code } of BLOCKS) {
      if (language === 'js') fs.writeFileSync(path.join(folder, name(code)), here(code))
    }
    // What `npm i tls-pinning` leaves behind.
    fs.mkdirSync(path.join(folder, 'node_modules', '.bin'), { recursive: true })
    fs.symlinkSync(ROOT, path.join(folder, 'node_modules', 'tls-pinning'))
    fs.symlinkSync('../tls-pinning/bin/tls-pinning.js', path.join(folder, 'node_modules', '.bin', 'tls-pinning'))
  })

  after(async () => {
    if (server?.kill()) await once(server, 'exit')
    fs.rmSync(folder, { recursive: true, force: true })
  })

  it('makes a server without a network', async () => {
    await sh(block('openssl ecparam'))
    server = spawn(process.execPath, ['server.mjs'], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
    const [said] = await once(/** @type {import('node:stream').Readable} */ (server.stdout), 'data')
    assert.equal(String(said), `listening on https://localhost:${port}/\n`)
    assert.match(block('export HOST=localhost'), /^export HOST=localhost:8443\nexport NODE_EXTRA_CA_CERTS=ca\.pem$/m)
  })

  it('makes a pinned request, by the pin that the mismatch shows', async () => {
    const wrong = await sh(block('node request.mjs'))
    assert.equal(wrong.status, 1)
    const [, pin] = /leaf first:\n {4}(sha256\/\S{44}) {2}CN=localhost\n/.exec(wrong.output) ?? []
    assert.deepEqual(await sh(`node request.mjs ${pin}`), { status: 0, output: `200 pinned by ${pin}\n` })
    assert.deepEqual(await sh(block('npx tls-pinning pin')), { status: 0, output: `${pin}\n` })
  })

  it('writes a policy, checks it, and makes a client of it', async () => {
    assert.equal((await sh(block('npx tls-pinning init'))).status, 0)
    const { status, output } = await sh(block('npx tls-pinning check'))
    assert.equal(status, 0, output)
    assert.match(output, /^match +localhost:\d+ .*(.|\n)*^policy\.json: nothing found$/m)
    assert.equal((await sh(block('if [ -f backup.key ]'))).status, 0)
    assert.ok(fs.existsSync(path.join(folder, 'policy-with-backup.json')))
    assert.match((await sh(block('node client.mjs'))).output, /^200 by the entry of localhost:\d+$/m)
    assert.match((await sh('HOST=another.example node client.mjs')).output, /ERR_TLS_PIN_UNLISTED/)
  })

  it('makes a pinned agent', async () => {
    assert.deepEqual(await sh(block('node agent.mjs')), { status: 0, output: '200 by https\n' })
  })

  it('proves that they are pinned', async () => {
    const { status, output } = await sh(block('npx tls-pinning drill'))
    assert.equal(status, 0, output)
    assert.match(
      output,
      /unpinned\.mjs:5\) +INTERCEPTED +\d+ bytes: GET \/ HTTP\/1\.1\n(.|\n)*the drill ended with 1\n/
    )
    assert.match(output, /agent\.mjs:7\) +refused by pins +ERR_TLS_PIN_MISMATCH\n/)
    assert.match(output, /client\.mjs:5\) +refused by pins +mismatch\n/)
  })

  it('has no other steps', () => {
    const rest = BLOCKS.filter(found => found.language === 'sh' && !run.has(found)).map(({ code }) => code)
    assert.deepEqual(rest, [
      'mkdir pinning && cd pinning\nnpm init -y\nnpm i tls-pinning\n',
      'export HOST=example.com\n'
    ])
  })

  /**
   * As in the reader's first terminal.
   * @param {string} code
   * @returns {Promise<{ status: number, output: string }>}
   */
  async function sh(code) {
    const env = {
      ...process.env,
      PATH: [path.dirname(process.execPath), process.env.PATH].join(path.delimiter),
      HOST: `localhost:${port}`,
      NODE_EXTRA_CA_CERTS: 'ca.pem',
      NODE_OPTIONS: '',
      NO_COLOR: '1'
    }
    const child = spawn('sh', ['-ec', here(code)], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += chunk))
    const [status] = await once(child, 'close')
    return { status, output }
  }

  /** @param {string} code */
  function here(code) {
    return code.replaceAll('8443', String(port))
  }
})

/**
 * The one block of the shell that begins so.
 * @param {string} words
 */
function block(words) {
  const found = BLOCKS.filter(({ language, code }) => language === 'sh' && code.startsWith(words))
  assert.equal(found.length, 1, words)
  if (found[0]) run.add(found[0])
  return found[0]?.code ?? ''
}

/** @param {string} code */
function name(code) {
  return HEADER.exec(code)?.[1] ?? assert.fail(`a file without a name: ${code}`)
}

function opensslIsMissing() {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' })
    return false
  } catch {
    return 'there is no openssl'
  }
}

/** @returns {Promise<number>} */
async function freePort() {
  const probe = net.createServer().listen(0, 'localhost')
  await once(probe, 'listening')
  const { port } = /** @type {net.AddressInfo} */ (probe.address())
  probe.close()
  await once(probe, 'close')
  return port
}

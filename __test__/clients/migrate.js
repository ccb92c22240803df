'use strict'
// Promise: each pair of docs/migrate-http-clients.md is as it says: what stands under "before" sends its request to a man in the
// middle whose certificate Node trusts, what stands under "after" refuses him before a byte has left and reaches the server.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
require('./client') // which makes `tls-pinning` resolve here
const { ca, leaf } = require('../helpers/pki')
const { httpsServer } = require('../helpers/servers')

const TEXT = fs.readFileSync(path.join(__dirname, '..', '..', 'docs', 'migrate-http-clients.md'), 'utf8')
const PAIRS = [
  ...TEXT.matchAll(/^## ([^\n]+)\n(?:(?!^## ).)*?```js\n(\/\/ before.*?)```.*?```js\n(\/\/ after\n.*?)```/gms)
]

describe('docs/migrate-http-clients.md', { timeout: 60_000 }, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-migrate-'))
  const trusted = path.join(folder, 'ca.pem')
  /** @type {Awaited<ReturnType<typeof httpsServer>>} */ let server
  /** @type {Awaited<ReturnType<typeof httpsServer>>} */ let mitm
  /** @type {string[]} */ let pins

  before(async () => {
    const [root, rogue] = await Promise.all([ca({ name: 'Root' }), ca({ name: 'Rogue' })])
    const [cert, backup, forged] = [
      await leaf({ issuer: root }),
      await leaf({ issuer: root }),
      await leaf({ issuer: rogue })
    ]
    server = await httpsServer({ cert })
    mitm = await httpsServer({ cert: forged })
    pins = [cert.pin, backup.pin]
    fs.writeFileSync(trusted, root.pem + rogue.pem)
  })

  after(async () => {
    await server.close()
    await mitm.close()
    fs.rmSync(folder, { recursive: true, force: true })
  })

  it('has a pair for each client', () => assert.equal(PAIRS.length, 6))

  for (const [, client, first, second] of PAIRS) {
    it(`${client}, before: answered by whoever has a certificate`, async () => {
      assert.equal(await run(first ?? '', server.port), '200')
      assert.equal(await run(first ?? '', mitm.port), '200')
    })

    it(`${client}, after: answered by the server alone`, async () => {
      assert.equal(await run(second ?? '', server.port), '200')
      const bytes = mitm.appBytes
      assert.match(await run(second ?? '', mitm.port), /ERR_TLS_PIN_MISMATCH/)
      await mitm.settled()
      assert.equal(mitm.appBytes, bytes)
    })
  }

  /**
   * @param {string} code
   * @param {number} port
   * @returns {Promise<string>} what it prints
   */
  function run(code, port) {
    const program = code
      .replaceAll('https://api.example.com/', `https://localhost:${port}/`)
      .replaceAll("'api.example.com'", "'localhost'")
      .replaceAll('sha256/current…', pins[0] ?? '')
      .replaceAll('sha256/backup…', pins[1] ?? '')
    const env = { PATH: process.env.PATH, NODE_EXTRA_CA_CERTS: trusted }
    const args = ['--no-warnings', '--input-type=module', '--eval', program]
    return new Promise(resolve => {
      execFile(process.execPath, args, { cwd: __dirname, env, timeout: 20_000 }, (_, out, err) =>
        resolve((out + err).trim())
      )
    })
  }
})

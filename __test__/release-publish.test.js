'use strict'
// Promise: the packages of the platforms are published before the one that asks for them, all or none of them are there, and
// after a failure the same command goes on. Against a registry on loopback that knows as much of npm's protocol as this needs.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const os = require('node:os')
const path = require('node:path')
const { after, before, beforeEach, describe, it } = require('node:test')
const { TARGETS } = require('../scripts/release/targets')

const NAMES = TARGETS.map(({ platform }) => `@tls-pinning/${platform}`)

describe('scripts/release/publish.js', { timeout: 120_000, skip: process.platform === 'win32' }, () => {
  /** @type {string} */
  let folder
  /** @type {{ name: string, tags: object }[]} */
  let published
  /** Those that are there, and the one at which the registry fails. */
  let known = new Set()
  let broken = ''

  const server = http.createServer(async (request, response) => {
    const name = decodeURIComponent(request.url?.slice(1) ?? '')
    if (request.method !== 'PUT') {
      if (!known.has(name)) return response.writeHead(404).end('{}')
      const body = { name, 'dist-tags': { latest: '1.2.3' }, versions: { '1.2.3': { name, version: '1.2.3' } } }
      return response.end(JSON.stringify(body))
    }
    let body = ''
    for await (const chunk of request) body += chunk
    if (name === broken) return response.writeHead(403).end('{}')
    published.push({ name, tags: JSON.parse(body)['dist-tags'] })
    response.writeHead(201).end('{}')
  })

  before(async () => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  after(() => server.close())

  beforeEach(t => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-publish-'))
    published = []
    known = new Set()
    broken = ''
    t.after?.(() => fs.rmSync(folder, { recursive: true, force: true }))
  })

  /** @param {string} name @param {object} manifest */
  function stage(name, manifest) {
    fs.mkdirSync(path.join(folder, 'dist', name), { recursive: true })
    const text = JSON.stringify({ name, version: '1.2.3', ...manifest })
    fs.writeFileSync(path.join(folder, 'dist', name, 'package.json'), text)
  }

  /** @param {string} [version] */
  function stageAll(version = '1.2.3') {
    for (const name of NAMES) stage(name, { version })
    const optionalDependencies = Object.fromEntries(NAMES.map(name => [name, version]))
    stage('tls-pinning', { version, optionalDependencies })
  }

  async function publish() {
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
    const npmrc = path.join(folder, 'npmrc')
    fs.writeFileSync(
      npmrc,
      `registry=http://127.0.0.1:${port}/\n//127.0.0.1:${port}/:_authToken=none\nfetch-retries=0\n`
    )
    const script = path.join(__dirname, '..', 'scripts', 'release', 'publish.js')
    const env = { ...process.env, npm_config_userconfig: npmrc, npm_config_registry: `http://127.0.0.1:${port}/` }
    const child = spawn(process.execPath, [script], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', text => {
        out += text
      })
    const [status] = await once(child, 'close')
    return { status, out }
  }

  it('goes on where it had stopped, and publishes the package itself last', async () => {
    stageAll()
    known = new Set(NAMES.slice(2))
    broken = NAMES[1]
    assert.equal((await publish()).status, 1)
    assert.deepEqual(
      published.map(({ name }) => name),
      [NAMES[0]]
    )

    known.add(NAMES[0])
    broken = ''
    published = []
    const { status, out } = await publish()
    assert.equal(status, 0, out)
    assert.deepEqual(published, [
      { name: NAMES[1], tags: { latest: '1.2.3' } },
      { name: 'tls-pinning', tags: { latest: '1.2.3' } }
    ])
    assert.match(out, new RegExp(`${NAMES[0]}@1\\.2\\.3 is published already`))
  })

  it('gives a prerelease a tag of its own', async () => {
    stageAll('1.2.3-rc.1')
    broken = NAMES[1]
    await publish()
    assert.deepEqual(published, [{ name: NAMES[0], tags: { next: '1.2.3-rc.1' } }])
  })

  for (const [what, prepare] of /** @type {[RegExp, () => void][]} */ ([
    [/not in dist\/: @tls-pinning\//, () => fs.rmSync(path.join(folder, 'dist', NAMES[3]), { recursive: true })],
    [/is not at 1\.2\.3/, () => stage(NAMES[3], { version: '1.2.2' })],
    [/does not ask for it/, () => stage('tls-pinning', { optionalDependencies: {} })]
  ])) {
    it(`publishes nothing: ${what.source}`, async () => {
      stageAll()
      prepare()
      const { status, out } = await publish()
      assert.equal(status, 1)
      assert.match(out, what)
      assert.deepEqual(published, [])
    })
  }
})

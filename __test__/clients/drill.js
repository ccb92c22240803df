'use strict'
// The promise: the drill tells the pinned clients of a program from those that are not, and another man in the middle,
// which other people wrote, sees the same. That is mitmproxy, in reverse mode before the HTTP server: of the TLS that begins
// inside PostgreSQL's and MySQL's protocols it knows nothing, so there the drill is on its own.

const assert = require('node:assert/strict')
const { execFile, spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
const { setTimeout: sleep } = require('node:timers/promises')
const { freePort } = require('./servers/process')
const { ca, leaf } = require('../helpers/pki')
const { httpsServer } = require('../helpers/servers')

require('./client') // makes `require('tls-pinning')` work for the program

const LIMIT = { timeout: 180_000 }
const ROOT = path.join(__dirname, '..', '..')
const MITMDUMP = process.env.MITMDUMP ?? path.join(ROOT, 'target', 'mitmproxy', 'bin', 'mitmdump')
const HTTP = ['got', 'got-pinned', 'axios', 'axios-pinned', 'undici', 'undici-pinned']
const DATABASES = ['pg', 'pg-pinned', 'mysql2', 'mysql2-pinned']

/** @type {string} */
let folder
/** @type {{ port: number, close: () => Promise<void> }[]} */
let servers = []
/** @type {any} */
let web
/** @type {Record<string, any>} */
let drilled
/** The paths that the drill has read of what came in the clear. @type {string[]} */
let read = []

before(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-clients-drill-'))
  const issuer = await ca({ name: 'Root' })
  const identity = { cert: await leaf({ issuer }), chain: [] }
  const spare = await ca({ name: 'Spare' })
  const pins = [identity.cert.pin, spare.pin]
  fs.writeFileSync(path.join(folder, 'ca.pem'), issuer.pem)
  const policy = path.join(folder, 'pins.json')
  fs.writeFileSync(policy, JSON.stringify({ hosts: { localhost: pins } }))
  web = await httpsServer(identity)
  servers = [web]
  const [postgres, mariadb] = await Promise.all(
    ['postgres', 'mariadb'].map(name => require(`./servers/${name}`).start(identity))
  )
  servers.push(postgres, mariadb)
  drilled = { url: `https://localhost:${web.port}`, postgres: postgres.port, mariadb: mariadb.port, pins, policy }
}, LIMIT)

after(async () => {
  await Promise.all(servers.map(server => server.close()))
  fs.rmSync(folder, { recursive: true, force: true })
})

/**
 * @param {string[]} args
 * @param {Record<string, any>} to
 * @param {string} trusted
 * @returns {Promise<{ status: number, stdout: string, stderr: string }>}
 */
function node(args, to, trusted) {
  const env = { ...process.env, NODE_OPTIONS: '', NODE_EXTRA_CA_CERTS: trusted, DRILLED: JSON.stringify(to) }
  return new Promise(resolve =>
    execFile(process.execPath, args, { cwd: __dirname, env }, (error, stdout, stderr) =>
      resolve({ status: error ? Number(error.code) : 0, stdout, stderr })
    )
  )
}

describe('a program with many clients', { ...LIMIT, concurrency: 1 }, () => {
  it('is told apart by the drill', LIMIT, async () => {
    const command = [process.execPath, 'drilled.js', ...HTTP, ...DATABASES]
    const args = [path.join(ROOT, 'bin', 'tls-pinning.js'), 'drill', '--json', '--', ...command]
    const { status, stdout, stderr } = await node(args, drilled, path.join(folder, 'ca.pem'))
    const { connections, runs } = JSON.parse(stdout || `{ "error": ${JSON.stringify(stderr)} }`)
    const verdicts = connections.map((/** @type {any} */ found) => `${found.client}: ${found.verdict}`).sort()
    const expected = ['got', 'axios', 'undici', 'pg', 'mysql2'].flatMap(name => [
      `${name}: intercepted`,
      `${name}: pins`
    ])
    assert.deepEqual(verdicts, expected.sort(), stdout)
    assert.equal(status, 1)
    assert.equal(runs, 2)
    read = connections.flatMap((/** @type {any} */ { leaked }) => /^GET \/([\w-]+) HTTP/.exec(leaked?.first)?.[1] ?? [])
    const first = Object.fromEntries(
      connections.map((/** @type {any} */ { client, leaked }) => [leaked && client, leaked?.first])
    )
    assert.equal(first.pg, 'a login of PostgreSQL')
    assert.equal(first.mysql2, 'binary')
    // The pinned ones were there once, in the baseline.
    const requests = web.requests.map((/** @type {any} */ { url }) => url)
    for (const name of HTTP) {
      const times = requests.filter((/** @type {string} */ url) => url === `/${name}`).length
      assert.equal(times, name.endsWith('-pinned') ? 1 : 2, name)
    }
  })

  it('and mitmproxy sees the same', LIMIT, async () => {
    assert.ok(fs.existsSync(MITMDUMP), `${MITMDUMP} is missing; node scripts/clients.js installs it`)
    const seen = path.join(folder, 'seen')
    const script = path.join(folder, 'seen.py')
    fs.writeFileSync(seen, '')
    fs.writeFileSync(
      script,
      `def request(flow):\n    open(${JSON.stringify(seen)}, 'a').write(flow.request.path + '\\n')\n`
    )
    const port = await freePort()
    const child = spawn(
      MITMDUMP,
      ['--quiet', '--mode', `reverse:${drilled.url}@${port}`, '--listen-host', '127.0.0.1', '-s', script].concat([
        '--set',
        `confdir=${folder}`,
        '--set',
        `ssl_verify_upstream_trusted_ca=${path.join(folder, 'ca.pem')}`
      ]),
      { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, NODE_OPTIONS: '' } }
    )
    try {
      const authority = path.join(folder, 'mitmproxy-ca-cert.pem')
      while (!(fs.existsSync(authority) && (await listens(port)))) {
        assert.equal(child.exitCode, null, 'mitmdump has ended')
        await sleep(100)
      }
      const before = web.requests.length
      const url = `https://localhost:${port}`
      const { stdout } = await node(['drilled.js', ...HTTP], { ...drilled, url }, authority)
      const there = fs
        .readFileSync(seen, 'utf8')
        .trim()
        .split('\n')
        .map(line => line.slice(1))
      assert.deepEqual(there.sort(), read.sort(), stdout)
      assert.deepEqual(there, ['axios', 'got', 'undici'])
      // It did pass them on: the clients did what they do.
      assert.equal(web.requests.length - before, there.length)
    } finally {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    }
  })
})

/** @param {number} port */
async function listens(port) {
  const socket = net.connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

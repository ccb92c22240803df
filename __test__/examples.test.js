'use strict'
// Promise: every program of examples/ runs as it stands. With a right pin it does what it says; with a wrong one it is refused, and
// the server has not received one byte.

const assert = require('node:assert/strict')
const { execFile, spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const readline = require('node:readline')
const { after, afterEach, before, describe, it } = require('node:test')
const { keyPair, signedFor } = require('./helpers/dsse')
const { ca, leaf } = require('./helpers/pki')
const { connectProxy } = require('./helpers/proxies')
const { httpsServer, tlsServer } = require('./helpers/servers')

const LIMIT = { timeout: 120_000 }
const ROOT = path.join(__dirname, '..')
const EXAMPLES = path.join(ROOT, 'examples')
// Inside of the package, so that its own name leads to it from the copies.
const FOLDER = path.join(ROOT, 'target', 'examples')
const REFUSED = /ERR_TLS_PIN_MISMATCH/

/** @typedef {import('./helpers/pki').Certificate} Certificate */

/** The programs that take a URL and then pins. */
const REQUESTS = ['request.mjs', 'fetch.mjs', 'https-agent.js', 'undici.mjs', 'rotation.mjs']
/** The others have tests of their own below. */
const OTHERS = [
  'reload.mjs',
  'database.mjs',
  'unaware.mjs',
  'device.mjs',
  'client-certificate.mjs',
  'proxy.mjs',
  'report-only.mjs',
  'signed-policy.mjs',
  'drill.test.mjs',
  'check.sh'
]

/** @type {{ root: Certificate, cert: Certificate, backup: Certificate, device: Certificate, client: Certificate, stranger: Certificate }} */
let pki
/** @type {{ close: () => Promise<void> }[]} */
const open = []

before(async () => {
  const root = await ca({ name: 'Root' })
  pki = {
    root,
    cert: await leaf({ issuer: root }),
    backup: await leaf({ issuer: root }),
    device: await leaf({ selfSigned: true, names: ['device.example'] }),
    client: await leaf({ issuer: root, clientAuth: true, names: ['client'] }),
    stranger: await leaf({ issuer: root })
  }
  fs.rmSync(FOLDER, { recursive: true, force: true })
  fs.mkdirSync(path.join(FOLDER, 'bin'), { recursive: true })
  write('ca.pem', root.pem)
  const npx = `#!/bin/sh\nshift\nexec "${process.execPath}" "${path.join(ROOT, 'bin', 'tls-pinning.js')}" "$@"\n`
  fs.writeFileSync(path.join(FOLDER, 'bin', 'npx'), npx, { mode: 0o755 })
})

afterEach(async () => {
  for (const server of open.splice(0)) await server.close()
})

after(() => fs.rmSync(FOLDER, { recursive: true, force: true }))

describe('examples', LIMIT, () => {
  for (const name of REQUESTS) {
    it(`${name}: a right pin`, async () => {
      const server = await serve()
      const { status, output } = await run(name, [server.url, pki.cert.pin, pki.backup.pin])
      assert.match(output, /^200/m)
      assert.match(output, /\bok\b/)
      assert.equal(status, 0, output)
      assert.equal(server.requests.length, 1)
    })

    it(`${name}: wrong pins`, async () => {
      const server = await serve()
      await isRefused(server, await run(name, [server.url, pki.backup.pin, pki.stranger.pin]))
    })
  }

  for (const name of [...REQUESTS, ...OTHERS.filter(file => /^(?!drill).*\.mjs$/.test(file))]) {
    it(`${name}: without arguments, how it is used`, async () => {
      const { status, output } = await run(name, [])
      assert.match(output, new RegExp(`Error: usage: ${name.replaceAll('.', '\\.')} \\w`))
      assert.equal(status, 1)
    })
  }

  it('rotation.mjs: the server has moved to its backup key', async () => {
    const server = await serve({ cert: pki.backup })
    const { status, output } = await run('rotation.mjs', [server.url, pki.cert.pin, pki.backup.pin])
    assert.match(output, /^The server uses its backup key/m)
    assert.equal(status, 0, output)
  })

  it('reload.mjs: another policy comes into force while it runs', async () => {
    const server = await serve()
    const policy = policyFile([pki.cert.pin, pki.backup.pin])
    const child = spawn(process.execPath, [path.join(EXAMPLES, 'reload.mjs'), policy, server.url], {
      env: environment()
    })
    const lines = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const errors = readline.createInterface({ input: child.stderr })[Symbol.asyncIterator]()
    try {
      assert.match((await lines.next()).value, /^200 sha256\/.{44} 2 bytes$/)
      policyFile(['malformed'])
      assert.match((await errors.next()).value, /^The old policy stays in force: .*policy\.json/)
      policyFile([pki.backup.pin, pki.stranger.pin])
      assert.match((await lines.next()).value, /^A new policy is in force/)
      assert.match((await errors.next()).value, REFUSED)
      assert.equal(server.requests.length, 1)
    } finally {
      const ended = once(child, 'close')
      child.kill('SIGKILL')
      await ended
    }
  })

  it('database.mjs', async () => {
    const answer = (/** @type {import('node:tls').TLSSocket} */ socket) =>
      socket.on('data', () => socket.write('+PONG\r\n'))
    const server = track(await tlsServer(answer, { cert: pki.cert }))
    const target = `localhost:${server.port}`
    const right = await run('database.mjs', [target, pki.cert.pin, pki.backup.pin])
    assert.deepEqual(right, { status: 0, output: '+PONG' })
    const other = track(await tlsServer(answer, { cert: pki.cert }))
    await isRefused(other, await run('database.mjs', [`localhost:${other.port}`, pki.backup.pin]))
  })

  it('unaware.mjs', async () => {
    const server = await serve()
    const pinned = (/** @type {string[]} */ pins) =>
      run('unaware.mjs', [server.url], {
        flags: ['--import', 'tls-pinning/register'],
        env: { TLS_PINNING_POLICY: policyFile(pins) }
      })
    await isRefused(server, await pinned([pki.backup.pin]))
    assert.deepEqual(await pinned([pki.cert.pin, pki.backup.pin]), { status: 0, output: '200 ok' })
  })

  it('device.mjs', async () => {
    const server = await serve({ cert: pki.device })
    const url = `https://127.0.0.1:${server.port}/`
    await isRefused(server, await run('device.mjs', [url, 'device.example', pki.backup.pin]))
    assert.deepEqual(await run('device.mjs', [url, 'device.example', pki.device.pin]), { status: 0, output: '200 ok' })
  })

  it('client-certificate.mjs', async () => {
    const server = await serve({ ca: [pki.root] })
    const files = [write('client.pem', pki.client.pem), write('client-key.pem', pki.client.key)]
    await isRefused(server, await run('client-certificate.mjs', [server.url, ...files, pki.backup.pin]))
    const right = await run('client-certificate.mjs', [server.url, ...files, pki.cert.pin])
    assert.deepEqual(right, { status: 0, output: '200 ok' })
    assert.equal(server.requests[0]?.clientCert, pki.client.fingerprint256)
  })

  it('proxy.mjs', async () => {
    const server = await serve()
    const proxy = track(await connectProxy({ auth: { username: 'user', password: 'password' } }))
    const through = `http://user:password@127.0.0.1:${proxy.port}`
    await isRefused(server, await run('proxy.mjs', [through, server.url, pki.backup.pin]))
    assert.deepEqual(await run('proxy.mjs', [through, server.url, pki.cert.pin]), { status: 0, output: '200 ok' })
    assert.equal(proxy.heads.length, 2)
  })

  it('report-only.mjs', async () => {
    const server = await serve()
    await isRefused(server, await run('report-only.mjs', ['enforce', server.url, pki.backup.pin]))
    const told = await run('report-only.mjs', ['report', server.url, pki.backup.pin])
    assert.match(told.output, /^200 ok$/m)
    assert.match(told.output, /^localhost would have been refused: mismatch/m)
    assert.ok(told.output.includes(`  ${pki.cert.pin}  CN=localhost`))
    const right = await run('report-only.mjs', ['enforce', server.url, pki.cert.pin])
    assert.deepEqual(right, { status: 0, output: '200 ok' })
  })

  it('signed-policy.mjs', async () => {
    const server = await serve()
    const [signer, stranger] = [keyPair(), keyPair()]
    const source = (/** @type {ReturnType<typeof keyPair>} */ key, /** @type {Certificate} */ { pin }) =>
      write('policy.signed.json', signedFor(key, 'x', { policy: { hosts: { localhost: [pin] } } }))
    const got = (/** @type {string} */ file) => run('signed-policy.mjs', [file, signer.publicKey, server.url])
    const forged = await got(source(stranger, pki.cert))
    assert.match(forged.output, /ERR_TLS_PIN_POLICY_SIGNATURE/)
    assert.equal(forged.status, 1)
    assert.equal(server.connections, 0)
    await isRefused(server, await got(source(signer, pki.backup)))
    assert.deepEqual(await got(source(signer, pki.cert)), { status: 0, output: '200 ok' })
  })

  it('drill.test.mjs passes, and fails for a client without pins', async () => {
    const good = await run('drill.test.mjs', [], { flags: ['--test'] })
    assert.equal(good.status, 0, good.output)
    assert.match(good.output, /pass 2/)
    const text = fs.readFileSync(path.join(EXAMPLES, 'drill.test.mjs'), 'utf8')
    const weaker = text.replace('new PinnedAgent(pins, { ca })', 'new https.Agent({ ca })')
    assert.notEqual(weaker, text)
    write('weaker.test.mjs', weaker)
    const bad = await run('weaker.test.mjs', [], { flags: ['--test'], folder: FOLDER })
    assert.equal(bad.status, 1, bad.output)
    assert.match(bad.output, /pass 1\n(.|\n)*fail 1/)
  })

  it('check.sh', async () => {
    const server = await serve()
    const hosts = (/** @type {Certificate[]} */ ...certs) =>
      policyFile(
        certs.map(({ pin }) => pin),
        `localhost:${server.port}`
      )
    const check = (/** @type {string} */ policy) => command('sh', [path.join(EXAMPLES, 'check.sh'), policy])
    const wrong = await check(hosts(pki.backup, pki.stranger))
    assert.equal(wrong.status, 1)
    assert.match(wrong.output, /A server does not match/)
    await isRefused(server, { status: 1, output: wrong.output.replace('mismatch', 'ERR_TLS_PIN_MISMATCH') })
    assert.equal((await check(hosts(pki.cert, pki.backup))).status, 0)
    const unwise = await check(hosts(pki.cert))
    assert.equal(unwise.status, 1)
    assert.match(unwise.output, /backup/)
  })

  it('each is run here, and is in the index', () => {
    const files = fs.readdirSync(EXAMPLES).filter(name => name !== 'README.md')
    // The demo is `npm start`; continuous integration runs it.
    assert.deepEqual(files.sort(), [...REQUESTS, ...OTHERS, 'demo.js'].sort())
    const index = fs.readFileSync(path.join(EXAMPLES, 'README.md'), 'utf8')
    const linked = [...index.matchAll(/\]\(([\w.-]+\.(?:m?js|sh))\)/g)].map(([, file]) => file)
    assert.deepEqual(linked.sort(), files.sort())
  })
})

/**
 * No byte of a request has reached the server, and the program has said why.
 * @param {{ settled: () => Promise<void>, appBytes: number, connections: number }} server
 * @param {{ status: number, output: string }} ended
 */
async function isRefused(server, { status, output }) {
  assert.match(output, REFUSED)
  assert.equal(status, 1, output)
  await server.settled()
  assert.ok(server.connections > 0)
  assert.equal(server.appBytes, 0)
}

/** @param {Partial<import('./helpers/servers').HttpsOptions>} [options] */
async function serve(options) {
  return track(await httpsServer({ cert: pki.cert, ...options }))
}

/**
 * @template {{ close: () => Promise<void> }} T
 * @param {T} server
 */
function track(server) {
  open.push(server)
  return server
}

/**
 * @param {string[]} pins
 * @param {string} [host]
 */
function policyFile(pins, host = 'localhost') {
  return write('policy.json', JSON.stringify({ hosts: { [host]: pins } }))
}

/**
 * As a whole: who watches the file never sees half of it.
 * @param {string} name
 * @param {string} text
 */
function write(name, text) {
  const file = path.join(FOLDER, name)
  fs.writeFileSync(`${file}.new`, text)
  fs.renameSync(`${file}.new`, file)
  return file
}

/**
 * @param {string} name
 * @param {string[]} args
 * @param {{ flags?: string[], env?: Record<string, string>, folder?: string }} [more]
 */
function run(name, args, { flags = [], env = {}, folder = EXAMPLES } = {}) {
  return command(process.execPath, [...flags, path.join(folder, name), ...args], env)
}

/** @param {Record<string, string>} [env] */
function environment(env) {
  const PATH = [path.join(FOLDER, 'bin'), path.dirname(process.execPath), process.env.PATH].join(path.delimiter)
  return { PATH, NODE_EXTRA_CA_CERTS: path.join(FOLDER, 'ca.pem'), ...env }
}

/**
 * @param {string} program
 * @param {string[]} args
 * @param {Record<string, string>} [env]
 * @returns {Promise<{ status: number, output: string }>}
 */
function command(program, args, env) {
  return new Promise(resolve => {
    // In a folder of the package: what `--import` names is looked for from here.
    execFile(program, args, { cwd: FOLDER, timeout: 60_000, env: environment(env) }, (error, stdout, stderr) =>
      resolve({ status: error ? Number(error.code ?? -1) : 0, output: `${stdout}${stderr}`.trim() })
    )
  })
}

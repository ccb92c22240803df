'use strict'
// The promise: it works through proxies that other people wrote. Needs tinyproxy, microsocks and squid with TLS (Debian's
// `squid-openssl`); run by `npm run test:external`.

const assert = require('node:assert/strict')
const { execFileSync, spawn } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { setTimeout: sleep } = require('node:timers/promises')
const { PinnedClient } = require('../..')
const { ca, leaf } = require('../helpers/pki')
const { httpsServer } = require('../helpers/servers')

const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const LIMIT = { timeout: 60_000 }
const PROGRAMS = ['tinyproxy', 'microsocks', 'squid']
/** Where Debian keeps what only root is meant to start. */
const ENV = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` }

/** @type {string} */
let folder
/** @type {import('../helpers/pki').Certificate} */
let root
/** @type {import('../helpers/pki').Certificate} */
let good
/** @type {import('../helpers/pki').Certificate} */
let proxyCert

before(async () => {
  for (const program of PROGRAMS) execFileSync('sh', ['-c', `command -v ${program}`], { env: ENV })
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-proxies-'))
  // Squid gives up root for a user of its own.
  fs.chmodSync(folder, 0o777)
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root })
  proxyCert = await leaf({ issuer: root })
})

after(() => fs.rmSync(folder, { recursive: true, force: true }))

/** @param {string} name @param {string} text */
function write(name, text) {
  const file = path.join(folder, name)
  fs.writeFileSync(file, text, { mode: 0o644 })
  return file
}

/** A port that is free now. @returns {Promise<number>} */
async function freePort() {
  const server = net.createServer()
  await new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(undefined)))
  const { port } = /** @type {net.AddressInfo} */ (server.address())
  await new Promise(resolve => server.close(resolve))
  return port
}

/**
 * Starts a program and waits until something listens.
 * @param {import('node:test').TestContext} t
 * @param {number} port
 * @param {string} program
 * @param {string[]} args
 */
async function start(t, port, program, args) {
  const child = spawn(program, args, { env: ENV, stdio: 'ignore' })
  t.after(() => {
    if (child.exitCode !== null) return
    child.kill('SIGKILL')
    return new Promise(resolve => child.once('exit', resolve))
  })
  while (child.exitCode === null) {
    const listens = await new Promise(resolve => {
      const socket = net.connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (listens) return
    await sleep(20)
  }
  throw new Error(`${program} has ended`)
}

/** @type {Record<string, (t: import('node:test').TestContext, port: number) => Promise<{ proxy: any, wrong: any }>>} */
const PROXIES = {
  async 'tinyproxy, with a password'(t, port) {
    const config = write('tinyproxy.conf', `Port ${port}\nListen 127.0.0.1\nTimeout 60\nBasicAuth user password\n`)
    await start(t, port, 'tinyproxy', ['-d', '-c', config])
    return { proxy: `http://user:password@127.0.0.1:${port}`, wrong: `http://user:s3cret@127.0.0.1:${port}` }
  },
  async 'microsocks, with a password'(t, port) {
    await start(t, port, 'microsocks', ['-i', '127.0.0.1', '-p', String(port), '-u', 'user', '-P', 'password'])
    return { proxy: `socks5h://user:password@127.0.0.1:${port}`, wrong: `socks5h://user:s3cret@127.0.0.1:${port}` }
  },
  async 'squid, inside TLS with pins'(t, port) {
    const pem = write('squid.pem', proxyCert.pem + proxyCert.key)
    const config = write(
      'squid.conf',
      `https_port 127.0.0.1:${port} tls-cert=${pem}
pid_filename none
access_log none
cache_log ${folder}/cache.log
cache_store_log none
cache deny all
coredump_dir ${folder}
acl known dst 127.0.0.0/8 ::1
http_access allow known
http_access deny all
`
    )
    await start(t, port, 'squid', ['-N', '-f', config])
    const url = `https://localhost:${port}`
    const options = { url, pins: proxyCert.pin, ca: root.pem }
    return { proxy: options, wrong: { ...options, pins: OTHER } }
  }
}

describe('through', LIMIT, () => {
  for (const [name, open] of Object.entries(PROXIES)) {
    test(name, LIMIT, async t => {
      const server = await httpsServer({ cert: good, http2: true })
      t.after(() => server.close())
      const { proxy, wrong } = await open(t, await freePort())
      for (const allowH2 of [true, false]) {
        const client = new PinnedClient({ pins: good.pin, ca: root.pem, proxy, allowH2 })
        for (let i = 0; i < 3; i++) assert.equal(await (await client.request(server.url)).text(), 'ok')
        await client.close()
      }
      assert.equal(server.handshakes, 2)

      const bytes = server.appBytes
      const pinned = new PinnedClient({ pins: OTHER, ca: root.pem, proxy })
      await assert.rejects(pinned.request(server.url), { code: 'ERR_TLS_PIN_MISMATCH', phase: 'handshake' })
      await pinned.close()
      const refused = new PinnedClient({ pins: good.pin, ca: root.pem, proxy: wrong })
      const code = typeof wrong === 'string' ? 'ERR_PROXY_TUNNEL' : 'ERR_TLS_PIN_MISMATCH'
      await assert.rejects(refused.request(server.url), { code, phase: 'proxy' })
      await refused.close()
      assert.ok(server.appBytes - bytes < 100, 'only the end of the connections that were there')
      assert.equal(server.requests.length, 6)
    })
  }
})

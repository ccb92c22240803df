'use strict'
// `scan` and `inspect` against servers of others: `openssl s_server` with versions, cipher suites and groups by its own
// options, and PostgreSQL, MariaDB, OpenLDAP and Exim where they are installed (their TLS begins by STARTTLS).

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
const { inspect, scan } = require('../..')
const { ca, leaf } = require('../helpers/pki')

/** @typedef {import('../helpers/pki').Certificate} Certificate */

const LIMIT = { timeout: 120_000 }
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-'))
/** @type {Certificate} */ let root
/** @type {Record<string, Certificate>} */ const certs = {}

before(async () => {
  root = await ca({ name: 'Root' })
  for (const [name, key] of /** @type {[string, any][]} */ ([
    ['ec', 'p256'],
    ['rsa', 'rsa2048']
  ])) {
    certs[name] = await leaf({ issuer: root, key })
    fs.writeFileSync(path.join(folder, `${name}.pem`), certs[name].pem + certs[name].key)
  }
})

after(() => fs.rmSync(folder, { recursive: true }))

describe('openssl s_server', LIMIT, () => {
  const RSA = 'TLS_ECDHE_RSA_WITH_'
  const EC = 'TLS_ECDHE_ECDSA_WITH_'
  const ALL13 = ['TLS_AES_256_GCM_SHA384', 'TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256']
  const SUITES = ['AES_256_GCM_SHA384', 'AES_128_GCM_SHA256', 'CHACHA20_POLY1305_SHA256']
  const GROUPS = ['X25519', 'secp256r1', 'secp384r1']

  /** @type {[string, string[], Record<string, [ciphers: string[], groups: string[], preference: string | null] | null>][]} */
  const ROWS = [
    ['rsa', [], { 'TLSv1.3': [ALL13, GROUPS, 'client'], 'TLSv1.2': [SUITES.map(s => RSA + s), GROUPS, 'client'] }],
    [
      'rsa',
      ['-serverpref', '-no_tls1_3'],
      { 'TLSv1.3': null, 'TLSv1.2': [SUITES.map(s => RSA + s), GROUPS, 'server'] }
    ],
    [
      'rsa',
      ['-cipher', 'ECDHE-RSA-AES128-GCM-SHA256', '-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256', '-groups', 'P-384'],
      { 'TLSv1.3': [[ALL13[2]], ['secp384r1'], null], 'TLSv1.2': [[RSA + SUITES[1]], ['secp384r1'], null] }
    ],
    [
      'rsa',
      ['-cipher', 'ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305', '-groups', 'P-256:X25519', '-no_tls1_3'],
      { 'TLSv1.3': null, 'TLSv1.2': [[RSA + SUITES[0], RSA + SUITES[2]], ['X25519', 'secp256r1'], 'client'] }
    ],
    ['ec', ['-tls1_3', '-groups', 'X25519'], { 'TLSv1.3': [ALL13, ['X25519'], 'client'], 'TLSv1.2': null }],
    [
      'ec',
      ['-cipher', 'ALL:@SECLEVEL=0', '-serverpref', '-groups', 'P-256'],
      {
        'TLSv1.3': [ALL13, ['secp256r1'], 'server'],
        'TLSv1.2': [SUITES.map(s => EC + s), ['secp256r1'], 'server'],
        'TLSv1.1': [[], [], null],
        TLSv1: [[], [], null]
      }
    ],
    ['rsa', ['-tls1', '-cipher', 'ALL:@SECLEVEL=0'], { 'TLSv1.3': null, 'TLSv1.2': null, TLSv1: [[], [], null] }]
  ]
  for (const [key, args, expected] of ROWS) {
    it(`${key} ${args.join(' ')}`, async () => {
      await serving([...args, '-cert', `${key}.pem`], async (target, received) => {
        const { versions } = await scan(target)
        const names = (/** @type {any[]} */ list) => list.filter(of => of.outcome === 'accepted').map(of => of.name)
        const seen = versions.map(({ version, outcome, ciphers, groups, preference }) => [
          version,
          outcome === 'accepted' ? [names(ciphers), names(groups), preference] : null
        ])
        assert.deepEqual(Object.fromEntries(seen), { 'TLSv1.1': null, TLSv1: null, SSLv3: null, ...expected })
        for (const { outcome } of versions) assert.notEqual(outcome, 'unknown')
        assert.equal(received(), '')
      })
    })
  }
})

describe('servers that begin in the clear', LIMIT, () => {
  for (const [starttls, name] of /** @type {const} */ ([
    ['postgres', 'postgres'],
    ['mysql', 'mariadb'],
    ['ldap', 'ldap-starttls'],
    ['smtp', 'smtp-starttls']
  ])) {
    it(`${name}: shows its certificate, and what it accepts`, async t => {
      const server = await started(name, certs.rsa)
      if (!server) return t.skip(`${name} is not installed`)
      t.after(() => server.close())
      const seen = await inspect(`localhost:${server.port}`, { starttls, ca: root.pem })
      assert.deepEqual([seen.chain[0].pins.sha256, seen.untrusted, seen.incomplete], [certs.rsa.pin, null, null])
      const { versions } = await scan(`localhost:${server.port}`, { starttls })
      assert.equal(versions[0].outcome, 'accepted')
      for (const { ciphers, groups } of versions) {
        for (const { outcome, reason } of [...ciphers, ...groups]) assert.notEqual(outcome, 'unknown', String(reason))
      }
    })
  }
})

/** @param {string} name @param {Certificate} cert */
async function started(name, cert) {
  try {
    return await require(`../clients/servers/${name}.js`).start({ cert, chain: [] })
  } catch (error) {
    if (/** @type {any} */ (error).code === 'ENOENT') return undefined
    throw error
  }
}

/**
 * @param {string[]} args
 * @param {(target: string, received: () => string) => Promise<void>} use
 */
async function serving(args, use) {
  const port = await freePort()
  const fixed = ['s_server', '-accept', `127.0.0.1:${port}`, '-quiet']
  const server = spawn('openssl', [...fixed, ...args], { cwd: folder, stdio: ['pipe', 'pipe', 'ignore'] })
  let received = ''
  server.stdout.on('data', text => {
    received += text
  })
  try {
    while (!(await isOpen(port))) {}
    await use(`localhost:${port}`, () => received)
  } finally {
    server.kill()
    await once(server, 'exit')
  }
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {net.AddressInfo} */ (server.address())
  server.close()
  await once(server, 'close')
  return port
}

/** @param {number} port */
function isOpen(port) {
  const socket = net.connect(port, '127.0.0.1')
  return new Promise(resolve => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
  }).finally(() => socket.destroy())
}

'use strict'
// Promise: the pins and a valid path are not enough, the certificate must also be for the host (RFC 9525), and the host
// is one and the same for the policy, for SNI and for the certificate: `servername` where it is given, else the URL's.

const assert = require('node:assert/strict')
const https = require('node:https')
const { before, describe, it } = require('node:test')
const { PinnedClient, verifyChain } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */
/** @typedef {import('./helpers/servers').TlsTestServer} TlsTestServer */
/** @typedef {import('..').ClientOptions} ClientOptions */

/**
 * @typedef {object} Row
 * @property {string} name
 * @property {(string | Uint8Array)[]} names the certificate's; bytes are a dNSName as they are
 * @property {string} host `servername`, or an IP address to connect to
 * @property {boolean} accepted
 * @property {boolean} [node] what Node's https does with it, if something else
 * @property {RegExp} [message]
 */

const LIMIT = { timeout: 60_000 }
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])
const CODE = 'ERR_TLS_CERT_ALTNAME_INVALID'

/** @type {Certificate} */ let root

before(async () => {
  root = await ca({ name: 'Root' })
})

/** @type {Row[]} */
const ROWS = [
  { name: 'its own name', names: ['api.example'], host: 'api.example', accepted: true },
  { name: 'one of several names', names: ['a.example', '192.0.2.7', 'b.example'], host: 'b.example', accepted: true },
  {
    name: 'another name',
    names: ['other.example', 'more.example'],
    host: 'api.example',
    accepted: false,
    message: /not valid for api\.example, only for .*other\.example.*more\.example/
  },
  { name: 'a name that ends alike', names: ['api.example'], host: 'evil-api.example', accepted: false },
  { name: 'a name below it', names: ['api.example'], host: 'v1.api.example', accepted: false },
  { name: 'the parent', names: ['v1.api.example'], host: 'api.example', accepted: false },
  { name: 'upper case in the host', names: ['api.example'], host: 'API.Example', accepted: true },
  { name: 'upper case in the certificate', names: ['API.Example'], host: 'api.example', accepted: true },
  { name: 'a trailing dot of the host', names: ['api.example'], host: 'api.example.', accepted: true },
  { name: 'an underscore', names: ['my_host.example'], host: 'my_host.example', accepted: true },

  {
    name: 'U-labels for A-labels',
    names: ['xn--bcher-kva.example'],
    host: 'bücher.example',
    accepted: true,
    node: false
  },
  { name: 'A-labels for A-labels', names: ['xn--bcher-kva.example'], host: 'XN--BCHER-kva.example', accepted: true },
  { name: 'U-labels of another name', names: ['xn--bcher-kva.example'], host: 'bucher.example', accepted: false },
  {
    name: 'U-labels in the certificate',
    names: [Buffer.from('bücher.example')],
    host: 'xn--bcher-kva.example',
    accepted: false
  },

  { name: 'a wildcard', names: ['*.api.example'], host: 'v1.api.example', accepted: true },
  { name: 'a wildcard, upper case', names: ['*.API.example'], host: 'V1.api.example', accepted: true },
  { name: 'a wildcard and an A-label', names: ['*.api.example'], host: 'bücher.api.example', accepted: true },
  { name: 'a wildcard and two labels', names: ['*.api.example'], host: 'a.b.api.example', accepted: false },
  { name: 'a wildcard and no label', names: ['*.api.example'], host: 'api.example', accepted: false },
  { name: 'part of a label', names: ['v*.api.example'], host: 'v1.api.example', accepted: false, node: true },
  { name: 'a wildcard inside', names: ['v1.*.example'], host: 'v1.api.example', accepted: false },
  { name: 'two wildcards', names: ['*.*.example'], host: 'v1.api.example', accepted: false },
  { name: 'a wildcard for everything', names: ['*'], host: 'localhost', accepted: false },
  { name: 'a wildcard for a whole top level', names: ['*.example'], host: 'api.example', accepted: false },

  { name: 'NUL after the name', names: [Buffer.from('api.example\0.evil.test')], host: 'api.example', accepted: false },
  {
    name: 'NUL before the name',
    names: [Buffer.from('evil.test\0.api.example')],
    host: 'api.example',
    accepted: false
  },
  { name: 'NUL at the end', names: [Buffer.from('api.example\0')], host: 'api.example', accepted: false },
  { name: 'a blank at the end', names: [Buffer.from('api.example ')], host: 'api.example', accepted: false },
  { name: 'two names in one', names: [Buffer.from('a.test, DNS:api.example')], host: 'api.example', accepted: false },

  { name: 'its IPv4 address', names: ['127.0.0.1'], host: '127.0.0.1', accepted: true },
  { name: 'another IPv4 address', names: ['127.0.0.2'], host: '127.0.0.1', accepted: false },
  { name: 'its IPv6 address', names: ['::1'], host: '::1', accepted: true },
  { name: 'another IPv6 address', names: ['::2', '127.0.0.1'], host: '::1', accepted: false },
  { name: 'an IPv4 address as a dNSName', names: [Buffer.from('127.0.0.1')], host: '127.0.0.1', accepted: false },
  { name: 'an IPv6 address as a dNSName', names: [Buffer.from('::1')], host: '::1', accepted: false },
  { name: 'a wildcard for an address', names: [Buffer.from('*.0.0.1')], host: '127.0.0.1', accepted: false },
  { name: 'an IPv4-mapped address', names: ['::ffff:127.0.0.1'], host: '127.0.0.1', accepted: false },
  { name: 'only addresses, for a name', names: ['127.0.0.1', '::1'], host: 'localhost', accepted: false },
  { name: 'only names, for an address', names: ['localhost'], host: '127.0.0.1', accepted: false }
]

describe('a certificate with', LIMIT, () => {
  for (const { name, names, host, accepted, node = accepted, message = /not valid for|cannot be read/ } of ROWS) {
    it(`${name} is ${accepted ? 'accepted' : 'refused'}: ${host}`, async t => {
      const cert = await leaf({ issuer: root, names, subject: 'CN=Server' })
      for (const version of VERSIONS) {
        const server = await serve(t, { cert, host: host === '::1' ? host : undefined, version })
        await assertVerdict(server, { pins: cert.pin, ca: root.pem }, { host, accepted, message })
        assert.equal(await nodeAccepts(server, host), node, 'the verdict of Node')
      }
      const options = { chain: cert.der, hostname: host, pins: cert.pin, ca: root.pem }
      if (accepted) assert.equal(verifyChain(options).matched, cert.pin)
      else assert.throws(() => verifyChain(options), { code: CODE })
    })
  }

  for (const [host, subject] of [
    ['api.example', 'CN=api.example'],
    ['127.0.0.1', 'CN=127.0.0.1']
  ]) {
    it(`no subjectAltName is refused, whatever the common name: ${host}`, async t => {
      const cert = await leaf({ issuer: root, rawSan: null, subject })
      const server = await serve(t, { cert })
      const message = new RegExp(`no subject alternative name, .*not valid for ${host}.*common name`)
      await assertVerdict(server, { pins: cert.pin, ca: root.pem }, { host, accepted: false, message })
      // Node falls back to the common name, for names only.
      assert.equal(await nodeAccepts(server, host), host === 'api.example')
    })
  }

  it('another subjectAltName is refused, whatever the common name', async t => {
    const cert = await leaf({ issuer: root, names: ['other.example'], subject: 'CN=api.example' })
    const server = await serve(t, { cert })
    await assertVerdict(server, { pins: cert.pin, ca: root.pem }, { host: 'api.example', accepted: false })
    assert.equal(await nodeAccepts(server, 'api.example'), false)
  })
})

describe("a URL's host", LIMIT, () => {
  for (const host of ['LOCALHOST', 'localhost.', '127.1', '0x7f000001', '2130706433', '127.0.0.1.']) {
    it(`${host} is the host it means`, async t => {
      const cert = await leaf({ issuer: root })
      const server = await serve(t, { cert })
      const canonical = /^l/i.test(host) ? 'localhost' : '127.0.0.1'
      const { tls } = await request(`https://${host}:${server.port}`, { pins: { [canonical]: cert.pin }, ca: root.pem })
      assert.equal(tls.pattern, canonical)
      const [{ servername }] = server.requests
      assert.equal(servername, canonical === 'localhost' ? canonical : false)
    })
  }
})

describe('servername', LIMIT, () => {
  it('is the identity for the policy, for SNI and for the certificate', async t => {
    const cert = await leaf({ issuer: root, names: ['api.example'] })
    const server = await serve(t, { cert })
    for (const pattern of ['api.example', '*.example', '**.api.example', `api.example:${server.port}`]) {
      const pins = { [pattern]: cert.pin, localhost: root.certPin }
      const { tls } = await request(server.url, { pins, ca: root.pem, servername: 'API.example' })
      assert.equal(tls.pattern, pattern)
      assert.equal(tls.matched, cert.pin)
    }
    assert.deepEqual(new Set(server.requests.map(({ servername }) => servername)), new Set(['api.example']))
  })

  it("leaves the URL's host to the connection and to the Host header", async t => {
    const cert = await leaf({ issuer: root, names: ['api.example'] })
    const server = await serve(t, { cert })
    await request(server.url, { pins: cert.pin, ca: root.pem, servername: 'api.example' })
    assert.equal(server.requests[0].headers.host, `localhost:${server.port}`)
  })

  it("is not satisfied by an entry or a certificate for the URL's host", async t => {
    const cert = await leaf({ issuer: root })
    const server = await serve(t, { cert })
    const options = { ca: root.pem, servername: 'api.example' }
    const unlisted = { ...options, pins: { localhost: cert.pin, '*.localhost': cert.pin, 'api.example:1': cert.pin } }
    await assert.rejects(request(server.url, unlisted), { code: 'ERR_TLS_PIN_UNLISTED', host: 'api.example' })
    assert.equal(server.connections, 0, 'nothing is dialled for a host that the policy does not list')
    await assertVerdict(server, { ...options, pins: cert.pin }, { host: 'api.example', accepted: false })
  })

  it('may be an address, which is sent to nobody', async t => {
    const cert = await leaf({ issuer: root, names: ['127.0.0.1'] })
    const server = await serve(t, { cert })
    await request(server.url, { pins: { '127.0.0.1': cert.pin }, ca: root.pem, servername: '127.0.0.1' })
    assert.equal(server.requests[0].servername, false)
  })

  for (const servername of ['', 'a b.example', 'api..example', '*.example', 'api.example:443', 'https://api.example']) {
    it(`refuses what is no host: ${JSON.stringify(servername)}`, async t => {
      const cert = await leaf({ issuer: root, names: ['*.example', 'localhost'] })
      const server = await serve(t, { cert })
      const options = { pins: cert.pin, ca: root.pem, servername }
      await assert.rejects(async () => request(server.url, options), /host|servername/i)
      assert.equal(server.connections, 0)
    })
  }
})

describe('a server with a certificate for each name', LIMIT, () => {
  for (const version of VERSIONS) {
    it(`is pinned by the certificate of the name that is asked for, ${version}`, async t => {
      const [a, b] = await Promise.all(['a.example', 'b.example'].map(name => leaf({ issuer: root, names: [name] })))
      const cert = await leaf({ issuer: root })
      const server = await serve(t, { cert, version, sni: { 'a.example': a, 'b.example': b } })
      const pins = { 'a.example': a.pin, 'b.example': b.pin, localhost: cert.pin }
      for (const [servername, own] of /** @type {const} */ ([
        ['a.example', a],
        ['b.example', b],
        [undefined, cert]
      ])) {
        const { tls } = await request(server.url, { pins, ca: root.pem, servername })
        assert.equal(tls.matched, own.pin)
        assert.equal(tls.path[0].fingerprint256, own.fingerprint256)
      }
      await server.settled()
      const { appBytes } = server
      const swapped = { 'a.example': b.pin, 'b.example': a.pin }
      for (const servername of ['a.example', 'b.example']) {
        const options = { pins: swapped, ca: root.pem, servername }
        await assert.rejects(request(server.url, options), { code: 'ERR_TLS_PIN_MISMATCH', host: servername })
      }
      await server.settled()
      assert.equal(server.appBytes, appBytes)
    })
  }
})

/**
 * @param {import('node:test').TestContext} t
 * @param {Partial<import('./helpers/servers').TlsOptions> & { cert: Certificate, version?: 'TLSv1.2' | 'TLSv1.3' }} options
 */
async function serve(t, { version, ...options }) {
  const server = await httpsServer({ ...options, ...(version && { minVersion: version, maxVersion: version }) })
  t.after(() => server.close())
  return server
}

/**
 * @param {string} url
 * @param {ClientOptions} options
 */
async function request(url, options) {
  const client = new PinnedClient(options)
  try {
    const response = await client.request(url)
    await response.text()
    return response
  } finally {
    await client.close()
  }
}

/**
 * @param {TlsTestServer} server
 * @param {ClientOptions} options
 * @param {{ host: string, accepted: boolean, message?: RegExp }} expected
 */
async function assertVerdict(server, options, { host, accepted, message = /not valid for/ }) {
  const { url, servername } = address(server, host)
  const answer = request(url, { ...options, servername })
  if (accepted) return assert.equal((await answer).status, 200)
  await assert.rejects(answer, { code: CODE, message, phase: 'handshake' })
  await server.settled()
  assert.equal(server.connections, 1)
  assert.equal(server.appBytes, 0, 'no application byte arrived')
}

/**
 * @param {TlsTestServer} server
 * @param {string} host
 * @returns {Promise<boolean>}
 */
function nodeAccepts(server, host) {
  const { url, servername } = address(server, host)
  return new Promise((resolve, reject) => {
    https
      .get(url, { agent: false, ca: root.pem, servername }, response =>
        response.resume().on('end', () => resolve(true))
      )
      .on('error', error => ('code' in error && error.code === CODE ? resolve(false) : reject(error)))
  })
}

/**
 * An address is dialled, any other name is told to a server on localhost.
 *
 * @param {TlsTestServer} server
 * @param {string} host
 */
function address({ port, url }, host) {
  if (host === '::1') return { url: `https://[::1]:${port}` }
  return host === '127.0.0.1' ? { url: `https://${host}:${port}` } : { url, servername: host }
}

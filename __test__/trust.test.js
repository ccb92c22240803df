'use strict'
// Promise: pins never replace the verification of the path, except in `trust: 'pin-only'`, where the leaf's own pin is all
// there is. What is not trusted is refused with the code that Node's https has for the same server.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const fs = require('node:fs/promises')
const https = require('node:https')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
const { promisify } = require('node:util')
const { PinnedClient, pinnedRequest, verifyChain } = require('..')
const { ca, crl, daysFromNow, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */
/** @typedef {import('./helpers/servers').TlsTestServer} TlsTestServer */
/** @typedef {import('..').ClientOptions} ClientOptions */

const LIMIT = { timeout: 60_000 }
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])
const OK = 'accepted'
const MISMATCH = 'ERR_TLS_PIN_MISMATCH'
const EXPIRED = 'CERT_HAS_EXPIRED'
const EARLY = 'CERT_NOT_YET_VALID'
const WRONG_NAME = 'ERR_TLS_CERT_ALTNAME_INVALID'
const SELF_SIGNED = 'DEPTH_ZERO_SELF_SIGNED_CERT'
const NO_ISSUER = 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'
const NO_LEAF_ISSUER = 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'
const PAST = { notBefore: daysFromNow(-60), notAfter: daysFromNow(-1) }
const FUTURE = { notBefore: daysFromNow(1) }

/** @type {Certificate} */ let root
/** @type {Certificate} */ let intermediate
/** @type {Certificate} */ let server
/** Another intermediate of the root. @type {Certificate} */ let outer
/** Another root. @type {Certificate} */ let other
/** A CA with a key of its own, of the intermediate's name. @type {Certificate} */ let namesake

before(async () => {
  root = await ca({ name: 'Root' })
  intermediate = await ca({ name: 'Intermediate', issuer: root })
  server = await leaf({ issuer: intermediate })
  outer = await ca({ name: 'Outer', issuer: root })
  other = await ca({ name: 'Other' })
  const { subject, subjectKeyId } = intermediate
  namesake = await ca({ name: 'unused', subject, subjectKeyId })
})

/**
 * @typedef {object} Row
 * @property {string} name
 * @property {() => Promise<Setting>} build
 * @property {string} code
 * @property {string} [node] Node's code, if it is another
 */

/**
 * @typedef {object} Setting
 * @property {Certificate} cert
 * @property {Certificate[]} [chain]
 * @property {Certificate[]} [anchors] the option `ca`; without it Node's own store
 * @property {string[]} [crls]
 */

/** @type {Row[]} */
const PRIVATE = [
  { name: 'a whole private chain', build: () => sent([intermediate, root]), code: 'SELF_SIGNED_CERT_IN_CHAIN' },
  { name: 'a private chain without its root', build: () => sent([intermediate]), code: NO_ISSUER },
  { name: 'a leaf alone', build: () => sent([]), code: NO_LEAF_ISSUER },
  { name: 'a self-signed leaf', build: selfSigned({}), code: SELF_SIGNED },
  { name: 'a self-signed leaf with CA:TRUE', build: selfSigned({ ca: true }), code: SELF_SIGNED },
  { name: 'a self-signed leaf and a stranger', build: selfSigned({}, () => [root]), code: SELF_SIGNED },
  // Who sends strangers is told what the leaf leads to, not what was sent.
  { name: 'a leaf and a stranger', build: () => sent([outer]), code: NO_LEAF_ISSUER },
  { name: 'a leaf and its root, nothing between', build: () => sent([root]), code: NO_LEAF_ISSUER },
  { name: 'a leaf and a self-signed stranger', build: () => sent([other]), code: NO_LEAF_ISSUER },
  { name: 'a leaf twice', build: () => sent([server]), code: NO_LEAF_ISSUER },
  { name: 'a chain and a self-signed stranger', build: () => sent([intermediate, other]), code: NO_ISSUER }
]

/** @type {Row[]} */
const GIVEN = [
  { name: 'the root', build: async () => trusting([root]), code: OK },
  { name: 'another root', build: async () => trusting([other]), code: NO_ISSUER },
  { name: 'both roots', build: async () => trusting([other, root]), code: OK },
  {
    name: 'another root of the same name',
    build: async () => trusting([await reissued({ keyPair: undefined })]),
    code: 'CERT_SIGNATURE_FAILURE'
  },
  { name: 'an expired leaf', build: () => dated(PAST), code: EXPIRED },
  { name: 'a leaf not yet valid', build: () => dated(FUTURE), code: EARLY },
  { name: 'an expired root', build: async () => trusting([await reissued(PAST)]), code: EXPIRED },
  { name: 'a root not yet valid', build: async () => trusting([await reissued(FUTURE)]), code: EARLY },
  { name: 'an expired root and its renewal', build: async () => trusting([await reissued(PAST), root]), code: OK },
  { name: 'a root and its expired self', build: async () => trusting([root, await reissued(PAST)]), code: OK },
  // Node asks for `allowPartialTrustChain` here, which it has from 22.9 on.
  { name: 'an intermediate', build: async () => trusting([intermediate]), code: OK, node: 'UNABLE_TO_GET_ISSUER_CERT' },
  {
    name: 'an intermediate that the server does not send',
    build: async () => ({ cert: server, anchors: [intermediate] }),
    code: OK,
    node: 'UNABLE_TO_GET_ISSUER_CERT'
  },
  {
    name: 'the leaf, issued by an unknown CA',
    build: async () => ({ cert: server, anchors: [server] }),
    code: NO_LEAF_ISSUER
  },
  { name: 'a self-signed leaf (CA:FALSE)', build: trustingItself({}), code: OK },
  // Only `trust: 'pin-only'` takes what `openssl req -x509` makes.
  { name: 'a self-signed leaf (CA:TRUE)', build: trustingItself({ ca: true }), code: SELF_SIGNED, node: OK }
]

/** @type {Row[]} */
const REVOCATION = [
  { name: 'good lists', build: () => revoked({}), code: OK },
  { name: 'a revoked leaf', build: () => revoked({ leaves: [server] }), code: 'CERT_REVOKED' },
  { name: 'a revoked intermediate', build: () => revoked({ issuers: [intermediate] }), code: 'CERT_REVOKED' },
  { name: 'another leaf revoked', build: async () => revoked({ leaves: [await leaf({ issuer: root })] }), code: OK },
  { name: "no list of the leaf's issuer", build: () => revoked({ without: 0 }), code: 'UNABLE_TO_GET_CRL' },
  { name: "no list of the intermediate's issuer", build: () => revoked({ without: 1 }), code: 'UNABLE_TO_GET_CRL' },
  {
    name: 'an expired list',
    build: () => revoked({ dates: { thisUpdate: daysFromNow(-9), nextUpdate: daysFromNow(-1) } }),
    code: 'CRL_HAS_EXPIRED'
  },
  { name: 'a list signed by a namesake', build: () => revoked({ issuer: namesake }), code: 'CRL_SIGNATURE_FAILURE' }
]

for (const [title, rows] of /** @type {const} */ ([
  ["Node's trust store", PRIVATE],
  ['ca', GIVEN],
  ['crl', REVOCATION]
])) {
  describe(title, LIMIT, () => {
    for (const { name, build, code, node = code } of rows) {
      for (const version of VERSIONS) {
        it(`${name}: ${code}, ${version}`, async t => {
          const { cert, chain, anchors, crls } = await build()
          const running = await serve(t, { cert, chain, version })
          const options = { ...(anchors && { ca: anchors.map(({ pem }) => pem) }), ...(crls && { crl: crls }) }
          assert.equal(await verdict(running, { ...options, pins: cert.pin }), code)
          if (code !== OK) await assertUntouched(running)
          assert.equal(await nodeVerdict(running, options), node, 'the verdict of Node')
        })
      }
    }
  })
}

describe('NODE_EXTRA_CA_CERTS', LIMIT, () => {
  /** @type {string} */ let folder
  /** @type {string} */ let extra
  before(async () => {
    folder = await fs.mkdtemp(path.join(os.tmpdir(), 'tls-pinning-'))
    extra = path.join(folder, 'extra.pem')
    await fs.writeFile(extra, `${other.pem}\n${root.pem}`)
  })
  after(() => fs.rm(folder, { recursive: true }))

  it('adds every certificate of its file', async t => {
    const running = await serve(t, await sent([intermediate]))
    assert.equal(await inChild(running.url, server.pin, { NODE_EXTRA_CA_CERTS: extra }), OK)
    assert.equal(running.requests.length, 1)
  })

  it('is no trust where it is not set, empty or names no file', async t => {
    const running = await serve(t, await sent([intermediate]))
    for (const file of [undefined, '', path.join(folder, 'none.pem')]) {
      assert.equal(await inChild(running.url, server.pin, { NODE_EXTRA_CA_CERTS: file }), NO_ISSUER)
    }
    await assertUntouched(running)
  })

  it('is replaced by ca, not extended', async t => {
    const running = await serve(t, await sent([intermediate]))
    const env = { NODE_EXTRA_CA_CERTS: extra, OTHER_CA: other.pem }
    assert.equal(await inChild(running.url, server.pin, env), NO_ISSUER)
    await assertUntouched(running)
  })

  it('replaces no pin', async t => {
    const running = await serve(t, await sent([intermediate]))
    assert.equal(await inChild(running.url, other.pin, { NODE_EXTRA_CA_CERTS: extra }), MISMATCH)
    await assertUntouched(running)
  })
})

describe('NODE_TLS_REJECT_UNAUTHORIZED=0', LIMIT, () => {
  it('switches nothing off', async t => {
    const running = await serve(t, await sent([intermediate]))
    const env = { NODE_TLS_REJECT_UNAUTHORIZED: '0' }
    assert.equal(await inChild(running.url, server.pin, env), NO_ISSUER)
    await assertUntouched(running)
  })
})

describe("trust: 'pin-only'", LIMIT, () => {
  /** @type {{ name: string, build: () => Promise<Setting>, pins: (cert: Certificate) => any, code: string }[]} */
  const ROWS = [
    { name: 'what `openssl req -x509` makes', build: selfSigned({ ca: true }), pins: one => one.pin, code: OK },
    { name: 'a self-signed leaf', build: selfSigned({}), pins: one => one.certPin, code: OK },
    { name: 'the leaf of an unknown CA', build: () => sent([intermediate]), pins: one => one.pin, code: OK },
    { name: 'a leaf without its chain', build: () => sent([]), pins: one => one.certPin, code: OK },
    { name: 'a leaf role', build: selfSigned({}), pins: one => ({ localhost: { leaf: one.pin } }), code: OK },
    { name: 'another pin', build: selfSigned({ ca: true }), pins: () => root.pin, code: MISMATCH },
    {
      name: 'pins of issuers that are sent',
      build: () => sent([intermediate, root]),
      pins: () => [root.pin, root.certPin, intermediate.pin, intermediate.certPin],
      code: MISMATCH
    },
    {
      name: 'a ca role',
      build: selfSigned({ ca: true }),
      pins: one => ({ localhost: { ca: [one.pin, one.certPin] } }),
      code: MISMATCH
    },
    {
      name: 'a TLSA record for issuers',
      build: selfSigned({ ca: true }),
      pins: one => one.certPin.replace('cert:sha256:', '2 0 1 '),
      code: MISMATCH
    },
    {
      name: 'mode: report',
      build: selfSigned({}),
      pins: () => ({ localhost: { pins: root.pin, mode: 'report' } }),
      code: MISMATCH
    },
    {
      name: 'an expired entry that the policy lets through',
      build: selfSigned({}),
      pins: one => ({ localhost: { pins: one.pin, expires: '2020-01-01T00:00:00Z', onExpiry: 'allow' } }),
      code: 'ERR_TLS_PIN_UNLISTED'
    },
    {
      name: 'an unlisted host that the policy lets through',
      build: selfSigned({}),
      pins: one => ({ unlisted: 'allow', hosts: { 'a.example': one.pin } }),
      code: 'ERR_TLS_PIN_UNLISTED'
    },
    { name: 'an expired leaf', build: selfSigned({ ca: true, ...PAST }), pins: one => one.pin, code: EXPIRED },
    { name: 'a leaf not yet valid', build: selfSigned(FUTURE), pins: one => one.pin, code: EARLY },
    {
      name: 'another name',
      build: selfSigned({ ca: true, names: ['a.test'] }),
      pins: one => one.pin,
      code: WRONG_NAME
    },
    { name: 'no name', build: selfSigned({ rawSan: null }), pins: one => one.pin, code: WRONG_NAME }
  ]
  for (const { name, build, pins, code } of ROWS) {
    for (const version of VERSIONS) {
      it(`${name}: ${code}, ${version}`, async t => {
        const { cert, chain } = await build()
        const running = await serve(t, { cert, chain, version })
        assert.equal(await verdict(running, { pins: pins(cert), trust: 'pin-only' }), code)
        if (code !== OK) await assertUntouched(running)
      })
    }
  }

  it('says that only the leaf counts, and shows it alone', async t => {
    const running = await serve(t, await sent([intermediate]))
    const client = new PinnedClient({ pins: intermediate.pin, trust: 'pin-only' })
    t.after(() => client.destroy())
    await assert.rejects(client.request(running.url), (/** @type {any} */ error) => {
      assert.deepEqual(
        error.path.map((/** @type {any} */ step) => step.spkiPin),
        [server.pin]
      )
      assert.match(error.message, /no certificate that this server proved possession of/)
      return true
    })
    await assertUntouched(running)
  })

  it('is named by the error for a self-signed leaf', async t => {
    const cert = await leaf({ selfSigned: true })
    const running = await serve(t, { cert })
    const client = new PinnedClient({ pins: cert.pin })
    t.after(() => client.destroy())
    await assert.rejects(client.request(running.url), { message: /trust: 'pin-only'/ })
  })
})

describe('options that would switch verification off', LIMIT, () => {
  /** @type {[name: string, options: () => Record<string, any>][]} */
  const UNSAFE = [
    ['rejectUnauthorized: false', () => ({ rejectUnauthorized: false })],
    ['rejectUnauthorized: 0', () => ({ rejectUnauthorized: 0 })],
    ['rejectUnauthorized: null', () => ({ rejectUnauthorized: null })],
    ["rejectUnauthorized: false with trust: 'pin-only'", () => ({ rejectUnauthorized: false, trust: 'pin-only' })],
    ["ca with trust: 'pin-only'", () => ({ ca: root.pem, trust: 'pin-only' })],
    ["crl with trust: 'pin-only'", () => ({ crl: revocationList, trust: 'pin-only' })]
  ]
  /** @type {string} */ let revocationList
  before(async () => {
    revocationList = await crl({ issuer: intermediate, revoked: [server] })
  })

  for (const [name, options] of UNSAFE) {
    it(`${name}: ERR_TLS_PIN_UNSAFE`, async () => {
      const all = { pins: server.pin, ...options() }
      assert.throws(() => new PinnedClient(all), { code: 'ERR_TLS_PIN_UNSAFE', name: 'PinPolicyError' })
      await assert.rejects(pinnedRequest('https://localhost:1', all), { code: 'ERR_TLS_PIN_UNSAFE' })
    })
  }

  for (const option of ['ca', 'crl']) {
    it(`${option} with trust: 'pin-only' in verifyChain: ERR_TLS_PIN_UNSAFE`, () => {
      const given = { [option]: option === 'ca' ? root.pem : revocationList }
      const options = {
        chain: server.pem,
        hostname: 'localhost',
        pins: server.pin,
        trust: /** @type {const} */ ('pin-only')
      }
      assert.throws(() => verifyChain({ ...options, ...given }), { code: 'ERR_TLS_PIN_UNSAFE' })
    })
  }
})

/** @param {Certificate[]} chain what the server sends after its leaf */
async function sent(chain) {
  return { cert: server, chain }
}

/** @param {Certificate[]} anchors */
function trusting(anchors) {
  return { cert: server, chain: [intermediate], anchors }
}

/** @param {{ notBefore?: Date, notAfter?: Date }} dates of the leaf */
async function dated(dates) {
  return { ...trusting([root]), cert: await leaf({ issuer: intermediate, ...dates }) }
}

/**
 * The root once more, of the same name and key id, and of the same key where nothing else is said.
 *
 * @param {Partial<Parameters<typeof ca>[0]>} changes
 */
function reissued(changes) {
  const { keyPair, subject, subjectKeyId } = root
  return ca({ name: 'unused', keyPair, subject, subjectKeyId, ...changes })
}

/** @param {Partial<Parameters<typeof leaf>[0]>} options */
function selfSigned(options, chain = () => /** @type {Certificate[]} */ ([])) {
  return async () => ({ cert: await leaf({ ...options, selfSigned: true }), chain: chain() })
}

/** @param {Partial<Parameters<typeof leaf>[0]>} options */
function trustingItself(options) {
  return async () => {
    const { cert } = await selfSigned(options)()
    return { cert, anchors: [cert] }
  }
}

/**
 * Lists of both issuers.
 *
 * @param {{ leaves?: Certificate[], issuers?: Certificate[], without?: number, dates?: object, issuer?: Certificate }} options
 */
async function revoked({ leaves = [], issuers = [], without, dates, issuer = intermediate }) {
  const lists = [await crl({ issuer, revoked: leaves, ...dates }), await crl({ issuer: root, revoked: issuers })]
  return { ...trusting([root]), crls: lists.filter((_, index) => index !== without) }
}

/**
 * @param {import('node:test').TestContext} t
 * @param {{ cert: Certificate, chain?: Certificate[], version?: 'TLSv1.2' | 'TLSv1.3' }} options
 */
async function serve(t, { version, ...options }) {
  const running = await httpsServer({ ...options, ...(version && { minVersion: version, maxVersion: version }) })
  t.after(() => running.close())
  return running
}

/**
 * @param {TlsTestServer} running
 * @param {ClientOptions} options
 */
async function verdict({ url }, options) {
  const client = new PinnedClient(options)
  try {
    const response = await client.request(url)
    assert.equal(await response.text(), 'ok')
    return OK
  } catch (error) {
    return /** @type {any} */ (error).code
  } finally {
    await client.close()
  }
}

/** @param {TlsTestServer} running */
async function assertUntouched(running) {
  await running.settled()
  assert.equal(running.appBytes, 0, 'no application byte arrived')
}

/**
 * @param {TlsTestServer} running
 * @param {{ ca?: string[], crl?: string[] }} options
 */
function nodeVerdict({ url }, options) {
  return new Promise(resolve => {
    https
      .get(url, { agent: false, ...options }, response => response.resume().on('end', () => resolve(OK)))
      .on('error', error => resolve(/** @type {any} */ (error).code))
  })
}

/**
 * The verdict of another process, where the environment is read at start.
 *
 * @param {string} url
 * @param {string} pins
 * @param {Record<string, string | undefined>} env `OTHER_CA`: its option `ca`
 */
async function inChild(url, pins, env) {
  const program = `
    const { pinnedRequest } = require(${JSON.stringify(require.resolve('..'))})
    const [url, pins] = process.argv.slice(1)
    pinnedRequest(url, { pins, ca: process.env.OTHER_CA }).then(
      response => response.text().then(text => console.log(text === 'ok' ? 'accepted' : text)),
      error => console.log(error.code)
    )`
  const { NODE_EXTRA_CA_CERTS: _, ...inherited } = process.env
  const options = { env: { ...inherited, ...env }, timeout: 30_000 }
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program, url, pins], options)
  return stdout.trim()
}

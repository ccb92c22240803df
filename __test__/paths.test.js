'use strict'
// Promise: pins match on the verified path and nowhere else, the path takes the pins into account, and the chain may
// reach the client in any order and with anything added.

const assert = require('node:assert/strict')
const { after, before, describe, it } = require('node:test')
const { PinnedClient } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */
/** @typedef {import('./helpers/servers').TlsTestServer} TlsTestServer */
/** @typedef {import('..').ClientOptions} ClientOptions */

const LIMIT = { timeout: 60_000 }
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])

/** root > outer > inner > server, and what has nothing to do with it. */
/** @type {Certificate} */ let root
/** @type {Certificate} */ let outer
/** @type {Certificate} */ let inner
/** @type {Certificate} */ let server
/** @type {Certificate} */ let stranger
/** @type {Certificate} */ let strangerRoot
/** @type {Certificate[]} */ let path

before(async () => {
  root = await ca({ name: 'Root' })
  outer = await ca({ name: 'Outer', issuer: root })
  inner = await ca({ name: 'Inner', issuer: outer })
  server = await leaf({ issuer: inner })
  strangerRoot = await ca({ name: 'Stranger Root' })
  stranger = await leaf({ issuer: strangerRoot, names: ['stranger.example'] })
  path = [server, inner, outer, root]
})

/** What the server sends after its own certificate. @type {Record<string, () => Certificate[]>} */
const SENT = {
  'in order, without the root': () => [inner, outer],
  'in order, with the root': () => [inner, outer, root],
  backwards: () => [root, outer, inner],
  'with duplicates': () => [inner, inner, outer, server, outer, inner],
  'with strangers': () => [stranger, inner, strangerRoot, outer],
  'strangers between duplicates, backwards': () => [outer, strangerRoot, root, inner, stranger, inner, root]
}

for (const version of VERSIONS) {
  describe(`a chain over ${version}`, LIMIT, () => {
    for (const [how, chain] of Object.entries(SENT)) {
      it(`sent ${how}: any pin of the path is accepted, no other`, async t => {
        const running = await serve(t, { cert: server, chain: chain(), version })
        for (const cert of path) {
          for (const pins of [cert.pin, cert.certPin]) {
            const { tls } = await accepted(running, { pins, ca: root.pem })
            assert.equal(tls.matched, pins)
            assert.deepEqual(
              tls.path.map(step => step.fingerprint256),
              path.map(one => one.fingerprint256)
            )
          }
        }
        for (const cert of [stranger, strangerRoot]) {
          for (const pins of [cert.pin, cert.certPin]) {
            const error = await refused(running, { pins, ca: [root.pem, strangerRoot.pem] }, 'ERR_TLS_PIN_MISMATCH')
            assert.deepEqual(error.path.map(fingerprint), path.map(fingerprint))
          }
        }
      })
    }

    for (const [missing, chain, code] of /** @type {[string, () => Certificate[], string][]} */ ([
      ['both intermediates', () => [], 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
      ['the inner intermediate', () => [outer], 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
      ['the outer intermediate', () => [inner], 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY']
    ])) {
      it(`without ${missing}: is refused, whatever is pinned`, async t => {
        const running = await serve(t, { cert: server, chain: chain(), version })
        for (const { pin } of path) await refused(running, { pins: pin, ca: root.pem }, code)
      })
    }
  })
}

describe('the error of a mismatch', LIMIT, () => {
  it('prints the path, leaf first, and then the pins of the policy entry', async t => {
    const running = await serve(t, { cert: server, chain: [outer, inner] })
    const entry = { pins: [stranger.pin], leaf: [inner.pin], ca: [server.certPin] }
    const error = await refused(running, { pins: { '**.localhost': entry }, ca: root.pem }, 'ERR_TLS_PIN_MISMATCH')
    assert.equal(
      error.message,
      [
        `ERR_TLS_PIN_MISMATCH: localhost:${running.port}: no certificate on the verified path of this server matches a pin`,
        "  The server's verified path, leaf first:",
        `    ${server.pin}  CN=localhost`,
        `    ${inner.pin}  CN=Inner`,
        `    ${outer.pin}  CN=Outer`,
        `    ${root.pin}  CN=Root`,
        '  The pins for "**.localhost":',
        `    ${stranger.pin}`,
        `    ${inner.pin}  (leaf only)`,
        `    ${server.certPin}  (issuers only)`
      ].join('\n')
    )
    assert.equal(error.name, 'PinMismatchError')
    assert.equal(error.pattern, '**.localhost')
    assert.deepEqual(error.expected, [stranger.pin, inner.pin, server.certPin])
    assert.deepEqual(
      error.path.map((/** @type {any} */ step) => [step.subject, step.issuer, step.spkiPin]),
      [
        ['CN=localhost', 'CN=Inner', server.pin],
        ['CN=Inner', 'CN=Outer', inner.pin],
        ['CN=Outer', 'CN=Root', outer.pin],
        ['CN=Root', 'CN=Root', root.pin]
      ]
    )
  })
})

describe('a role', LIMIT, () => {
  /** @type {TlsTestServer} */ let running
  before(async () => {
    running = await httpsServer({ cert: server, chain: [inner, outer] })
  })
  after(() => running.close())

  /** @type {{ role: 'pins' | 'leaf' | 'ca', allowed: () => Certificate[] }[]} */
  const ROLES = [
    { role: 'pins', allowed: () => path },
    { role: 'leaf', allowed: () => [server] },
    { role: 'ca', allowed: () => [inner, outer, root] }
  ]
  for (const { role, allowed } of ROLES) {
    it(`${role}: matches where it may on the path and nowhere else`, async () => {
      for (const cert of path) {
        for (const pin of [cert.pin, cert.certPin]) {
          const options = { pins: { localhost: { [role]: [pin] } }, ca: root.pem }
          if (!allowed().includes(cert)) await refused(running, options, 'ERR_TLS_PIN_MISMATCH')
          else assert.equal((await accepted(running, options)).tls.matched, pin)
        }
      }
    })
  }

  it('any one of the lists is enough', async () => {
    const entry = { pins: stranger.pin, leaf: stranger.pin, ca: [stranger.pin, outer.pin] }
    const { tls } = await accepted(running, { pins: { localhost: entry }, ca: root.pem })
    assert.equal(tls.matched, outer.pin)
    assert.equal(tls.pattern, 'localhost')
  })

  it('leaf and ca: a key on both ends of a path counts in each place by itself', async t => {
    // A CA that runs its own site with the CA's key.
    const cert = await leaf({ issuer: inner, keyPair: inner.keyPair })
    const shared = await serve(t, { cert, chain: [inner, outer] })
    for (const role of ['leaf', 'ca']) {
      await accepted(shared, { pins: { localhost: { [role]: inner.pin } }, ca: root.pem })
    }
    await refused(shared, { pins: { localhost: { leaf: inner.certPin } }, ca: root.pem }, 'ERR_TLS_PIN_MISMATCH')
    await refused(shared, { pins: { localhost: { ca: cert.certPin } }, ca: root.pem }, 'ERR_TLS_PIN_MISMATCH')
  })
})

describe('twin paths', LIMIT, () => {
  /** @type {Certificate} */ let otherRoot
  /** The intermediate `outer`, same name and key, signed by the other root. @type {Certificate} */ let twin

  before(async () => {
    otherRoot = await ca({ name: 'Other Root' })
    twin = await ca({ name: 'Outer', issuer: otherRoot, keyPair: outer.keyPair, subject: outer.subject })
  })

  for (const version of VERSIONS) {
    for (const order of ['as signed', 'reversed']) {
      it(`both roots trusted, ${order}, ${version}: the path that satisfies the pins is taken`, async t => {
        const inOrder = (/** @type {any[]} */ list) => (order === 'reversed' ? list.toReversed() : list)
        const running = await serve(t, { cert: server, chain: [inner, ...inOrder([outer, twin])], version })
        for (const anchors of [
          [root.pem, otherRoot.pem],
          [otherRoot.pem, root.pem]
        ]) {
          for (const [cert, anchor] of [
            [root, root],
            [outer, root],
            [otherRoot, otherRoot],
            [twin, otherRoot]
          ]) {
            const pins = cert === root || cert === otherRoot ? [cert.pin, cert.certPin] : [cert.certPin]
            for (const pin of pins) {
              const { tls } = await accepted(running, { pins: pin, ca: anchors })
              assert.equal(tls.matched, pin)
              assert.equal(tls.path.at(-1)?.fingerprint256, anchor.fingerprint256)
            }
          }
          await refused(running, { pins: stranger.pin, ca: anchors }, 'ERR_TLS_PIN_MISMATCH')
        }
      })

      it(`one root trusted, ${order}, ${version}: the twin's root is no help, though its pin is right`, async t => {
        const chain = order === 'reversed' ? [inner, twin, outer, otherRoot] : [inner, outer, otherRoot, twin]
        const running = await serve(t, { cert: server, chain, version })
        for (const pins of [otherRoot.pin, otherRoot.certPin, twin.certPin]) {
          const error = await refused(running, { pins, ca: root.pem }, 'ERR_TLS_PIN_MISMATCH')
          assert.deepEqual(error.path.map(fingerprint), path.map(fingerprint))
        }
        await accepted(running, { pins: twin.pin, ca: root.pem })
      })
    }
  }

  it('a renewed root: each of the two certificates of one key and name can be pinned', async t => {
    const renewed = await ca({ name: 'Root', keyPair: root.keyPair, subject: root.subject })
    const running = await serve(t, { cert: server, chain: [inner, outer] })
    for (const anchors of [
      [root.pem, renewed.pem],
      [renewed.pem, root.pem]
    ]) {
      for (const pins of [root.certPin, renewed.certPin, root.pin]) {
        assert.equal((await accepted(running, { pins, ca: anchors })).tls.matched, pins)
      }
    }
    await refused(running, { pins: renewed.certPin, ca: root.pem }, 'ERR_TLS_PIN_MISMATCH')
  })
})

/**
 * @param {import('node:test').TestContext} t
 * @param {{ cert: Certificate, chain: Certificate[], version?: 'TLSv1.2' | 'TLSv1.3' }} options
 */
async function serve(t, { cert, chain, version }) {
  const running = await httpsServer({ cert, chain, ...(version && { minVersion: version, maxVersion: version }) })
  t.after(() => running.close())
  return running
}

/**
 * @param {TlsTestServer} target
 * @param {ClientOptions} options
 */
async function accepted(target, options) {
  const client = new PinnedClient(options)
  try {
    const response = await client.request(target.url)
    assert.equal(await response.text(), 'ok')
    return response
  } finally {
    await client.close()
  }
}

/**
 * @param {TlsTestServer} target
 * @param {ClientOptions} options
 * @param {string} code
 * @returns {Promise<any>} the error
 */
async function refused(target, options, code) {
  await target.settled()
  const { appBytes, connections } = target
  const error = await accepted(target, options).catch(reason => reason)
  assert.equal(error.code, code, String(error.message ?? 'the server was accepted'))
  await target.settled()
  assert.equal(target.connections, connections + 1)
  assert.equal(target.appBytes, appBytes, 'no application byte arrived')
  return error
}

/** @param {{ fingerprint256: string | null }} certificate */
function fingerprint({ fingerprint256 }) {
  return fingerprint256
}

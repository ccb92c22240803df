'use strict'
// Promise: a pin of any certificate on the path to an honest server lets it through, in whatever order it sends its certificates
// and whether or not the check knows the trust anchors, as far as Node shows what is needed; where it does not, that is written
// down here.

const assert = require('node:assert/strict')
const { before, describe, it } = require('node:test')
const { createCheckServerIdentity, tlsOptions } = require('..')
const { BODY, httpsStatus } = require('./helpers/node-tls')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */
/** @typedef {import('node:test').TestContext} TestContext */

const LIMIT = { timeout: 60_000 }
const OTHER = `sha256/${'A'.repeat(43)}=`

/** root > upper > lower > server */
/** @type {Certificate} */ let root
/** @type {Certificate} */ let upper
/** @type {Certificate} */ let lower
/** @type {Certificate} */ let server
/** @type {Certificate} */ let stranger

before(async () => {
  root = await ca({ name: 'Root' })
  upper = await ca({ name: 'Upper', issuer: root })
  lower = await ca({ name: 'Lower', issuer: upper })
  server = await leaf({ issuer: lower })
  stranger = await ca({ name: 'Stranger' })
})

/**
 * What becomes of one request: its status, or the code of the error.
 * @param {{ url: string }} to
 * @param {any} pins
 * @param {{ trusted: Certificate[], given?: Certificate[] }} options `trusted`: by Node. `given`: to the check
 */
async function outcome({ url }, pins, { trusted, given }) {
  const anchors = trusted.map(({ pem }) => pem)
  const checkServerIdentity = createCheckServerIdentity(pins, { ca: given?.map(({ pem }) => pem) })
  return httpsStatus(url, { agent: false, ca: anchors, checkServerIdentity, body: BODY }).catch(error => error.code)
}

/**
 * The certificates that Node shows, the server's own first.
 * @param {{ url: string }} to
 * @param {Certificate[]} trusted
 */
async function shownBy({ url }, trusted) {
  /** @type {Set<string>} */
  const shown = new Set()
  const checkServerIdentity = (/** @type {string} */ _, /** @type {any} */ cert) => {
    for (let at = cert; at && !shown.has(at.fingerprint256); at = at.issuerCertificate) shown.add(at.fingerprint256)
    return undefined
  }
  await httpsStatus(url, { agent: false, ca: trusted.map(({ pem }) => pem), checkServerIdentity })
  return [...shown]
}

/** @param {TestContext} t @param {Certificate} cert @param {Certificate[]} chain @param {object} [options] */
async function start(t, cert, chain, options) {
  const started = await httpsServer({ cert, chain, ...options })
  t.after(() => started.close())
  return started
}

for (const version of /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])) {
  describe(`pins at each depth (${version})`, LIMIT, () => {
    const bounds = { minVersion: version, maxVersion: version }
    for (const given of [false, true]) {
      it(`${given ? 'with' : 'without'} the anchors: key and certificate of every one, in the entry's list for it`, async t => {
        const to = await start(t, server, [lower, upper], bounds)
        const options = { trusted: [root], ...(given && { given: [root] }) }
        for (const [depth, { pin, certPin }] of [server, lower, upper, root].entries()) {
          for (const one of [pin, certPin]) {
            const [own, other] = depth === 0 ? ['leaf', 'ca'] : ['ca', 'leaf']
            assert.equal(await outcome(to, one, options), 200)
            assert.equal(await outcome(to, { localhost: { [own]: one } }, options), 200)
            const { appBytes } = to
            assert.equal(await outcome(to, { localhost: { [other]: one } }, options), 'ERR_TLS_PIN_MISMATCH')
            assert.equal(to.appBytes, appBytes)
          }
        }
        const { appBytes } = to
        for (const { pin } of [stranger, { pin: OTHER }]) {
          assert.equal(await outcome(to, pin, options), 'ERR_TLS_PIN_MISMATCH')
        }
        await to.settled()
        assert.equal(to.appBytes, appBytes)
      })
    }
  })
}

describe('servers that send their certificates as they like', LIMIT, () => {
  /** @type {Certificate} */ let namesake

  before(async () => {
    namesake = await ca({ name: 'Lower', issuer: stranger })
  })

  /** @type {[string, () => Certificate[]][]} */
  const CHAINS = [
    ['in order', () => [lower, upper]],
    ['with the root', () => [lower, upper, root]],
    ['twice', () => [lower, lower, upper, upper, lower]],
    ['their own once more', () => [server, lower, server, upper]],
    ['among strangers', () => [stranger, lower, stranger, upper, stranger]],
    ['with a namesake', () => [lower, upper, namesake]]
  ]

  for (const [name, chain] of CHAINS) {
    it(`${name}: every pin of the path, with and without the anchors`, async t => {
      const to = await start(t, server, chain())
      for (const { pin, certPin } of [server, lower, upper, root]) {
        for (const given of [undefined, [root], [stranger, root]]) {
          assert.equal(await outcome(to, pin, { trusted: [root], given }), 200)
          assert.equal(await outcome(to, certPin, { trusted: [root], given }), 200)
        }
      }
      const { appBytes } = to
      for (const given of [undefined, [root]]) {
        assert.equal(await outcome(to, stranger.pin, { trusted: [root, stranger], given }), 'ERR_TLS_PIN_MISMATCH')
      }
      await to.settled()
      assert.equal(to.appBytes, appBytes)
    })
  }

  for (const [name, chain] of /** @type {typeof CHAINS} */ ([
    ['in reverse', () => [upper, lower]],
    ['the root first', () => [root, upper, lower]]
  ])) {
    it(`${name}, a limit: Node shows the first issuer and stops, so that pins further up are not seen`, async t => {
      const to = await start(t, server, chain())
      assert.deepEqual(
        await shownBy(to, [root]),
        [server, lower].map(({ fingerprint256 }) => fingerprint256)
      )
      assert.equal(await outcome(to, server.pin, { trusted: [root], given: [root] }), 200)
      for (const { pin } of [server, lower]) assert.equal(await outcome(to, pin, { trusted: [root] }), 200)
      await to.settled()
      const { appBytes } = to
      for (const { pin } of [upper, root]) {
        assert.equal(await outcome(to, pin, { trusted: [root] }), 'ERR_TLS_PIN_MISMATCH')
      }
      // With the anchors given, there has to be a path to them.
      for (const { pin } of [lower, upper, root]) {
        assert.equal(await outcome(to, pin, { trusted: [root], given: [root] }), 'ERR_TLS_PIN_MISMATCH')
      }
      await to.settled()
      assert.equal(to.appBytes, appBytes)
    })
  }
})

describe('cross-signed twins', LIMIT, () => {
  /** lower's key and name, below another root. */
  /** @type {Certificate} */ let twin
  /** @type {Certificate} */ let otherRoot

  before(async () => {
    otherRoot = await ca({ name: 'Other Root' })
    twin = await ca({ name: 'Lower', issuer: otherRoot, keyPair: lower.keyPair })
  })

  for (const order of ['first', 'last']) {
    it(`the twin ${order}: both keys are one pin, and the root that OpenSSL goes to matches`, async t => {
      const first = order === 'first'
      const to = await start(t, server, first ? [twin, lower, upper] : [lower, upper, twin])
      const [used, unused] = first ? [otherRoot, root] : [root, otherRoot]
      for (const trusted of [[used], [root, otherRoot]]) {
        for (const given of [undefined, trusted]) {
          for (const { pin } of [server, lower, twin, used])
            assert.equal(await outcome(to, pin, { trusted, given }), 200)
          const { appBytes } = to
          // A limit: what leads there is not shown.
          assert.equal(await outcome(to, unused.pin, { trusted, given }), 'ERR_TLS_PIN_MISMATCH')
          assert.equal(to.appBytes, appBytes)
        }
      }
      // Nor does Node itself find the way to the other one.
      const plain = { agent: /** @type {const} */ (false), ca: unused.pem }
      await assert.rejects(httpsStatus(to.url, plain), { code: /^UNABLE_TO_/ })
    })
  }
})

describe('anchors', LIMIT, () => {
  it('a root that the server did not send matches, with the anchors and without', async t => {
    const to = await start(t, server, [lower, upper])
    for (const given of [undefined, [root]]) {
      assert.equal(await outcome(to, root.pin, { trusted: [root], given }), 200)
      assert.equal(await outcome(to, { localhost: { ca: root.certPin } }, { trusted: [root], given }), 200)
    }
  })

  it('a private CA that Node was given and the check was not: its pins match, and strangers’ do not', async t => {
    const to = await start(t, server, [lower, upper])
    for (const { pin } of [server, lower, upper, root]) assert.equal(await outcome(to, pin, { trusted: [root] }), 200)
    const { appBytes } = to
    assert.equal(await outcome(to, stranger.pin, { trusted: [root] }), 'ERR_TLS_PIN_MISMATCH')
    await to.settled()
    assert.equal(to.appBytes, appBytes)
  })

  it('given to the check they are the only ones: a pin below another counts for the server’s own key alone', async t => {
    const to = await start(t, server, [lower, upper])
    const options = { trusted: [root], given: [stranger] }
    for (const { pin } of [lower, upper, root, stranger]) {
      assert.match(
        String(await outcome(to, pin, options)),
        /^UNABLE_TO_|^SELF_SIGNED_CERT_IN_CHAIN$|^ERR_TLS_PIN_MISMATCH$/
      )
    }
    await to.settled()
    assert.equal(to.appBytes, 0)
    assert.equal(await outcome(to, server.pin, options), 200)
  })

  it('an intermediate may be one, in Node by allowPartialTrustChain', async t => {
    const to = await start(t, server, [lower])
    const checkServerIdentity = createCheckServerIdentity(lower.pin, { ca: lower.pem })
    const options = {
      agent: /** @type {const} */ (false),
      ca: lower.pem,
      checkServerIdentity,
      allowPartialTrustChain: true
    }
    assert.equal(await httpsStatus(to.url, options), 200)
    const refuse = { ...options, checkServerIdentity: createCheckServerIdentity(root.pin, { ca: lower.pem }) }
    const { appBytes } = to
    await assert.rejects(httpsStatus(to.url, refuse), { code: 'ERR_TLS_PIN_MISMATCH' })
    await to.settled()
    assert.equal(to.appBytes, appBytes)
  })

  it('in every form that Node’s own option ca has', async t => {
    const to = await start(t, server, [lower, upper])
    const both = root.pem + stranger.pem
    for (const anchors of [
      root.pem,
      [root.pem],
      both,
      [both],
      Buffer.from(root.pem),
      [Buffer.from(both)],
      [stranger.pem, root.pem]
    ]) {
      const checkServerIdentity = createCheckServerIdentity(root.pin, { ca: anchors })
      assert.equal(await httpsStatus(to.url, { agent: false, ca: anchors, checkServerIdentity }), 200)
      assert.equal(await httpsStatus(to.url, { agent: false, ...tlsOptions(root.pin, { ca: anchors }) }), 200)
    }
  })

  it('a self-signed server that is trusted as it is', async t => {
    for (const isAuthority of [true, false]) {
      const device = await leaf({ selfSigned: true, ca: isAuthority })
      const to = await start(t, device, [])
      for (const given of [undefined, [device]]) {
        for (const pins of [device.pin, device.certPin, { localhost: { leaf: device.pin } }]) {
          assert.equal(await outcome(to, pins, { trusted: [device], given }), 200)
        }
        const { appBytes } = to
        assert.notEqual(await outcome(to, OTHER, { trusted: [device], given }), 200)
        await to.settled()
        assert.equal(to.appBytes, appBytes)
      }
    }
  })
})

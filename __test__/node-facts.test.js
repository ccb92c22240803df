'use strict'
// Promise: what Node's TLS does around pins is as we say, on the Node that runs this, and each trap in it is closed or a limit
// that is written down. Here: what shall never leave, pins as the only trust, how clients reach TLS, and what a version of Node
// has. The other `node-facts-*` suites hold the rest. Every title begins with the fact.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { before, describe, it } = require('node:test')
const tls = require('node:tls')
const { tlsOptions } = require('..')
const { BODY, codeOf, http2Status, httpsStatus, inProcess, nodeIsAtLeast, tlsStatus } = require('./helpers/node-tls')
const { OURS } = require('./helpers/ours')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const LIMIT = { timeout: 120_000 }
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])

/** @type {Certificate} */ let root
/** @type {Certificate} */ let intermediate
/** @type {Certificate} */ let victim
/** @type {Certificate} */ let rogueRoot
/** @type {Certificate} */ let rogue

before(async () => {
  root = await ca({ name: 'Good Root' })
  intermediate = await ca({ name: 'Intermediate', issuer: root })
  victim = await leaf({ issuer: intermediate })
  rogueRoot = await ca({ name: 'Rogue Root' })
  rogue = await leaf({ issuer: rogueRoot })
})

describe('a mismatch that the check returns sends no application byte', LIMIT, () => {
  for (const version of VERSIONS) {
    const bounds = { minVersion: version, maxVersion: version }

    it(`over ${version}, by Node: not even what is written before the handshake`, async t => {
      const server = await httpsServer({ cert: rogue, http2: true, ...bounds })
      t.after(() => server.close())
      const options = { ca: rogueRoot.pem, checkServerIdentity: () => new Error('no'), body: BODY }
      for (const attempt of [
        () => httpsStatus(server.url, { ...options, agent: false }),
        () => tlsStatus(server, options),
        () => http2Status(server.url, options)
      ]) {
        await assert.rejects(attempt(), { message: 'no' })
      }
      await server.settled()
      assert.equal(server.connections, 3)
      assert.equal(server.appBytes, 0)
    })

    for (const { name, status } of OURS) {
      it(`over ${version}, by ${name}`, async t => {
        const server = await httpsServer({ cert: rogue, http2: true, ...bounds })
        t.after(() => server.close())
        const pins = [victim.pin, intermediate.pin, root.pin]
        const anchors = [root.pem, rogueRoot.pem]
        const error = await status({ server, pins, ca: anchors }).catch(reason => reason)
        assert.equal(codeOf(error), 'ERR_TLS_PIN_MISMATCH', String(error))
        await server.settled()
        assert.equal(server.connections, 1)
        assert.equal(server.appBytes, 0)
        assert.deepEqual(server.requests, [])
        // Last: the very same request goes through when the pins say so.
        for (const pin of [rogue.pin, rogueRoot.pin]) {
          assert.equal(await status({ server, pins: [pin], ca: anchors }), 200)
        }
        assert.ok(server.appBytes > 2 * BODY.length)
      })
    }
  }
})

describe('ca with allowPartialTrustChain makes one certificate the only trust', LIMIT, () => {
  it('in Node: a certificate below an unknown issuer is trusted, by that option alone', async t => {
    const server = await httpsServer({ cert: victim, chain: [intermediate] })
    t.after(() => server.close())
    const status = (/** @type {object} */ options) =>
      httpsStatus(server.url, { agent: false, ca: victim.pem, ...options })
    await assert.rejects(status({}), { code: /^UNABLE_TO_/ })
    await assert.rejects(status({ allowPartialTrustChain: false }), { code: /^UNABLE_TO_/ })
    assert.equal(await status({ allowPartialTrustChain: true }), 200)
  })

  it('by tlsOptions: the pinned certificate is, and no CA beside it', async t => {
    const server = await httpsServer({ cert: victim, chain: [intermediate] })
    const other = await httpsServer({ cert: await leaf({ issuer: intermediate }), chain: [intermediate] })
    t.after(() => Promise.all([server.close(), other.close()]))
    for (const pins of [{ certificate: victim.pem }, [{ publicKey: victim.x509 }]]) {
      const options = tlsOptions(pins, { trust: 'pin-only', host: 'localhost' })
      assert.equal(await httpsStatus(server.url, { agent: false, ...options }), 200)
      await assert.rejects(httpsStatus(other.url, { agent: false, ...options, body: BODY }), { code: /^UNABLE_TO_/ })
    }
    await other.settled()
    assert.equal(other.appBytes, 0)
  })

  it('by tlsOptions: a self-signed server', async t => {
    const device = await leaf({ selfSigned: true })
    const server = await httpsServer({ cert: device })
    const other = await httpsServer({ cert: await leaf({ selfSigned: true }) })
    t.after(() => Promise.all([server.close(), other.close()]))
    const options = tlsOptions({ certificate: device.pem }, { trust: 'pin-only' })
    assert.equal(await httpsStatus(server.url, { agent: false, ...options }), 200)
    await assert.rejects(httpsStatus(other.url, { agent: false, ...options, body: BODY }), {
      code: 'DEPTH_ZERO_SELF_SIGNED_CERT'
    })
    await other.settled()
    assert.equal(other.appBytes, 0)
  })
})

describe(
  'https, http2 and undici look up tls.connect when they connect, and TLS tls.checkServerIdentity',
  LIMIT,
  () => {
    it('in Node', async t => {
      const server = await httpsServer({ cert: victim, chain: [intermediate], http2: true })
      t.after(() => server.close())
      const program = `
      const https = require('node:https')
      const { request, Agent } = require(require.resolve('undici', { paths: [ROOT] }))
      const tls = require('node:tls')
      const { http2Status, httpsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
      const seen = []
      for (const name of ['connect', 'checkServerIdentity']) {
        const real = tls[name]
        tls[name] = (...args) => (seen.push(name), real(...args))
      }
      const { url, ca } = DATA
      ;(async () => {
        await httpsStatus(url, { ca, agent: false })
        tell(seen.splice(0))
        await http2Status(url, { ca })
        tell(seen.splice(0))
        const dispatcher = new Agent({ connect: { ca } })
        await (await request(url, { dispatcher })).body.dump()
        tell(seen.splice(0))
        await dispatcher.destroy()
      })()`
      const { told, stderr } = await inProcess(program, { url: server.url, ca: root.pem })
      assert.deepEqual(told, Array(3).fill(['connect', 'checkServerIdentity']), stderr)
    })
  }
)

describe('a version of Node may lack tls.getCACertificates and allowPartialTrustChain', LIMIT, () => {
  it('getCACertificates is there from 22.15, 23.10 and 24 on', () => {
    const there = typeof (/** @type {any} */ (tls).getCACertificates) === 'function'
    assert.equal(there, nodeIsAtLeast('20.999.0', '22.15.0', '23.10.0', '24.0.0'))
  })

  it('the default trust anchors include NODE_EXTRA_CA_CERTS either way, and no issuer of somebody else', async t => {
    const server = await httpsServer({ cert: victim, chain: [intermediate] })
    t.after(() => server.close())
    const program = `
      const { PinnedAgent, createCheckServerIdentity, tlsOptions } = require(ROOT)
      const { codeOf, httpsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
      const attempt = options => httpsStatus(DATA.url, options).then(tell, error => tell(codeOf(error)))
      ;(async () => {
        for (const pins of DATA.pins) {
          await attempt({ agent: false, checkServerIdentity: createCheckServerIdentity(pins) })
          await attempt({ agent: false, ...tlsOptions(pins) })
          const agent = new PinnedAgent(pins)
          await attempt({ agent })
          agent.destroy()
        }
      })()`
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'extra-ca-'))
    t.after(() => fs.rmSync(folder, { recursive: true }))
    const file = path.join(folder, 'ca.pem')
    fs.writeFileSync(file, root.pem)
    // The server does not send its root: to see its pin, it has to be known as an anchor.
    const data = { url: server.url, pins: [victim.pin, intermediate.pin, root.pin, rogueRoot.pin] }
    const { told, stderr } = await inProcess(program, data, { env: { NODE_EXTRA_CA_CERTS: file } })
    assert.deepEqual(told, [...Array(9).fill(200), ...Array(3).fill('ERR_TLS_PIN_MISMATCH')], stderr)
    const { requests } = server
    assert.equal(requests.length, 9)
  })

  it('allowPartialTrustChain is there from 20.18, 22.9 and 23 on, and tlsOptions asks for it', () => {
    assert.ok(nodeIsAtLeast('20.18.0', '22.9.0', '23.0.0'), process.version)
    assert.equal(tlsOptions({ certificate: victim.pem }, { trust: 'pin-only' }).allowPartialTrustChain, true)
  })
})

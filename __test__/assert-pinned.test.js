'use strict'
// Promise: `assertPinned` passes for clients that obey their pins, and names what arrived for those that do not: the usual
// mistakes each fail it.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const https = require('node:https')
const tls = require('node:tls')
const { describe, it } = require('node:test')
const undici = require('undici')
const { PinnedAgent, PinnedClient, pinnedConnector, pinnedRequest, tlsOptions } = require('..')
const { assertPinned } = require('tls-pinning/testing')

const LIMIT = { timeout: 60_000 }
/** Fixed after Node 22.23.1, 24.18.0 and 26.5.0: connections and sessions were shared whatever the check. */
const SHARES = Number(process.versions.node.split('.')[0]) < 22

/** @typedef {import('../testing.js').TestServer} TestServer */

/** @type {Record<string, (server: TestServer) => unknown>} */
const PINNED = {
  PinnedClient: async ({ url, ca, pins }) => {
    const client = new PinnedClient({ ca, pins })
    await (await client.request(url)).text()
    await client.close()
  },
  pinnedRequest: async ({ url, ca, pins }) => (await pinnedRequest(url, { ca, pins })).text(),
  PinnedAgent: ({ url, ca, pins }) => get(url, { agent: new PinnedAgent(pins, { ca }) }),
  'tlsOptions in the global agent': ({ url, ca, pins }) => get(url, tlsOptions(pins, { ca })),
  'tlsOptions in an agent that keeps alive': ({ url, ca, pins }) =>
    get(url, { agent: shared, ...tlsOptions(pins, { ca }) }),
  'undici, fetch': async ({ url, ca, pins }) => {
    const dispatcher = new undici.Agent({ connect: pinnedConnector(pins, { ca }) })
    await (await undici.fetch(url, { dispatcher })).text()
    await dispatcher.close()
  }
}
const shared = new https.Agent({ keepAlive: true })

/** @type {{ name: string, client: (server: TestServer) => unknown, says: RegExp }[]} */
const UNPINNED = [
  {
    name: 'no pins',
    client: ({ url, ca }) => get(url, { ca, agent: false }),
    says: /is not pinned.*\d+ bytes.*GET \/ HTTP/
  },
  {
    name: 'pins of every certificate that Node shows',
    client: ({ url, ca, pins }) => get(url, { ca, agent: false, checkServerIdentity: walk(pins) }),
    says: /shows the pinned intermediate.*\d+ bytes/
  },
  {
    name: 'a check after the answer',
    client: ({ url, ca, pins }) =>
      get(url, { ca, agent: false }, socket => pins.includes(pinOf(socket.getPeerCertificate()))),
    says: /is not pinned.*\d+ bytes/
  },
  {
    name: 'a check whose answer is ignored',
    client: ({ url, ca, pins }) =>
      get(url, { agent: false, rejectUnauthorized: false, ca, checkServerIdentity: walk(pins) }),
    says: /is not pinned.*\d+ bytes/
  },
  {
    name: 'the documented digest of an EC key',
    client: ({ url, ca, pins }) => get(url, { ca, agent: false, checkServerIdentity: documented(pins) }),
    says: /whose key is pinned.*failed.*prove nothing/
  },
  { name: 'always an error', client: async () => assert.fail('out of order'), says: /prove nothing: out of order/ },
  { name: 'never an answer', client: () => new Promise(() => {}), says: /did neither succeed nor fail/ },
  { name: 'no request at all', client: async () => {}, says: /nothing arrived/ },
  {
    name: 'an error that is nothing',
    client: async ({ url, ca }) => {
      await get(url, { ca, agent: false })
      throw undefined
    },
    says: /failed without a reason/
  },
  {
    name: 'a refusal that nobody hears of',
    client: ({ url, ca, pins }) => get(url, { agent: new PinnedAgent(pins, { ca }) }).catch(() => {}),
    says: /nothing arrived, and the request did not fail/
  },
  ...(SHARES
    ? [
        {
          name: 'a shared agent',
          client: (/** @type {TestServer} */ { url, ca, pins }) =>
            get(url, { ca, agent: shared, checkServerIdentity: walk(pins) }),
          says: /is not pinned.*\d+ bytes/
        }
      ]
    : [])
]

describe('assertPinned', LIMIT, () => {
  for (const [name, client] of Object.entries(PINNED)) {
    it(`passes for ${name}`, () => assertPinned(client))
  }

  for (const { name, client, says } of UNPINNED) {
    it(`rejects for ${name}`, async () => {
      const failed = await assertPinned(client, { timeout: 500 }).catch(error => error)
      assert.ok(failed instanceof assert.AssertionError, String(failed))
      assert.match(failed.message, says)
    })
  }

  it('speaks other protocols, by other names', async () => {
    /** @type {Set<string>} */
    const versions = new Set()
    await assertPinned(
      ({ host, port, ca, pins }) =>
        new Promise((resolve, reject) => {
          assert.equal(host, '127.0.0.1')
          const socket = tls.connect({ port, host, ca, ...tlsOptions(pins, { ca }) }, () => {
            versions.add(String(socket.getProtocol()))
            socket.write('ping')
          })
          socket.on('error', reject).on('data', data => {
            socket.destroy()
            data.toString() === 'pong' ? resolve(undefined) : reject(new Error(data.toString()))
          })
        }),
      { names: ['127.0.0.1', 'localhost'], serve: socket => socket.on('data', () => socket.write('pong')) }
    )
    assert.deepEqual([...versions].sort(), ['TLSv1.2', 'TLSv1.3'])
  })

  it('refuses wrong arguments', async () => {
    await assert.rejects(assertPinned(/** @type {any} */ (undefined)), { code: 'ERR_INVALID_ARG_TYPE' })
    await assert.rejects(
      assertPinned(() => {}, /** @type {any} */ ({ port: 1 })),
      { code: 'ERR_INVALID_ARG_VALUE' }
    )
    await assert.rejects(
      assertPinned(() => {}, { names: ['no name at all'] }),
      { code: 'ERR_INVALID_ARG_VALUE' }
    )
  })
})

/**
 * @param {string} url
 * @param {https.RequestOptions} options
 * @param {(socket: tls.TLSSocket) => boolean} [judge]
 */
function get(url, options, judge = () => true) {
  return new Promise((resolve, reject) => {
    const request = https.get(url, options, response => {
      if (!judge(/** @type {tls.TLSSocket} */ (response.socket))) reject(new Error('not pinned'))
      response.resume().on('end', resolve)
    })
    request.on('error', reject)
  })
}

/** @param {tls.PeerCertificate} cert */
function pinOf(cert) {
  const spki = new crypto.X509Certificate(cert.raw).publicKey.export({ type: 'spki', format: 'der' })
  return `sha256/${crypto.createHash('sha256').update(spki).digest('base64')}`
}

/** @param {string[]} pins */
function walk(pins) {
  return (/** @type {string} */ host, /** @type {tls.DetailedPeerCertificate} */ cert) => {
    const seen = new Set()
    for (let at = cert; at && !seen.has(at); at = at.issuerCertificate) {
      seen.add(at)
      if (pins.includes(pinOf(at))) return tls.checkServerIdentity(host, cert)
    }
    return new Error('not pinned')
  }
}

/** As in Node's documentation of `https.request`. @param {string[]} pins */
function documented(pins) {
  return (/** @type {string} */ host, /** @type {any} */ cert) => {
    const digest = crypto.createHash('sha256').update(cert.pubkey).digest('base64')
    return pins.includes(`sha256/${digest}`) ? tls.checkServerIdentity(host, cert) : new Error('not pinned')
  }
}

'use strict'
// Promise: a pin of an issuer counts on a verified path only. Node accepts each of these servers, and often shows the pinned
// certificate in its walk over the issuers; the check refuses them, and no byte of a request arrives.

const assert = require('node:assert/strict')
const { before, describe, it } = require('node:test')
const { createCheckServerIdentity, tlsOptions } = require('..')
const { PINNED_ROOTS, MISISSUED, authorities } = require('./helpers/misissued')
const { BODY, httpsStatus } = require('./helpers/node-tls')
const { httpsServer } = require('./helpers/servers')

const LIMIT = { timeout: 60_000 }

/** @type {import('./helpers/misissued').Authorities} */ let made

before(async () => {
  made = await authorities()
})

for (const version of /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])) {
  describe(`over ${version}`, LIMIT, () => {
    /** The names of attacks for which Node shows the pinned certificate. @type {string[]} */
    const deceived = []

    for (const { name, build } of [...MISISSUED, ...PINNED_ROOTS]) {
      it(`refuses ${name}`, async t => {
        const { cert, chain, pins, anchors = [made.root, made.rogueRoot] } = await build(made)
        const server = await httpsServer({ cert, chain, minVersion: version, maxVersion: version })
        t.after(() => server.close())
        const trusted = anchors.map(({ pem }) => pem)
        let attempts = 0
        for (const pin of pins) {
          for (const ca of [trusted, undefined]) {
            for (const entry of [{ pins: pin }, { ca: pin }, { leaf: pin }]) {
              const policy = { hosts: { localhost: entry } }
              const options = { agent: /** @type {const} */ (false), ca: trusted, body: BODY }
              const checkServerIdentity = createCheckServerIdentity(policy, { ca })
              await refused(httpsStatus(server.url, { ...options, checkServerIdentity }))
              await refused(httpsStatus(server.url, { ...options, ...tlsOptions(policy, { ca: trusted }) }))
              attempts += 2
            }
          }
        }
        await server.settled()
        assert.equal(server.connections, attempts)
        assert.equal(server.appBytes, 0)

        // Last, since these bytes arrive: Node accepts the server.
        /** @type {Set<string>} */
        const shown = new Set()
        const look = (/** @type {string} */ _, /** @type {any} */ at) => {
          for (; !shown.has(at.fingerprint256); at = at.issuerCertificate) shown.add(at.fingerprint256)
          return undefined
        }
        assert.equal(await httpsStatus(server.url, { agent: false, ca: trusted, checkServerIdentity: look }), 200)
        const pinned = [made.victim, made.intermediate, made.root, ...chain, ...anchors].filter(
          ({ pin, certPin }) => pins.includes(pin) || pins.includes(certPin)
        )
        if (pinned.some(({ fingerprint256 }) => shown.has(fingerprint256))) deceived.push(name)
      })
    }

    it('accepts the victim on every pin, on the same terms', async t => {
      const { victim, intermediate, root, rogueRoot } = made
      const server = await httpsServer({
        cert: victim,
        chain: [intermediate],
        minVersion: version,
        maxVersion: version
      })
      t.after(() => server.close())
      const trusted = [root.pem, rogueRoot.pem]
      for (const { pin, certPin } of [victim, intermediate, root]) {
        for (const pins of [pin, certPin]) {
          for (const ca of [trusted, undefined]) {
            const checkServerIdentity = createCheckServerIdentity(pins, { ca })
            assert.equal(await httpsStatus(server.url, { agent: false, ca: trusted, checkServerIdentity }), 200)
          }
        }
      }
    })

    it('some of them would deceive a check that walks over the issuers', () => {
      assert.ok(deceived.length >= 10, deceived.join('; '))
    })
  })
}

/** @param {Promise<unknown>} attempt */
async function refused(attempt) {
  const error = await attempt.catch(reason => reason)
  assert.equal(error.code, 'ERR_TLS_PIN_MISMATCH', String(error))
}

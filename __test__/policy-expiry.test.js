'use strict'
// Promise: a policy that has expired as a whole, as a signed one does, lets nothing through any more, whatever it said of a
// host: no new connection, and no byte more on one that is open, native or Node's own.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const https = require('node:https')
const { before, describe, test } = require('node:test')
const { setImmediate } = require('node:timers/promises')
const { PinnedAgent, PinnedClient, PinSet, tlsOptions } = require('..')
const { HOUR, iso, keyPair, signedFor } = require('./helpers/dsse')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const LIMIT = { timeout: 30_000 }
const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const EXPIRED = { code: 'ERR_TLS_PIN_EXPIRED', message: /the pin policy as a whole has expired; put a newer one/ }
const key = keyPair()

/** @type {Awaited<ReturnType<typeof ca>>} */
let root
/** @type {Awaited<ReturnType<typeof leaf>>} */
let good

before(async () => {
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root })
})

/** What a policy may say of a host that lets it through, beside its pins. @type {Record<string, () => any>} */
const SAYINGS = {
  pinned: () => ({ hosts: { localhost: good.pin } }),
  'pinned, longer than the policy': () => ({
    hosts: { localhost: { pins: good.pin, expires: iso(Date.now() + HOUR), onExpiry: 'allow' } }
  }),
  'report only': () => ({ hosts: { localhost: { pins: OTHER, mode: 'report' } } }),
  'unlisted and allowed': () => ({ unlisted: 'allow', hosts: { 'other.example': OTHER } })
}

/**
 * A policy that expires in two or three seconds, signed.
 * @param {() => any} policy
 */
async function expiring(policy) {
  const expires = Math.ceil(Date.now() / 1000 + 2) * 1000
  const pins = await PinSet.fromSigned({
    source: () => signedFor(key, 'x', { expires: iso(expires), policy: policy() }),
    publicKeys: key.publicKey,
    interval: 0
  })
  return { pins, expires }
}

for (const [says, policy] of Object.entries(SAYINGS)) {
  describe(`a host that is ${says}`, { ...LIMIT, concurrency: true }, () => {
    for (const http2 of [false, true]) {
      test(`native client, HTTP/${http2 ? 2 : 1.1}`, async t => {
        const server = await httpsServer({ cert: good, http2 })
        const { pins, expires } = await expiring(policy)
        const client = new PinnedClient({ pins, ca: root.pem, keepAliveTimeout: 500 })
        t.after(async () => {
          await client.close()
          await server.close()
        })
        const ask = async () => (await client.request(server.url)).text()
        await ask()
        assert.ok(Date.now() < expires)
        /** @type {any} */
        let refusal
        while (!refusal) await ask().catch(error => (refusal = error))
        assert.ok(Date.now() >= expires)
        assert.equal(refusal.code, EXPIRED.code)
        // Nobody looks at what lies unused, so that its own time ends it.
        await server.settled()
        const { appBytes, connections } = server
        await assert.rejects(client.request(server.url), { ...EXPIRED, phase: 'policy' })
        assert.deepEqual([server.appBytes, server.connections], [appBytes, connections])
      })
    }

    for (const http2 of [false, true]) {
      test(`in the middle of an upload, HTTP/${http2 ? 2 : 1.1}`, async t => {
        let last = 0
        const server = await httpsServer({
          cert: good,
          http2,
          handler(request) {
            request.on('error', () => {})
            request.on('data', piece => {
              for (const time of String(piece).match(/\d{13}/g) ?? []) last = Math.max(last, Number(time))
            })
          }
        })
        const { pins, expires } = await expiring(policy)
        const client = new PinnedClient({ pins, ca: root.pem })
        t.after(async () => {
          await client.close()
          await server.close()
        })
        async function* times() {
          for (;;) {
            yield `${Date.now()} `
            await setImmediate()
          }
        }
        const uploading = client.request(server.url, { method: 'POST', body: times() })
        await assert.rejects(uploading, { code: EXPIRED.code })
        assert.ok(Date.now() >= expires)
        await server.settled()
        assert.ok(last > 0 && last < expires, `${last - expires} ms after the policy has expired`)
      })
    }

    test('Node’s own TLS', async t => {
      const server = await httpsServer({ cert: good })
      const { pins, expires } = await expiring(policy)
      const agent = new PinnedAgent(pins, { ca: root.pem, keepAlive: true })
      t.after(async () => {
        agent.destroy()
        await server.close()
      })
      const ask = () => https.get(server.url, { agent })
      const [response] = await once(ask(), 'response')
      const { socket } = response
      await once(response.resume(), 'end')
      assert.ok(Date.now() < expires)
      // Nobody uses it, and nobody asks: the policy's end is enough.
      socket.ref()
      await once(socket, 'close')
      assert.ok(Date.now() >= expires)
      await server.settled()
      const { appBytes } = server
      const [error] = await once(ask(), 'error')
      assert.equal(error.code, EXPIRED.code)
      await server.settled()
      assert.equal(server.appBytes, appBytes)
    })
  })
}

test('a policy that has expired already refuses from the start', LIMIT, async t => {
  const server = await httpsServer({ cert: good })
  t.after(() => server.close())
  const pins = new PinSet({ unlisted: 'allow', expires: '2020-01-01T00:00:00Z', hosts: { localhost: good.pin } })
  assert.equal(pins.match('localhost')?.expired, true)
  const client = new PinnedClient({ pins, ca: root.pem })
  t.after(() => client.close())
  await assert.rejects(client.request(server.url), EXPIRED)
  assert.throws(() => pins.check('localhost', [good.x509], { ca: root.pem }), EXPIRED)
  assert.throws(() => pins.check('other.example', [good.x509], { ca: root.pem }), EXPIRED)
  const options = tlsOptions(pins, { host: 'localhost', ca: root.pem })
  const request = https.get(server.url, options)
  const [error] = await once(request, 'error')
  assert.equal(error.code, EXPIRED.code)
  await server.settled()
  assert.equal(server.appBytes, 0)
  // Another that holds reopens the way.
  pins.replace({ expires: new Date(Date.now() + HOUR), hosts: { localhost: good.pin } })
  assert.equal(await (await client.request(server.url)).text(), 'ok')
})

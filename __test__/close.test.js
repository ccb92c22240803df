'use strict'
// The promise: close() waits for what is under way, destroy() ends it, and stats() says what there is.

const assert = require('node:assert/strict')
const { before, describe, test } = require('node:test')
const { PinnedClient } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @type {Awaited<ReturnType<typeof ca>>} */
let root
/** @type {Awaited<ReturnType<typeof leaf>>} */
let cert

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
})

for (const http2 of [false, true]) {
  describe(http2 ? 'HTTP/2' : 'HTTP/1.1', () => {
    test('close() resolves when the last body is over', async t => {
      const { client, server, answers } = await setUp(t, http2)
      const response = await client.request(server.url)
      const text = response.text()
      let closed = false
      const closing = client.close().then(() => {
        closed = true
      })
      await assert.rejects(client.request(server.url), { code: 'ERR_INVALID_STATE' })
      assert.equal(closed, false)
      answers[0].end('end')
      assert.equal(await text, 'begin end')
      await closing
      await server.settled()
    })

    test('close() does not wait for a body that nobody reads', async t => {
      const { client, server } = await setUp(t, http2)
      const response = await client.request(server.url)
      await client.close()
      await response.body?.cancel()
      await server.settled()
    })

    test('destroy() ends requests and bodies with its reason', async t => {
      const { client, server } = await setUp(t, http2)
      const response = await client.request(server.url)
      const waiting = assert.rejects(client.request(`${server.url}/never`), { code: 'ERR_CLIENT_DESTROYED' })
      const reading = assert.rejects(response.text(), { code: 'ERR_CLIENT_DESTROYED' })
      await client.destroy()
      await Promise.all([waiting, reading])
      await server.settled()
      await client.close()
      const other = new PinnedClient({ pins: cert.pin, ca: root.pem })
      const reason = new Error('enough')
      const refused = assert.rejects(other.request(server.url), error => error === reason)
      await other.destroy(reason)
      await refused
    })

    test('stats() counts', async t => {
      const { client, server, answers } = await setUp(t, http2)
      const response = await client.request(server.url)
      const host = `localhost:${server.port}`
      let stats = client.stats()
      assert.equal(stats.requests.underWay, 1)
      assert.deepEqual(stats.handshakes, { full: 1, resumed: 0, failed: 0 })
      assert.deepEqual(stats.hosts[host], { idle: 0, active: 1, waiting: 0, streams: http2 ? 1 : 0 })
      answers[0].end('end')
      await response.text()
      stats = client.stats()
      assert.deepEqual(stats.requests, { sent: 1, failed: 0, retried: 0, onLoop: 0, underWay: 0 })
      assert.equal(stats.bytes.sent, server.appBytes)
      assert.ok(stats.bytes.received > 'begin end'.length)
      await client.close()
      assert.equal(client.stats().requests.sent, 1)
    })
  })
}

/**
 * @param {import('node:test').TestContext} t
 * @param {boolean} http2
 */
async function setUp(t, http2) {
  /** @type {any[]} */
  const answers = []
  const handler = (/** @type {any} */ request, /** @type {any} */ response) => {
    answers.push(response)
    if (request.url === '/') response.write('begin ')
  }
  const server = await httpsServer({ cert, http2, handler })
  const client = new PinnedClient({ pins: cert.pin, ca: root.pem })
  t.after(async () => {
    await client.destroy()
    await server.close()
  })
  return { client, server, answers }
}

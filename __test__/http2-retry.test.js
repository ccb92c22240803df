'use strict'
// The promise: what an HTTP/2 server says it has not begun with is sent once more, whatever the method, and what it may
// have begun with is not.

const assert = require('node:assert/strict')
const { before, test } = require('node:test')
const { constants } = require('node:http2')
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

for (const method of ['GET', 'POST']) {
  const body = method === 'POST' ? 'a body' : undefined

  test(`a refused stream: ${method} is sent once more`, async t => {
    const { client, server } = await setUp(t, response => response.stream.close(constants.NGHTTP2_REFUSED_STREAM))
    assert.equal(await (await client.request(server.url, { method, body })).text(), 'ok')
    assert.equal(server.requests.length, 2)
    assert.equal(client.stats().requests.retried, 1)
  })

  test(`GOAWAY before the stream: ${method} is sent once more, on another connection`, async t => {
    const { client, server, held } = await setUp(t, response => {
      response.stream.session.goaway(constants.NGHTTP2_NO_ERROR, 1)
    })
    const first = await client.request(`${server.url}/held`)
    assert.equal(await (await client.request(server.url, { method, body })).text(), 'ok')
    assert.equal(server.connections, 2)
    assert.equal(client.stats().requests.retried, 1)
    // What the server has begun with, it may finish.
    held[0].end(' end')
    assert.equal(await first.text(), 'begin end')
  })

  test(`a stream that was reset otherwise: ${method} is not`, async t => {
    const { client, server } = await setUp(t, response => response.stream.close(constants.NGHTTP2_INTERNAL_ERROR))
    await assert.rejects(client.request(server.url, { method, body }), { code: 'ERR_HTTP2_STREAM_ERROR' })
    assert.equal(server.requests.length, 1)
  })
}

test('refused again: the request fails', async t => {
  const { client, server } = await setUp(t, response => response.stream.close(constants.NGHTTP2_REFUSED_STREAM), 2)
  await assert.rejects(client.request(server.url), { code: 'ERR_HTTP2_STREAM_ERROR' })
  assert.equal(server.requests.length, 2)
})

/**
 * @param {import('node:test').TestContext} t
 * @param {(response: any) => void} first What becomes of the first requests.
 * @param {number} [times]
 */
async function setUp(t, first, times = 1) {
  /** @type {any[]} */
  const held = []
  const handler = (/** @type {any} */ request, /** @type {any} */ response) => {
    if (request.url === '/held') {
      held.push(response)
      response.write('begin')
    } else if (times-- > 0) first(response)
    else response.end('ok')
  }
  const server = await httpsServer({ cert, http2: true, handler })
  const client = new PinnedClient({ pins: cert.pin, ca: root.pem })
  t.after(async () => {
    await client.destroy()
    await server.close()
  })
  return { client, server, held }
}

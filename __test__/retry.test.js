'use strict'
// The promise: a request that met a connection which its server was closing is sent once more where nothing can be done
// twice by it, decided about by the policy anew, and never otherwise.

const assert = require('node:assert/strict')
const { before, describe, test } = require('node:test')
const { PinSet, PinnedClient } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { tlsServer } = require('./helpers/servers')

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/** @type {Awaited<ReturnType<typeof ca>>} */
let root
/** @type {Awaited<ReturnType<typeof leaf>>} */
let cert

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
})

for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']) {
  test(`${method} is sent once more, on a new connection`, async t => {
    const { client, server, seen } = await setUp(t, socket => socket.destroy())
    const body = method === 'PUT' ? 'a body' : undefined
    assert.equal((await client.request(server.url, { method, body })).status, 200)
    assert.equal(server.connections, 2)
    assert.deepEqual(
      seen.map(text => text.split(' ')[0]),
      ['GET', method, method]
    )
    if (body) assert.ok(seen.slice(1).every(text => text.endsWith(body)))
    assert.equal(client.stats().requests.retried, 1)
  })
}

describe('never sent twice', () => {
  /** @type {[string, (socket: import('node:tls').TLSSocket) => void, any][]} */
  const cases = [
    ['POST', socket => socket.destroy(), { method: 'POST', body: 'once' }],
    ['PATCH', socket => socket.destroy(), { method: 'PATCH', body: 'once' }],
    ['a body that is a stream', socket => socket.destroy(), { method: 'PUT', body: ['once'] }],
    ['after a part of an answer', socket => socket.end('HTTP/1.1 2'), {}],
    ['after an answer without an end', socket => socket.end('HTTP/1.1 200 OK\r\n'), {}]
  ]
  for (const [says, answer, options] of cases) {
    test(says, async t => {
      const { client, server, seen } = await setUp(t, answer)
      await assert.rejects(client.request(server.url, options), { code: 'ECONNRESET' })
      assert.equal(server.connections, 1)
      assert.equal(seen.length, 2)
    })
  }
})

test('once, and no more', async t => {
  const { client, server, seen } = await setUp(t, socket => socket.destroy(), { always: true })
  await assert.rejects(client.request(server.url), { code: 'ECONNRESET' })
  assert.equal(server.connections, 2)
  assert.equal(seen.length, 3)
})

test('a policy that was replaced in between refuses the second attempt: nothing is sent', async t => {
  const pins = new PinSet({ hosts: { localhost: cert.pin } })
  const other = await leaf({ issuer: root })
  const { client, server, seen } = await setUp(
    t,
    socket => {
      pins.replace({ hosts: { localhost: other.pin } })
      socket.destroy()
    },
    { pins }
  )
  await assert.rejects(client.request(server.url), { code: 'ERR_TLS_PIN_MISMATCH' })
  assert.equal(seen.length, 2)
})

/**
 * A client that has one connection to a server, which answers the second request on it in its own way.
 * @param {import('node:test').TestContext} t
 * @param {(socket: import('node:tls').TLSSocket) => void} second
 * @param {{ always?: boolean, pins?: any }} [options]
 */
async function setUp(t, second, { always = false, pins = cert.pin } = {}) {
  /** @type {string[]} */
  const seen = []
  const server = await tlsServer(
    socket => {
      socket.on('data', data => {
        seen.push(String(data))
        if (seen.length === 2 || (always && seen.length > 2)) second(socket)
        else socket.write(ANSWER)
      })
    },
    { cert }
  )
  const client = new PinnedClient({ pins, ca: root.pem, allowH2: false })
  t.after(async () => {
    await client.destroy()
    await server.close()
  })
  assert.equal(await (await client.request(server.url)).text(), 'ok')
  return { client, server, seen }
}

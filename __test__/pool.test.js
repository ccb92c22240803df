'use strict'
// The promise: connections are reused as long as they are good, made when they are needed and closed when they are not;
// and what goes over them is what was asked for, whatever the protocol.

const assert = require('node:assert/strict')
const { before, describe, test } = require('node:test')
const { PinnedClient } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const PROTOCOLS = [
  { name: 'HTTP/1.1', http2: false, alpn: 'http/1.1', version: '1.1' },
  { name: 'HTTP/2', http2: true, alpn: 'h2', version: '2.0' }
]

/** @type {Awaited<ReturnType<typeof ca>>} */
let root
/** @type {Awaited<ReturnType<typeof leaf>>} */
let cert

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
})

for (const { name, http2, alpn, version } of PROTOCOLS) {
  describe(name, () => {
    test('requests one after another share one connection', async t => {
      const { server, client } = await setUp(t, { http2 })
      for (let left = 20; left > 0; left--) {
        const response = await client.request(server.url)
        assert.equal(await response.text(), 'ok')
        assert.equal(response.tls.alpn, alpn)
      }
      assert.equal(server.handshakes, 1)
      assert.deepEqual(new Set(server.requests.map(request => request.httpVersion)), new Set([version]))
    })

    test('64 requests at once share one connection where it can carry them, and have one each where not', async t => {
      const gate = barrier(64)
      const { server, client } = await setUp(t, { http2, handler: gate.handler })
      const responses = await Promise.all(Array.from({ length: 64 }, () => client.request(server.url)))
      assert.deepEqual(new Set(await Promise.all(responses.map(response => response.text()))), new Set(['together']))
      assert.equal(server.handshakes, http2 ? 1 : 64)
    })

    test('each answer goes to the request it is for', async t => {
      const handler = (/** @type {any} */ request, /** @type {any} */ response) => response.end(request.url)
      const { server, client } = await setUp(t, { http2, handler })
      const paths = Array.from({ length: 100 }, (_, index) => `/path/${index}`)
      const answers = paths.map(async path => (await client.request(server.url + path)).text())
      assert.deepEqual(await Promise.all(answers), paths)
    })

    test('a connection that was idle too long is closed', async t => {
      const { server, client } = await setUp(t, { http2 }, { keepAliveTimeout: 50 })
      await get(client, server.url)
      await server.settled()
      await get(client, server.url)
      assert.equal(server.handshakes, 2)
    })

    test('close() closes idle connections, and refuses new requests', async t => {
      const { server, client } = await setUp(t, { http2 })
      await get(client, server.url)
      await client.close()
      await server.settled()
      await assert.rejects(client.request(server.url), { code: 'ERR_INVALID_STATE' })
      assert.equal(server.requests.length, 1)
    })

    test('close() lets a request under way finish', async t => {
      const gate = barrier(2)
      const { server, client } = await setUp(t, { http2, handler: gate.handler })
      const request = client.request(server.url)
      await gate.arrived(1)
      const closing = client.close()
      gate.open()
      assert.equal(await (await request).text(), 'together')
      await closing
      await server.settled()
    })

    test('a server that closes its idle connections costs no request', async t => {
      const { server, client } = await setUp(t, { http2 })
      for (let left = 10; left > 0; left--) {
        await get(client, server.url)
        for (const socket of server.open) socket.end()
        await server.settled()
      }
      assert.equal(server.requests.length, 10)
      assert.equal(server.handshakes, 10)
    })

    test('another port is another origin', async t => {
      const { server, client } = await setUp(t, { http2 })
      const { server: other } = await setUp(t, { http2 })
      await get(client, server.url)
      await get(client, other.url)
      assert.deepEqual([server.handshakes, other.handshakes, other.resumed], [1, 1, 0])
    })

    for (const { method, status, body } of [
      { method: 'HEAD', status: 200, body: '' },
      { method: 'GET', status: 204, body: '' },
      { method: 'GET', status: 304, body: '' },
      { method: 'GET', status: 404, body: 'no' },
      { method: 'GET', status: 500, body: 'no' },
      { method: 'DELETE', status: 200, body: '' },
      { method: 'OPTIONS', status: 200, body: 'ok' },
      { method: 'PURGE', status: 200, body: 'ok' }
    ]) {
      test(`${method} answered ${status} with ${body ? 'a body' : 'none'} leaves the connection reusable`, async t => {
        const handler = (/** @type {any} */ _, /** @type {any} */ response) => {
          const length = method === 'HEAD' ? '5' : String(body.length)
          response.writeHead(status, status === 204 ? {} : { 'content-length': length }).end(body)
        }
        const { server, client } = await setUp(t, { http2, handler })
        for (let left = 2; left > 0; left--) {
          const response = await client.request(server.url, { method })
          assert.deepEqual([response.status, response.ok], [status, status < 300])
          assert.equal(await response.text(), body)
        }
        assert.equal(server.handshakes, 1)
        assert.equal(server.requests[1]?.method, method)
      })
    }

    test('a body reaches the server with its length', async t => {
      const handler = async (/** @type {any} */ request, /** @type {any} */ response) => {
        const chunks = await request.toArray()
        response.end(`${request.headers['content-length']} ${Buffer.concat(chunks)}`)
      }
      const { server, client } = await setUp(t, { http2, handler })
      for (const [body, answer] of [
        ['', '0 '],
        ['päckchen', '9 päckchen']
      ]) {
        const response = await client.request(server.url, { method: 'POST', body })
        assert.equal(await response.text(), answer)
      }
      assert.equal(server.handshakes, 1)
    })

    test('headers come and go as they are, each of several', async t => {
      const many = Object.fromEntries(Array.from({ length: 80 }, (_, index) => [`x-header-${index}`, `value ${index}`]))
      const cookies = ['a=1; Path=/', 'b=2, c']
      const handler = (/** @type {any} */ _, /** @type {any} */ response) => {
        response.writeHead(200, { ...many, 'x-latin': 'k\xe4se', 'set-cookie': cookies }).end()
      }
      const { server, client } = await setUp(t, { http2, handler })
      const response = await client.request(server.url, { headers: { ...many, accept: ['a', 'b'], 'x-latin': '\xe9' } })
      for (const [name, value] of Object.entries(many)) {
        assert.equal(response.headers.get(name), value)
        assert.equal(server.requests[0]?.headers[name], value)
      }
      assert.equal(server.requests[0]?.headers.accept, 'a, b')
      assert.equal(server.requests[0]?.headers['x-latin'], '\xe9')
      assert.equal(response.headers.get('x-latin'), 'k\xe4se')
      assert.deepEqual(response.headers.getSetCookie(), cookies)
      const raw = response.rawHeaders
      assert.deepEqual(
        raw.filter((_, index) => raw[index - 1]?.toLowerCase() === 'set-cookie' && index % 2),
        cookies
      )
    })

    test('paths and queries reach the server as a URL has them, and never the fragment', async t => {
      const { server, client } = await setUp(t, { http2 })
      const urls = ['/', '/a%20b/%C3%A4?q=1&q=2', '/?x=%00', '/a/../b', '/?', '/ä?ö=ü#fragment', '/a;b=c/d:e@f']
      for (const path of urls) {
        const url = new URL(path, server.url)
        const response = await get(client, server.url + path)
        assert.equal(response.url, url.href)
        assert.equal(response.redirected, false)
        assert.equal(server.requests.at(-1)?.url, url.pathname + url.search)
        assert.equal((await get(client, url)).url, url.href)
      }
    })

    test('an answer that comes before the whole request was sent is given out', async t => {
      const handler = (/** @type {any} */ _, /** @type {any} */ response) => response.writeHead(413).end('too much')
      const { server, client } = await setUp(t, { http2, handler })
      async function* endless() {
        for (;;) yield Buffer.alloc(16 * 1024)
      }
      const response = await client.request(server.url, { method: 'POST', body: endless() })
      assert.equal(response.status, 413)
      assert.equal(await response.text(), 'too much')
    })
  })
}

describe('choice of protocol', () => {
  for (const { says, server: options, client: clientOptions, alpn } of [
    { says: 'both speak HTTP/2', server: { http2: true }, client: {}, alpn: 'h2' },
    { says: 'the client may not', server: { http2: true }, client: { allowH2: false }, alpn: 'http/1.1' },
    { says: 'the server does not', server: { http2: false }, client: {}, alpn: 'http/1.1' }
  ]) {
    test(`${says}: ${alpn}`, async t => {
      const { server, client } = await setUp(t, options, clientOptions)
      const response = await get(client, server.url)
      assert.equal(response.tls.alpn, alpn)
      assert.equal(server.requests[0]?.alpn, alpn)
    })
  }

  test('a server that leaves ALPN out is spoken to in HTTP/1.1', async t => {
    const { server, client } = await setUp(t, { http2: false, tls: { ALPNProtocols: [] } })
    const response = await get(client, server.url)
    assert.equal(response.tls.alpn ?? null, null)
    assert.equal(server.requests[0]?.httpVersion, '1.1')
  })
})

test('no more than `connections` are open, and the other requests wait for them', async t => {
  /** @type {any[]} */
  let open = []
  let most = 0
  // Answers in pairs, so that two connections are needed and one is not enough.
  const handler = (/** @type {any} */ _, /** @type {any} */ response) => {
    open.push(response)
    most = Math.max(most, open.length)
    if (open.length < 2) return
    for (const waiting of open) waiting.end('ok')
    open = []
  }
  const { server, client } = await setUp(t, { handler }, { connections: 2 })
  const bodies = Array.from({ length: 20 }, async () => (await client.request(server.url)).text())
  assert.deepEqual(new Set(await Promise.all(bodies)), new Set(['ok']))
  assert.equal(server.connections, 2)
  assert.equal(server.requests.length, 20)
  assert.equal(most, 2)
})

test('with `connections: 1` a response that is not read holds the next request up, and lets it go when cancelled', async t => {
  const handler = (/** @type {any} */ request, /** @type {any} */ response) => {
    if (request.url === '/endless') response.write('part')
    else response.end('ok')
  }
  const { server, client } = await setUp(t, { handler }, { connections: 1 })
  const endless = await client.request(`${server.url}/endless`)
  const waiting = client.request(server.url)
  await endless.body.cancel()
  assert.equal(await (await waiting).text(), 'ok')
  assert.equal(server.connections, 2)
})

test('a status text is the one that was sent, over HTTP/2 the registered one', async t => {
  const handler = (/** @type {any} */ request, /** @type {any} */ response) => {
    if (request.httpVersion === '1.1') response.statusMessage = 'Very Fine'
    response.end()
  }
  const { server, client } = await setUp(t, { http2: true, handler })
  const { client: older } = await setUp(t, {}, { allowH2: false })
  assert.equal((await get(older, server.url)).statusText, 'Very Fine')
  assert.equal((await get(client, server.url)).statusText, 'OK')
})

test('a server that announces the end of the connection is taken at its word', async t => {
  const { server, client } = await setUp(t, { handler: { headers: { connection: 'close' }, body: 'ok' } })
  for (let left = 3; left > 0; left--) await get(client, server.url)
  assert.equal(server.handshakes, 3)
})

/**
 * A handler that answers nobody before `count` requests are there.
 * @param {number} count
 */
function barrier(count) {
  /** @type {any[]} */
  const responses = []
  /** @type {{ count: number, resolve: (value?: undefined) => void }[]} */
  const waiting = []
  const open = () => {
    for (const response of responses) response.end('together')
  }
  const handler = (/** @type {any} */ _, /** @type {any} */ response) => {
    responses.push(response)
    for (const waiter of waiting) if (responses.length >= waiter.count) waiter.resolve()
    if (responses.length === count) open()
  }
  const arrived = (/** @type {number} */ count) =>
    new Promise(resolve => {
      waiting.push({ count, resolve })
    })
  return { handler, open, arrived }
}

/**
 * @param {any} t
 * @param {any} [serverOptions]
 * @param {any} [options]
 */
async function setUp(t, serverOptions, options) {
  const server = await httpsServer({ cert, ...serverOptions })
  const client = new PinnedClient({ pins: cert.pin, ca: root.pem, ...options })
  t.after(async () => {
    await client.destroy()
    await server.close()
  })
  return { server, client }
}

/**
 * @param {PinnedClient} client
 * @param {string} url
 */
async function get(client, url) {
  const response = await client.request(url)
  assert.equal(response.status, 200)
  await response.bytes()
  return response
}

'use strict'
// The promise: with `expect: 100-continue` (RFC 9110, 10.1.1) a body leaves over HTTP/1.1 when its server asks for it or has
// said nothing for a second, and never when the server has answered already or is no longer allowed.

const assert = require('node:assert/strict')
const { Readable } = require('node:stream')
const { before, describe, test } = require('node:test')
const { PinnedClient, PinSet } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { answer, peerServer, quiet } = require('./helpers/peer')
const { httpsServer } = require('./helpers/servers')

const BOUNDED = { timeout: 10_000 }
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'
const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const EXPECT = { expect: '100-continue' }
/** Bodies that begin and end with the same words, and how each crosses to native code. */
const BODIES = {
  inline: { make: () => 'secret body' },
  'in pieces of a known length': { make: () => `secret${'.'.repeat(300 * 1024)}body` },
  'in pieces of no known length': { make: () => Readable.from(['secret', ' ', 'body']) }
}

/** @type {Awaited<ReturnType<typeof ca>>} */
let root
/** @type {Awaited<ReturnType<typeof leaf>>} */
let cert

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
})

for (const [name, { make }] of Object.entries(BODIES)) {
  describe(`a body ${name}`, () => {
    test('leaves when the server asks for it, and the connection is used again', BOUNDED, async t => {
      let early = ''
      const { client, server, url } = await setUp(t, async peer => {
        await peer.head()
        // Nobody knows what these are about, but they are no `100 Continue`.
        peer.write('HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n')
        await quiet()
        early = await peer.head()
        peer.write(CONTINUE)
        await peer.after('body')
        peer.write(answer('ok'))
        await peer.after('GET / HTTP/1.1\r\n')
        peer.write(answer('again'))
      })
      const start = Date.now()
      const response = await client.request(url, { method: 'PUT', headers: EXPECT, body: make() })
      assert.equal(await response.text(), 'ok')
      assert.ok(Date.now() - start < 900, 'it did not wait for the second to pass')
      assert.equal(early, '')
      assert.match(server.peers[0].received, /\r\nexpect: 100-continue\r\n/)
      assert.equal(await (await client.request(url)).text(), 'again')
      assert.equal(server.connections, 1)
    })

    test('leaves after a second without an answer', BOUNDED, async t => {
      let waited = 0
      const { client, url } = await setUp(t, async peer => {
        assert.equal(await peer.head(), '')
        const start = Date.now()
        await peer.after('secret')
        waited = Date.now() - start
        await peer.after('body')
        peer.write(answer('ok'))
      })
      const response = await client.request(url, { method: 'PUT', headers: EXPECT, body: make() })
      assert.equal(await response.text(), 'ok')
      assert.ok(waited > 800 && waited < 5_000, `waited ${waited} ms`)
    })

    for (const [status, body] of [
      ['417 Expectation Failed', ''],
      ['401 Unauthorized', 'who are you?'],
      ['200 OK', 'x'.repeat(1024 * 1024)]
    ]) {
      test(`never leaves when the answer is ${status}: that is given out whole`, BOUNDED, async t => {
        const { client, server, url } = await setUp(t, async (peer, number) => {
          await peer.head()
          peer.write(answer(number === 0 ? body : 'next', number === 0 ? status : undefined))
        })
        const response = await client.request(url, { method: 'PUT', headers: EXPECT, body: make() })
        assert.equal(response.status, Number.parseInt(status, 10))
        assert.equal(await response.text(), body)
        await server.peers[0].closed
        assert.equal(await server.peers[0].head(), '')
        assert.equal(await (await client.request(url)).text(), 'next')
        assert.equal(server.connections, 2)
      })
    }

    test('never leaves after a change of policy', BOUNDED, async t => {
      const { client, pins, server, url } = await setUp(t, async peer => {
        await peer.head()
        pins.replace(OTHER)
        peer.write(CONTINUE)
      })
      const request = client.request(url, { method: 'PUT', headers: EXPECT, body: make() })
      await assert.rejects(request, { code: 'ERR_TLS_PIN_MISMATCH' })
      await server.peers[0].closed
      assert.equal(await server.peers[0].head(), '')
    })

    test('never leaves once its request is aborted', BOUNDED, async t => {
      const controller = new AbortController()
      const { client, server, url } = await setUp(t, async peer => {
        await peer.head()
        controller.abort()
      })
      const { signal } = controller
      const request = client.request(url, { method: 'PUT', headers: EXPECT, body: make(), signal })
      await assert.rejects(request, { name: 'AbortError' })
      await server.peers[0].closed
      assert.equal(await server.peers[0].head(), '')
    })

    test('over HTTP/2 the header is sent, and the body does not wait', BOUNDED, async t => {
      const handler = async (/** @type {any} */ request, /** @type {any} */ response) => {
        let body = ''
        for await (const piece of request) body += piece
        response.end(body.replace(/\.+/, ' '))
      }
      const server = await httpsServer({ cert, http2: true, handler })
      const client = new PinnedClient({ pins: cert.pin, ca: root.pem })
      t.after(async () => {
        await client.destroy()
        await server.close()
      })
      const start = Date.now()
      const response = await client.request(server.url, { method: 'PUT', headers: EXPECT, body: make() })
      assert.equal(await response.text(), 'secret body')
      assert.ok(Date.now() - start < 900)
      assert.equal(server.requests[0].headers.expect, '100-continue')
    })
  })
}

test('on a connection that was idle, which may run on the event loop', BOUNDED, async t => {
  const heads = /** @type {string[]} */ ([])
  let waited = 0
  const { client, server, url } = await setUp(t, async (peer, number) => {
    if (number > 0) return peer.write(answer('next'))
    await peer.after('GET /1 ')
    peer.write(answer('1'))
    // What is behind each head before there was an answer.
    const head = async (/** @type {string} */ line) => {
      await peer.head(peer.received.length - (await peer.after(line)).length)
      return peer.received.slice(peer.received.indexOf(line)).split('\r\n\r\n')[1]
    }
    heads.push(await head('PUT /2 '))
    peer.write(CONTINUE)
    await peer.after('body 2')
    peer.write(answer('2'))
    heads.push(await head('PUT /3 '))
    const start = Date.now()
    await peer.after('body 3')
    waited = Date.now() - start
    peer.write(answer('3'))
    heads.push(await head('PUT /4 '))
    peer.write(answer('4', '401 Unauthorized'))
  })
  assert.equal(await (await client.request(`${url}1`)).text(), '1')
  for (const number of [2, 3, 4]) {
    const body = `body ${number}`
    const response = await client.request(url + number, { method: 'PUT', headers: EXPECT, body })
    assert.equal(await response.text(), String(number))
  }
  await server.peers[0].closed
  assert.deepEqual(heads, ['', '', ''])
  assert.ok(!server.peers[0].received.includes('body 4'))
  assert.ok(waited > 800 && waited < 5_000, `waited ${waited} ms`)
  assert.equal(await (await client.request(url)).text(), 'next')
  assert.equal(server.connections, 2)
})

test('a stale connection: the request is made anew, and waits anew', BOUNDED, async t => {
  let early = ''
  const { client, server, url } = await setUp(t, async (peer, number) => {
    await peer.head()
    if (number === 0) {
      peer.write(answer('first'))
      const at = peer.received.length
      await peer.head(at)
      return peer.end()
    }
    await quiet()
    early = await peer.head()
    peer.write(CONTINUE)
    await peer.after('secret body')
    peer.write(answer('ok'))
  })
  assert.equal(await (await client.request(url)).text(), 'first')
  const response = await client.request(url, { method: 'PUT', headers: EXPECT, body: 'secret body' })
  assert.equal(await response.text(), 'ok')
  assert.equal(early, '')
  assert.ok(!server.peers[0].received.includes('secret'))
  assert.equal(client.stats().requests.retried, 1)
})

test('redirected before it was sent: 307 sends it to the next place, 303 sends none', BOUNDED, async t => {
  const { client, server, url } = await setUp(t, async (peer, number) => {
    await peer.head()
    if (number % 2 === 0) {
      const status = number === 0 ? '307 Temporary Redirect' : '303 See Other'
      return peer.write(`HTTP/1.1 ${status}\r\nlocation: /next\r\ncontent-length: 0\r\n\r\n`)
    }
    if (number === 1) {
      peer.write(CONTINUE)
      await peer.after('secret body')
    }
    peer.end(answer('ok'))
  })
  for (const _ of [307, 303]) {
    const response = await client.request(url, { method: 'PUT', headers: EXPECT, body: 'secret body' })
    assert.equal(await response.text(), 'ok')
  }
  const [first, second, third, last] = server.peers.map(peer => peer.received)
  assert.ok(second.endsWith('secret body'))
  for (const without of [first, third, last]) assert.ok(!without.includes('secret'))
  assert.match(second, /^PUT .*expect: 100-continue/s)
  assert.match(last, /^GET /)
  assert.doesNotMatch(last, /expect/)
})

for (const { says, options } of [
  { says: 'another expectation', options: { headers: { expect: 'a-miracle' }, body: 'x' } },
  { says: 'it twice', options: { headers: [...Object.entries(EXPECT), ...Object.entries(EXPECT)], body: 'x' } },
  { says: 'no body', options: { headers: EXPECT } },
  { says: 'an empty body', options: { headers: EXPECT, body: '' } },
  { says: 'an empty Blob', options: { headers: EXPECT, body: new Blob([]) } }
]) {
  test(`${says} is refused`, async () => {
    const client = new PinnedClient({ pins: OTHER, trust: 'pin-only' })
    const request = client.request('https://localhost:1/', { method: 'PUT', ...options })
    await assert.rejects(request, { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE', message: /expect/ })
    await client.close()
  })
}

test("fetch takes no expectation, as Node's", async t => {
  const { client, server, url } = await setUp(t, () => {})
  const init = { method: 'PUT', body: 'x', headers: EXPECT }
  for (const given of [init, { ...init, headers: new Headers(EXPECT) }, { ...init, body: new FormData() }]) {
    await assert.rejects(client.fetch(url, given), { name: 'TypeError', message: 'fetch failed' })
    await assert.rejects(fetch(url, given), { name: 'TypeError', message: 'fetch failed' })
  }
  assert.equal(server.appBytes, 0)
})

/**
 * @param {import('node:test').TestContext} t
 * @param {Parameters<typeof peerServer>[0]} serve
 */
async function setUp(t, serve) {
  const server = await peerServer(serve, { cert, alpn: ['http/1.1'] })
  const pins = new PinSet(cert.pin)
  const client = new PinnedClient({ pins, ca: root.pem })
  t.after(async () => {
    await client.destroy()
    await server.close()
    assert.deepEqual(server.errors, [])
  })
  return { client, pins, server, url: `https://localhost:${server.port}/` }
}

'use strict'
// The promise: an abort rejects with the signal's own reason and stops the native work too, at whatever point it comes: the
// server sees the connection or the stream end. Afterwards nothing of the request holds on to the signal.

const assert = require('node:assert/strict')
const { getEventListeners, once } = require('node:events')
const { afterEach, before, beforeEach, describe, test } = require('node:test')
const { PinnedClient } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer, stallingServer } = require('./helpers/servers')

/** Where a failure would be a hang. */
const BOUNDED = { timeout: 10_000 }
const REASON = new Error('changed my mind')
const isReason = (/** @type {unknown} */ error) => error === REASON
const PROTOCOLS = [
  { name: 'HTTP/1.1', http2: false },
  { name: 'HTTP/2', http2: true }
]

/** @type {Awaited<ReturnType<typeof ca>>} */
let root
/** @type {Awaited<ReturnType<typeof leaf>>} */
let cert
/** @type {AbortController} */
let controller

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
})

beforeEach(() => {
  controller = new AbortController()
})

afterEach(() => {
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0, 'a listener was left on the signal')
})

test('before: nothing is sent', async t => {
  const { server, client } = await setUp(t)
  controller.abort(REASON)
  await assert.rejects(client.request(server.url, { signal: controller.signal }), isReason)
  assert.equal(server.connections, 0)
})

test('in the same tick: the server gets no request', async t => {
  const { server, client } = await setUp(t)
  const request = client.request(server.url, { signal: controller.signal })
  controller.abort(REASON)
  await assert.rejects(request, isReason)
  await server.settled()
  assert.equal(server.appBytes, 0)
})

for (const stage of /** @type {const} */ (['accept', 'clientHello', 'serverHello'])) {
  test(`in a handshake that hangs at ${stage}: the server sees the connection close`, BOUNDED, async t => {
    const server = await stallingServer(stage, { cert })
    t.after(() => server.close())
    const { client } = await setUp(t)
    const request = client.request(`https://localhost:${server.port}`, { signal: controller.signal })
    const rejection = assert.rejects(request, isReason)
    while (server.connections === 0) await new Promise(setImmediate)
    controller.abort(REASON)
    await rejection
    for (const socket of server.open) socket.resume()
    await server.settled()
  })
}

for (const { name, http2 } of PROTOCOLS) {
  describe(name, () => {
    test('while the answer is awaited: the server sees it', BOUNDED, async t => {
      const stopped = exchange()
      const { server, client } = await setUp(t, { http2, handler: stopped.handler })
      const request = client.request(`${server.url}/hang`, { signal: controller.signal })
      await stopped.begun
      controller.abort(REASON)
      await assert.rejects(request, isReason)
      await stopped.closed
      await serves(client, server, http2 ? 1 : 2)
    })

    test('in the middle of a body: its reader gets the reason, and the server sees it', BOUNDED, async t => {
      const stopped = exchange('part')
      const { server, client } = await setUp(t, { http2, handler: stopped.handler })
      const response = await client.request(`${server.url}/hang`, { signal: controller.signal })
      const reader = response.body.getReader()
      assert.equal(Buffer.from((await reader.read()).value).toString(), 'part')
      const next = reader.read()
      controller.abort(REASON)
      await assert.rejects(next, isReason)
      await stopped.closed
      await serves(client, server, http2 ? 1 : 2)
    })

    test('between two reads of a body: the next one gets the reason', BOUNDED, async t => {
      const stopped = exchange('part')
      const { server, client } = await setUp(t, { http2, handler: stopped.handler })
      const response = await client.request(`${server.url}/hang`, { signal: controller.signal })
      controller.abort(REASON)
      await assert.rejects(response.text(), isReason)
      await stopped.closed
    })

    test('a body that is cancelled ends for the server too', BOUNDED, async t => {
      const stopped = exchange('part')
      const { server, client } = await setUp(t, { http2, handler: stopped.handler })
      const response = await client.request(`${server.url}/hang`, { signal: controller.signal })
      await response.body.cancel()
      await stopped.closed
    })

    for (const reads of [true, false]) {
      test(`in an upload, the server ${reads ? 'reading' : 'not reading'}: the source is closed`, BOUNDED, async t => {
        const stopped = exchange()
        const handler = (/** @type {any} */ request, /** @type {any} */ response) => {
          if (reads) request.resume()
          stopped.handler(request, response)
        }
        const { server, client } = await setUp(t, { http2, handler })
        /** @type {(value?: undefined) => void} */
        let close = () => {}
        const closed = new Promise(resolve => {
          close = resolve
        })
        let given = 0
        async function* source() {
          try {
            for (; ; given++) {
              yield Buffer.alloc(256 * 1024)
              await new Promise(setImmediate)
            }
          } finally {
            close()
          }
        }
        const options = { method: 'POST', body: source(), signal: controller.signal }
        const request = client.request(`${server.url}/hang`, options)
        const rejection = assert.rejects(request, isReason)
        await stopped.begun
        if (!reads) await standsStill(() => given)
        controller.abort(REASON)
        await rejection
        await closed
      })
    }

    test('after the end nothing happens', async t => {
      const { server, client } = await setUp(t, { http2 })
      const response = await client.request(server.url, { signal: controller.signal })
      assert.equal(await response.text(), 'ok')
      controller.abort(REASON)
      await serves(client, server, 1)
    })

    test('of one request among several ends that one alone', BOUNDED, async t => {
      const stopped = exchange()
      const { server, client } = await setUp(t, { http2, handler: stopped.handler })
      const aborted = client.request(`${server.url}/hang`, { signal: controller.signal })
      await stopped.begun
      const others = Array.from({ length: 10 }, async () => (await client.request(server.url)).text())
      controller.abort(REASON)
      await assert.rejects(aborted, isReason)
      assert.deepEqual(await Promise.all(others), Array(10).fill('ok'))
    })

    test('of the request that makes the connection lets the ones that wait for it go on', BOUNDED, async t => {
      const { server, client } = await setUp(t, { http2 })
      const first = client.request(server.url, { signal: controller.signal })
      const rejection = assert.rejects(first, isReason)
      const others = Array.from({ length: 5 }, async () => (await client.request(server.url)).text())
      controller.abort(REASON)
      await rejection
      assert.deepEqual(await Promise.all(others), Array(5).fill('ok'))
    })
  })
}

test('while waiting for a free connection: the request is never sent', BOUNDED, async t => {
  const stopped = exchange('part')
  const { server, client } = await setUp(t, { handler: stopped.handler }, { connections: 1 })
  const first = await client.request(`${server.url}/hang`)
  const waiting = client.request(`${server.url}/waiting`, { signal: controller.signal })
  controller.abort(REASON)
  await assert.rejects(waiting, isReason)
  await first.body.cancel()
  await serves(client, server, 2)
  assert.deepEqual(
    server.requests.map(request => request.url),
    ['/hang', '/']
  )
})

test('AbortSignal.timeout ends a request with its TimeoutError', BOUNDED, async t => {
  const stopped = exchange()
  const { server, client } = await setUp(t, { handler: stopped.handler })
  const signal = AbortSignal.timeout(50)
  // Nothing but the signal's timer, which does not keep the process alive by itself, ends this request.
  await assert.rejects(client.request(`${server.url}/hang`, { signal }), { name: 'TimeoutError' })
  assert.equal(getEventListeners(signal, 'abort').length, 0)
  await stopped.closed
})

test('abort() without a reason is an AbortError', BOUNDED, async t => {
  const stopped = exchange()
  const { server, client } = await setUp(t, { handler: stopped.handler })
  const request = client.request(`${server.url}/hang`, { signal: controller.signal })
  await stopped.begun
  controller.abort()
  await assert.rejects(request, { name: 'AbortError' })
})

describe('no listener is left', () => {
  for (const { says, options, code } of [
    {
      says: 'a refused pin',
      options: { pins: `sha256/${Buffer.alloc(32, 7).toString('base64')}` },
      code: 'ERR_TLS_PIN_MISMATCH'
    },
    {
      says: 'an unlisted host',
      options: { pins: { 'a.example': `sha256/${Buffer.alloc(32, 7).toString('base64')}` } },
      code: 'ERR_TLS_PIN_UNLISTED'
    },
    { says: 'a body over the limit', options: { maxResponseSize: 1 }, code: 'ERR_HTTP_RESPONSE_TOO_LARGE' }
  ]) {
    test(`by ${says}`, async t => {
      const { server, client } = await setUp(t, {}, options)
      const request = client.request(server.url, { signal: controller.signal }).then(response => response.text())
      await assert.rejects(request, { code })
    })
  }

  test('by arguments that are refused', async t => {
    const { server, client } = await setUp(t)
    const { signal } = controller
    await assert.rejects(client.request(server.url, { signal, body: 7 }), { code: 'ERR_INVALID_ARG_TYPE' })
    await assert.rejects(client.request(server.url, { signal, headers: { 'a b': 'c' } }))
    await assert.rejects(client.request('http://localhost', { signal }), { code: 'ERR_INVALID_PROTOCOL' })
  })
})

for (const signal of ['abort', 7, {}, true]) {
  test(`${JSON.stringify(signal)} is not a signal`, async t => {
    const { server, client } = await setUp(t)
    await assert.rejects(client.request(server.url, { signal }), { code: 'ERR_INVALID_ARG_TYPE' })
    assert.equal(server.connections, 0)
  })
}

/**
 * A handler that leaves requests for /hang without an end, after a part of the answer if there is one.
 * @param {string} [part]
 */
function exchange(part) {
  let begin = () => {}
  let end = () => {}
  const begun = new Promise(resolve => {
    begin = () => resolve(undefined)
  })
  const closed = new Promise(resolve => {
    end = () => resolve(undefined)
  })
  const handler = (/** @type {any} */ request, /** @type {any} */ response) => {
    if (request.url !== '/hang') return response.end('ok')
    request.on('error', () => {})
    once(response, 'close').then(end)
    if (part) response.write(part)
    begin()
  }
  return { handler, begun, closed }
}

/**
 * Until a count has not changed for a quarter of a second.
 * @param {() => number} count
 */
async function standsStill(count) {
  for (let before = -1; before !== count(); ) {
    before = count()
    await new Promise(resolve => setTimeout(resolve, 250))
  }
}

/**
 * The client is still good, and this many connections have been made by then.
 * @param {PinnedClient} client
 * @param {{ url: string, connections: number }} server
 * @param {number} connections
 */
async function serves(client, server, connections) {
  assert.equal(await (await client.request(server.url)).text(), 'ok')
  assert.equal(server.connections, connections)
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

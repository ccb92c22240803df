'use strict'
// The promise: many requests share one HTTP/2 connection without disturbing one another, as many at once as the server
// wants; no connection carries a request for another name than the one it was made for, whatever its certificate says.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const { constants } = require('node:http2')
const { Readable } = require('node:stream')
const { before, describe, test } = require('node:test')
const { PinnedClient, PinSet } = require('..')
const { eachFrame, frame } = require('./helpers/frames')
const { ca, leaf } = require('./helpers/pki')
const { quiet } = require('./helpers/peer')
const { httpsServer, tlsServer } = require('./helpers/servers')

const BOUNDED = { timeout: 20_000 }
const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const Frame = { headers: 1, settings: 4 }
const END_STREAM = 1
const END_HEADERS = 4
const MAX_CONCURRENT_STREAMS = 3
/** `:status: 200`, from the static table. */
const OK = Buffer.from([0x88])
const HOSTS = ['a.example', 'b.example']
/** Of RFC 9113, 7. */
const CODES = [
  ...['NO_ERROR', 'PROTOCOL_ERROR', 'INTERNAL_ERROR', 'FLOW_CONTROL_ERROR', 'SETTINGS_TIMEOUT', 'STREAM_CLOSED'],
  ...['FRAME_SIZE_ERROR', 'REFUSED_STREAM', 'CANCEL', 'COMPRESSION_ERROR', 'CONNECT_ERROR', 'ENHANCE_YOUR_CALM'],
  ...['INADEQUATE_SECURITY', 'HTTP_1_1_REQUIRED']
]

/** @type {Awaited<ReturnType<typeof ca>>} */
let root
/** @type {Awaited<ReturnType<typeof leaf>>} */
let cert

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root, names: ['localhost', ...HOSTS] })
})

describe('SETTINGS_MAX_CONCURRENT_STREAMS', () => {
  for (const [what, options] of /** @type {const} */ ([
    ['requests', () => ({})],
    ['uploads that cannot be sent twice', () => ({ method: 'POST', body: Readable.from(['a', 'b']) })]
  ])) {
    for (const cold of [false, true]) {
      test(`${what} over it wait, ${cold ? 'at once with the first' : 'once it is known'}`, BOUNDED, async t => {
        const { client, server, most } = await limited(t, 3)
        if (!cold) await (await client.request(server.url)).text()
        const texts = await together(40, async () => (await client.request(server.url, options())).text())
        assert.deepEqual(texts, Array(40).fill('ok'))
        assert.ok(most.seen <= 3, `${most.seen} at once`)
        assert.equal(client.stats().requests.retried, 0)
        assert.equal(server.connections, 1)
      })
    }
  }

  test('requests wait when the server lowers it', BOUNDED, async t => {
    const { client, server, most, session } = await limited(t, 10)
    const read = async () => (await client.request(server.url)).text()
    await together(20, read)
    assert.ok(most.seen > 1)
    await new Promise(resolve => session().settings({ maxConcurrentStreams: 1 }, resolve))
    most.seen = 0
    assert.deepEqual(await together(20, read), Array(20).fill('ok'))
    assert.equal(most.seen, 1)
    assert.equal(server.connections, 1)
    assert.equal(client.stats().requests.retried, 0)
  })

  test('one that waits can be aborted, and the others go on', BOUNDED, async t => {
    // By hand: Node's server counts a stream for a while after it was reset.
    const seen = { open: 0, most: 0, connections: 0 }
    /** @type {() => void} */
    let release = () => {}
    const server = await tlsServer(
      socket => {
        seen.connections++
        const answer = (/** @type {number} */ stream) => {
          seen.open--
          socket.write(frame(Frame.headers, END_STREAM | END_HEADERS, stream, OK))
        }
        socket.write(frame(Frame.settings, 0, 0, Buffer.from([0, MAX_CONCURRENT_STREAMS, 0, 0, 0, 1])))
        eachFrame(socket, (type, stream) => {
          if (type !== Frame.headers) return
          seen.most = Math.max(seen.most, ++seen.open)
          if (stream !== 1) return answer(stream)
          release = () => answer(stream)
          held()
        })
      },
      { cert, alpn: ['h2'] }
    )
    /** @type {(value?: unknown) => void} */
    let held = () => {}
    const isHeld = new Promise(resolve => {
      held = resolve
    })
    const client = new PinnedClient({ pins: cert.pin, ca: root.pem })
    tidy(t, client, server)
    const controllers = Array.from({ length: 12 }, () => new AbortController())
    const send = (/** @type {AbortController} */ { signal }) =>
      client.request(`https://localhost:${server.port}/`, { signal })
    const first = send(controllers[0])
    await isHeld
    const others = controllers.slice(1).map(send)
    for (const index of [1, 5, 11]) controllers[index].abort()
    release()
    const outcomes = await Promise.allSettled([first, ...others])
    assert.deepEqual(
      outcomes.map(outcome => (outcome.status === 'fulfilled' ? outcome.value.status : outcome.reason.name)),
      controllers.map((_, index) => ([1, 5, 11].includes(index) ? 'AbortError' : 200))
    )
    assert.deepEqual([seen.most, seen.connections], [1, 1])
  })
})

describe('RST_STREAM', () => {
  for (const [number, name] of CODES.entries()) {
    test(`${name} ends its request alone, before the head and in the body`, BOUNDED, async t => {
      const { client, server, held } = await holding(t, {}, (request, response) => {
        if (request.url === '/head') response.stream.close(number)
        if (request.url === '/body') response.write('begin', () => response.stream.close(number))
        return request.url !== '/held'
      })
      const other = await client.request(`${server.url}/held`)
      await assert.rejects(client.request(`${server.url}/head`), { code: 'ERR_HTTP2_STREAM_ERROR', phase: 'request' })
      const reading = client.request(`${server.url}/body`).then(response => response.text())
      await assert.rejects(reading, { code: 'ERR_HTTP2_STREAM_ERROR' })
      held[0].end(' end')
      assert.equal(await other.text(), 'begin end')
      assert.equal(server.connections, 1)
      // Nothing was done with a refused stream: it is tried a second time.
      const sent = server.requests.filter(request => request.url === '/head').length
      assert.equal(sent, number === constants.NGHTTP2_REFUSED_STREAM ? 2 : 1)
    })
  }
})

test('a certificate for two names: each has its connection, before and after a change of policy', BOUNDED, async t => {
  const server = await httpsServer({ cert, http2: true })
  const policy = (/** @type {string[]} */ more) =>
    Object.fromEntries([...HOSTS, ...more].map(host => [host, [cert.pin]]))
  const pins = new PinSet(policy([]))
  /** @type {any} */
  const lookup = (/** @type {string} */ _, /** @type {object} */ __, /** @type {Function} */ done) =>
    done(null, '127.0.0.1', 4)
  const client = new PinnedClient({ pins, ca: root.pem, lookup })
  tidy(t, client, server)
  for (const change of [() => {}, () => pins.replace(policy(['c.example']))]) {
    change()
    for (const host of [...HOSTS, ...HOSTS]) {
      const response = await client.request(`https://${host}:${server.port}/`)
      assert.equal(await response.text(), 'ok')
    }
    assert.equal(server.connections, 2)
  }
  assert.equal(server.requests.length, 8)
  for (const { servername, headers } of server.requests) {
    assert.equal(headers[':authority'], `${servername}:${server.port}`)
  }
  // Now one of them may not: its connection is gone, and the other's is no way to it.
  pins.replace({ [HOSTS[0]]: [cert.pin], [HOSTS[1]]: [OTHER] })
  await assert.rejects(client.request(`https://${HOSTS[1]}:${server.port}/`), { code: 'ERR_TLS_PIN_MISMATCH' })
  assert.equal((await client.request(`https://${HOSTS[0]}:${server.port}/`)).status, 200)
  assert.equal(server.requests.length, 9)
})

test('200 requests at once on one connection: every body arrives whole, in both directions', BOUNDED, async t => {
  const server = await httpsServer({
    cert,
    http2: true,
    handler: (request, response) => void request.pipe(response)
  })
  const client = new PinnedClient({ pins: cert.pin, ca: root.pem })
  tidy(t, client, server)
  await (await client.request(server.url)).bytes()
  await together(200, async index => {
    const sent = Buffer.alloc(1 + ((index * 7919) % 100_000), `${index}.`)
    const body = index % 2 === 0 ? sent : Readable.from([sent.subarray(0, 10), sent.subarray(10)])
    const response = await client.request(server.url, { method: 'POST', body })
    assert.ok(sent.equals(await response.bytes()), `the body of request ${index}`)
  })
  assert.equal(server.connections, 1)
  assert.equal(server.requests.length, 201)
})

test('an aborted stream is reset, and the others on its connection go on', BOUNDED, async t => {
  const { client, server, held } = await holding(t)
  const controllers = Array.from({ length: 10 }, () => new AbortController())
  const responses = []
  for (const { signal } of controllers) responses.push(await client.request(server.url, { signal }))
  const reset = once(held[3].stream, 'close')
  controllers[3].abort()
  await reset
  assert.equal(held[3].stream.rstCode, constants.NGHTTP2_CANCEL)
  for (const response of held) response.end(' end')
  const texts = await Promise.allSettled(responses.map(response => response.text()))
  assert.deepEqual(
    texts.map(text => (text.status === 'fulfilled' ? text.value : text.reason.name)),
    controllers.map((_, index) => (index === 3 ? 'AbortError' : 'begin end'))
  )
  assert.equal(await (await client.request(server.url, { method: 'HEAD' })).text(), '')
  assert.equal(server.connections, 1)
})

test('a policy that forbids the host ends all streams, and nothing more is written', BOUNDED, async t => {
  const { client, pins, server, held } = await holding(t)
  const responses = []
  for (let index = 0; index < 8; index++) responses.push(await client.request(server.url))
  let release = () => {}
  const more = new Promise(resolve => {
    release = () => resolve('secret')
  })
  async function* source() {
    yield 'begin'
    yield await more
  }
  const upload = client.request(`${server.url}/upload`, { method: 'POST', body: source() })
  // Not looked at by the handler, which answers at once.
  const uploading = await upload
  let uploaded = ''
  held[8].req.on('data', (/** @type {Buffer} */ piece) => {
    uploaded += piece
  })
  await once(held[8].req, 'data')
  // What belongs to the connection alone, such as the acknowledgement of settings, may still be on its way.
  await quiet()
  const bytes = server.appBytes

  pins.replace(OTHER)
  release()
  for (const response of held) response.write('more')
  for (const response of [...responses, uploading]) {
    await assert.rejects(response.text(), { code: 'ERR_TLS_PIN_MISMATCH' })
  }
  await assert.rejects(client.request(server.url), { code: 'ERR_TLS_PIN_MISMATCH' })
  await server.settled()
  assert.equal(server.appBytes, bytes)
  assert.equal(uploaded, 'begin')
})

/**
 * As many at once.
 * @template T
 * @param {number} count
 * @param {(index: number) => Promise<T>} run
 */
function together(count, run) {
  return Promise.all(Array.from({ length: count }, (_, index) => run(index)))
}

/**
 * A server that takes so many streams at once, and what it has seen.
 * @param {import('node:test').TestContext} t
 * @param {number} maxConcurrentStreams
 */
async function limited(t, maxConcurrentStreams) {
  const most = { seen: 0 }
  let now = 0
  /** @type {any} */
  let session
  const server = await httpsServer({
    cert,
    http2: true,
    handler: async (request, response) => {
      session = /** @type {any} */ (request).stream.session
      most.seen = Math.max(most.seen, ++now)
      for await (const _ of request);
      await new Promise(setImmediate)
      now--
      response.end('ok')
    },
    tls: /** @type {any} */ ({ settings: { maxConcurrentStreams } })
  })
  const client = new PinnedClient({ pins: cert.pin, ca: root.pem })
  tidy(t, client, server)
  return { client, server, most, session: () => session }
}

/**
 * A server that begins its answers and holds them.
 * @param {import('node:test').TestContext} t
 * @param {object} [options]
 * @param {(request: any, response: any) => boolean} [first] Whether it has answered itself.
 */
async function holding(t, options = {}, first = () => false) {
  /** @type {any[]} */
  const held = []
  const handler = (/** @type {any} */ request, /** @type {any} */ response) => {
    if (first(request, response)) return
    if (request.method === 'HEAD') return response.end()
    held.push(response)
    response.write('begin')
  }
  const server = await httpsServer({ cert, http2: true, handler, ...options })
  const pins = new PinSet(cert.pin)
  const client = new PinnedClient({ pins, ca: root.pem })
  tidy(t, client, server)
  return { client, pins, server, held }
}

/**
 * @param {import('node:test').TestContext} t
 * @param {PinnedClient} client
 * @param {{ close: () => Promise<void> }} server
 */
function tidy(t, client, server) {
  t.after(async () => {
    await client.destroy()
    await server.close()
  })
}

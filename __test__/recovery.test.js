'use strict'
// The promise: nothing gets stuck, lost or repeated without end. A request that waits is served or told why it is not,
// whoever before it gave up; a body that was cut is an error; a looser policy's report does not wait for an answer.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const net = require('node:net')
const { Readable } = require('node:stream')
const { before, test } = require('node:test')
const { PinnedClient, PinSet, pinnedRequest } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer, rawServer, tlsServer } = require('./helpers/servers')

/** Where a failure would be a hang. */
const BOUNDED = { timeout: 20_000 }
const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const HEAD = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

/** @type {Awaited<ReturnType<typeof ca>>} */ let root
/** @type {Awaited<ReturnType<typeof leaf>>} */ let cert

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
})

/**
 * @param {import('node:test').TestContext} t
 * @param {object} [options]
 */
function clientOf(t, options) {
  const client = new PinnedClient({ pins: [cert.pin], ca: root.pem, ...options })
  t.after(() => client.destroy())
  return client
}

/** @param {PromiseLike<any>} request */
const nameOf = request =>
  request.then(
    () => 'answered',
    error => error.name
  )

/** A handler that keeps what it is asked until it is told to answer. */
function holding() {
  /** @type {import('node:http').ServerResponse[]} */
  const held = []
  /** @type {(() => void)[]} */
  const waiting = []
  return {
    held,
    handler: (/** @type {any} */ _, /** @type {any} */ response) => {
      held.push(response)
      for (const wake of waiting.splice(0)) wake()
    },
    /** @param {number} count */
    async until(count) {
      while (held.length < count) await new Promise(resolve => waiting.push(() => resolve(undefined)))
    }
  }
}

test('who waits for a connection takes over when those before it give up in one tick', BOUNDED, async t => {
  const server = await httpsServer({ cert })
  let connections = 0
  // The first connection never gets an answer: everybody waits for it.
  const relay = await rawServer(socket => {
    if (connections++ === 0) return
    const onward = net.connect(server.port, '127.0.0.1')
    socket.pipe(onward).pipe(socket)
    onward.on('error', () => {})
    socket.on('error', () => {})
  })
  t.after(() => Promise.all([relay.close(), server.close()]))
  const client = clientOf(t)
  const url = `https://localhost:${relay.port}`
  const { signal, abort } = aborter()
  const first = nameOf(client.request(url, { signal }))
  const second = nameOf(client.request(url, { signal }))
  const third = client.request(url)
  while (connections === 0) await new Promise(resolve => setImmediate(resolve))
  abort()
  assert.deepEqual([await first, await second], ['AbortError', 'AbortError'])
  assert.equal(await (await third).text(), 'ok')
})

test('with one connection allowed, a place in the queue is not lost with who gave it up', BOUNDED, async t => {
  const { held, handler, until } = holding()
  const server = await httpsServer({ cert, handler })
  t.after(() => server.close())
  const client = clientOf(t, { connections: 1, allowH2: false })
  for (let round = 0; round < 20; round++) {
    held.length = 0
    const { signal, abort } = aborter()
    const first = nameOf(client.request(server.url, { signal }))
    const second = nameOf(client.request(server.url, { signal }))
    const third = client.request(server.url)
    await until(1)
    abort()
    assert.deepEqual([await first, await second], ['AbortError', 'AbortError'])
    await until(2)
    held[1].end('ok')
    assert.equal(await (await third).text(), 'ok')
  }
})

test('requests that wait when their client is closed are served', BOUNDED, async t => {
  const { held, handler, until } = holding()
  const server = await httpsServer({ cert, handler })
  t.after(() => server.close())
  const client = clientOf(t, { connections: 1, allowH2: false })
  const requests = [1, 2, 3].map(async () => (await client.request(server.url)).text())
  await until(1)
  const closing = client.close()
  for (let count = 1; count <= 3; count++) {
    await until(count)
    held[count - 1].end('ok')
  }
  assert.deepEqual(await Promise.all(requests), ['ok', 'ok', 'ok'])
  await closing
  await assert.rejects(client.request(server.url), { code: 'ERR_INVALID_STATE' })
})

test('a kept client that makes room for others finishes what it was asked', BOUNDED, async t => {
  const { held, handler, until } = holding()
  const server = await httpsServer({ cert, handler })
  const other = await httpsServer({ cert })
  t.after(() => Promise.all([server.close(), other.close()]))
  const options = { pins: [cert.pin], ca: root.pem, connections: 1, allowH2: false }
  const requests = [1, 2].map(async () => (await pinnedRequest(server.url, options)).text())
  await until(1)
  for (let more = 1; more <= 33; more++) {
    await (await pinnedRequest(other.url, { ...options, connectTimeout: 10_000 + more })).text()
  }
  held[0].end('ok')
  await until(2)
  held[1].end('ok')
  assert.deepEqual(await Promise.all(requests), ['ok', 'ok'])
})

for (const [what, act] of /** @type {[string, (socket: any) => void][]} */ ([
  ['closes', socket => socket.end()],
  ['sends an answer nobody asked for and closes', socket => socket.end(HEAD)],
  ['sends junk', socket => socket.write('junk')]
])) {
  test(`a server that ${what} right behind the handshake is not connected to again and again`, BOUNDED, async t => {
    const server = await tlsServer(act, { cert, maxVersion: 'TLSv1.2' })
    let connections = 0
    // Its last flight and what follows are held back and arrive as one.
    const relay = await rawServer(socket => {
      connections++
      const onward = net.connect(server.port, '127.0.0.1')
      /** @type {Buffer[]} */
      let late = []
      let flights = 0
      socket.on('data', data => {
        flights++
        onward.write(data)
      })
      onward.on('data', data => {
        if (flights < 2) return void socket.write(data)
        late.push(data)
        setTimeout(() => {
          if (late.length > 0) socket.write(Buffer.concat(late))
          late = []
        }, 20)
      })
      onward.on('end', () => socket.end(Buffer.concat(late.splice(0))))
      onward.on('error', () => {})
      socket.on('error', () => {})
      socket.on('close', () => onward.destroy())
    })
    t.after(() => Promise.all([relay.close(), server.close()]))
    // Whether the answer is taken for one depends on what comes first; that it is one connection does not.
    await nameOf(clientOf(t).request(`https://localhost:${relay.port}`))
    assert.equal(connections, 1)
  })
}

test('a server that answers in full and never reads the upload does not keep the connection', BOUNDED, async t => {
  let connections = 0
  const answer = (/** @type {any} */ socket) => {
    connections++
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.pause()
      socket.write(HEAD)
    })
  }
  const server = await tlsServer(answer, { cert, alpn: ['http/1.1'] })
  t.after(() => server.close())
  const client = clientOf(t, { connections: 1 })
  const closed = Promise.withResolvers?.() ?? withResolvers()
  async function* endless() {
    try {
      for (;;) yield Buffer.alloc(64 * 1024)
    } finally {
      closed.resolve(undefined)
    }
  }
  const response = await client.request(server.url, { method: 'POST', body: endless() })
  assert.equal(await response.text(), 'ok')
  assert.equal((await client.request(server.url)).status, 200)
  await closed.promise
  assert.equal(connections, 2)
})

test('a body that is cut is an error, whatever the reason given for the cut', BOUNDED, async t => {
  const part = (/** @type {any} */ _, /** @type {any} */ response) => {
    response.writeHead(200, { 'content-length': '1000' })
    response.write('{"allowed":true}')
  }
  const server = await httpsServer({ cert, handler: part })
  t.after(() => server.close())
  const client = clientOf(t)
  // A signal of an old polyfill has no reason.
  const signal = /** @type {any} */ (Object.assign(new EventTarget(), { aborted: false }))
  const response = await client.request(server.url, { signal })
  const outcome = response.text().then(
    text => ({ text }),
    error => ({ error })
  )
  signal.aborted = true
  signal.dispatchEvent(new Event('abort'))
  assert.deepEqual(await outcome, { error: undefined })
})

test('a read that is cancelled while it waits lets go of the process', BOUNDED, async t => {
  const { handler } = {
    handler: (/** @type {any} */ _, /** @type {any} */ response) => response.writeHead(200).flushHeaders()
  }
  const server = await httpsServer({ cert, handler })
  t.after(() => server.close())
  const response = await clientOf(t).request(server.url)
  const reader = /** @type {ReadableStream} */ (response.body).getReader()
  const read = reader.read()
  await reader.cancel()
  assert.deepEqual(await read, { value: undefined, done: true })
  const timers = process.getActiveResourcesInfo().filter(name => name === 'Timeout')
  // The timer that holds the process is one of these while somebody waits.
  assert.ok(timers.length <= 1, `${timers.length} timers`)
})

for (const [what, act] of /** @type {[string, (socket: any) => void][]} */ ([
  ['hangs up', socket => socket.destroy()],
  ['answers', socket => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')]
])) {
  test(`mode 'report' reports a server that takes the request and ${what}`, BOUNDED, async t => {
    const server = await tlsServer(
      socket => {
        socket.on('error', () => {})
        socket.once('data', () => act(socket))
      },
      { cert, alpn: ['http/1.1'] }
    )
    t.after(() => server.close())
    const pins = new PinSet({
      localhost: { pins: [root.certPin.replace(/.$/, digit => (digit === '0' ? '1' : '0'))], mode: 'report' }
    })
    const reported = once(pins, 'report')
    await nameOf(clientOf(t, { pins }).request(server.url))
    const [report] = await reported
    assert.deepEqual([report.reason, report.path[0].spkiPin], ['mismatch', cert.pin])
  })
}

test('what one signal throws costs no request its answer', BOUNDED, async t => {
  const server = await httpsServer({ cert })
  t.after(() => server.close())
  const client = clientOf(t)
  const signal = /** @type {any} */ ({
    aborted: false,
    addEventListener() {},
    removeEventListener() {
      throw new Error('hostile')
    }
  })
  const texts = [signal, undefined, undefined].map(async signal =>
    (await client.request(server.url, { signal })).text()
  )
  assert.deepEqual(await Promise.all(texts), ['ok', 'ok', 'ok'])
})

for (const http2 of [false, true]) {
  test(
    `a pooled connection that rests on a looser policy by now is reported before it is used, http2: ${http2}`,
    BOUNDED,
    async t => {
      const { handler, until } = holding()
      const silent = (/** @type {any} */ request, /** @type {any} */ response) =>
        request.url === '/' ? response.end('ok') : handler(request, response)
      const server = await httpsServer({ cert, handler: silent, http2 })
      t.after(() => server.close())
      const pins = new PinSet({ localhost: cert.pin })
      const client = clientOf(t, { pins })
      assert.equal(await (await client.request(server.url)).text(), 'ok')
      pins.replace({ localhost: { pins: OTHER, mode: 'report' } })
      const { signal, abort } = aborter()
      const reported = once(pins, 'report')
      const unanswered = nameOf(client.request(`${server.url}/silent`, { signal }))
      await until(1)
      assert.equal((await reported)[0].reason, 'mismatch')
      assert.equal(server.handshakes, 1)
      abort()
      assert.equal(await unanswered, 'AbortError')
    }
  )
}

for (const [what, source] of /** @type {[string, (closed: () => void) => any][]} */ ([
  ['a Node stream', closed => new Readable({ read() {} }).once('close', closed)],
  ['a web stream', closed => new ReadableStream({ cancel: closed })]
])) {
  test(`${what} that is silent is closed when its request is aborted, and when it is refused`, BOUNDED, async t => {
    const { handler, until } = holding()
    const server = await httpsServer({ cert, handler })
    t.after(() => server.close())
    for (const pins of [cert.pin, OTHER]) {
      const { signal, abort } = aborter()
      /** @type {Promise<string> | undefined} */
      let request
      const closed = new Promise(resolve => {
        const body = source(() => resolve(undefined))
        request = nameOf(clientOf(t, { pins }).request(server.url, { method: 'POST', body, signal }))
      })
      if (pins === cert.pin) {
        await until(1)
        abort()
      }
      assert.equal(await request, pins === cert.pin ? 'AbortError' : 'PinMismatchError')
      await closed
    }
  })
}

test(
  'a request that a change of policy cuts off says in which phase, since it may have been acted upon',
  BOUNDED,
  async t => {
    for (const http2 of [false, true]) {
      const { handler, until } = holding()
      const server = await httpsServer({ cert, handler, http2 })
      t.after(() => server.close())
      const pins = new PinSet({ localhost: cert.pin })
      const request = clientOf(t, { pins }).request(server.url, { method: 'POST', body: 'pay' })
      const refused = assert.rejects(request, { code: 'ERR_TLS_PIN_MISMATCH', phase: 'request' })
      await until(1)
      pins.replace({ localhost: OTHER })
      await refused
    }
  }
)

test(
  'a body that is longer or shorter than announced fails, and does not look complete to the server',
  BOUNDED,
  async t => {
    let complete = 0
    const handler = async (/** @type {any} */ request, /** @type {any} */ response) => {
      request.on('error', () => {})
      for await (const _ of request) void _
      complete++
      response.end('ok')
    }
    const server = await httpsServer({
      cert,
      handler: (/** @type {any} */ request, /** @type {any} */ response) =>
        void handler(request, response).catch(() => {})
    })
    t.after(() => server.close())
    async function* pieces(/** @type {string[]} */ ...texts) {
      yield* texts
    }
    for (const body of [pieces('hello', ' world'), pieces('hel')]) {
      const sent = clientOf(t).request(server.url, { method: 'POST', headers: { 'content-length': '5' }, body })
      await assert.rejects(sent, { code: 'ERR_REQUEST_BODY_FAILED' })
    }
    assert.equal(complete, 0)
    const unknown = clientOf(t).request(server.url, { body: pieces('x') })
    await assert.rejects(unknown, { code: 'ERR_INVALID_ARG_VALUE', message: /unknown length/ })
  }
)

test('options are read once, and those that cannot be read whole are refused', BOUNDED, async t => {
  const server = await httpsServer({ cert })
  t.after(() => server.close())
  let reads = 0
  const changing = {
    get localhost() {
      return reads++ === 0 ? [OTHER] : [cert.pin]
    }
  }
  for (const pins of [changing, { localhost: [OTHER] }]) {
    await assert.rejects(pinnedRequest(server.url, { pins, ca: root.pem }), { code: 'ERR_TLS_PIN_MISMATCH' })
  }
  class Options {
    pins = [cert.pin]
    get ca() {
      return root.pem
    }
  }
  assert.throws(() => new PinnedClient(/** @type {any} */ (new Options())), { code: 'ERR_INVALID_ARG_TYPE' })
  class Entry {
    pins = [cert.pin]
    get expires() {
      return '2001-01-01T00:00:00Z'
    }
  }
  assert.throws(() => new PinSet(/** @type {any} */ ({ localhost: new Entry() })), { code: 'ERR_TLS_PIN_INVALID' })
})

test('a signal that is aborted while the arguments are read is not missed', BOUNDED, async t => {
  const server = await httpsServer({ cert })
  t.after(() => server.close())
  const { signal, abort } = aborter()
  const headers = {
    get late() {
      abort()
      return 'x'
    }
  }
  assert.equal(await nameOf(clientOf(t).request(server.url, { headers, signal })), 'AbortError')
  assert.equal(server.requests.length, 0)
})

/** One signal for several requests, aborted in one tick. */
function aborter() {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort() }
}

/** `Promise.withResolvers`, which Node 20 has not. */
function withResolvers() {
  /** @type {any} */
  const parts = {}
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }))
  return parts
}

'use strict'
// The promise: bodies arrive whole and unchanged in both directions, in whatever form they are given or asked for, at the
// pace of the slower side; and a body that broke off is never taken for a complete one.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const { once } = require('node:events')
const { Readable } = require('node:stream')
const { before, describe, test } = require('node:test')
const { setImmediate: turn, setTimeout: delay } = require('node:timers/promises')
const { PinnedClient } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const LARGE = crypto.randomBytes(8 * 1024 * 1024)
const PIECE = Buffer.alloc(64 * 1024, 'x')
const PROTOCOLS = [
  { name: 'HTTP/1.1', http2: false },
  { name: 'HTTP/2', http2: true }
]
const sha256 = (/** @type {Uint8Array} */ bytes) => crypto.createHash('sha256').update(bytes).digest('hex')

/** @type {Awaited<ReturnType<typeof ca>>} */
let root
/** @type {Awaited<ReturnType<typeof leaf>>} */
let cert

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
})

for (const { name, http2 } of PROTOCOLS) {
  describe(`down, ${name}`, () => {
    const ways = /** @type {Record<string, (response: any) => Promise<Uint8Array>>} */ ({
      bytes: response => response.bytes(),
      arrayBuffer: async response => new Uint8Array(await response.arrayBuffer()),
      blob: async response => new Uint8Array(await (await response.blob()).arrayBuffer()),
      text: async response => Buffer.from(await response.text()),
      json: async response => Buffer.from(JSON.stringify(await response.json())),
      'body, iterated': async response => Buffer.concat(await all(response.body)),
      'body, as a Node stream': async response => Buffer.concat(await Readable.fromWeb(response.body).toArray()),
      'body, by a reader': async response => {
        const chunks = []
        const reader = response.body.getReader()
        for (let next = await reader.read(); !next.done; next = await reader.read()) chunks.push(next.value)
        return Buffer.concat(chunks)
      },
      'body, by fetch': async response => new Uint8Array(await new Response(response.body).arrayBuffer())
    })
    const texts = { small: Buffer.from('{"ä":1}'), large: Buffer.from(JSON.stringify(LARGE.toString('base64'))) }
    for (const [way, read] of Object.entries(ways)) {
      for (const [size, expected] of Object.entries(texts)) {
        test(`a ${size} body, read as ${way}`, async t => {
          const { server, client } = await setUp(t, { http2, handler: (_, response) => response.end(expected) })
          const bytes = await read(await client.request(server.url))
          assert.equal(sha256(bytes), sha256(expected))
        })
      }
    }

    test('a body in many pieces, without a length', async t => {
      const handler = async (/** @type {any} */ _, /** @type {any} */ response) => {
        for (let at = 0; at < 2_000_000; at += 9973) {
          if (!response.write(LARGE.subarray(at, Math.min(2_000_000, at + 9973)))) await once(response, 'drain')
        }
        response.end()
      }
      const { server, client } = await setUp(t, { http2, handler })
      const bytes = await (await client.request(server.url)).bytes()
      assert.equal(sha256(bytes), sha256(LARGE.subarray(0, 2_000_000)))
    })

    test('trailers are there once the body is', async t => {
      const handler = (/** @type {any} */ _, /** @type {any} */ response) => {
        if (!http2) response.writeHead(200, { trailer: 'x-sum' })
        response.write('body')
        response.addTrailers({ 'x-sum': '42' })
        response.end()
      }
      const { server, client } = await setUp(t, { http2, handler })
      const response = await client.request(server.url)
      assert.equal(await response.text(), 'body')
      assert.equal(response.trailers.get('x-sum'), '42')
    })

    test('a reader that does not read stops the server, and gets everything when it does', async t => {
      let written = 0
      let blocked = () => {}
      const full = new Promise(resolve => {
        blocked = () => resolve(undefined)
      })
      const total = 64 * 1024 * 1024
      const handler = async (/** @type {any} */ _, /** @type {any} */ response) => {
        for (; written < total; written += PIECE.length) {
          if (response.write(PIECE)) continue
          if (await Promise.race([once(response, 'drain').then(() => false), delay(500, true, { ref: false })])) {
            blocked()
            await once(response, 'drain')
          }
        }
        response.end()
      }
      const { server, client } = await setUp(t, { http2, handler })
      const response = await client.request(server.url)
      await full
      // What the sockets' buffers and the windows of HTTP/2 hold is less than half of it.
      assert.equal(written < total / 2, true, `${written} bytes were taken`)
      let received = 0
      for await (const chunk of response.body) received += chunk.length
      assert.equal(received, total)
    })
  })

  describe(`up, ${name}`, () => {
    const small = Buffer.from('päckchen')
    const sources = /** @type {Record<string, (bytes: Buffer) => any>} */ ({
      'a Buffer': bytes => bytes,
      'an ArrayBuffer': bytes => new Uint8Array(bytes).buffer,
      'a view': bytes => new DataView(new Uint8Array(bytes).buffer),
      'a Blob': bytes => new Blob([bytes]),
      'a Node stream': bytes => Readable.from(pieces(bytes)),
      'a web stream': bytes => ReadableStream.from(pieces(bytes)),
      'an async iterable': async function* (bytes) {
        yield* pieces(bytes)
      },
      'an iterable': pieces
    })
    for (const [what, source] of Object.entries(sources)) {
      for (const [size, bytes] of Object.entries({ empty: Buffer.alloc(0), small, large: LARGE })) {
        test(`${what}, ${size}`, async t => {
          const { server, client } = await setUp(t, { http2, handler: digest })
          const response = await client.request(server.url, { method: 'POST', body: source(bytes) })
          assert.deepEqual(await response.json(), { length: bytes.length, sha256: sha256(bytes), complete: true })
        })
      }
    }

    for (const { what, body, type, text } of [
      { what: 'a string', body: () => 'ä', type: undefined, text: /^ä$/ },
      {
        what: 'URLSearchParams',
        body: () => new URLSearchParams({ a: 'b c', d: 'ä' }),
        type: /^application\/x-www-form-urlencoded/,
        text: /^a=b\+c&d=%C3%A4$/
      },
      {
        what: 'a Blob with a type',
        body: () => new Blob(['x'], { type: 'text/x-test' }),
        type: /^text\/x-test$/,
        text: /^x$/
      },
      {
        what: 'FormData',
        body: form,
        type: /^multipart\/form-data; boundary=/,
        text: /name="field"\r\n\r\nvalue\r\n.*filename="a.txt".*contents/s
      }
    ]) {
      test(`${what} with the content type of its own`, async t => {
        const handler = async (/** @type {any} */ request, /** @type {any} */ response) => {
          response.end(Buffer.concat(await request.toArray()))
        }
        const { server, client } = await setUp(t, { http2, handler })
        const answer = await (await client.request(server.url, { method: 'POST', body: body() })).text()
        assert.match(answer, text)
        const sent = server.requests[0]?.headers['content-type']
        if (type) assert.match(String(sent), type)
        else assert.equal(sent, undefined)
      })
    }

    test('a source that throws rejects the request with its error, and the server sees that it is incomplete', async t => {
      const seen = watcher()
      const { server, client } = await setUp(t, { http2, handler: seen.handler })
      const failure = new Error('no more')
      async function* source() {
        yield PIECE
        await seen.started
        throw failure
      }
      const request = client.request(server.url, { method: 'POST', body: source() })
      await assert.rejects(request, error => error === failure)
      assert.equal((await seen.over).complete, false)
    })

    test('a piece that is no bytes rejects the request, and the server sees that it is incomplete', async t => {
      const seen = watcher()
      const { server, client } = await setUp(t, { http2, handler: seen.handler })
      async function* source() {
        yield PIECE
        await seen.started
        yield 7
      }
      const request = client.request(server.url, { method: 'POST', body: source() })
      await assert.rejects(request, { code: 'ERR_INVALID_ARG_TYPE' })
      assert.equal((await seen.over).complete, false)
    })

    test('a body shorter or longer than its announced length is no complete request', async t => {
      for (const length of [3, 100]) {
        const { server, client } = await setUp(t, { http2, handler: digest })
        const body = new Blob(['12345'])
        const request = client.request(server.url, {
          method: 'POST',
          headers: { 'content-length': String(length) },
          body
        })
        await assert.rejects(request, { code: 'ERR_HTTP_CONTENT_LENGTH_MISMATCH' })
        assert.equal(server.connections, 0)
      }
    })

    test('a server that does not read stops the source', async t => {
      let asked = () => {}
      const started = new Promise(resolve => {
        asked = () => resolve(undefined)
      })
      /** @type {any} */
      let stopped
      const handler = (/** @type {any} */ request, /** @type {any} */ response) => {
        request.pause()
        stopped = { request, response }
        asked()
      }
      const { server, client } = await setUp(t, { http2, handler })
      let given = 0
      const total = 64 * 1024 * 1024
      async function* source() {
        for (; given < total; given += PIECE.length) {
          yield PIECE
          await turn()
        }
      }
      const request = client.request(server.url, { method: 'POST', body: source() })
      await started
      await standsStill(() => given)
      assert.equal(given < total / 2, true, `${given} bytes were asked for`)
      stopped.request.resume()
      stopped.request.once('end', () => stopped.response.end('done'))
      assert.equal(await (await request).text(), 'done')
      assert.equal(given, total)
    })
  })
}

describe('a body is used once', () => {
  for (const [first, second] of [
    ['text', 'text'],
    ['bytes', 'json'],
    ['arrayBuffer', 'blob'],
    ['json', 'bytes']
  ]) {
    test(`${first}(), then ${second}()`, async t => {
      const { server, client } = await setUp(t, { handler: (_, response) => response.end('1') })
      const response = /** @type {any} */ (await client.request(server.url))
      assert.equal(response.bodyUsed, false)
      await response[first]()
      assert.equal(response.bodyUsed, true)
      await assert.rejects(response[second](), { code: 'ERR_INVALID_STATE' })
      assert.throws(() => response.body, { code: 'ERR_INVALID_STATE' })
    })
  }

  test('body, then text()', async t => {
    const { server, client } = await setUp(t, { handler: (_, response) => response.end('1') })
    const response = await client.request(server.url)
    assert.equal(response.body, response.body)
    await assert.rejects(response.text(), { code: 'ERR_INVALID_STATE' })
  })

  test('an empty body may be read again by nobody either, and is null as a stream', async t => {
    const { server, client } = await setUp(t, { handler: (_, response) => response.end() })
    const response = await client.request(server.url)
    assert.equal(response.body, null)
    const other = await client.request(server.url)
    assert.equal(await other.text(), '')
    await assert.rejects(other.text(), { code: 'ERR_INVALID_STATE' })
  })

  const used = /** @type {Record<string, () => any>} */ ({
    'a locked web stream': () => {
      const stream = ReadableStream.from(['x'])
      stream.getReader()
      return stream
    },
    'a destroyed Node stream': () => Readable.from(['x']).destroy(),
    'a Node stream that has been read': async () => {
      const stream = Readable.from(['x'])
      await stream.toArray()
      return stream
    },
    'a web stream that has been read': async () => {
      const stream = ReadableStream.from(['x'])
      await all(stream)
      return stream
    }
  })
  for (const [what, make] of Object.entries(used)) {
    test(`${what} is refused as a request's body`, async t => {
      const { server, client } = await setUp(t, { handler: digest })
      const request = client.request(server.url, { method: 'POST', body: await make() })
      await assert.rejects(request, { code: 'ERR_INVALID_STATE' })
      assert.equal(server.appBytes, 0)
    })
  }
})

/** @param {Uint8Array} bytes */
function* pieces(bytes) {
  for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000)
}

/** @param {AsyncIterable<any>} source */
async function all(source) {
  const items = []
  for await (const item of source) items.push(item)
  return items
}

function form() {
  const form = new FormData()
  form.set('field', 'value')
  form.set('file', new Blob(['contents'], { type: 'text/plain' }), 'a.txt')
  return form
}

/**
 * Answers with what arrived.
 * @param {any} request
 * @param {any} response
 */
async function digest(request, response) {
  const bytes = Buffer.concat(await request.toArray())
  response.end(JSON.stringify({ length: bytes.length, sha256: sha256(bytes), complete: request.complete }))
}

/** A handler that never answers, and tells how its request ended. */
function watcher() {
  /** @type {(value: { complete: boolean }) => void} */
  let end = () => {}
  let begin = () => {}
  const started = new Promise(resolve => {
    begin = () => resolve(undefined)
  })
  const over = /** @type {Promise<{ complete: boolean }>} */ (
    new Promise(resolve => {
      end = resolve
    })
  )
  const handler = (/** @type {any} */ request) => {
    let complete = false
    request.on('error', () => {})
    request.once('data', begin)
    request.on('end', () => {
      complete = !request.aborted
    })
    request.once('close', () => end({ complete }))
  }
  return { handler, started, over }
}

/**
 * Until a count has not changed for half a second.
 * @param {() => number} count
 */
async function standsStill(count) {
  for (let before = -1; before !== count(); ) {
    before = count()
    await delay(500)
  }
}

/**
 * @param {any} t
 * @param {{ http2?: boolean, handler: (request: any, response: any) => any }} serverOptions
 */
async function setUp(t, serverOptions) {
  const server = await httpsServer({ cert, ...serverOptions })
  const client = new PinnedClient({ pins: cert.pin, ca: root.pem })
  t.after(async () => {
    await client.destroy()
    await server.close()
  })
  return { server, client }
}

'use strict'
// The promise: a body arrives as it was before it was encoded, whole or not at all, and no server can make more memory of
// it than the limits allow.

const assert = require('node:assert/strict')
const { before, describe, test } = require('node:test')
const zlib = require('node:zlib')
const { PinnedClient } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const TEXT = Buffer.from('A body that is long enough to be worth it. '.repeat(5000))
const MIB = 1024 * 1024
/** `hello ` in a frame of Zstandard, which Node can make itself from 22.15 on. */
const HELLO_ZSTD = Buffer.from('KLUv/SAGMQAAaGVsbG8g', 'base64')
/** 3 MiB of zeros in 109 bytes. */
const ZEROS_ZSTD = Buffer.from(
  'KLUv/YBYAAAwAFQAABAAAAEA+/85wAICABAAAgAQAAIAEAACABAAAgAQAAIAEAACABAAAgAQAAIAEAACABAAAgAQAAIAEAACABAAAgAQAAIAEAACABAAAgAQAAIAEAACABAAAgAQAAIAEAACABAAAwAQAA==',
  'base64'
)
/** The head of a frame that needs a window of 16 MiB, and an empty last block. */
const WIDE_ZSTD = Buffer.from('28b52ffd0070010000', 'hex')

/** @type {Awaited<ReturnType<typeof ca>>} */
let root
/** @type {Awaited<ReturnType<typeof leaf>>} */
let cert

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
})

const CODINGS = [
  { name: 'gzip', coding: 'gzip', encode: zlib.gzipSync },
  { name: 'its old name', coding: 'x-gzip', encode: zlib.gzipSync },
  { name: 'in capitals', coding: 'GZIP', encode: zlib.gzipSync },
  { name: 'deflate', coding: 'deflate', encode: zlib.deflateSync },
  { name: 'deflate without its header', coding: 'deflate', encode: zlib.deflateRawSync },
  { name: 'br', coding: 'br', encode: zlib.brotliCompressSync },
  {
    name: 'two on top of each other',
    coding: 'gzip, br',
    encode: (/** @type {Buffer} */ body) => zlib.brotliCompressSync(zlib.gzipSync(body))
  },
  { name: 'identity beside one', coding: 'identity, gzip', encode: zlib.gzipSync },
  {
    name: 'several members of gzip',
    coding: 'gzip',
    encode: (/** @type {Buffer} */ body) =>
      Buffer.concat([body.subarray(0, 1000), body.subarray(1000)].map(part => zlib.gzipSync(part)))
  },
  ...(zlib.zstdCompressSync ? [{ name: 'zstd', coding: 'zstd', encode: zlib.zstdCompressSync }] : [])
]

for (const http2 of [false, true]) {
  describe(http2 ? 'HTTP/2' : 'HTTP/1.1', () => {
    for (const { name, coding, encode } of CODINGS) {
      test(`what was encoded is decoded: ${name}`, async t => {
        const { client, server } = await serve(t, coding, encode(TEXT), { http2 })
        const response = await client.request(server.url)
        assert.ok(Buffer.from(await response.bytes()).equals(TEXT))
        // As in fetch: the headers are those that the server sent.
        assert.equal(response.headers.get('content-encoding'), coding)
      })
    }

    test('frames of Zstandard, one after another', async t => {
      const skipped = Buffer.from('502a4d1803000000616263', 'hex')
      const { client, server } = await serve(t, 'zstd', Buffer.concat([HELLO_ZSTD, skipped, HELLO_ZSTD]), { http2 })
      assert.equal(await (await client.request(server.url)).text(), 'hello hello ')
    })

    test('a byte at a time', async t => {
      const encoded = zlib.gzipSync('piece by piece')
      const handler = async (/** @type {any} */ _, /** @type {any} */ response) => {
        response.writeHead(200, { 'content-encoding': 'gzip' })
        for (const byte of encoded) {
          await new Promise(resolve => response.write(Buffer.of(byte), resolve))
          await new Promise(setImmediate)
        }
        response.end()
      }
      const { client, server } = await setUp(t, { http2, handler })
      assert.equal(await (await client.request(server.url)).text(), 'piece by piece')
    })

    test('decoded while it comes: the first piece is there before the last was sent', async t => {
      /** @type {() => void} */
      let end = () => {}
      const handler = (/** @type {any} */ _, /** @type {any} */ response) => {
        response.writeHead(200, { 'content-encoding': 'gzip' })
        const gzip = zlib.createGzip()
        gzip.pipe(response)
        gzip.write('first ')
        gzip.flush()
        end = () => gzip.end('last')
      }
      const { client, server } = await setUp(t, { http2, handler })
      const { body } = await client.request(server.url)
      const pieces = []
      for await (const piece of /** @type {any} */ (body)) {
        pieces.push(Buffer.from(piece).toString())
        end()
      }
      assert.deepEqual(pieces, ['first ', 'last'])
    })

    test('the connection is used again, also after what was ignored behind the end', async t => {
      const { client, server } = await serve(t, 'gzip', Buffer.concat([zlib.gzipSync('ok'), Buffer.from('behind')]), {
        http2
      })
      for (let left = 3; left > 0; left--) assert.equal(await (await client.request(server.url)).text(), 'ok')
      assert.equal(server.handshakes, 1)
    })

    for (const [coding, whole] of /** @type {[string, Buffer][]} */ ([
      ['gzip', zlib.gzipSync(TEXT)],
      ['deflate', zlib.deflateSync(TEXT)],
      ['br', zlib.brotliCompressSync(TEXT)],
      ['zstd', HELLO_ZSTD],
      ['gzip, br', zlib.brotliCompressSync(zlib.gzipSync(TEXT).subarray(0, 200))]
    ])) {
      test(`cut off: ${coding}`, async t => {
        const short = coding === 'gzip, br' ? whole : whole.subarray(0, -3)
        const { client, server } = await serve(t, coding, short, { http2 })
        const response = await client.request(server.url).catch(error => ({ bytes: () => Promise.reject(error) }))
        await assert.rejects(response.bytes(), { code: 'Z_BUF_ERROR', phase: 'body' })
      })
    }

    for (const [coding, body] of /** @type {[string, Buffer][]} */ ([
      ['gzip', Buffer.from('this is not gzip')],
      ['deflate', Buffer.from('xyz no zlib either')],
      ['br', Buffer.from('garbage!')],
      ['zstd', Buffer.from('garbage!')],
      ['zstd', WIDE_ZSTD],
      ['gzip', Buffer.concat([zlib.gzipSync('sum').subarray(0, -8), Buffer.alloc(8)])],
      ['gzip, gzip, gzip, gzip, gzip, gzip', zlib.gzipSync('ok')]
    ])) {
      test(`what is no ${coding} is refused: ${body.toString('latin1', 0, 9)}`, async t => {
        const { client, server } = await serve(t, coding, body, { http2 })
        const response = await client.request(server.url).catch(error => ({ bytes: () => Promise.reject(error) }))
        await assert.rejects(response.bytes(), { code: 'Z_DATA_ERROR' })
      })
    }

    test('an unknown coding is left as it is', async t => {
      const { client, server } = await serve(t, 'gzip, rot13', zlib.gzipSync('ok'), { http2 })
      assert.deepEqual(Buffer.from(await (await client.request(server.url)).bytes()), zlib.gzipSync('ok'))
    })

    for (const [says, method, status] of /** @type {[string, string, number][]} */ ([
      ['HEAD', 'HEAD', 200],
      ['204', 'GET', 204],
      ['304', 'GET', 304],
      ['an empty body', 'GET', 200]
    ])) {
      test(`nothing is decoded of ${says}`, async t => {
        const handler = (/** @type {any} */ _, /** @type {any} */ response) =>
          response.writeHead(status, { 'content-encoding': 'gzip' }).end()
        const { client, server } = await setUp(t, { http2, handler })
        for (let left = 2; left > 0; left--) {
          const response = await client.request(server.url, { method })
          assert.equal(response.status, status)
          assert.equal((await response.bytes()).length, 0)
        }
        assert.equal(server.handshakes, 1)
      })
    }

    test('maxResponseSize counts decoded bytes', async t => {
      const { client, server } = await serve(t, 'gzip', zlib.gzipSync(TEXT), { http2 }, { maxResponseSize: 1000 })
      await refused(client, server)
      const { client: enough } = await serve(
        t,
        'gzip',
        zlib.gzipSync(TEXT),
        { http2 },
        { maxResponseSize: TEXT.length }
      )
      assert.equal((await (await enough.request(server.url)).bytes()).length, TEXT.length)
    })

    test('maxExpansion refuses a bomb; the first MiB is free', async t => {
      for (const [coding, bomb] of /** @type {[string, Buffer][]} */ ([
        ['gzip', zlib.gzipSync(Buffer.alloc(8 * MIB))],
        ['br', zlib.brotliCompressSync(Buffer.alloc(8 * MIB))],
        ['zstd', ZEROS_ZSTD],
        ['gzip, gzip, gzip', zlib.gzipSync(zlib.gzipSync(zlib.gzipSync(Buffer.alloc(64 * MIB))))]
      ])) {
        const { client, server } = await serve(t, coding, bomb, { http2 })
        await refused(client, server)
      }
      const small = await serve(t, 'gzip', zlib.gzipSync(Buffer.alloc(MIB)), { http2 })
      assert.equal((await (await small.client.request(small.server.url)).bytes()).length, MIB)
      const free = await serve(t, 'gzip', zlib.gzipSync(Buffer.alloc(8 * MIB)), { http2 }, { maxExpansion: -1 })
      assert.equal((await (await free.client.request(free.server.url)).bytes()).length, 8 * MIB)
    })

    test('a reader who stops in the middle ends it', async t => {
      const { client, server } = await serve(
        t,
        'gzip',
        zlib.gzipSync(Buffer.alloc(64 * MIB)),
        { http2 },
        { maxExpansion: -1 }
      )
      const { body } = await client.request(server.url)
      const reader = /** @type {ReadableStream} */ (body).getReader()
      await reader.read()
      await reader.cancel()
      assert.equal((await client.request(server.url)).status, 200)
    })
  })
}

test('a bomb that is read slowly takes no memory', async t => {
  const bomb = zlib.gzipSync(Buffer.alloc(256 * MIB))
  const { client, server } = await serve(t, 'gzip', bomb, {}, { maxExpansion: -1 })
  const before = process.memoryUsage.rss()
  const { body } = await client.request(server.url)
  let most = 0
  let read = 0
  for await (const piece of /** @type {any} */ (body)) {
    read += piece.length
    if (read % (16 * MIB) < piece.length) most = Math.max(most, process.memoryUsage.rss() - before)
  }
  assert.equal(read, 256 * MIB)
  assert.ok(most < 128 * MIB, `${Math.round(most / MIB)} MiB`)
})

describe('what is asked for', () => {
  /** @type {[string, Record<string, unknown>, Record<string, string>, string | undefined][]} */
  const asked = [
    ['all that can be decoded', {}, {}, 'gzip, deflate, br, zstd'],
    ['what the caller says', {}, { 'accept-encoding': 'br' }, 'br'],
    ['nothing for a part', {}, { range: 'bytes=0-9' }, 'identity'],
    ['nothing without decompress', { decompress: false }, {}, undefined]
  ]
  for (const [says, options, headers, expected] of asked) {
    test(says, async t => {
      const { client, server } = await setUp(t, {}, options)
      await (await client.request(server.url, { headers })).text()
      assert.equal(server.requests[0].headers['accept-encoding'], expected)
    })
  }

  test('what the caller asked for is decoded too, and nothing with decompress: false', async t => {
    const { client, server } = await serve(t, 'gzip', zlib.gzipSync('ok'))
    const headers = { 'accept-encoding': 'gzip' }
    assert.equal(await (await client.request(server.url, { headers })).text(), 'ok')
    const { client: plain } = await serve(t, 'gzip', zlib.gzipSync('ok'), {}, { decompress: false })
    const bytes = Buffer.from(await (await plain.request(server.url, { headers })).bytes())
    assert.deepEqual(bytes, zlib.gzipSync('ok'))
  })
})

/**
 * @param {any} client
 * @param {any} server
 */
async function refused(client, server) {
  const response = await client.request(server.url).catch((/** @type {Error} */ error) => ({
    bytes: () => Promise.reject(error)
  }))
  await assert.rejects(response.bytes(), { code: 'ERR_HTTP_RESPONSE_TOO_LARGE', phase: 'body' })
}

/**
 * @param {import('node:test').TestContext} t
 * @param {string} coding
 * @param {Buffer} body
 * @param {any} [server]
 * @param {any} [options]
 */
function serve(t, coding, body, server = {}, options = {}) {
  return setUp(t, { ...server, handler: { headers: { 'content-encoding': coding }, body } }, options)
}

/**
 * @param {import('node:test').TestContext} t
 * @param {any} server
 * @param {any} [options]
 */
async function setUp(t, server, options = {}) {
  const running = await httpsServer({ cert, ...server })
  const client = new PinnedClient({ pins: cert.pin, ca: root.pem, ...options })
  t.after(async () => {
    await client.destroy()
    await running.close()
  })
  return { server: running, client }
}

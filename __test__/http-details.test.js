'use strict'
// The promise: a response is framed as RFC 9112 says, or is an error. Whatever stands behind it on its connection is never
// taken for the answer to the next request.

const assert = require('node:assert/strict')
const { before, describe, test } = require('node:test')
const { PinnedClient } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { answer, peerServer } = require('./helpers/peer')
const { httpsServer } = require('./helpers/servers')

const BOUNDED = { timeout: 10_000 }
const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`
/** What an attacker would have the next request answered with. */
const EVIL = answer('evil')
const INVALID = 'HPE_INVALID_CONSTANT'

/**
 * @typedef {object} Row
 * @property {string} says
 * @property {string} answer
 * @property {string} [method] Default: GET.
 * @property {number} [status] Default: 200.
 * @property {string} [body] Default: none.
 * @property {Record<string, string>} [trailers]
 * @property {string} [code] Of the error that it is.
 * @property {boolean} [closes] The server closes the connection behind it.
 * @property {boolean} [reused] Whether the next request finds the connection. Default: not after an error.
 */

/** @type {Row[]} */
const ROWS = [
  { says: 'HEAD with a length', method: 'HEAD', answer: `${OK}Content-Length: 5\r\n\r\n` },
  { says: 'HEAD that is chunked', method: 'HEAD', answer: CHUNKED },
  { says: '204 with a length', answer: 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n', status: 204 },
  { says: '304 with a length', answer: 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', status: 304 },
  { says: '304 that is chunked', answer: `HTTP/1.1 304 Not Modified\r\n${CHUNKED.slice(OK.length)}`, status: 304 },
  {
    says: 'chunks with extensions and trailers',
    answer: `${CHUNKED}2;a=b;c="d;e"\r\nab\r\n3 ; x\r\ncde\r\n0;last\r\nx-sum: 1\r\nx-other: 2\r\n\r\n`,
    body: 'abcde',
    trailers: { 'x-sum': '1', 'x-other': '2' }
  },
  {
    says: 'chunk sizes in upper case and with zeros',
    answer: `${CHUNKED}000A\r\n0123456789\r\n0\r\n\r\n`,
    body: '0123456789'
  },
  { says: 'one length twice', answer: `${OK}Content-Length: 2\r\nContent-Length: 2\r\n\r\nok`, body: 'ok' },
  { says: 'a status line without a reason', answer: 'HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok', body: 'ok' },
  { says: 'lines that end with LF alone', answer: 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok', body: 'ok' },
  {
    says: 'informational responses that nobody asked for',
    answer:
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\na: b\r\n\r\n' +
      `HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\nContent-Length: 3\r\n\r\n${answer('ok')}`,
    body: 'ok'
  },
  { says: 'a hundred of them', answer: 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100) + answer('ok'), body: 'ok' },

  // Framed by the end of the connection, or with more than the frame behind it.
  { says: 'no length', answer: `${OK}\r\nuntil the end`, body: 'until the end', closes: true, reused: false },
  {
    says: 'a coding that is not chunked',
    answer: `${OK}Transfer-Encoding: x\r\n\r\nall`,
    body: 'all',
    closes: true,
    reused: false
  },
  {
    says: 'Connection: close',
    answer: `${OK}Connection: close\r\nContent-Length: 2\r\n\r\nok`,
    body: 'ok',
    reused: false
  },
  { says: 'HTTP/1.0', answer: 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok', body: 'ok', reused: false },
  { says: 'a body that is too long', answer: `${OK}Content-Length: 2\r\n\r\nok${EVIL}`, body: 'ok', reused: false },
  {
    says: 'HEAD with a body',
    method: 'HEAD',
    answer: `${OK}Content-Length: ${EVIL.length}\r\n\r\n${EVIL}`,
    reused: false
  },
  {
    says: '204 with a body',
    answer: `HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n${EVIL}`,
    status: 204,
    reused: false
  },
  { says: '304 with a body', answer: `HTTP/1.1 304 Not Modified\r\n\r\n${EVIL}`, status: 304, reused: false },
  { says: 'more behind the last chunk', answer: `${CHUNKED}2\r\nok\r\n0\r\n\r\n${EVIL}`, body: 'ok', reused: false },
  { says: 'an empty line behind it', answer: `${answer('ok')}\r\n`, body: 'ok', reused: false },

  // Errors.
  { says: 'a body that is too short', answer: `${OK}Content-Length: 9\r\n\r\nok`, code: 'ECONNRESET', closes: true },
  { says: 'no answer at all', answer: '', code: 'ECONNRESET', closes: true },
  {
    says: 'informational responses alone',
    answer: 'HTTP/1.1 103 Early Hints\r\n\r\n',
    code: 'ECONNRESET',
    closes: true
  },
  {
    says: 'two lengths',
    answer: `${OK}Content-Length: 2\r\nContent-Length: ${EVIL.length}\r\n\r\n${EVIL}`,
    code: INVALID
  },
  { says: 'two lengths in one line', answer: `${OK}Content-Length: 2, 3\r\n\r\n${EVIL}`, code: INVALID },
  { says: 'a length with a sign', answer: `${OK}Content-Length: +2\r\n\r\n${EVIL}`, code: INVALID },
  {
    says: 'a length beyond counting',
    answer: `${OK}Content-Length: 18446744073709551616\r\n\r\n${EVIL}`,
    code: INVALID
  },
  {
    says: 'a length and chunks',
    answer: `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${EVIL}`,
    code: 'HPE_INVALID_TRANSFER_ENCODING'
  },
  { says: 'chunks in HTTP/1.0', answer: `${CHUNKED.replace('1.1', '1.0')}0\r\n\r\n${EVIL}`, code: INVALID },
  { says: 'a folded header', answer: `${OK}x: a\r\n b\r\nContent-Length: 0\r\n\r\n${EVIL}`, code: INVALID },
  { says: 'a space before the colon', answer: `${OK}Content-Length : 0\r\n\r\n${EVIL}`, code: INVALID },
  { says: 'a bare CR in a header', answer: `${OK}a: b\rContent-Length: 0\r\n\r\n${EVIL}`, code: INVALID },
  {
    says: 'a chunk size with a sign',
    answer: `${CHUNKED}-1\r\nok\r\n0\r\n\r\n${EVIL}`,
    code: 'HPE_INVALID_CHUNK_SIZE'
  },
  {
    says: 'a chunk size with a prefix',
    answer: `${CHUNKED}0x2\r\nok\r\n0\r\n\r\n${EVIL}`,
    code: 'HPE_INVALID_CHUNK_SIZE'
  },
  {
    says: 'a chunk size beyond counting',
    answer: `${CHUNKED}${'F'.repeat(17)}\r\n${EVIL}`,
    code: 'HPE_INVALID_CHUNK_SIZE'
  },
  {
    says: 'a bare LF behind a chunk size',
    answer: `${CHUNKED}2\nok\r\n0\r\n\r\n${EVIL}`,
    code: 'HPE_INVALID_CHUNK_SIZE'
  },
  {
    says: 'a bare LF in a chunk extension',
    answer: `${CHUNKED}2;a\nok\r\n0\r\n\r\n${EVIL}`,
    code: 'HPE_INVALID_CHUNK_SIZE'
  },
  {
    says: 'a chunk longer than its size',
    answer: `${CHUNKED}2\r\nokay\r\n0\r\n\r\n${EVIL}`,
    code: 'HPE_INVALID_CHUNK_SIZE'
  },
  {
    says: 'a head of a megabyte',
    answer: `${OK}a: ${'x'.repeat(1024 * 1024)}\r\n\r\n${EVIL}`,
    code: 'HPE_HEADER_OVERFLOW'
  },
  { says: 'a thousand headers', answer: `${OK}${'a: b\r\n'.repeat(1000)}\r\n${EVIL}`, code: 'HPE_HEADER_OVERFLOW' },
  {
    says: '101, that nobody asked for',
    answer: `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n${EVIL}`,
    code: 'ERR_HTTP_UPGRADE_REFUSED'
  },
  {
    says: '101 behind 100',
    answer: `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n${EVIL}`,
    code: 'ERR_HTTP_UPGRADE_REFUSED'
  }
]

/** @type {Awaited<ReturnType<typeof ca>>} */
let root
/** @type {Awaited<ReturnType<typeof leaf>>} */
let cert

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
})

describe('over HTTP/1.1', () => {
  for (const row of ROWS) {
    const { says, method = 'GET', status = 200, body = '', trailers = {}, code, reused = code === undefined } = row
    test(`${says}: ${code ?? (reused ? 'as it says, and reused' : 'as it says, and closed')}`, BOUNDED, async t => {
      const { client, server, url } = await setUp(t, row)
      const reading = client.request(url, { method }).then(async response => [response, await response.text()])
      if (code) {
        await assert.rejects(reading, { name: 'TlsPinningError', code })
        await server.peers[0].closed
      } else {
        const [response, text] = await reading
        assert.deepEqual([response.status, text], [status, body])
        assert.deepEqual(Object.fromEntries(response.trailers), trailers)
      }
      const next = await client.request(url, { method: 'POST', body: 'x' })
      assert.equal(await next.text(), 'next')
      assert.equal(server.connections, reused ? 1 : 2)
      if (!reused) await server.peers[0].closed
    })
  }

  test('bytes that come on an idle connection close it', BOUNDED, async t => {
    const { client, server, url } = await setUp(t, { says: '', answer: answer('ok') })
    assert.equal(await (await client.request(url)).text(), 'ok')
    server.peers[0].write(EVIL)
    await server.peers[0].closed
    assert.equal(await (await client.request(url, { method: 'POST', body: 'x' })).text(), 'next')
    assert.equal(server.connections, 2)
  })

  test('a header that asks for another protocol is refused', async t => {
    const { client, server, url } = await setUp(t, { says: '', answer: '' })
    for (const headers of [{ upgrade: 'websocket' }, { connection: 'upgrade' }]) {
      await assert.rejects(client.request(url, { headers }), { name: 'TypeError', code: 'ERR_INVALID_ARG_VALUE' })
    }
    assert.equal(server.connections, 0)
  })
})

describe('over HTTP/2', () => {
  test('HEAD, 204, 304 and trailers', BOUNDED, async t => {
    const server = await httpsServer({
      cert,
      http2: true,
      handler: (request, response) => {
        const status = Number(request.url?.slice(1)) || 200
        response.writeHead(status, { ...(status !== 204 && { 'content-length': '5' }), trailer: 'x-sum' })
        if (request.method === 'HEAD' || status !== 200) return response.end()
        response.addTrailers({ 'x-sum': '1' })
        response.end('abcde')
      }
    })
    const client = clientOf(t, server)
    for (const [path, method, body, trailers] of /** @type {const} */ ([
      ['/', 'HEAD', '', {}],
      ['/204', 'GET', '', {}],
      ['/304', 'GET', '', {}],
      ['/', 'GET', 'abcde', { 'x-sum': '1' }]
    ])) {
      const response = await client.request(server.url + path, { method })
      assert.equal(await response.text(), body)
      assert.deepEqual(Object.fromEntries(response.trailers), trailers)
    }
    assert.equal(server.connections, 1)
  })

  test('informational responses are passed over', BOUNDED, async t => {
    const server = await httpsServer({
      cert,
      http2: true,
      handler: (_, response) => {
        const { stream } = /** @type {import('node:http2').Http2ServerResponse} */ (/** @type {unknown} */ (response))
        for (const status of [100, 102, 103]) stream.additionalHeaders({ ':status': status, link: '</a>' })
        response.end('ok')
      }
    })
    const response = await clientOf(t, server).request(server.url)
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('link'), null)
    assert.equal(await response.text(), 'ok')
  })
})

/**
 * A server that answers a first request with a row's answer, and all others with `next`.
 * @param {import('node:test').TestContext} t
 * @param {Row} row
 */
async function setUp(t, row) {
  const server = await peerServer(
    async (peer, number) => {
      if (number === 0) {
        await peer.after('\r\n\r\n')
        if (row.closes) return peer.end(row.answer)
        peer.write(row.answer)
      }
      await peer.after('POST / HTTP/1.1\r\n').catch(() => {})
      peer.write(answer('next'))
    },
    { cert, alpn: ['http/1.1'] }
  )
  return { client: clientOf(t, server), server, url: `https://localhost:${server.port}/` }
}

/**
 * @param {import('node:test').TestContext} t
 * @param {{ close: () => Promise<void> }} server
 */
function clientOf(t, server) {
  const client = new PinnedClient({ pins: cert.pin, ca: root.pem })
  t.after(async () => {
    await client.destroy()
    await server.close()
  })
  return client
}

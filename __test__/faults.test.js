'use strict'
// The promise: whatever goes wrong on the way ends in an error with the code that Node or OpenSSL has for the case, says when
// it happened, and leaves nothing hanging. A server that was not authenticated has not seen one application byte.

const assert = require('node:assert/strict')
const https = require('node:https')
const { before, describe, test } = require('node:test')
const { PinnedClient } = require('..')
const { ca, leaf } = require('./helpers/pki')
const {
  alertServer,
  closeAtServer,
  httpsServer,
  rawServer,
  stallingServer,
  tcpProxy,
  tlsServer
} = require('./helpers/servers')

/** @type {Awaited<ReturnType<typeof ca>>} */
let root
/** @type {Awaited<ReturnType<typeof leaf>>} */
let cert

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
})

describe('before the connection stands', () => {
  for (const stage of /** @type {const} */ (['accept', 'clientHello', 'serverHello'])) {
    test(`a server that goes silent at ${stage} is given up on, and sees the connection close`, async t => {
      const server = tidy(t, await stallingServer(stage, { cert }))
      await refused(t, server, { handshakeTimeout: 100 }, { code: 'ERR_TLS_HANDSHAKE_TIMEOUT', phase: 'handshake' })
      await closed(server)
    })

    test(`a server that closes at ${stage} is a reset`, async t => {
      const server = tidy(t, await closeAtServer(stage, { cert }))
      await refused(t, server, {}, { code: 'ECONNRESET', phase: 'handshake' })
      await closed(server)
    })
  }

  test('a connection that is reset under the handshake is a reset', async t => {
    const server = tidy(t, await rawServer(socket => socket.once('data', () => socket.resetAndDestroy())))
    await refused(t, server, {}, { code: 'ECONNRESET', phase: 'handshake' })
  })

  test('a port where nobody listens refuses the connection', async t => {
    const server = await rawServer(() => {})
    await server.close()
    const expected = {
      code: 'ECONNREFUSED',
      phase: 'connect',
      host: 'localhost',
      port: server.port,
      syscall: 'connect'
    }
    await refused(t, server, {}, expected)
  })

  test('a name that does not exist is not found', async t => {
    const client = clientOf(t)
    const error = await client.request('https://does-not-exist.invalid/').catch(error => error)
    assert.match(error.code, /^(ENOTFOUND|EAI_AGAIN)$/)
    assert.deepEqual([error.phase, error.syscall, error.host], ['dns', 'getaddrinfo', 'does-not-exist.invalid'])
  })

  for (const { says, answer } of [
    { says: 'plain HTTP', answer: 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n' },
    { says: 'SSH', answer: 'SSH-2.0-OpenSSH_9.6\r\n' },
    { says: 'SMTP', answer: '220 mail.example ESMTP\r\n' }
  ]) {
    test(`a server that speaks ${says} is said not to speak TLS`, async t => {
      const server = tidy(t, await rawServer(socket => socket.end(answer)))
      const expected = { code: 'ERR_SSL_WRONG_VERSION_NUMBER', phase: 'handshake' }
      await refused(t, server, {}, expected)
      assert.equal(await nodeCode(server), expected.code)
    })
  }

  test('a record that is no TLS message is an error of the protocol', async t => {
    const server = tidy(t, await rawServer(socket => socket.end(Buffer.from([22, 3, 3, 0, 4, 99, 0, 0, 0]))))
    await refused(t, server, {}, { code: 'EPROTO', phase: 'handshake' })
  })

  for (const alert of [10, 20, 22, 40, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 70, 71, 80, 110, 112, 115, 116, 120]) {
    test(`the alert ${alert} has the code that Node gives it`, async t => {
      const server = tidy(t, await alertServer(alert))
      await refused(t, server, {}, { code: await nodeCode(server), phase: 'handshake' })
    })
  }

  for (const { says, server: options, client } of [
    { says: 'a server without TLS 1.3', server: { maxVersion: 'TLSv1.2' }, client: { minVersion: 'TLSv1.3' } },
    { says: 'a server without TLS 1.2', server: { minVersion: 'TLSv1.3' }, client: { maxVersion: 'TLSv1.2' } },
    {
      says: 'a server with TLS 1.1 only',
      server: { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', tls: { ciphers: 'ALL:@SECLEVEL=0' } },
      client: {}
    }
  ]) {
    test(`${says} and a client that wants it: a protocol version error`, async t => {
      const server = tidy(t, await httpsServer({ cert, .../** @type {any} */ (options) }))
      const expected = { code: await nodeCode(server, client), phase: 'handshake' }
      await refused(t, server, client, expected)
      assert.match(String(expected.code), /PROTOCOL/)
      assert.equal(server.appBytes, 0)
    })
  }
})

describe('after the request', () => {
  for (const { stage, phase } of /** @type {const} */ ([
    { stage: 'handshake', phase: 'request' },
    { stage: 'request', phase: 'request' },
    { stage: 'headers', phase: 'request' },
    { stage: 'body', phase: 'body' }
  ])) {
    test(`a server that closes at ${stage} is a reset`, async t => {
      const server = tidy(t, await closeAtServer(stage, { cert }))
      await broken(t, server, {}, { code: 'ECONNRESET', phase, host: 'localhost', port: server.port })
    })
  }

  for (const stage of /** @type {const} */ (['request', 'headers'])) {
    test(`a server that goes silent at ${stage} is given up on after headersTimeout`, async t => {
      const server = tidy(t, await stallingServer(stage, { cert }))
      await broken(t, server, { headersTimeout: 100 }, { code: 'ETIMEDOUT', phase: 'request' })
      await closed(server)
    })
  }

  test('a server that goes silent in the body is given up on after bodyTimeout', async t => {
    const server = tidy(t, await stallingServer('body', { cert }))
    await broken(t, server, { bodyTimeout: 100 }, { code: 'ETIMEDOUT', phase: 'body' })
    await closed(server)
  })

  for (const reset of [true, false]) {
    test(`a connection that is ${reset ? 'reset' : 'cut without close_notify'} in the body is a reset`, async t => {
      const server = tidy(t, await stallingServer('body', { cert }))
      const proxy = tidy(t, await tcpProxy(server))
      const response = await clientOf(t).request(`https://localhost:${proxy.port}`)
      const reader = response.body.getReader()
      assert.equal(Buffer.from((await reader.read()).value).toString(), 'part')
      proxy.cut({ reset })
      await assert.rejects(reader.read(), { code: 'ECONNRESET', phase: 'body' })
    })
  }

  const HEAD = 'HTTP/1.1 200 OK\r\n'
  for (const { says, answer, code, phase = 'request' } of [
    {
      says: 'a body shorter than announced',
      answer: `${HEAD}Content-Length: 10\r\n\r\nshort`,
      code: 'ECONNRESET',
      phase: 'body'
    },
    {
      says: 'a chunked body without its end',
      answer: `${HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n`,
      code: 'ECONNRESET',
      phase: 'body'
    },
    {
      says: 'a chunk cut in the middle',
      answer: `${HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nsh`,
      code: 'ECONNRESET',
      phase: 'body'
    },
    {
      says: 'a chunk size that is no number',
      answer: `${HEAD}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`,
      code: /^HPE_/,
      phase: 'body'
    },
    { says: 'a status line that is none', answer: 'HELLO\r\n\r\n', code: /^HPE_/ },
    { says: 'a status that is no number', answer: 'HTTP/1.1 abc OK\r\n\r\n', code: /^HPE_/ },
    { says: 'a version that does not exist', answer: 'HTTP/9.9 200 OK\r\n\r\n', code: /^HPE_/ },
    { says: 'a header without a colon', answer: `${HEAD}nonsense\r\n\r\n`, code: /^HPE_/ },
    { says: 'a header with a NUL', answer: `${HEAD}a: b\0c\r\n\r\n`, code: /^HPE_/ },
    {
      says: 'two lengths that differ',
      answer: `${HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`,
      code: /^HPE_/
    },
    { says: 'a length that is no number', answer: `${HEAD}Content-Length: -1\r\n\r\n`, code: /^HPE_/ },
    {
      says: 'a head of a megabyte',
      answer: `${HEAD}a: ${'x'.repeat(1024 * 1024)}\r\n\r\n`,
      code: 'HPE_HEADER_OVERFLOW'
    },
    { says: 'ten thousand headers', answer: `${HEAD}${'a: b\r\n'.repeat(10_000)}\r\n`, code: 'HPE_HEADER_OVERFLOW' }
  ]) {
    test(`${says} is an error`, async t => {
      const server = tidy(t, await tlsServer(socket => socket.once('data', () => socket.end(answer)), { cert }))
      const error = await outcome(clientOf(t, { allowH2: false }), `https://localhost:${server.port}`)
      assert.match(String(error?.code), typeof code === 'string' ? new RegExp(`^${code}$`) : code)
      assert.equal(error.phase, phase)
      await closed(server)
    })
  }

  for (const [says, headers] of /** @type {const} */ ([
    ['announced', { 'content-length': '11' }],
    ['chunked', {}]
  ])) {
    for (const http2 of [false, true]) {
      test(`a body over maxResponseSize is refused: ${says}, ${http2 ? 'HTTP/2' : 'HTTP/1.1'}`, async t => {
        const handler = (/** @type {any} */ _, /** @type {any} */ response) =>
          response.writeHead(200, headers).end('12345678901')
        const server = tidy(t, await httpsServer({ cert, http2, handler }))
        const url = server.url
        const code = 'ERR_HTTP_RESPONSE_TOO_LARGE'
        assert.equal((await outcome(clientOf(t, { maxResponseSize: 10 }), url))?.code, code)
        assert.equal(await outcome(clientOf(t, { maxResponseSize: 11 }), url), undefined)
        assert.equal((await outcome(clientOf(t, { maxResponseSize: 0 }), url))?.code, code)
      })
    }
  }

  for (const [what, head, body, code] of /** @type {const} */ ([
    ['bad gzip', 'content-encoding: gzip\r\ncontent-length: 4', 'nope', 'Z_DATA_ERROR'],
    ['a bad chunk', 'transfer-encoding: chunked', 'zz\r\n', 'HPE_INVALID_CHUNK_SIZE'],
    ['more than allowed', 'content-length: 200', 'x'.repeat(200), 'ERR_HTTP_RESPONSE_TOO_LARGE'],
    ['nothing more', 'content-length: 10', '', 'ECONNRESET']
  ])) {
    test(`${what}, in one packet with the head: the head is good, the body fails`, async t => {
      const answer = `HTTP/1.1 503 Busy\r\n${head}\r\n\r\n${body}`
      const server = tidy(t, await tlsServer(socket => socket.once('data', () => socket.end(answer)), { cert }))
      const client = new PinnedClient({ pins: [cert.pin], ca: root.pem, maxResponseSize: 100 })
      t.after(() => client.destroy())
      for (const request of [client.request.bind(client), client.fetch.bind(client)]) {
        const response = await request(`https://localhost:${server.port}/`)
        assert.equal(response.status, 503)
        await assert.rejects(response.text(), (/** @type {any} */ error) => {
          assert.equal(error.code, code)
          return true
        })
      }
    })
  }

  test('an HTTP/2 stream that its server resets fails alone', async t => {
    const handler = (/** @type {any} */ request, /** @type {any} */ response) => {
      if (request.url === '/reset') response.stream.close(2)
      else response.end('ok')
    }
    const server = tidy(t, await httpsServer({ cert, http2: true, handler }))
    const client = clientOf(t)
    const error = await outcome(client, `${server.url}/reset`)
    assert.equal(error?.code, 'ERR_HTTP2_STREAM_ERROR')
    assert.equal(await outcome(client, server.url), undefined)
    assert.equal(server.handshakes, 1)
  })

  test('a client is good for the next request after each of these', async t => {
    const server = tidy(t, await httpsServer({ cert }))
    const client = clientOf(t, { headersTimeout: 1000 })
    for (const faulty of [await closeAtServer('headers', { cert }), await stallingServer('request', { cert })]) {
      tidy(t, faulty)
      assert.notEqual(await outcome(client, `https://localhost:${faulty.port}`), undefined)
      assert.equal(await outcome(client, server.url), undefined)
    }
  })
})

/**
 * @param {any} t
 * @param {object} [options]
 */
function clientOf(t, options) {
  const client = new PinnedClient({ pins: cert.pin, ca: root.pem, family: 4, ...options })
  t.after(() => client.destroy())
  return client
}

/**
 * @template {{ close: () => Promise<void> }} S
 * @param {any} t
 * @param {S} server
 */
function tidy(t, server) {
  t.after(() => server.close())
  return server
}

/**
 * @param {any} t
 * @param {{ port: number }} server
 * @param {object} options
 * @param {object} expected
 */
async function refused(t, server, options, expected) {
  const request = clientOf(t, options).request(`https://localhost:${server.port}`, { method: 'POST', body: 'secret' })
  await assert.rejects(request, { name: 'TlsPinningError', ...expected })
}

/**
 * @param {any} t
 * @param {{ port: number }} server
 * @param {object} options
 * @param {object} expected
 */
async function broken(t, server, options, expected) {
  const error = await outcome(clientOf(t, options), `https://localhost:${server.port}`)
  const seen = Object.fromEntries(Object.keys(expected).map(key => [key, error?.[key]]))
  assert.deepEqual(seen, expected)
}

/**
 * When the client's connections are closed: a server that holds them has to read to notice.
 * @param {{ open: import('node:net').Socket[], settled: () => Promise<void> }} server
 */
async function closed(server) {
  for (const socket of server.open) socket.resume()
  await server.settled()
}

/**
 * The error of a request or of its body, `undefined` where there is none.
 * @param {PinnedClient} client
 * @param {string} url
 * @returns {Promise<any>}
 */
async function outcome(client, url) {
  try {
    const response = await client.request(url)
    await response.bytes()
  } catch (error) {
    return error
  }
}

/**
 * The code that Node's own client ends with. During a handshake it may say EPROTO alone, and OpenSSL's reason in the message.
 * @param {{ port: number }} server
 * @param {object} [options]
 * @returns {Promise<string | undefined>}
 */
function nodeCode({ port }, options) {
  return new Promise(resolve => {
    const request = https.get({
      host: '127.0.0.1',
      servername: 'localhost',
      port,
      ca: root.pem,
      agent: false,
      ...options
    })
    request.on('response', response => resolve(`answered ${response.statusCode}`))
    request.on('error', error => {
      const [, reason] = /:SSL routines:[^:]*:([^:]+):/.exec(error.message) ?? []
      const { code } = /** @type {NodeJS.ErrnoException} */ (error)
      resolve(reason ? `ERR_SSL_${reason.toUpperCase().replaceAll(' ', '_')}` : code)
    })
  })
}

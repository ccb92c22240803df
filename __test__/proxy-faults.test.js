'use strict'
// The promise: whatever a proxy answers, the request fails with a code that says so, soon, and the target is told nothing;
// what is wrong with the option is said when the client is made, without the credentials in it.

const assert = require('node:assert/strict')
const net = require('node:net')
const { before, describe, test } = require('node:test')
const { inspect: show } = require('node:util')
const { PinnedClient } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { connectProxy, socksProxy } = require('./helpers/proxies')
const { httpsServer } = require('./helpers/servers')

const PIN = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
/** Where a failure would be a hang. */
const BOUNDED = { timeout: 20_000 }
const SECRET = 'http://user:s3cret@localhost:'

/** @type {import('./helpers/pki').Certificate} */
let root
/** @type {import('./helpers/pki').Certificate} */
let good

before(async () => {
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root })
})

/** @param {string} text */
const say = text => (/** @type {net.Socket} */ socket) => void socket.end(text)

/** @type {[string, (socket: net.Socket) => void, { code: string, message?: RegExp }][]} */
const ANSWERS = [
  ['403', say('HTTP/1.1 403 Forbidden by s3cret\r\n\r\n'), { code: 'ERR_PROXY_TUNNEL', message: /403 Forbidden$/ }],
  [
    '407 with a body',
    say('HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\nwhat?'),
    { code: 'ERR_PROXY_TUNNEL', message: /407 Proxy Authentication Required/ }
  ],
  ['502, chunked', say('HTTP/1.1 502 Bad\r\nTransfer-Encoding: chunked\r\n\r\n'), { code: 'ERR_PROXY_TUNNEL' }],
  ['a redirect', say('HTTP/1.1 302 Found\r\nLocation: https://localhost/\r\n\r\n'), { code: 'ERR_PROXY_TUNNEL' }],
  [
    '101',
    say('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
    { code: 'ERR_PROXY_TUNNEL' }
  ],
  ['garbage', say('220 smtp.example ESMTP\r\n'), { code: 'ERR_PROXY_TUNNEL', message: /not valid HTTP/ }],
  [
    'more than an answer',
    socket => void socket.write('HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n'),
    { code: 'ERR_PROXY_TUNNEL', message: /more than an answer/ }
  ],
  ['half a head', say('HTTP/1.1 200 OK\r\nX-A: b'), { code: 'ECONNRESET' }],
  ['nothing, and closes', socket => void socket.destroy(), { code: 'ECONNRESET' }],
  [
    'a head without end',
    socket => {
      const line = `X-Filler: ${'a'.repeat(8000)}\r\n`
      socket.write('HTTP/1.1 200 OK\r\n')
      const more = () => {
        while (socket.writable && socket.write(line)) {}
      }
      socket.on('drain', more)
      more()
    },
    { code: 'ERR_PROXY_TUNNEL' }
  ]
]

describe('a proxy that answers CONNECT with', () => {
  for (const secured of [false, true]) {
    for (const [name, answer, expected] of ANSWERS) {
      test(`${name}, ${secured ? 'https:' : 'http:'}`, BOUNDED, async t => {
        const server = await httpsServer({ cert: good })
        const proxy = await connectProxy({ answer, ...(secured && { cert: good }) })
        const url = proxy.url.replace('://', '://user:s3cret@')
        const client = new PinnedClient({
          pins: good.pin,
          ca: root.pem,
          proxy: secured ? { url, pins: good.pin, ca: root.pem } : url
        })
        t.after(() => Promise.all([client.close(), proxy.close(), server.close()]))
        const error = await client.request(server.url).then(assert.fail, (/** @type {any} */ error) => error)
        assert.deepEqual([error.code, error.phase, error.port], [expected.code, 'proxy', proxy.port])
        if (expected.message) assert.match(error.message, expected.message)
        assert.doesNotMatch(show(error, { depth: 9, showHidden: true }), /s3cret/)
        assert.equal(server.connections, 0)
      })
    }

    test(
      `nothing at all: connectTimeout, and an abort stops the native work, ${secured ? 'https:' : 'http:'}`,
      BOUNDED,
      async t => {
        const proxy = await connectProxy({ answer: () => {}, ...(secured && { cert: good }) })
        const option = secured ? { url: proxy.url, pins: good.pin, ca: root.pem } : proxy.url
        const options = { pins: good.pin, ca: root.pem, proxy: option }
        const hasty = new PinnedClient({ ...options, connectTimeout: 200 })
        const client = new PinnedClient(options)
        t.after(() => Promise.all([hasty.close(), client.close(), proxy.close()]))
        await assert.rejects(hasty.request('https://localhost:1'), { code: 'ETIMEDOUT', phase: 'connect' })
        await proxy.settled()

        const stop = new AbortController()
        const request = client.request('https://localhost:1', { signal: stop.signal })
        while (proxy.heads.length < 2) await new Promise(resolve => setImmediate(resolve))
        stop.abort()
        await assert.rejects(request, { name: 'AbortError' })
        await proxy.settled()
      }
    )
  }
})

test('an https: proxy that does not speak TLS', BOUNDED, async t => {
  const server = net.createServer(socket => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  await new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(undefined)))
  const { port } = /** @type {net.AddressInfo} */ (server.address())
  const proxy = { url: `https://localhost:${port}`, pins: good.pin, ca: root.pem }
  const client = new PinnedClient({ pins: good.pin, ca: root.pem, proxy })
  t.after(() => Promise.all([client.close(), server.close()]))
  await assert.rejects(client.request('https://localhost:1'), { phase: 'proxy', port })
})

test('a proxy that is not there, and one whose name has no address', BOUNDED, async () => {
  const proxy = await connectProxy()
  await proxy.close()
  const gone = new PinnedClient({ pins: PIN, proxy: proxy.url })
  await assert.rejects(gone.request('https://localhost:1'), {
    code: 'ECONNREFUSED',
    phase: 'proxy',
    host: 'localhost',
    port: proxy.port
  })
  const nameless = new PinnedClient({
    pins: PIN,
    proxy: 'http://proxy.example',
    lookup: (_, __, done) => done(Object.assign(new Error('no'), { code: 'ENOTFOUND' }), '', 0)
  })
  await assert.rejects(nameless.request('https://localhost:1'), { code: 'ENOTFOUND', phase: 'proxy', port: 80 })
  await Promise.all([gone.close(), nameless.close()])
})

test('a tunnel to a port where nobody listens, and one that breaks in the handshake', BOUNDED, async t => {
  const proxy = await connectProxy()
  const client = new PinnedClient({ pins: PIN, ca: root.pem, proxy: proxy.url })
  t.after(() => Promise.all([client.close(), proxy.close()]))
  await assert.rejects(client.request('https://localhost:1'), { code: 'ECONNRESET' })
})

describe('a SOCKS5 proxy that', () => {
  for (const [status, text] of [
    [1, 'general server failure'],
    [2, 'connection not allowed'],
    [3, 'network unreachable'],
    [4, 'host unreachable'],
    [5, 'connection refused'],
    [6, 'ttl expired'],
    [7, 'command not supported'],
    [8, 'address type not supported'],
    [99, 'failed parsing']
  ]) {
    test(`answers ${status}: ERR_PROXY_TUNNEL`, BOUNDED, async t => {
      const proxy = await socksProxy({ reply: Buffer.from([5, Number(status), 0, 1, 0, 0, 0, 0, 0, 0]) })
      const client = new PinnedClient({ pins: PIN, ca: root.pem, proxy: proxy.url })
      t.after(() => Promise.all([client.close(), proxy.close()]))
      await assert.rejects(client.request('https://localhost:443'), {
        code: 'ERR_PROXY_TUNNEL',
        phase: 'proxy',
        port: proxy.port,
        message: new RegExp(`localhost:443: .*${text}`)
      })
    })
  }

  test('wants a method that was not offered, is no SOCKS, or closes', BOUNDED, async t => {
    const silent = net.createServer(socket => socket.on('error', () => {}).destroy())
    const http = net.createServer(socket => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    for (const server of [silent, http]) await new Promise(done => server.listen(0, '127.0.0.1', () => done(undefined)))
    const strange = await socksProxy({ method: 1 })
    t.after(() => Promise.all([silent.close(), http.close(), strange.close()]))
    const ports = [silent, http].map(server => /** @type {net.AddressInfo} */ (server.address()).port)
    for (const port of [...ports, strange.port]) {
      const client = new PinnedClient({ pins: PIN, ca: root.pem, proxy: `socks5h://localhost:${port}` })
      await assert.rejects(client.request('https://localhost:443'), { code: 'ERR_PROXY_TUNNEL', phase: 'proxy', port })
      await client.close()
    }
  })
})

describe('an option that is wrong', () => {
  const long = 'a'.repeat(256)
  for (const [name, proxy, code, message] of /** @type {[string, any, string, RegExp][]} */ ([
    ['an https: proxy without pins', 'https://user:s3cret@localhost', 'ERR_TLS_PIN_UNSAFE', /proxy: \{ url, pins/],
    ['pins without TLS', { url: `${SECRET}1`, pins: PIN }, 'ERR_TLS_PIN_UNSAFE', /pins is about TLS/],
    ['TLS options for SOCKS', { url: 'socks5://localhost', ca: 'x' }, 'ERR_TLS_PIN_UNSAFE', /ca is about TLS/],
    [
      'rejectUnauthorized',
      { url: 'https://h', pins: PIN, rejectUnauthorized: false },
      'ERR_INVALID_ARG_VALUE',
      /unknown/
    ],
    ['another scheme', 'ftp://user:s3cret@localhost', 'ERR_INVALID_PROTOCOL', /socks5h/],
    ['no scheme', 'localhost:3128', 'ERR_INVALID_PROTOCOL', /http:\/\/host:port/],
    ['an address alone', '127.0.0.1:3128', 'ERR_INVALID_URL', /http:\/\/host:port/],
    ['no URL', 'http://user:s3cret@:1:2', 'ERR_INVALID_URL', /not a URL/],
    ['a path', 'http://user:s3cret@localhost/x', 'ERR_INVALID_URL', /no path/],
    ['a query', 'http://user:s3cret@localhost/?x', 'ERR_INVALID_URL', /no path/],
    ['no host', 'socks5:///', 'ERR_INVALID_URL', /host/],
    ['a host that is none', 'socks5://user:s3cret@a_%20b!', 'ERR_INVALID_ARG_VALUE', /proxy's host/],
    ['credentials that are no text', 'http://s3cret:%ff@localhost', 'ERR_INVALID_URL', /percent/],
    ['a colon in the user name', 'http://s3cret%3A:x@localhost', 'ERR_INVALID_ARG_VALUE', /colon/],
    ['a long SOCKS password', `socks5://s3cret:${long}@localhost`, 'ERR_INVALID_ARG_VALUE', /255/],
    ['a long SOCKS name', `socks5://${long}:s3cret@localhost`, 'ERR_INVALID_ARG_VALUE', /255/],
    ['a SOCKS password alone', 'socks5://:s3cret@localhost', 'ERR_INVALID_ARG_VALUE', /255/],
    ['a number', 3128, 'ERR_INVALID_ARG_TYPE', /number/],
    ['a list', ['http://h'], 'ERR_INVALID_ARG_TYPE', /Array/],
    ['no url', {}, 'ERR_INVALID_ARG_TYPE', /proxy\.url/],
    ['an instance', new (class Way {})(), 'ERR_INVALID_ARG_TYPE', /instance/],
    ['an unknown option', { url: 'http://h', prot: 1 }, 'ERR_INVALID_ARG_VALUE', /proxy\.prot/],
    ['noProxy as a list', { url: 'http://h', noProxy: ['a'] }, 'ERR_INVALID_ARG_TYPE', /noProxy/],
    [
      'a header that splits',
      { url: 'http://h', headers: { a: 'b\r\nc: s3cret' } },
      'ERR_INVALID_ARG_VALUE',
      /header a/
    ],
    ['a header of the connection', { url: 'http://h', headers: { Host: 'x' } }, 'ERR_INVALID_ARG_VALUE', /Host/],
    ['headers for SOCKS', { url: 'socks5://h', headers: {} }, 'ERR_INVALID_ARG_VALUE', /headers/],
    ['pins that are none', { url: 'https://h', pins: 'x' }, 'ERR_TLS_PIN_INVALID', /./]
  ])) {
    test(name, () => {
      const make = () => new PinnedClient({ pins: PIN, proxy })
      assert.throws(make, (/** @type {any} */ error) => {
        assert.equal(error.code, code, error)
        assert.match(error.message, message)
        assert.doesNotMatch(show(error, { depth: 9, showHidden: true }), /s3cret/)
        return true
      })
    })
  }
})

test('headers of CONNECT', BOUNDED, async t => {
  const server = await httpsServer({ cert: good })
  const proxy = await connectProxy()
  const options = { url: proxy.url, headers: { 'X-Team': 'red', 'Proxy-Authorization': 'Bearer t0ken' } }
  const client = new PinnedClient({ pins: good.pin, ca: root.pem, proxy: options })
  t.after(() => Promise.all([client.close(), proxy.close(), server.close()]))
  await (await client.request(server.url)).text()
  assert.match(proxy.heads[0], /\r\nX-Team: red\r\n/)
  assert.match(proxy.heads[0], /\r\nProxy-Authorization: Bearer t0ken\r\n/)
  assert.equal(server.requests[0].headers['x-team'], undefined)
})

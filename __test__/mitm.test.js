'use strict'
// The promise: the man in the middle of tls-pinning/testing intercepts whoever trusts it, tells what it was given and who
// refused, passes nothing on to a server that it cannot verify, and passes on untouched what it is not after.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { before, describe, it } = require('node:test')
const tls = require('node:tls')
const { PinnedClient } = require('tls-pinning')
const { startMitm } = require('tls-pinning/testing')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer, tlsServer } = require('./helpers/servers')

const LIMIT = { timeout: 10_000 }
const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
/** A client that has no pins for anybody it meets. */
const UNPINNED = { unlisted: 'allow', hosts: { 'a.invalid': [OTHER] } }

/** @type {import('./helpers/pki').Certificate} */
let root
/** @type {import('./helpers/pki').Certificate} */
let cert

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
})

/**
 * A server, and a man in the middle before it.
 * @param {import('node:test').TestContext} t
 * @param {Record<string, any>} [options]
 * @param {Record<string, any>} [serverOptions]
 */
async function scene(t, options, serverOptions) {
  const server = await httpsServer({ cert, http2: true, ...serverOptions })
  t.after(() => server.close())
  const mitm = await startMitm({ ca: root.pem, ...options })
  t.after(() => mitm.close())
  return { server, mitm }
}

/**
 * One request of the native client, through the man in the middle.
 * @param {any} mitm
 * @param {string} url
 * @param {Record<string, any>} [options]
 */
async function request(mitm, url, { body, ...options } = {}) {
  const client = new PinnedClient({ pins: UNPINNED, ca: mitm.ca, proxy: mitm.url, ...options })
  try {
    const response = await client.request(url, body === undefined ? {} : { method: 'POST', body })
    return { status: response.status, alpn: response.tls.alpn, text: await response.text() }
  } finally {
    await client.close()
  }
}

/**
 * A tunnel by CONNECT.
 * @param {any} mitm
 * @param {number} port
 * @param {string} [user]
 */
async function tunnel(mitm, port, user) {
  const socket = net.connect(mitm.port, '127.0.0.1')
  const line = user ? `Proxy-Authorization: Basic ${Buffer.from(user).toString('base64')}\r\n` : ''
  socket.write(`CONNECT localhost:${port} HTTP/1.1\r\n${line}\r\n`)
  const [answer] = await once(socket, 'data')
  const head = /^HTTP\/1\.1 200 .*?\r\n\r\n/s.exec(answer.toString('latin1'))
  assert.ok(head)
  // The server may have said something already.
  socket.pause().unshift(answer.subarray(head[0].length))
  return socket
}

/** An alert is lost where the client closes while the man in the middle still writes. @param {string | null} reason */
function assertAlert(reason) {
  assert.ok(reason === null || reason === 'certificate_unknown', String(reason))
}

describe('an intercepted client', () => {
  for (const [allowH2, alpn, first] of [
    [true, 'h2', 'an HTTP/2 request'],
    [false, 'http/1.1', 'POST /a/…?… HTTP/1.1']
  ]) {
    for (const scheme of ['http', 'socks5h']) {
      it(`is told of with what it gave away, over ${alpn} and ${scheme}:`, LIMIT, async t => {
        const { server, mitm } = await scene(t)
        const url = `${server.url}/a/0123456789abcdef0?token=secret`
        const proxy = `${scheme}://someone:x@127.0.0.1:${mitm.port}`
        const answer = await request(mitm, url, { allowH2, proxy, body: 'x'.repeat(100_000) })
        await mitm.close()
        assert.deepEqual(answer, { status: 200, alpn, text: 'ok' })
        const [{ bytes, ...told }] = mitm.connections
        assert.ok(bytes > 100_000, String(bytes))
        assert.deepEqual(told, {
          id: 'someone',
          host: 'localhost',
          port: server.port,
          servername: 'localhost',
          outcome: 'intercepted',
          protocol: 'TLSv1.3',
          alpn,
          reason: null,
          held: null,
          first
        })
        assert.equal(server.requests[0].servername, 'localhost')
      })
    }
  }

  it('is one over TLS 1.2 too', LIMIT, async t => {
    const { server, mitm } = await scene(t)
    await request(mitm, server.url, { maxVersion: 'TLSv1.2' })
    await mitm.close()
    const [{ outcome, protocol }] = mitm.connections
    assert.deepEqual({ outcome, protocol }, { outcome: 'intercepted', protocol: 'TLSv1.2' })
  })

  it('gives nothing to a server that cannot be verified', LIMIT, async t => {
    const { server, mitm } = await scene(t, { ca: undefined })
    await assert.rejects(request(mitm, server.url, { allowH2: false }))
    await mitm.close()
    assert.equal(mitm.connections.length, 1)
    const [{ outcome, held, first }] = mitm.connections
    assert.deepEqual(
      { outcome, held, first },
      { outcome: 'intercepted', held: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', first: 'GET / HTTP/1.1' }
    )
    await server.settled()
    assert.equal(server.appBytes, 0)
  })

  it('is found where TLS begins after plain text, also without a pause', LIMIT, async t => {
    const inner = await tlsServer(socket => socket.on('data', data => socket.write(`heard ${data}`)), { cert })
    t.after(() => inner.close())
    // Says a greeting, waits for a line, and goes on with TLS, as MySQL does.
    const outer = net.createServer(socket => {
      socket.on('error', () => {})
      socket.write('greeting')
      socket.once('data', data => {
        assert.equal(String(data.subarray(0, 8)), 'STARTTLS')
        socket.pause()
        const below = net.connect(inner.port, '127.0.0.1', () => {
          below.write(data.subarray(8))
          below.pipe(socket).pipe(below)
        })
        below.on('error', () => {})
      })
    })
    t.after(() => outer.close())
    outer.listen(0, '127.0.0.1')
    await once(outer, 'listening')
    const { port } = /** @type {net.AddressInfo} */ (outer.address())
    const mitm = await startMitm({ ca: root.pem })
    t.after(() => mitm.close())
    const socket = await tunnel(mitm, port)
    const greeting = once(socket, 'data')
    socket.resume()
    assert.equal(String((await greeting)[0]), 'greeting')
    socket.pause().write('STARTTLS')
    const secure = tls.connect({ socket, servername: 'localhost', ca: mitm.ca })
    secure.write('LOGIN user password')
    assert.equal(String((await once(secure, 'data'))[0]), 'heard LOGIN user password')
    secure.destroy()
    await once(secure, 'close')
    await mitm.close()
    const [{ outcome, first }] = mitm.connections
    assert.deepEqual({ outcome, first }, { outcome: 'intercepted', first: 'LOGIN …' })
  })
})

describe('a client that refuses', () => {
  it('for its pins gives nothing away, and neither side has a byte', LIMIT, async t => {
    const { server, mitm } = await scene(t)
    const pins = [cert.pin, OTHER]
    await assert.rejects(request(mitm, server.url, { pins }), { code: 'ERR_TLS_PIN_MISMATCH' })
    await mitm.close()
    const [{ outcome, bytes, first, reason }] = mitm.connections
    assert.deepEqual({ outcome, bytes, first }, { outcome: 'refused', bytes: 0, first: null })
    assertAlert(reason)
    await server.settled()
    assert.equal(server.appBytes, 0)
  })

  it('for want of trust is told', LIMIT, async t => {
    const { server, mitm } = await scene(t)
    await assert.rejects(request(mitm, server.url, { ca: root.pem }))
    await mitm.close()
    const [{ outcome, reason }] = mitm.connections
    assert.equal(outcome, 'refused')
    assertAlert(reason)
  })

  it('without a word is one too', LIMIT, async t => {
    const { server, mitm } = await scene(t)
    const socket = tls.connect({
      socket: await tunnel(mitm, server.port),
      servername: 'localhost',
      ca: mitm.ca,
      checkServerIdentity: () => new Error('no')
    })
    await assert.rejects(once(socket, 'secureConnect'), /no/)
    await mitm.close()
    assert.equal(mitm.connections[0].outcome, 'refused')
  })

  it('is no client that is cut off, or that cannot speak with it', LIMIT, async t => {
    const { server, mitm } = await scene(t)
    const silent = tls.connect({
      socket: await tunnel(mitm, server.port, 'silent:'),
      servername: 'localhost',
      ca: mitm.ca
    })
    silent.on('error', () => {})
    await once(silent, 'secureConnect')
    const old = tls.connect({
      socket: await tunnel(mitm, server.port, 'old:'),
      servername: 'localhost',
      ca: mitm.ca,
      maxVersion: 'TLSv1.2',
      ciphers: 'AES256-SHA:@SECLEVEL=0'
    })
    await assert.rejects(once(old, 'secureConnect'))
    await mitm.close()
    silent.destroy()
    const told = Object.fromEntries(mitm.connections.map(({ id, outcome }) => [id, outcome]))
    assert.deepEqual(told, { silent: 'silent', old: 'failed' })
  })
})

describe('it passes on untouched', () => {
  /** @type {{ title: string, options: Record<string, any>, user?: string }[]} */
  const CASES = [
    { title: 'everything, when it is not to intercept', options: { intercept: false } },
    { title: 'hosts that it is not after', options: { hosts: ['*.example.com', 'localhost:1'] } },
    { title: 'a client that asks for it', options: {}, user: 'me:untouched@' }
  ]
  for (const { title, options, user = '' } of CASES) {
    it(title, LIMIT, async t => {
      const { server, mitm } = await scene(t, options)
      const proxy = mitm.url.replace('//', `//${user}`)
      const answer = await request(mitm, server.url, { ca: root.pem, pins: cert.pin, proxy })
      await mitm.close()
      assert.equal(answer.status, 200)
      const [{ outcome, servername, bytes }] = mitm.connections
      assert.deepEqual({ outcome, servername, bytes }, { outcome: 'relayed', servername: 'localhost', bytes: 0 })
    })
  }

  it('plain text, both ways and to the end', LIMIT, async t => {
    const echo = net.createServer({ allowHalfOpen: true }, socket => socket.pipe(socket))
    t.after(() => echo.close())
    echo.listen(0, '127.0.0.1')
    await once(echo, 'listening')
    const mitm = await startMitm()
    t.after(() => mitm.close())
    const socket = await tunnel(mitm, /** @type {net.AddressInfo} */ (echo.address()).port)
    // Ends in what might be the beginning of TLS.
    const sent = Buffer.concat([Buffer.alloc(3_000_000, 'x'), Buffer.from([0x16, 3, 1])])
    socket.end(sent)
    const received = Buffer.concat(await socket.toArray())
    assert.ok(received.equals(sent))
    await mitm.close()
    assert.equal(mitm.connections[0].outcome, 'plain')
  })
})

describe('it', () => {
  it('says that a server is not there, to the client and in its list', LIMIT, async t => {
    const free = net.createServer().listen(0, '127.0.0.1')
    await once(free, 'listening')
    const { port } = /** @type {net.AddressInfo} */ (free.address())
    await new Promise(resolve => free.close(() => resolve(undefined)))
    const mitm = await startMitm()
    t.after(() => mitm.close())
    await assert.rejects(request(mitm, `https://localhost:${port}/`), { code: 'ERR_PROXY_TUNNEL' })
    await mitm.close()
    const [{ outcome, reason }] = mitm.connections
    assert.deepEqual({ outcome, reason }, { outcome: 'unreachable', reason: 'ECONNREFUSED' })
  })

  it('keeps what NODE_EXTRA_CA_CERTS holds, in a file for this user alone that goes away', LIMIT, async t => {
    const own = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-mitm-test-')), 'own.pem')
    fs.writeFileSync(own, root.pem.trimEnd())
    process.env.NODE_EXTRA_CA_CERTS = own
    t.after(() => {
      delete process.env.NODE_EXTRA_CA_CERTS
      fs.rmSync(path.dirname(own), { recursive: true })
    })
    const mitm = await startMitm()
    assert.equal(fs.readFileSync(mitm.caFile, 'utf8'), `${root.pem.trimEnd()}\n${mitm.ca}`)
    assert.equal(fs.statSync(mitm.caFile).mode & 0o777, 0o600)
    await mitm.close()
    await mitm.close()
    assert.equal(fs.existsSync(mitm.caFile), false)
  })

  it('refuses what it does not understand', LIMIT, async t => {
    for (const [options, code] of [
      [null, 'ERR_INVALID_ARG_TYPE'],
      [{ host: '0.0.0.0' }, 'ERR_INVALID_ARG_VALUE'],
      [{ intercept: 1 }, 'ERR_INVALID_ARG_TYPE'],
      [{ hosts: 'localhost' }, 'ERR_INVALID_ARG_TYPE'],
      [{ hosts: ['https://localhost'] }, 'ERR_INVALID_ARG_VALUE'],
      [{ port: 70_000 }, 'ERR_INVALID_ARG_VALUE'],
      [{ ca: 'no certificate' }, 'ERR_INVALID_ARG_VALUE']
    ]) {
      await assert.rejects(startMitm(/** @type {any} */ (options)), { code }, JSON.stringify(options))
    }
    const mitm = await startMitm()
    t.after(() => mitm.close())
    await assert.rejects(startMitm({ port: mitm.port }), { code: 'EADDRINUSE' })
  })
})

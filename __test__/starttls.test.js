'use strict'
// Promise: `inspect` and `scan` speak each protocol up to the byte after which TLS begins. What a server says there in the
// clear is never taken for TLS nor carried into it, and every way not to begin TLS is an error with a code.

const assert = require('node:assert/strict')
const { before, describe, it } = require('node:test')
const { inspect, scan } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { connectProxy, socksProxy } = require('./helpers/proxies')
const { PROTOCOLS, REFUSALS, starttlsServer } = require('./helpers/starttls')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const LIMIT = { timeout: 60_000 }
/** @type {Certificate} */ let root
/** @type {Certificate} */ let cert

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
})

for (const starttls of /** @type {any[]} */ (PROTOCOLS)) {
  describe(starttls, LIMIT, () => {
    it('leads to TLS, with nothing offered by ALPN', async t => {
      const server = await serve(t, starttls, { tls: { ALPNProtocols: ['h2', 'http/1.1'] } })
      const seen = await inspect(`localhost:${server.port}`, { starttls, ca: root.pem })
      assert.deepEqual([seen.chain[0].pins.sha256, seen.untrusted, seen.protocol], [cert.pin, null, 'TLSv1.3'])
      assert.equal(seen.alpn, null)
      await silent(server, 1)
    })

    it('through a proxy too', async t => {
      const server = await serve(t, starttls)
      for (const make of [connectProxy, socksProxy]) {
        const proxy = await make()
        t.after(() => proxy.close())
        const seen = await inspect(`localhost:${server.port}`, { starttls, ca: root.pem, proxy: proxy.url })
        assert.deepEqual([seen.chain[0].pins.sha256, seen.untrusted], [cert.pin, null])
      }
      await silent(server, 2)
    })

    it('is scanned', async t => {
      const server = await serve(t, starttls)
      const { versions } = await scan(`localhost:${server.port}`, { starttls })
      assert.deepEqual(
        versions.map(({ version, outcome }) => [version, outcome]),
        [
          ['TLSv1.3', 'accepted'],
          ['TLSv1.2', 'accepted'],
          ['TLSv1.1', 'refused'],
          ['TLSv1', 'refused'],
          ['SSLv3', 'refused']
        ]
      )
      await server.settled()
      assert.equal(server.appBytes, 0)
    })

    it('refused: ERR_STARTTLS_REFUSED with what the server said', async t => {
      const server = await serve(t, starttls, { instead: socket => void socket.end(REFUSALS[starttls]) })
      await assert.rejects(inspect(`localhost:${server.port}`, { starttls }), error => {
        assert.ok(error instanceof Error)
        const { code, phase, host, port, message } = /** @type {any} */ (error)
        assert.deepEqual([code, phase, host, port], ['ERR_STARTTLS_REFUSED', 'handshake', 'localhost', server.port])
        assert.match(message, /refused to begin TLS by \w+: .*(TLS|N;|not|unsupported|failure)/)
        return true
      })
      await silent(server, 0)
    })

    it('plaintext with the go-ahead: ERR_STARTTLS_INJECTION', async t => {
      const server = await serve(t, starttls, {
        instead: (socket, say) => void socket.write(Buffer.concat([say, Buffer.from('250 injected\r\n')]))
      })
      await assert.rejects(inspect(`localhost:${server.port}`, { starttls }), {
        ...{ code: 'ERR_STARTTLS_INJECTION', phase: 'handshake', message: /injected/ }
      })
      await silent(server, 0)
    })

    it('plaintext in the place of the handshake: is not TLS', async t => {
      const server = await serve(t, starttls, {
        instead: (socket, say) => {
          // When the ClientHello has come, so that it can't be read with the go-ahead.
          socket.write(say)
          socket.once('readable', () => socket.end('250 injected\r\n'))
        }
      })
      await assert.rejects(inspect(`localhost:${server.port}`, { starttls }), { code: 'ERR_SSL_WRONG_VERSION_NUMBER' })
    })

    for (const [what, says, code] of /** @type {[string, string, string | RegExp][]} */ ([
      ['garbage', '\0\xff\x01\xfe garbage\r\n\r\n<x>', /^(EPROTO|ERR_STARTTLS_\w+|ECONNRESET)$/],
      ['what never ends', '2'.repeat(64 * 1024), 'EPROTO'],
      ['an end', '', 'ECONNRESET']
    ])) {
      it(`${what}: ${code}`, async t => {
        const server = await serve(t, starttls, {
          at: 0,
          instead: socket => void socket.end(Buffer.from(says, 'latin1'))
        })
        await assert.rejects(inspect(`localhost:${server.port}`, { starttls }), { code, phase: 'handshake' })
        await silent(server, 0)
      })
    }

    it('silence: ERR_TLS_HANDSHAKE_TIMEOUT', async t => {
      const server = await serve(t, starttls, { at: 0, instead: () => {} })
      await assert.rejects(inspect(`localhost:${server.port}`, { starttls, handshakeTimeout: 50 }), {
        ...{ code: 'ERR_TLS_HANDSHAKE_TIMEOUT', phase: 'handshake', message: /did not agree to begin TLS/ }
      })
      await silent(server, 0)
    })
  })
}

describe('a greeting that comes in one piece with the answer of a proxy', LIMIT, () => {
  const greeting = Buffer.from('554 no service here\r\n')
  /** @type {[string, () => Promise<any>][]} */
  const ROWS = [
    ['CONNECT', () => connectProxy({ answer: socket => void socket.end(`HTTP/1.1 200 OK\r\n\r\n${greeting}`) })],
    ['SOCKS5', () => socksProxy({ reply: Buffer.concat([Buffer.from('05000001000000000000', 'hex'), greeting]) })]
  ]
  for (const [name, make] of ROWS) {
    it(`${name}: is heard`, async t => {
      const proxy = await make()
      t.after(() => proxy.close())
      await assert.rejects(inspect('mail.example', { starttls: 'smtp', proxy: proxy.url }), {
        ...{ code: 'ERR_STARTTLS_REFUSED', message: /554 no service here/ }
      })
    })
  }
})

describe('the target', LIMIT, () => {
  it('without a port: the protocol’s own, which a proxy is told', async t => {
    const proxy = await connectProxy({ answer: socket => void socket.end('HTTP/1.1 403 Forbidden\r\n\r\n') })
    t.after(() => proxy.close())
    /** @type {[any, string, string][]} */
    const rows = [
      ['smtp', 'a.example', 'a.example:25'],
      ['imap', 'a.example', 'a.example:143'],
      ['pop3', 'https://a.example/x', 'a.example:110'],
      ['ftp', 'a.example', 'a.example:21'],
      ['postgres', 'a.example', 'a.example:5432'],
      ['mysql', 'a.example', 'a.example:3306'],
      ['ldap', '[2001:db8::1]', '[2001:db8::1]:389'],
      ['xmpp', 'a.example', 'a.example:5222'],
      ['xmpp-server', 'a.example', 'a.example:5269'],
      ['smtp', 'a.example:587', 'a.example:587'],
      ['smtp', 'a.example:443', 'a.example:443'],
      ['smtp', '[2001:db8::1]:443', '[2001:db8::1]:443'],
      ['smtp', 'https://a.example:443/', 'a.example:443']
    ]
    for (const [starttls, target, asked] of rows) {
      await assert.rejects(inspect(target, { starttls, proxy: proxy.url }), { code: 'ERR_PROXY_TUNNEL' })
      assert.match(proxy.heads.at(-1), new RegExp(`^CONNECT ${asked.replace(/[[\]]/g, '\\$&')} `))
    }
  })

  it('servername: is whom XMPP is asked for', async t => {
    const named = await leaf({ issuer: root, names: ['chat.example'] })
    const server = await starttlsServer('xmpp', { cert: named, host: 'chat.example' })
    t.after(() => server.close())
    const options = /** @type {any} */ ({ starttls: 'xmpp', servername: 'chat.example', ca: root.pem })
    assert.equal((await inspect(`localhost:${server.port}`, options)).untrusted, null)
  })

  for (const [starttls, code] of /** @type {[any, string][]} */ ([
    ['http', 'ERR_INVALID_ARG_VALUE'],
    ['SMTP', 'ERR_INVALID_ARG_VALUE'],
    ['__proto__', 'ERR_INVALID_ARG_VALUE'],
    ['', 'ERR_INVALID_ARG_VALUE'],
    [true, 'ERR_INVALID_ARG_TYPE'],
    [null, 'ERR_INVALID_ARG_TYPE']
  ])) {
    it(`starttls: ${JSON.stringify(starttls)}: ${code}`, async () => {
      await assert.rejects(inspect('localhost', { starttls }), { code })
      await assert.rejects(scan('localhost', { starttls }), { code })
    })
  }
})

/** @param {any} t @param {string} protocol @param {any} [options] */
async function serve(t, protocol, options) {
  const server = await starttlsServer(protocol, { cert, ...options })
  t.after(() => server.close())
  return server
}

/** @param {any} server @param {number} handshakes */
async function silent(server, handshakes) {
  await server.settled()
  assert.deepEqual([server.appBytes, server.handshakes], [0, handshakes])
}

'use strict'
// The promise: through a proxy a `PinnedAgent` pins the server at the other end and leaves the proxy alone; what the proxy
// answers is never taken for an answer of the server.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const http = require('node:http')
const https = require('node:https')
const net = require('node:net')
const { before, describe, test } = require('node:test')
const tls = require('node:tls')
const { PinnedAgent } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
/** Where a failure would be a hang. */
const BOUNDED = { timeout: 20_000 }
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])

/** @type {import('./helpers/pki').Certificate} */
let root
/** @type {import('./helpers/pki').Certificate} */
let good

before(async () => {
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root })
})

/** An agent as `https-proxy-agent` is one: it makes the connection below TLS. */
class Tunnel {
  /** @type {any[]} */
  asked = []

  /** @param {() => net.Socket} dial connects to the proxy */
  constructor(dial) {
    this.dial = dial
  }

  /**
   * @param {any} request
   * @param {any} options
   */
  async connect(request, options) {
    this.asked.push(options)
    const socket = this.dial()
    socket.write(`CONNECT ${options.host}:${options.port} HTTP/1.1\r\nHost: ${options.host}:${options.port}\r\n\r\n`)
    let head = ''
    socket.on('error', () => {})
    while (!head.includes('\r\n\r\n')) {
      const [chunk] = await Promise.race([once(socket, 'data'), once(socket, 'close')])
      if (!Buffer.isBuffer(chunk)) throw Object.assign(new Error('the proxy has closed'), { code: 'ECONNRESET' })
      head += chunk
    }
    request.emit('proxyConnect', head)
    if (head.startsWith('HTTP/1.1 200 ')) return socket
    socket.destroy()
    // The answer is to be played to the request, as if the server had given it.
    const fake = new net.Socket({ writable: false })
    fake.readable = true
    request.once('socket', (/** @type {net.Socket} */ real) => {
      real.push(head)
      real.push(null)
    })
    return fake
  }
}

for (const version of VERSIONS) {
  for (const secure of [false, true]) {
    describe(`over ${version}, ${secure ? 'a proxy on TLS' : 'a proxy in the clear'}`, () => {
      test('the pinned server is reached', BOUNDED, async t => {
        const { server, agent, proxy } = await setUp(t, { version, secure })
        assert.equal(await ask(server.url, { agent }), 'ok')
        assert.equal(await ask(server.url, { agent, method: 'POST', body: 'x'.repeat(2 ** 20) }), 'ok')
        assert.equal(server.connections, 1)
        assert.deepEqual(proxy.targets, [`localhost:${server.port}`])
      })

      test('another server is refused', BOUNDED, async t => {
        const { server, agent } = await setUp(t, { version, secure, pins: OTHER })
        await refused(server, { agent, method: 'POST', body: 'x'.repeat(2 ** 20) }, 'ERR_TLS_PIN_MISMATCH')
      })

      test('a device that only its pin vouches for', BOUNDED, async t => {
        const cert = await leaf({ selfSigned: true })
        const options = { trust: 'pin-only', ca: undefined }
        const accepted = await setUp(t, { version, secure, cert, pins: cert.pin, options })
        assert.equal(await ask(accepted.server.url, { agent: accepted.agent }), 'ok')
        const { server, agent } = await setUp(t, { version, secure, cert, pins: OTHER, options })
        await refused(server, { agent, method: 'POST', body: 'x'.repeat(2 ** 20) }, 'ERR_TLS_PIN_MISMATCH')
      })

      test('a change of policy cuts the connection in the tunnel', BOUNDED, async t => {
        const { server, agent } = await setUp(t, { version, secure })
        await ask(server.url, { agent })
        agent.pins.replace(OTHER)
        await server.settled()
      })
    })
  }
}

describe('a proxy that does not connect', () => {
  for (const status of ['403 Forbidden', '407 Proxy Authentication Required', '502 Bad Gateway']) {
    test(`but answers ${status}`, BOUNDED, async t => {
      const { server, agent } = await setUp(t, { answer: `HTTP/1.1 ${status}\r\nContent-Length: 2\r\n\r\nno` })
      const error = await ask(server.url, { agent, method: 'POST', body: 'secret' }).catch(reason => reason)
      assert.equal(error.code, 'ERR_PROXY_TUNNEL')
      assert.equal(error.phase, 'proxy')
      assert.equal(server.connections, 0)
    })
  }

  test('but closes', BOUNDED, async t => {
    const { server, agent } = await setUp(t, { answer: '' })
    await assert.rejects(ask(server.url, { agent }), { code: 'ECONNRESET' })
  })

  test('but says that it has, and speaks in the clear', BOUNDED, async t => {
    const answer = 'HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake'
    const { server, agent } = await setUp(t, { answer })
    // The tunnel is up when the rest of it arrives, or not yet: no TLS, or a closed connection.
    await assert.rejects(ask(server.url, { agent }), error => /^(ERR_SSL_|ECONNRESET|EPROTO)/.test(error.code))
  })

  for (const [name, connect] of /** @type {[string, () => any][]} */ ([
    [
      'throws',
      () => {
        throw Object.assign(new Error('no way'), { code: 'MINE' })
      }
    ],
    [
      'rejects',
      async () => {
        throw Object.assign(new Error('no way'), { code: 'MINE' })
      }
    ]
  ])) {
    test(`an agent that ${name}`, BOUNDED, async t => {
      const server = await serve(t)
      const agent = agentFor(t, good.pin, { proxyAgent: { connect } })
      await assert.rejects(ask(server.url, { agent }), { code: 'MINE' })
    })
  }

  for (const value of [undefined, null, 'socket']) {
    test(`an agent that answers with ${value}`, BOUNDED, async t => {
      const server = await serve(t)
      const agent = agentFor(t, good.pin, { proxyAgent: { connect: async () => value } })
      const error = await ask(server.url, { agent }).catch(reason => reason)
      assert.ok(error instanceof Error)
      assert.equal(server.appBytes, 0)
    })
  }

  test('an agent that is none', () => {
    for (const proxyAgent of [null, {}, 'http://proxy.example', new https.Agent()]) {
      assert.throws(() => new PinnedAgent(good.pin, { proxyAgent: /** @type {any} */ (proxyAgent) }), {
        code: 'ERR_INVALID_ARG_TYPE'
      })
    }
  })
})

test('a proxy that is silent: an abort ends the request', BOUNDED, async t => {
  const { server, agent, proxy } = await setUp(t, { answer: undefined })
  const controller = new AbortController()
  const failed = ask(server.url, { agent, signal: controller.signal }).catch(reason => reason)
  await proxy.asked
  controller.abort()
  proxy.close()
  const error = await failed
  assert.ok(['AbortError', 'Error'].includes(error.name), error)
  assert.equal(server.connections, 0)
})

test('what is sent to the proxy holds nothing of the server’s: neither checks nor TLS', BOUNDED, async t => {
  const { server, agent, tunnel } = await setUp(t)
  const checkServerIdentity = () => undefined
  await ask(server.url, { agent, checkServerIdentity })
  const [options] = tunnel.asked
  assert.equal(options.secureEndpoint, false)
  assert.equal(options.checkServerIdentity, undefined)
})

test('an agent that has a direct connection in mind', BOUNDED, async t => {
  const server = await serve(t)
  const direct = new https.Agent()
  const proxyAgent = { connect: async () => direct }
  assert.equal(await ask(server.url, { agent: agentFor(t, good.pin, { proxyAgent }) }), 'ok')
  await refused(server, { agent: agentFor(t, OTHER, { proxyAgent }) }, 'ERR_TLS_PIN_MISMATCH', server.appBytes)
})

test('an agent that has another agent in mind', BOUNDED, async t => {
  const { server, tunnel } = await setUp(t)
  const proxyAgent = { connect: async () => Object.assign(tunnel, { addRequest() {} }) }
  assert.equal(await ask(server.url, { agent: agentFor(t, good.pin, { proxyAgent }) }), 'ok')
  assert.equal(tunnel.asked.length, 1)
})

test('an agent of the old kind, with a callback', BOUNDED, async t => {
  const { server, tunnel } = await setUp(t)
  const callback = (/** @type {any} */ request, /** @type {any} */ options) => tunnel.connect(request, options)
  assert.equal(await ask(server.url, { agent: agentFor(t, good.pin, { proxyAgent: { callback } }) }), 'ok')
})

test('whom the policy decides about: an address, a port', BOUNDED, async t => {
  const { server, tunnel } = await setUp(t)
  const url = `https://127.0.0.1:${server.port}`
  const hosts = { '127.0.0.1': good.pin, [`localhost:${server.port}`]: good.pin, localhost: OTHER }
  const agent = agentFor(t, { hosts }, { proxyAgent: tunnel })
  assert.equal(await ask(url, { agent }), 'ok')
  assert.equal(await ask(server.url, { agent }), 'ok')
  const strict = agentFor(t, { hosts: { 'localhost:1': good.pin } }, { proxyAgent: tunnel })
  await refused(server, { agent: strict }, 'ERR_TLS_PIN_UNLISTED', server.appBytes)
})

test('the proxy is not subject to the policy', BOUNDED, async t => {
  const { server, agent } = await setUp(t, { secure: true, pins: { hosts: { localhost: good.pin } } })
  assert.equal(await ask(server.url, { agent }), 'ok')
})

test('maxSockets holds, and each that waits has its turn', BOUNDED, async t => {
  const { server, agent, proxy } = await setUp(t, { options: { maxSockets: 2 } })
  const answers = await Promise.all(Array.from({ length: 8 }, () => ask(server.url, { agent })))
  assert.deepEqual(answers, Array(8).fill('ok'))
  assert.equal(proxy.targets.length, 2)
})

/**
 * A server behind a proxy, and an agent that goes through it.
 *
 * @param {import('node:test').TestContext} t
 * @param {{
 *   pins?: any, options?: object, version?: tls.SecureVersion, cert?: import('./helpers/pki').Certificate, secure?: boolean,
 *   answer?: string
 * }} [given] `answer`: of the proxy, which does not connect then; `undefined`: none
 */
async function setUp(t, given = {}) {
  const { pins = good.pin, options, version, cert, secure = false } = given
  const server = await serve(t, cert, version)
  // Its certificate is not one of the server's CA.
  const own = await leaf({ selfSigned: true, names: ['proxy.example'] })
  const proxy = await connectProxy(secure && own, 'answer' in given ? given : undefined)
  t.after(() => proxy.close())
  const dial = () =>
    secure
      ? tls.connect({ port: proxy.port, host: '127.0.0.1', servername: 'proxy.example', ca: own.pem })
      : net.connect(proxy.port, '127.0.0.1')
  const tunnel = new Tunnel(dial)
  return { server, proxy, tunnel, agent: agentFor(t, pins, { proxyAgent: tunnel, ...options }) }
}

/**
 * @param {import('./helpers/pki').Certificate | false} cert
 * @param {{ answer?: string }} [fixed]
 */
async function connectProxy(cert, fixed) {
  /** @type {string[]} */
  const targets = []
  const server = cert ? https.createServer({ key: cert.key, cert: cert.pem }) : http.createServer()
  /** @type {Set<import('node:stream').Duplex>} */
  const open = new Set()
  const asked = once(server, 'connect')
  server.on('connection', socket => open.add(socket.on('error', () => {})))
  server.on('connect', (request, client) => {
    client.on('error', () => {})
    targets.push(String(request.url))
    if (fixed) return void (fixed.answer !== undefined && client.end(fixed.answer))
    const [host, port] = String(request.url).split(':')
    const upstream = net.connect(Number(port), host === 'localhost' ? '127.0.0.1' : host)
    open.add(upstream.on('error', () => client.destroy()))
    client.on('close', () => upstream.destroy())
    client.write('HTTP/1.1 200 Connection established\r\n\r\n')
    upstream.pipe(client).pipe(upstream)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {net.AddressInfo} */ (server.address())
  const close = () => {
    server.close()
    for (const socket of open) socket.destroy()
  }
  return { port, targets, asked, close }
}

/**
 * @param {import('node:test').TestContext} t
 * @param {import('./helpers/pki').Certificate} [cert]
 * @param {tls.SecureVersion} [version]
 */
async function serve(t, cert = good, version) {
  const server = await httpsServer({ cert, ...(version && { minVersion: version, maxVersion: version }) })
  t.after(() => server.close())
  return server
}

/**
 * @param {import('node:test').TestContext} t
 * @param {any} pins
 * @param {object} options
 */
function agentFor(t, pins, options) {
  const agent = new PinnedAgent(pins, { keepAlive: true, ca: root.pem, ...options })
  t.after(() => agent.destroy())
  return agent
}

/**
 * @param {string} url
 * @param {https.RequestOptions & { body?: string }} options
 * @returns {Promise<string>}
 */
function ask(url, { body, ...options }) {
  return new Promise((resolve, reject) => {
    const request = https.request(url, options, response => {
      let text = ''
      response.setEncoding('utf8').on('data', chunk => {
        text += chunk
      })
      response.on('end', () => resolve(text)).on('error', reject)
    })
    request.on('error', reject).end(body)
  })
}

/**
 * @param {import('./helpers/servers').TlsTestServer} server
 * @param {Parameters<typeof ask>[1]} options
 * @param {string} code
 * @param {number} [bytes] what the server has had before
 */
async function refused(server, options, code, bytes = 0) {
  const error = await ask(server.url, options).catch(reason => reason)
  assert.equal(error.code, code, String(error.message ?? error))
  if (options.agent instanceof PinnedAgent) options.agent.destroy()
  assert.equal(server.appBytes, bytes, 'no application byte arrived')
}

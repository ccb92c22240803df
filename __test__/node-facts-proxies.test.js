'use strict'
// Promise: through a proxy, the host and the pins are the target's. Every title begins with the fact.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const http = require('node:http')
const https = require('node:https')
const net = require('node:net')
const { before, describe, it } = require('node:test')
const tls = require('node:tls')
const undici = require('undici')
const { PinnedAgent, createCheckServerIdentity, pinnedConnector, tlsOptions } = require('..')
const { BODY, REGISTER, codeOf, httpsStatus, inProcess } = require('./helpers/node-tls')
const { withPolicy } = require('./helpers/ours')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const LIMIT = { timeout: 120_000 }
const WRONG = `sha256/${'A'.repeat(43)}=`
const MISMATCH = { code: 'ERR_TLS_PIN_MISMATCH' }
const OTHER_NAME = { code: 'ERR_TLS_CERT_ALTNAME_INVALID' }
const NAMES = ['localhost', '127.0.0.1', '::1', 'other.example', 'xn--bcher-kva.example']

/** @type {Certificate} */ let root
/** @type {Certificate} */ let good

before(async () => {
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root, names: NAMES })
})

/** @param {import('node:test').TestContext} t @param {object} [options] */
async function start(t, options) {
  const server = await httpsServer({ cert: good, ...options })
  t.after(() => server.close())
  return server
}

describe('the hostname is localhost for an address behind a proxy', LIMIT, () => {
  it('in Node: TLS on a socket that is there already, and no name', async t => {
    const server = await start(t)
    const proxy = await connectProxy(t)
    /** @type {string[]} */
    const seen = []
    const checkServerIdentity = (/** @type {string} */ hostname) => {
      seen.push(hostname)
      return undefined
    }
    const socket = tls.connect({
      socket: await proxy.tunnel('127.0.0.1', server.port),
      ca: root.pem,
      checkServerIdentity
    })
    await once(socket, 'secureConnect')
    socket.destroy()
    assert.deepEqual(seen, ['localhost'])
  })

  it('by ours: bound to the address, localhost is an error and the address is checked', async t => {
    const server = await start(t)
    const proxy = await connectProxy(t)
    const bound = tlsOptions(good.pin, { host: '127.0.0.1', ca: root.pem })
    const socket = tls.connect({ socket: await proxy.tunnel('127.0.0.1', server.port), ...bound })
    socket.write(BODY)
    await assert.rejects(once(socket, 'secureConnect'), OTHER_NAME)
    await server.settled()
    assert.equal(server.appBytes, 0)
    // A client that says whom it means.
    const named = tls.connect({ socket: await proxy.tunnel('127.0.0.1', server.port), host: '127.0.0.1', ...bound })
    await once(named, 'secureConnect')
    named.destroy()
  })

  for (const host of ['127.0.0.1', '[::1]']) {
    it(`by PinnedAgent, pinnedConnector and register: the entry of ${host} decides`, async t => {
      const address = host.replace(/[[\]]/g, '')
      // Node 22.23 finds no IPv6 address in a certificate, and refuses them all.
      const nodeRefuses = tls.checkServerIdentity(address, /** @type {any} */ (good.x509.toLegacyObject()))
      const server = await start(t, { host: address })
      const url = `https://${host}:${server.port}`
      const program = `
        const { BODY: body, codeOf, httpsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
        httpsStatus(DATA.url, { agent: false, ca: DATA.ca, body }).then(tell, error => tell(codeOf(error)))`
      for (const [pin, then] of /** @type {const} */ ([
        [WRONG, MISMATCH.code],
        [good.pin, 200]
      ])) {
        const expected = nodeRefuses ? OTHER_NAME.code : then
        const policy = { hosts: { [host]: pin, localhost: pin === WRONG ? good.pin : WRONG } }
        const agent = new PinnedAgent(policy, { ca: root.pem })
        const dispatcher = new undici.Agent({ connect: pinnedConnector(policy, { ca: root.pem }) })
        t.after(() => Promise.all([agent.destroy(), dispatcher.destroy()]))
        assert.equal(await httpsStatus(url, { agent, body: BODY }).catch(codeOf), expected)
        const response = undici.request(url, { method: 'POST', dispatcher, body: BODY })
        assert.equal(
          await response.then(({ statusCode, body }) => body.dump().then(() => statusCode), codeOf),
          expected
        )
        const { told } = await withPolicy(policy, env =>
          inProcess(program, { url, ca: root.pem }, { flags: ['--import', REGISTER], env })
        )
        assert.deepEqual(told, [expected])
        if (expected !== 200) assert.equal(server.appBytes, 0)
      }
    })
  }
})

describe('pins in the options of a proxy’s own connection never reach the target', LIMIT, () => {
  it('an agent for a proxy asks them about the proxy only; by PinnedAgent’s proxyAgent they are the target’s', async t => {
    const server = await start(t)
    const proxy = await connectProxy(t)
    const proxyAgent = new TunnelAgent(proxy, { checkServerIdentity: createCheckServerIdentity(WRONG) })
    // As such an agent does it: what it was made with is for the way to the proxy.
    assert.equal(await httpsStatus(server.url, { agent: /** @type {any} */ (proxyAgent), ca: root.pem }), 200)
    const { appBytes } = server
    const agents = [WRONG, good.pin].map(pin => new PinnedAgent(pin, { ca: root.pem, proxyAgent, keepAlive: true }))
    t.after(() => agents.forEach(agent => void agent.destroy()))
    await assert.rejects(httpsStatus(server.url, { agent: agents[0], body: BODY }), MISMATCH)
    assert.equal(server.appBytes, appBytes)
    const address = `https://127.0.0.1:${server.port}`
    await assert.rejects(httpsStatus(address, { agent: agents[0], body: BODY }), MISMATCH)
    assert.equal(server.appBytes, appBytes)
    for (const url of [server.url, server.url, address]) assert.equal(await httpsStatus(url, { agent: agents[1] }), 200)
    assert.equal(proxy.tunnels, 5)
  })

  it('by a client that takes over PinnedAgent’s options and not the agent, as axios does for its own tunnel', async t => {
    const server = await start(t)
    const attempt = (/** @type {any} */ pin, options = /** @type {any} */ ({})) => {
      const agent = new PinnedAgent(pin, options)
      t.after(() => agent.destroy())
      return httpsStatus(server.url, { agent: new https.Agent({ ...agent.options }), body: BODY })
    }
    await assert.rejects(attempt(WRONG, { ca: root.pem }), MISMATCH)
    await assert.rejects(attempt(good.pin, { trust: 'pin-only' }), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' })
    // The port is not known there: what is said of any has to hold.
    const ports = { [`localhost:${server.port}`]: WRONG, localhost: { pins: [good.pin], mode: 'report' } }
    await assert.rejects(attempt(ports, { ca: root.pem }), MISMATCH)
    const checkServerIdentity = () => Object.assign(new Error('no'), { code: 'NO' })
    await assert.rejects(attempt(good.pin, { ca: root.pem, checkServerIdentity }), { code: 'NO' })
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
    try {
      await assert.rejects(attempt(WRONG, { ca: root.pem }), MISMATCH)
      await assert.rejects(attempt(good.pin), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' })
    } finally {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
    }
    await server.settled()
    assert.equal(server.appBytes, 0)
    assert.equal(await attempt(good.pin, { ca: root.pem }), 200)
  })

  it('by hand: tlsOptions on the tunnel’s socket', async t => {
    const server = await start(t)
    const proxy = await connectProxy(t)
    const options = { host: 'localhost', ca: root.pem }
    const attempt = async (/** @type {string} */ pin) => {
      const socket = await proxy.tunnel('localhost', server.port)
      const secure = tls.connect({ socket, servername: 'localhost', ...tlsOptions(pin, options) })
      secure.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
      const [data] = await once(secure, 'data')
      secure.destroy()
      return String(data).slice(0, 12)
    }
    await assert.rejects(attempt(WRONG), MISMATCH)
    await server.settled()
    assert.equal(server.appBytes, 0)
    assert.equal(await attempt(good.pin), 'HTTP/1.1 200')
  })

  it('undici’s ProxyAgent ignores connect; by requestTls they are the target’s', async t => {
    const server = await start(t)
    const proxy = await connectProxy(t)
    /** @param {object} options */
    const attempt = async options => {
      const dispatcher = new undici.ProxyAgent({ uri: proxy.url, ...options })
      try {
        const { statusCode, body } = await undici.request(server.url, { method: 'POST', dispatcher, body: BODY })
        await body.dump()
        return statusCode
      } catch (error) {
        return codeOf(error)
      } finally {
        await dispatcher.destroy()
      }
    }
    const wrong = pinnedConnector(WRONG, { ca: root.pem })
    assert.equal(await attempt({ requestTls: wrong }), MISMATCH.code)
    assert.equal(await attempt({ requestTls: tlsOptions(WRONG, { ca: root.pem }) }), MISMATCH.code)
    await server.settled()
    assert.equal(server.appBytes, 0)
    assert.equal(await attempt({ connect: wrong, requestTls: { ca: root.pem } }), 200)
    assert.equal(await attempt({ requestTls: pinnedConnector(good.pin, { ca: root.pem }) }), 200)
    assert.equal(proxy.tunnels, 4)
  })

  it('by register: the target’s, whoever makes the tunnel', async t => {
    const server = await start(t)
    const proxy = await connectProxy(t)
    const program = `
      const { once } = require('node:events')
      const http = require('node:http')
      const tls = require('node:tls')
      const { ProxyAgent, request } = require(require.resolve('undici', { paths: [ROOT] }))
      const { BODY: body, codeOf } = require(ROOT + '/__test__/helpers/node-tls.js')
      const { url, port, proxyUrl, ca } = DATA
      const byHand = async options => {
        const connect = http.request(proxyUrl, { method: 'CONNECT', path: 'localhost:' + port }).end()
        const [, socket] = await once(connect, 'connect')
        const secure = tls.connect({ socket, ca, ...options })
        secure.write('GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')
        const [data] = await once(secure, 'data')
        secure.destroy()
        return Number(String(data).split(' ')[1])
      }
      ;(async () => {
        for (const attempt of [
          () => byHand({ servername: 'localhost' }),
          () => byHand({ host: 'localhost' }),
          () => request(url, { method: 'POST', body, dispatcher: new ProxyAgent({ uri: proxyUrl, requestTls: { ca } }) })
            .then(({ statusCode, body }) => body.dump().then(() => statusCode)),
        ]) await attempt().then(tell, error => tell(codeOf(error)))
        process.exit()
      })()`
    const run = async (/** @type {object} */ hosts) => {
      const data = { url: server.url, port: server.port, proxyUrl: proxy.url, ca: root.pem }
      const { told, stderr } = await withPolicy({ hosts }, env =>
        inProcess(program, data, { flags: ['--import', REGISTER], env })
      )
      assert.equal(told.length, 3, stderr)
      return told
    }
    assert.deepEqual(await run({ localhost: WRONG }), Array(3).fill(MISMATCH.code))
    const looser = { pins: [WRONG], mode: 'report' }
    const ports = { [`localhost:${server.port}`]: WRONG, localhost: looser }
    assert.deepEqual(await run(ports), Array(3).fill(MISMATCH.code))
    await server.settled()
    assert.equal(server.appBytes, 0)
    assert.deepEqual(await run({ localhost: good.pin }), Array(3).fill(200))
    assert.deepEqual(await run({ [`localhost:${server.port}`]: good.pin, localhost: looser }), Array(3).fill(200))
  })
})

/**
 * A proxy that makes tunnels to wherever it is asked to, which is here.
 * @param {import('node:test').TestContext} t
 */
async function connectProxy(t) {
  const server = http.createServer()
  /** @type {Set<net.Socket>} */
  const sockets = new Set()
  const proxy = { url: '', tunnels: 0, tunnel }
  server.on('connection', socket => sockets.add(socket))
  server.on('connect', ({ url = '' }, /** @type {net.Socket} */ client) => {
    proxy.tunnels += 1
    const upstream = net.connect(Number(url.slice(url.lastIndexOf(':') + 1)), '127.0.0.1')
    sockets.add(upstream)
    for (const socket of [client, upstream]) socket.on('error', () => {})
    client.once('close', () => upstream.destroy())
    upstream.once('close', () => client.destroy())
    client.write('HTTP/1.1 200 OK\r\n\r\n')
    client.pipe(upstream).pipe(client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {net.AddressInfo} */ (server.address())
  proxy.url = `http://127.0.0.1:${port}`
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })

  /**
   * @param {string} host
   * @param {number} to
   * @returns {Promise<net.Socket>}
   */
  async function tunnel(host, to) {
    const request = http.request(proxy.url, { method: 'CONNECT', path: `${host}:${to}`, agent: false }).end()
    const [, socket] = await once(request, 'connect')
    return socket
  }
  return proxy
}

/** What agents for proxies are: they connect for another agent, and by themselves speak TLS to the target without their options. */
class TunnelAgent extends https.Agent {
  /**
   * @param {Awaited<ReturnType<typeof connectProxy>>} proxy
   * @param {object} connectOptions for the way to the proxy
   */
  constructor(proxy, connectOptions) {
    super()
    this.proxy = proxy
    this.connectOptions = connectOptions
  }

  /** @param {any} _ @param {any} options */
  async connect(_, { host, port, secureEndpoint, ca, servername }) {
    const socket = await this.proxy.tunnel(host, port)
    return secureEndpoint ? tls.connect({ socket, ca, servername }) : socket
  }

  /** @param {any} options @param {any} callback @returns {any} */
  createConnection(options, callback) {
    this.connect(undefined, { ...options, secureEndpoint: true }).then(socket => callback(null, socket), callback)
  }
}

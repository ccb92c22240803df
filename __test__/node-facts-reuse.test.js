'use strict'
// Promise: a session, a socket or an agent that was checked once, or never, lets nobody past the pins that hold now. Every title
// begins with the fact.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const https = require('node:https')
const { before, describe, it } = require('node:test')
const tls = require('node:tls')
const undici = require('undici')
const { PinSet, PinnedAgent, createCheckServerIdentity, pinnedConnector, tlsOptions } = require('..')
const { assertPinned } = require('tls-pinning/testing')
const { BODY, REGISTER, codeOf, httpsStatus, inProcess, nodeIsAtLeast } = require('./helpers/node-tls')
const { withPolicy } = require('./helpers/ours')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const LIMIT = { timeout: 120_000 }
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])
const WRONG = `sha256/${'A'.repeat(43)}=`
const MISMATCH = { code: 'ERR_TLS_PIN_MISMATCH' }
const UNSAFE = { code: 'ERR_TLS_PIN_UNSAFE' }

/** Whether Node asks a request's own check also where an agent has a socket or a session. */
const FIXED = nodeIsAtLeast('20.999.0', '22.23.2', '24.18.1', '26.5.1')

/** @type {Certificate} */ let root
/** @type {Certificate} */ let good

before(async () => {
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root })
})

/** @param {import('node:test').TestContext} t @param {object} [options] */
async function start(t, options) {
  const server = await httpsServer({ cert: good, ...options })
  t.after(() => server.close())
  return server
}

for (const version of VERSIONS) {
  const bounds = { minVersion: version, maxVersion: version }

  describe(`a resumed session is not checked and shows no certificate (${version})`, LIMIT, () => {
    it('in Node, and a limit of createCheckServerIdentity', async t => {
      const server = await start(t, bounds)
      const session = await sessionOf(server)
      let asked = 0
      for (const check of [() => new Error('no'), createCheckServerIdentity(WRONG)]) {
        const checkServerIdentity = (/** @type {any[]} */ ...args) => {
          asked += 1
          return Reflect.apply(check, undefined, args)
        }
        const socket = tls.connect({ ...at(server), ca: root.pem, session, checkServerIdentity })
        await once(socket, 'secureConnect')
        assert.equal(socket.isSessionReused(), true)
        assert.equal(socket.authorized, true)
        assert.deepEqual(socket.getPeerCertificate(true), {})
        socket.destroy()
      }
      assert.equal(asked, 0)
    })

    it('by tlsOptions, PinnedAgent and pinnedConnector: a session is no option', async t => {
      const session = await sessionOf(await start(t, bounds))
      const agent = (/** @type {any} */ pins, /** @type {any} */ options) => new PinnedAgent(pins, options)
      for (const make of [tlsOptions, pinnedConnector, agent]) {
        assert.throws(() => make(good.pin, /** @type {any} */ ({ session })), UNSAFE)
      }
    })

    it('by PinnedAgent: one that a request is given is not resumed, nor one that is given to the socket', async t => {
      const server = await start(t, bounds)
      const session = await sessionOf(server)
      const { resumed, appBytes } = server
      const agent = new PinnedAgent(good.pin, { ca: root.pem })
      t.after(() => agent.destroy())
      assert.equal(await httpsStatus(server.url, { agent, .../** @type {any} */ ({ session }) }), 200)
      const socket = agent.createConnection({ ...at(server), ca: root.pem })
      assert.ok(socket instanceof tls.TLSSocket)
      socket.setSession(session)
      await once(socket, 'secureConnect')
      assert.equal(socket.isSessionReused(), false)
      socket.destroy()
      const before = server.appBytes
      assert.ok(before > appBytes)
      const wrong = new PinnedAgent(WRONG, { ca: root.pem })
      t.after(() => wrong.destroy())
      await assert.rejects(
        httpsStatus(server.url, { agent: wrong, body: BODY, .../** @type {any} */ ({ session }) }),
        MISMATCH
      )
      await server.settled()
      assert.equal(server.resumed, resumed)
      assert.equal(server.appBytes, before)
    })

    it('by register: one that a program gives is left out, in options or later', async t => {
      const server = await start(t, bounds)
      const session = await sessionOf(server)
      const { appBytes, resumed } = server
      const program = `
        const tls = require('node:tls')
        const { once } = require('node:events')
        const { codeOf } = require(ROOT + '/__test__/helpers/node-tls.js')
        const session = Buffer.from(DATA.session, 'base64')
        ;(async () => {
          for (const later of [false, true]) {
            const socket = tls.connect({ ...DATA.at, ca: DATA.ca, ...(!later && { session }) })
            if (later) socket.setSession(session)
            socket.write('GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')
            await once(socket, 'data').then(() => tell(socket.isSessionReused()), error => tell(codeOf(error)))
            socket.destroy()
          }
        })()`
      const data = { at: at(server), ca: root.pem, session: session.toString('base64') }
      const run = async (/** @type {string} */ pin) => {
        const { told } = await withPolicy({ hosts: { localhost: [pin] } }, env =>
          inProcess(program, data, { flags: ['--import', REGISTER], env })
        )
        return told
      }
      assert.deepEqual(await run(WRONG), ['ERR_TLS_PIN_MISMATCH', 'ERR_TLS_PIN_MISMATCH'])
      await server.settled()
      assert.equal(server.appBytes, appBytes)
      assert.deepEqual(await run(good.pin), [false, false])
      assert.equal(server.resumed, resumed)
    })

    it('by every way of ours: the next connection is a full handshake too, and is asked about', async t => {
      const server = await start(t, bounds)
      const agents = [
        new https.Agent(tlsOptions(good.pin, { ca: root.pem })),
        new PinnedAgent(good.pin, { ca: root.pem })
      ]
      for (const agent of agents) {
        for (let i = 0; i < 2; i++) assert.equal(await httpsStatus(server.url, { agent }), 200)
        agent.destroy()
      }
      for (const make of [tlsOptions, pinnedConnector]) {
        const dispatcher = new undici.Agent({
          connect: /** @type {any} */ (make(good.pin, { ca: root.pem })),
          pipelining: 0
        })
        for (let i = 0; i < 2; i++) {
          const { body } = await undici.request(server.url, { dispatcher, reset: true })
          await body.dump()
        }
        await dispatcher.destroy()
      }
      assert.equal(server.handshakes, 8)
      assert.equal(server.resumed, 0)
    })
  })
}

describe('an agent’s pin that has turned bad is not asked about again on live connections', LIMIT, () => {
  it('in Node', async t => {
    const server = await start(t)
    /** @type {Error | undefined} */ let answer
    const agent = new https.Agent({ keepAlive: true, ca: root.pem, checkServerIdentity: () => answer })
    t.after(() => agent.destroy())
    assert.equal(await httpsStatus(server.url, { agent }), 200)
    answer = new Error('bad')
    assert.equal(await httpsStatus(server.url, { agent }), 200)
    assert.equal(server.connections, 1)
  })

  it('a limit of createCheckServerIdentity and tlsOptions in an agent of Node’s', async t => {
    const server = await start(t)
    const pins = new PinSet(good.pin)
    const agent = new https.Agent({ keepAlive: true, ...tlsOptions(pins, { ca: root.pem }) })
    t.after(() => agent.destroy())
    assert.equal(await httpsStatus(server.url, { agent }), 200)
    pins.replace(WRONG)
    assert.equal(await httpsStatus(server.url, { agent }), 200)
    assert.equal(server.connections, 1)
    // The next connection is asked about.
    agent.destroy()
    await server.settled()
    const { appBytes } = server
    await assert.rejects(httpsStatus(server.url, { agent, body: BODY }), MISMATCH)
    await server.settled()
    assert.equal(server.appBytes, appBytes)
  })

  it('by PinnedAgent and pinnedConnector: the connection is gone when replace() returns', async t => {
    const server = await start(t)
    const pins = new PinSet(good.pin)
    const agent = new PinnedAgent(pins, { ca: root.pem, keepAlive: true })
    const dispatcher = new undici.Agent({ connect: pinnedConnector(pins, { ca: root.pem }) })
    t.after(() => Promise.all([agent.destroy(), dispatcher.destroy()]))
    const viaUndici = async () => {
      const { body, statusCode } = await undici.request(server.url, { dispatcher, method: 'POST', body: BODY })
      await body.dump()
      return statusCode
    }
    for (let i = 0; i < 2; i++) {
      assert.equal(await httpsStatus(server.url, { agent }), 200)
      assert.equal(await viaUndici(), 200)
    }
    assert.equal(server.connections, 2)
    const { appBytes } = server
    pins.replace(WRONG)
    await assert.rejects(httpsStatus(server.url, { agent, body: BODY }), MISMATCH)
    await assert.rejects(viaUndici(), MISMATCH)
    await server.settled()
    assert.equal(server.appBytes, appBytes)
    pins.replace(good.pin)
    assert.equal(await httpsStatus(server.url, { agent }), 200)
    assert.equal(await viaUndici(), 200)
  })
})

describe('an agent’s own checkServerIdentity overrides the request’s without a word', LIMIT, () => {
  const refuse = () => new Error('the request’s')

  it('in Node and in undici’s fetch', async t => {
    const server = await start(t)
    const agent = new https.Agent({ ca: root.pem, checkServerIdentity: () => undefined })
    assert.equal(await httpsStatus(server.url, { agent, checkServerIdentity: refuse }), 200)
    const dispatcher = new undici.Agent({ connect: { ca: root.pem } })
    t.after(() => dispatcher.destroy())
    const init = /** @type {any} */ ({ dispatcher, checkServerIdentity: refuse })
    assert.equal((await undici.fetch(server.url, init)).status, 200)
  })

  it('by PinnedAgent: either refuses, and the pins do besides', async t => {
    const server = await start(t)
    const allow = () => undefined
    /** @type {[object, object, string, RegExp | number][]} */
    const table = [
      [{ checkServerIdentity: allow }, { checkServerIdentity: refuse }, good.pin, /the request’s/],
      [
        { checkServerIdentity: () => new Error('the agent’s') },
        { checkServerIdentity: allow },
        good.pin,
        /the agent’s/
      ],
      [{}, { checkServerIdentity: refuse }, good.pin, /the request’s/],
      [{ checkServerIdentity: allow }, { checkServerIdentity: allow }, WRONG, /ERR_TLS_PIN_MISMATCH/],
      [{}, { checkServerIdentity: allow }, WRONG, /ERR_TLS_PIN_MISMATCH/],
      [{ checkServerIdentity: allow }, { checkServerIdentity: allow }, good.pin, 200]
    ]
    for (const [ofAgent, ofRequest, pin, expected] of table) {
      const agent = new PinnedAgent(pin, { ca: root.pem, ...ofAgent })
      const outcome = httpsStatus(server.url, { agent, body: BODY, ...ofRequest })
      if (expected === 200) assert.equal(await outcome, 200)
      else await assert.rejects(outcome, expected)
      agent.destroy()
      if (expected !== 200) assert.equal(server.appBytes, 0)
    }
  })

  it('by pinnedConnector: fetch ignores the option still, and the pins refuse', async t => {
    const server = await start(t)
    const dispatcher = new undici.Agent({ connect: pinnedConnector(WRONG, { ca: root.pem }) })
    t.after(() => dispatcher.destroy())
    const init = /** @type {any} */ ({ dispatcher, method: 'POST', body: BODY, checkServerIdentity: () => undefined })
    const error = await undici.fetch(server.url, init).catch(reason => reason)
    assert.equal(codeOf(error), MISMATCH.code)
    await server.settled()
    assert.equal(server.appBytes, 0)
  })
})

describe('a client that ignores the option is found out by assertPinned', LIMIT, () => {
  /** @param {(server: import('../testing').TestServer) => any} connect */
  const fetching = connect => async (/** @type {import('../testing').TestServer} */ server) => {
    const dispatcher = new undici.Agent({ connect: connect(server) })
    const checkServerIdentity = createCheckServerIdentity(server.pins)
    try {
      const init = /** @type {any} */ ({ dispatcher, checkServerIdentity })
      await (await undici.fetch(server.url, init)).text()
    } finally {
      await dispatcher.destroy()
    }
  }

  it('undici’s fetch with the option fails it, and with a connector passes', async () => {
    await assert.rejects(assertPinned(fetching(({ ca }) => ({ ca }))), { name: 'AssertionError' })
    await assertPinned(fetching(({ ca, pins }) => pinnedConnector(pins, { ca })))
  })

  it('an agent of Node’s with a check of its own fails it, and PinnedAgent passes', async () => {
    const requesting =
      (/** @type {(ca: string, pins: string[]) => https.Agent} */ make) =>
      (/** @type {import('../testing').TestServer} */ { url, ca, pins }) => {
        const agent = make(ca, pins)
        const checkServerIdentity = createCheckServerIdentity(pins)
        return httpsStatus(url, { agent, checkServerIdentity }).finally(() => agent.destroy())
      }
    const own = (/** @type {string} */ ca) => new https.Agent({ ca, checkServerIdentity: () => undefined })
    await assert.rejects(assertPinned(requesting(own)), { name: 'AssertionError' })
    await assertPinned(requesting((ca, pins) => new PinnedAgent(pins, { ca })))
  })
})

describe('before 22.23.2, 24.18.1 and 26.5.1 reuse of sockets and sessions ignored a request’s check', LIMIT, () => {
  it(`in Node ${process.versions.node}: ${FIXED ? 'it does not any more' : 'it does'}`, async t => {
    for (const keepAlive of [true, false]) {
      const server = await start(t)
      const agent = new https.Agent({ keepAlive, ca: root.pem })
      t.after(() => agent.destroy())
      assert.equal(await httpsStatus(server.url, { agent, checkServerIdentity: () => undefined }), 200)
      if (!keepAlive) await server.settled()
      const refuse = { agent, checkServerIdentity: () => new Error('no') }
      if (FIXED) await assert.rejects(httpsStatus(server.url, refuse), /no/)
      else assert.equal(await httpsStatus(server.url, refuse), 200)
    }
  })

  it(`a limit of createCheckServerIdentity given to a request: ${FIXED ? 'none in this Node' : 'let through'}`, async t => {
    const server = await start(t)
    const agent = new https.Agent({ keepAlive: true, ca: root.pem })
    t.after(() => agent.destroy())
    assert.equal(await httpsStatus(server.url, { agent }), 200)
    const { appBytes } = server
    const checkServerIdentity = createCheckServerIdentity(WRONG)
    const second = httpsStatus(server.url, { agent, body: BODY, checkServerIdentity })
    if (!FIXED) return assert.equal(await second, 200)
    await assert.rejects(second, MISMATCH)
    assert.equal(server.appBytes, appBytes)
  })

  for (const keepAlive of [true, false]) {
    it(`by tlsOptions given to a request: other pins, ${keepAlive ? 'another socket' : 'another session'}`, async t => {
      const server = await start(t)
      const agent = new https.Agent({ keepAlive, ca: root.pem })
      t.after(() => agent.destroy())
      const pins = new PinSet(good.pin)
      const options = tlsOptions(pins, { ca: root.pem })
      assert.equal(await httpsStatus(server.url, { agent }), 200)
      assert.equal(await httpsStatus(server.url, { agent, ...options }), 200)
      if (!keepAlive) await server.settled()
      const { appBytes } = server
      const refused = () => assert.rejects(httpsStatus(server.url, { agent, body: BODY, ...options }), MISMATCH)
      const other = httpsStatus(server.url, { agent, body: BODY, ...tlsOptions(WRONG, { ca: root.pem }) })
      await assert.rejects(other, MISMATCH)
      const refuse = () => new Error('no')
      const own = tlsOptions(pins, { ca: root.pem, checkServerIdentity: refuse })
      await assert.rejects(httpsStatus(server.url, { agent, body: BODY, ...own }), /no/)
      pins.replace(WRONG)
      await refused()
      assert.equal(server.appBytes, appBytes)
    })
  }

  for (const version of VERSIONS) {
    it(`by PinnedAgent over ${version}: a socket that one check has accepted is not another’s`, async t => {
      const server = await start(t, { minVersion: version, maxVersion: version })
      const agent = new PinnedAgent(good.pin, { ca: root.pem, keepAlive: true })
      t.after(() => agent.destroy())
      const allow = () => undefined
      assert.equal(await httpsStatus(server.url, { agent }), 200)
      assert.equal(await httpsStatus(server.url, { agent, checkServerIdentity: allow }), 200)
      assert.equal(server.connections, 2)
      const { appBytes } = server
      const refuse = { agent, body: BODY, checkServerIdentity: () => new Error('no') }
      await assert.rejects(httpsStatus(server.url, refuse), /no/)
      assert.equal(server.appBytes, appBytes)
      // That of a request without a check is used again, and no other.
      assert.equal(await httpsStatus(server.url, { agent }), 200)
      assert.equal(await httpsStatus(server.url, { agent, checkServerIdentity: allow }), 200)
      assert.equal(server.connections, 4)
      assert.equal(Object.values(agent.freeSockets).flat().length, 1)
      assert.equal(server.resumed, 0)
    })

    it(`by PinnedAgent over ${version}: two agents share nothing`, async t => {
      const server = await start(t, { minVersion: version, maxVersion: version })
      const agents = [good.pin, WRONG].map(pin => new PinnedAgent(pin, { ca: root.pem, keepAlive: true }))
      t.after(() => agents.forEach(agent => void agent.destroy()))
      for (let i = 0; i < 2; i++) {
        assert.equal(await httpsStatus(server.url, { agent: agents[0] }), 200)
        const { appBytes } = server
        await assert.rejects(httpsStatus(server.url, { agent: agents[1], body: BODY }), MISMATCH)
        assert.equal(server.appBytes, appBytes)
      }
      assert.equal(server.resumed, 0)
    })
  }
})

/** @param {{ port: number, host: string }} server */
function at({ port, host }) {
  return { port, host, servername: 'localhost' }
}

/**
 * A session of a connection that nobody has objected to.
 * @param {import('./helpers/tracked').TlsTestServer} server
 * @returns {Promise<Buffer>}
 */
async function sessionOf(server) {
  const socket = tls.connect({ ...at(server), ca: root.pem })
  const arrived = once(socket, 'session')
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  const [[session]] = await Promise.all([arrived, once(socket, 'data')])
  socket.destroy()
  return session
}

'use strict'
// Promise: whatever a check of the program's own answers, throws, or is told to ignore, the pins are asked, and what they refuse
// gets no byte. Every title begins with the fact.

const assert = require('node:assert/strict')
const https = require('node:https')
const { before, describe, it } = require('node:test')
const undici = require('undici')
const { PinnedAgent, createCheckServerIdentity, pinnedConnector, tlsOptions } = require('..')
const { BODY, REGISTER, httpsStatus, inProcess } = require('./helpers/node-tls')
const { withPolicy } = require('./helpers/ours')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const LIMIT = { timeout: 120_000 }
const UNSAFE = { code: 'ERR_TLS_PIN_UNSAFE' }
const HANDLER = `
  const caught = []
  process.on('uncaughtException', error => caught.push(error?.message ?? String(error)))
`

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

describe('a throw in checkServerIdentity fails open where somebody listens for uncaughtException', LIMIT, () => {
  it('in Node: the request is served', async t => {
    const server = await start(t)
    const program = `${HANDLER}
      const { httpsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
      const checkServerIdentity = () => { throw new Error('thrown') }
      httpsStatus(DATA.url, { agent: false, ca: DATA.ca, checkServerIdentity })
        .then(status => tell({ status, caught }), error => tell({ error: error.message }))`
    const { told, stderr } = await inProcess(program, { url: server.url, ca: root.pem })
    assert.deepEqual(told, [{ status: 200, caught: ['thrown'] }], stderr)
    assert.equal(server.requests.length, 1)
  })

  it('in undici: the request is never answered', async t => {
    const server = await start(t)
    const program = `
      const { Agent, request } = require(require.resolve('undici', { paths: [ROOT] }))
      const checkServerIdentity = () => { throw new Error('thrown') }
      const dispatcher = new Agent({ connect: { ca: DATA.ca, checkServerIdentity } })
      let answer = null
      request(DATA.url, { dispatcher }).then(() => (answer = 'served'), error => (answer = error.message))
      process.on('uncaughtException', ({ message }) => {
        // It has nothing left to wait for but its timeout, some seconds away.
        setTimeout(() => process.exit(), 200)
        process.on('exit', () => tell({ answer, message }))
      })`
    const { told, stderr } = await inProcess(program, { url: server.url, ca: root.pem })
    assert.deepEqual(told, [{ answer: null, message: 'thrown' }], stderr)
  })

  const PROGRAM = `${HANDLER}
    const https = require('node:https')
    const { Agent, request } = require(require.resolve('undici', { paths: [ROOT] }))
    const { PinnedAgent, createCheckServerIdentity, pinnedConnector, tlsOptions } = require(ROOT)
    const { BODY: body, httpsStatus, tlsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
    const { url, host, port, ca, pins } = DATA
    const thrown = { error: new Error('thrown'), text: 'thrown', nothing: undefined, null: null }
    const viaUndici = connect => request(url, { method: 'POST', body, dispatcher: new Agent({ connect }) })
    ;(async () => {
      for (const [kind, what] of Object.entries(thrown)) {
        const thrower = () => { throw what }
        for (const [way, attempt] of Object.entries({
          verifyHostname: () => httpsStatus(url, {
            agent: false, ca, body, checkServerIdentity: createCheckServerIdentity(pins, { verifyHostname: thrower })
          }),
          tlsOptions: () => httpsStatus(url, {
            agent: false, body, ...tlsOptions(pins, { ca, checkServerIdentity: thrower })
          }),
          'tlsOptions by hand': () => tlsStatus({ host, port }, {
            body, ...tlsOptions(pins, { ca, checkServerIdentity: thrower })
          }),
          'the agent’s': () => httpsStatus(url, {
            body, agent: new PinnedAgent(pins, { ca, checkServerIdentity: thrower })
          }),
          'the request’s': () => httpsStatus(url, {
            body, agent: new PinnedAgent(pins, { ca }), checkServerIdentity: thrower
          }),
          connector: () => viaUndici(pinnedConnector(pins, { ca, checkServerIdentity: thrower })),
          'tlsOptions in undici': () => viaUndici(tlsOptions(pins, { ca, checkServerIdentity: thrower })),
        })) {
          const outcome = await attempt().then(() => 'served', error => (error instanceof Error ? 'refused' : 'odd'))
          tell([kind, way, outcome])
        }
      }
      tell(caught)
    })()`

  it('by every way of ours it is the answer, and the request gets it', async t => {
    const server = await start(t)
    const { url, host, port } = server
    const data = { url, host, port, ca: root.pem, pins: [good.pin] }
    const { told, stderr } = await inProcess(PROGRAM, data)
    const caught = told.pop()
    assert.equal(told.length, 28, stderr)
    assert.deepEqual(
      told.filter(([, , outcome]) => outcome !== 'refused'),
      []
    )
    assert.deepEqual(caught, [])
    await server.settled()
    assert.equal(server.connections, 28)
    assert.equal(server.appBytes, 0)
  })

  it('by register it is the answer', async t => {
    const server = await start(t)
    const program = `${HANDLER}
      const { BODY: body, httpsStatus, tlsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
      const { url, host, port, ca } = DATA
      ;(async () => {
        for (const what of [new Error('thrown'), 'thrown', undefined]) {
          const checkServerIdentity = () => { throw what }
          await httpsStatus(url, { agent: false, ca, body, checkServerIdentity }).then(tell, error => tell(String(error)))
          await tlsStatus({ host, port }, { ca, body, checkServerIdentity }).then(tell, error => tell(String(error)))
        }
        tell(caught)
      })()`
    const { url, host, port } = server
    const { told, stderr } = await withPolicy({ hosts: { localhost: [good.pin] } }, env =>
      inProcess(program, { url, host, port, ca: root.pem }, { flags: ['--import', REGISTER], env })
    )
    assert.deepEqual(told.pop(), [])
    assert.equal(told.length, 6, stderr)
    for (const outcome of told) assert.match(outcome, /Error/)
    await server.settled()
    assert.equal(server.appBytes, 0)
  })
})

describe('false and null accept; true, text and a promise are errors without a word', LIMIT, () => {
  const ACCEPT = [undefined, null, false, 0, '']
  const REFUSE = [true, 'no', 1, {}, [], Promise.resolve(), Promise.resolve(false)]

  for (const answer of ACCEPT) {
    it(`in Node ${JSON.stringify(answer)} accepts; by ours it accepts the name, and the pins decide`, async t => {
      const server = await start(t)
      const check = /** @type {any} */ (() => answer)
      const { ways, close } = ownChecks(server, check, root.pem)
      t.after(close)
      for (const attempt of ways)
        await assert.rejects(attempt(`sha256/${'A'.repeat(43)}=`), { code: 'ERR_TLS_PIN_MISMATCH' })
      await server.settled()
      assert.equal(server.appBytes, 0)
      for (const attempt of ways) assert.equal(await attempt(good.pin), 200)
      const options = { agent: false, ca: root.pem, checkServerIdentity: check }
      assert.equal(await httpsStatus(server.url, /** @type {any} */ (options)), 200)
    })
  }

  for (const answer of REFUSE) {
    it(`in Node ${JSON.stringify(answer)} of ${typeof answer} is the error itself; by ours one with code and message`, async t => {
      const server = await start(t)
      const check = /** @type {any} */ (() => answer)
      const failure = await new Promise(resolve => {
        const options = /** @type {any} */ ({ agent: false, ca: root.pem, checkServerIdentity: check })
        https.get(server.url, options).once('error', error => resolve([error]))
      })
      assert.equal(failure[0], answer)
      const { ways, close } = ownChecks(server, check, root.pem)
      t.after(close)
      for (const attempt of ways) {
        await assert.rejects(attempt(good.pin), { code: 'ERR_INVALID_RETURN_VALUE', message: /must return an Error/ })
      }
      await server.settled()
      assert.equal(server.appBytes, 0)
    })
  }
})

/**
 * The places where a program can put a check of its own.
 * @param {{ url: string }} server
 * @param {any} check
 * @param {string} anchors
 */
function ownChecks({ url }, check, anchors) {
  /** @type {PinnedAgent[]} */
  const agents = []
  const agent = (/** @type {string} */ pins, /** @type {object} */ options = {}) => {
    agents.push(new PinnedAgent(pins, { ca: anchors, ...options }))
    return agents.at(-1)
  }
  const ways = [
    (/** @type {string} */ pins) =>
      httpsStatus(url, {
        agent: false,
        ca: anchors,
        checkServerIdentity: createCheckServerIdentity(pins, { verifyHostname: check })
      }),
    (/** @type {string} */ pins) =>
      httpsStatus(url, { agent: false, ...tlsOptions(pins, { ca: anchors, checkServerIdentity: check }) }),
    (/** @type {string} */ pins) => httpsStatus(url, { agent: agent(pins, { checkServerIdentity: check }) }),
    (/** @type {string} */ pins) => httpsStatus(url, { agent: agent(pins), checkServerIdentity: check }),
    async (/** @type {string} */ pins) => {
      const connect = pinnedConnector(pins, { ca: anchors, checkServerIdentity: check })
      const dispatcher = new undici.Agent({ connect })
      try {
        const { statusCode, body } = await undici.request(url, { dispatcher })
        await body.dump()
        return statusCode
      } finally {
        await dispatcher.destroy()
      }
    }
  ]
  const close = () => {
    for (const one of agents) one.destroy()
  }
  return { ways, close }
}

describe('with rejectUnauthorized: false Node ignores what the check answers', LIMIT, () => {
  const WRONG = `sha256/${'A'.repeat(43)}=`

  it('in Node: a valid chain and a bad pin is served; an untrusted chain is served unasked', async t => {
    const server = await start(t)
    let asked = 0
    const checkServerIdentity = () => {
      asked += 1
      return new Error('no')
    }
    const off = { agent: /** @type {const} */ (false), rejectUnauthorized: false, checkServerIdentity }
    assert.equal(await httpsStatus(server.url, { ...off, ca: root.pem }), 200)
    assert.equal(asked, 1)
    assert.equal(await httpsStatus(server.url, off), 200)
    assert.equal(asked, 1)
  })

  it('a limit of createCheckServerIdentity: it cannot see the option', async t => {
    const server = await start(t)
    const checkServerIdentity = createCheckServerIdentity(WRONG)
    const off = { agent: /** @type {const} */ (false), rejectUnauthorized: false, checkServerIdentity }
    assert.equal(await httpsStatus(server.url, { ...off, ca: root.pem }), 200)
  })

  it('by tlsOptions, PinnedAgent and pinnedConnector: not made', () => {
    for (const make of [
      tlsOptions,
      pinnedConnector,
      (/** @type {any[]} */ ...args) => Reflect.construct(PinnedAgent, args)
    ]) {
      assert.throws(() => make(/** @type {any} */ (good.pin), { rejectUnauthorized: false }), UNSAFE)
    }
  })

  it('by PinnedAgent: the request fails, however the option comes to it', async t => {
    const server = await start(t)
    const agent = new PinnedAgent(WRONG, { ca: root.pem })
    t.after(() => agent.destroy())
    await assert.rejects(httpsStatus(server.url, { agent, rejectUnauthorized: false, body: BODY }), UNSAFE)
    agent.options.rejectUnauthorized = false
    await assert.rejects(httpsStatus(server.url, { agent, body: BODY }), UNSAFE)
    assert.equal(server.connections, 0)
  })

  it('by register: an error on a listed host, in whatever form tls.connect is called', async t => {
    const server = await start(t)
    const program = `
      const https = require('node:https')
      const tls = require('node:tls')
      const { once } = require('node:events')
      const { codeOf, httpsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
      const { url, host, port } = DATA
      const off = { rejectUnauthorized: false, servername: 'localhost' }
      const byHand = socket => {
        socket.write('GET / HTTP/1.1\\r\\n\\r\\n')
        return once(socket, 'data')
      }
      ;(async () => {
        for (const attempt of [
          () => httpsStatus(url, { ...off, agent: false }),
          () => httpsStatus(url, { agent: new https.Agent(off) }),
          () => byHand(tls.connect({ port, host, ...off })),
          () => byHand(tls.connect(port, host, off)),
          () => byHand(tls.connect(port, off)),
          () => byHand(tls.connect(String(port), { ...off, host }, () => {})),
        ]) await attempt().then(() => tell('served'), error => tell(codeOf(error)))
      })()`
    const { url, host, port } = server
    const { told, stderr } = await withPolicy({ hosts: { localhost: [good.pin] } }, env =>
      inProcess(program, { url, host, port }, { flags: ['--import', REGISTER], env })
    )
    assert.deepEqual(told, Array(6).fill('ERR_TLS_PIN_UNSAFE'), stderr)
    await server.settled()
    assert.equal(server.appBytes, 0)
  })
})

describe('NODE_TLS_REJECT_UNAUTHORIZED=0 does the same to a whole process', LIMIT, () => {
  const program = `
    const { Agent, request } = require(require.resolve('undici', { paths: [ROOT] }))
    const { PinnedAgent, createCheckServerIdentity, pinnedConnector, tlsOptions } = require(ROOT)
    const { BODY: body, codeOf, http2Status, httpsStatus, tlsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
    const { url, host, port, ca, pins, registered } = DATA
    const own = {
      tlsOptions: () => httpsStatus(url, { agent: false, body, ...tlsOptions(pins, { ca }) }),
      'tlsOptions by hand': () => tlsStatus({ host, port }, { body, ...tlsOptions(pins, { ca }) }),
      agent: () => httpsStatus(url, { body, agent: new PinnedAgent(pins, { ca }) }),
      connector: () => request(url, {
        method: 'POST', body, dispatcher: new Agent({ connect: pinnedConnector(pins, { ca }) })
      }).then(response => response.statusCode),
    }
    const bare = {
      https: () => httpsStatus(url, { agent: false, ca, body }),
      tls: () => tlsStatus({ host, port }, { ca, body }),
    }
    const checked = {
      check: () => httpsStatus(url, { agent: false, ca, body, checkServerIdentity: createCheckServerIdentity(pins) })
    }
    const ways = { own, bare, checked }[DATA.which]
    ;(async () => {
      for (const attempt of Object.values(ways)) await attempt().then(tell, error => tell(codeOf(error)))
    })()`

  /**
   * @param {any} server
   * @param {string} which
   * @param {string} pin
   * @param {string | undefined} anchors
   * @param {boolean} [register]
   */
  async function run({ url, host, port }, which, pin, anchors, register = false) {
    const data = { url, host, port, ca: anchors, pins: [pin], which }
    const { told } = await withPolicy({ hosts: { localhost: [pin] } }, env =>
      inProcess(program, data, {
        flags: register ? ['--import', REGISTER] : [],
        env: { ...env, NODE_TLS_REJECT_UNAUTHORIZED: '0' }
      })
    )
    return told
  }

  it('in Node, and a limit of createCheckServerIdentity: a bad pin is ignored', async t => {
    const server = await start(t)
    assert.deepEqual(await run(server, 'checked', `sha256/${'A'.repeat(43)}=`, root.pem), [200])
    assert.equal(server.requests.length, 1)
  })

  it('by tlsOptions, PinnedAgent, pinnedConnector and register: it is overruled', async t => {
    const server = await start(t)
    const wrong = `sha256/${'A'.repeat(43)}=`
    assert.deepEqual(await run(server, 'own', wrong, root.pem), Array(4).fill('ERR_TLS_PIN_MISMATCH'))
    assert.deepEqual(await run(server, 'bare', wrong, root.pem, true), Array(2).fill('ERR_TLS_PIN_MISMATCH'))
    // Nor does the right pin make an untrusted chain a trusted one.
    for (const code of [
      ...(await run(server, 'own', good.pin, undefined)),
      ...(await run(server, 'bare', good.pin, undefined, true))
    ]) {
      assert.match(code, /^UNABLE_TO_/)
    }
    await server.settled()
    assert.equal(server.appBytes, 0)
    assert.deepEqual(await run(server, 'own', good.pin, root.pem), Array(4).fill(200))
    assert.deepEqual(await run(server, 'bare', good.pin, root.pem, true), Array(2).fill(200))
  })
})

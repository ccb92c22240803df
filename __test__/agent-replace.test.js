'use strict'
// The promise: when the pin set of a `PinnedAgent` changes, no connection that was made under the old policy carries another
// request, and one that the new policy refuses is cut at once, in the middle of whatever it does.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const https = require('node:https')
const { before, describe, test } = require('node:test')
const { PinSet, PinnedAgent } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer, tlsServer } = require('./helpers/servers')

const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const MISMATCH = { code: 'ERR_TLS_PIN_MISMATCH' }
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

describe('idle connections', () => {
  for (const next of ['one that accepts the server', 'one that refuses it']) {
    test(`are closed by another policy, ${next}`, BOUNDED, async t => {
      const { server, agent } = await setUp(t)
      await ask(server.url, { agent })
      agent.pins.replace(next.includes('accepts') ? [good.pin, OTHER] : OTHER)
      await server.settled()
      assert.equal(server.requests.length, 1)
    })
  }

  test('are not used by a request of the same tick', BOUNDED, async t => {
    const { server, agent } = await setUp(t)
    await ask(server.url, { agent })
    const bytes = server.appBytes
    agent.pins.replace(OTHER)
    await assert.rejects(ask(server.url, { agent, method: 'POST', body: 'secret' }), MISMATCH)
    await server.settled()
    assert.equal(server.appBytes, bytes)
  })

  test('go on after a policy that is malformed', BOUNDED, async t => {
    const { server, agent } = await setUp(t)
    await ask(server.url, { agent })
    assert.throws(() => agent.pins.replace('nonsense'), { code: 'ERR_TLS_PIN_INVALID' })
    await ask(server.url, { agent })
    assert.equal(server.connections, 1)
  })

  test('are those of every agent with the pin set, and of no other', BOUNDED, async t => {
    const pins = new PinSet(good.pin)
    const { server, agent } = await setUp(t, { pins })
    const second = agentFor(t, pins)
    const apart = agentFor(t, good.pin)
    for (const each of [agent, second, apart]) await ask(server.url, { agent: each })
    pins.replace([good.pin, OTHER])
    for (const each of [agent, second, apart]) await ask(server.url, { agent: each })
    assert.equal(server.connections, 5)
  })
})

describe('connections in use that the policy still accepts', () => {
  test('finish their request and carry no other', BOUNDED, async t => {
    const { server, agent, answer } = await setUp(t, { waiting: true })
    const first = ask(server.url, { agent })
    const response = await answer()
    agent.pins.replace([good.pin, OTHER])
    response.end('first')
    assert.equal(await first, 'first')
    const second = ask(server.url, { agent })
    ;(await answer()).end('second')
    assert.equal(await second, 'second')
    assert.equal(server.connections, 2)
  })

  test('are not handed to requests that wait for them', BOUNDED, async t => {
    const { server, agent, answer } = await setUp(t, { waiting: true, options: { maxSockets: 1 } })
    const requests = Array.from({ length: 4 }, () => ask(server.url, { agent }))
    const response = await answer()
    agent.pins.replace([good.pin, OTHER])
    response.end('ok')
    for (let left = 3; left > 0; left--) (await answer()).end('ok')
    assert.deepEqual(await Promise.all(requests), Array(4).fill('ok'))
    // The first one alone, the others one after the other on the second.
    assert.equal(server.connections, 2)
  })

  test('are not handed on when the response has just ended', BOUNDED, async t => {
    const { server, agent } = await setUp(t)
    const request = https.get(server.url, { agent })
    const [response] = await once(request, 'response')
    response.resume()
    await once(response, 'end')
    agent.pins.replace([good.pin, OTHER])
    await ask(server.url, { agent })
    assert.equal(server.connections, 2)
  })
})

for (const version of VERSIONS) {
  describe(`connections in use that the policy refuses, over ${version}`, () => {
    test('are cut in the middle of a response', BOUNDED, async t => {
      const { server, agent, answer } = await setUp(t, { version, waiting: true })
      const request = https.get(server.url, { agent })
      const response = once(request, 'response')
      ;(await answer()).writeHead(200, { 'content-length': 100 }).write('part')
      const [message] = await response
      const failed = Promise.all([once(request, 'error'), once(message.resume(), 'error')])
      agent.pins.replace(OTHER)
      const [[reason], [cut]] = await failed
      assert.equal(reason.code, MISMATCH.code)
      // Node's own code for a response that ends too early.
      assert.equal(cut.code, 'ECONNRESET')
      await server.settled()
    })

    test('are cut in the middle of an upload, with the reason', BOUNDED, async t => {
      const { server, agent, answer } = await setUp(t, { version, waiting: true })
      const request = https.request(server.url, { agent, method: 'POST' })
      const failed = once(request, 'error').catch(reason => [reason])
      request.write('part')
      await answer()
      const bytes = server.appBytes
      agent.pins.replace(OTHER)
      request.end('secret'.repeat(100_000))
      const [error] = await failed
      assert.equal(error.code, MISMATCH.code)
      await server.settled()
      assert.equal(server.appBytes, bytes)
    })

    test('are cut, and what waits for them is refused', BOUNDED, async t => {
      const { server, agent, answer } = await setUp(t, { version, waiting: true, options: { maxSockets: 1 } })
      const requests = Array.from({ length: 3 }, () => ask(server.url, { agent }))
      await answer()
      const bytes = server.appBytes
      agent.pins.replace(OTHER)
      const outcomes = await Promise.allSettled(requests)
      assert.deepEqual(
        outcomes.map(outcome => outcome.status === 'rejected' && outcome.reason.code),
        Array(3).fill(MISMATCH.code)
      )
      await server.settled()
      assert.equal(server.appBytes, bytes)
    })
  })
}

test('a connection in its handshake is decided about by the policy in force at its end', BOUNDED, async t => {
  const { server, agent } = await setUp(t)
  const refused = ask(server.url, { agent })
  agent.pins.replace(OTHER)
  await assert.rejects(refused, MISMATCH)
  const accepted = ask(server.url, { agent })
  agent.pins.replace(good.pin)
  assert.equal(await accepted, 'ok')
  assert.equal(server.requests.length, 1)
})

test('a listener of the change that throws prevents nothing', BOUNDED, async t => {
  const { server, agent, answer } = await setUp(t, { waiting: true })
  const idle = ask(server.url, { agent })
  ;(await answer()).end('ok')
  await idle
  const busy = ask(server.url, { agent, method: 'POST', body: 'x' })
  await answer()
  agent.pins.on('change', () => {
    throw new Error('of a listener')
  })
  assert.throws(() => agent.pins.replace(OTHER), { message: 'of a listener' })
  await assert.rejects(busy, MISMATCH)
  await server.settled()
  assert.deepEqual(agent.pins.toJSON(), new PinSet(OTHER).toJSON())
})

test('a socket that was upgraded is cut too', BOUNDED, async t => {
  const server = await tlsServer(
    socket => {
      socket.once('data', () =>
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
      )
    },
    { cert: good }
  )
  t.after(() => server.close())
  const agent = agentFor(t, good.pin)
  const request = https.get(server.url, { agent, headers: { connection: 'Upgrade', upgrade: 'echo' } })
  const [, socket] = await once(request, 'upgrade')
  const bytes = server.appBytes
  const failed = once(socket, 'error').catch(reason => [reason])
  agent.pins.replace(OTHER)
  socket.write('secret')
  assert.equal((await failed)[0].code, MISMATCH.code)
  await server.settled()
  assert.equal(server.appBytes, bytes)
})

/**
 * @param {import('node:test').TestContext} t
 * @param {{ pins?: any, options?: object, version?: import('node:tls').SecureVersion, waiting?: boolean }} [given]
 *   `waiting`: the server answers what `answer` is asked for, in the order of arrival
 */
async function setUp(t, { pins = good.pin, options, version, waiting = false } = {}) {
  /** @type {import('node:http').ServerResponse[]} */
  const arrived = []
  /** @type {((response: import('node:http').ServerResponse) => void)[]} */
  const wanted = []
  const server = await httpsServer({
    cert: good,
    ...(version && { minVersion: version, maxVersion: version }),
    handler: (request, response) => {
      request.on('error', () => {}).resume()
      if (!waiting) return void response.end('ok')
      const next = wanted.shift()
      next ? next(response) : arrived.push(response)
    }
  })
  t.after(() => server.close())
  /** @returns {Promise<import('node:http').ServerResponse>} */
  const answer = () =>
    new Promise(resolve => {
      const response = arrived.shift()
      response ? resolve(response) : wanted.push(resolve)
    })
  return { server, agent: agentFor(t, pins, options), answer }
}

/**
 * @param {import('node:test').TestContext} t
 * @param {any} pins
 * @param {object} [options]
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

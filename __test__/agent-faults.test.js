'use strict'
// The promise: whatever goes wrong before a `PinnedAgent` has a connection, its request ends with a reason, nothing is sent,
// and nothing is left behind: no socket, no timer, no memory, no process that does not end.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const { once } = require('node:events')
const https = require('node:https')
const net = require('node:net')
const path = require('node:path')
const { before, describe, test } = require('node:test')
const { promisify } = require('node:util')
const { PinnedAgent } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { ALERT, alertServer, closeAtServer, httpsServer, rawServer, stallingServer } = require('./helpers/servers')

const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
/** Where a failure would be a hang. */
const BOUNDED = { timeout: 20_000 }
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])
const TRUSTS = /** @type {const} */ (['ca', 'pin-only'])
const STAGES = /** @type {const} */ (['accept', 'clientHello', 'serverHello'])

/** @type {import('./helpers/pki').Certificate} */
let root
/** @type {import('./helpers/pki').Certificate} */
let good

before(async () => {
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root })
})

for (const trust of TRUSTS) {
  describe(`a handshake that gets stuck, trust ${trust}`, () => {
    for (const stage of STAGES) {
      test(`after ${stage}: an abort ends it`, BOUNDED, async t => {
        const { gone, url, agent, progress } = await stuck(t, stage, trust)
        const controller = new AbortController()
        const failed = ask(url, { agent, signal: controller.signal, method: 'POST', body: 'secret' })
        await progress
        controller.abort()
        await assert.rejects(failed, { name: 'AbortError' })
        await gone
      })

      test(`after ${stage}: the request’s time-out ends it`, BOUNDED, async t => {
        const { gone, url, agent } = await stuck(t, stage, trust)
        const request = https.request(url, { agent, timeout: 100, method: 'POST' })
        request.on('timeout', () => request.destroy(Object.assign(new Error('late'), { code: 'LATE' })))
        const failed = once(request, 'error')
        request.end('secret')
        const [error] = await failed
        assert.equal(error.code, 'LATE')
        await gone
      })

      test(`after ${stage}: agent.destroy() ends it`, BOUNDED, async t => {
        const { gone, url, agent, progress } = await stuck(t, stage, trust)
        const failed = ask(url, { agent, method: 'POST', body: 'secret' })
        await progress
        agent.destroy()
        await assert.rejects(failed, { code: 'ECONNRESET' })
        await gone
      })

      test(`a server that closes at ${stage}`, BOUNDED, async t => {
        const server = await closeAtServer(stage, { cert: good })
        t.after(() => server.close())
        const agent = agentFor(t, good.pin, trust)
        await assert.rejects(ask(url(server), { agent, method: 'POST', body: 'x'.repeat(2 ** 20) }), error =>
          /^(ECONNRESET|EPIPE)$/.test(error.code)
        )
      })
    }

    test('an abort before the request connects to nobody', BOUNDED, async t => {
      const server = await httpsServer({ cert: good })
      t.after(() => server.close())
      const agent = agentFor(t, good.pin, trust)
      await assert.rejects(ask(server.url, { agent, signal: AbortSignal.abort() }), { name: 'AbortError' })
      assert.equal(server.appBytes, 0)
    })

    test('an alert of the server', BOUNDED, async t => {
      const server = await alertServer(ALERT.handshakeFailure)
      t.after(() => server.close())
      const agent = agentFor(t, good.pin, trust)
      await assert.rejects(ask(url(server), { agent }), error => /^(ERR_SSL_|EPROTO)/.test(error.code))
    })

    test('a port where nobody listens', BOUNDED, async t => {
      const server = await rawServer(() => {})
      await server.close()
      const agent = agentFor(t, good.pin, trust)
      await assert.rejects(ask(url(server), { agent }), { code: 'ECONNREFUSED' })
    })
  })
}

test('requests that are refused cost those beside them nothing', BOUNDED, async t => {
  const server = await httpsServer({ cert: good })
  t.after(() => server.close())
  const agent = new PinnedAgent({ hosts: { localhost: good.pin } }, { keepAlive: true, ca: root.pem, maxSockets: 1 })
  t.after(() => agent.destroy())
  const outcomes = await Promise.allSettled([
    ask(server.url, { agent }),
    ask(server.url, { agent, rejectUnauthorized: false }),
    ask(`https://127.0.0.1:${server.port}`, { agent }),
    ask(`https://127.0.0.1:${server.port}`, { agent }),
    ask(server.url, { agent })
  ])
  assert.deepEqual(
    outcomes.map(outcome => (outcome.status === 'rejected' ? outcome.reason.code : 'ok')),
    ['ok', 'ERR_TLS_PIN_UNSAFE', 'ERR_TLS_PIN_UNLISTED', 'ERR_TLS_PIN_UNLISTED', 'ok']
  )
})

test('a request that waited and is refused lets the next one go on', { timeout: 3000 }, async t => {
  const server = await httpsServer({ cert: good })
  t.after(() => server.close())
  const agent = new PinnedAgent(good.pin, { ca: root.pem, maxTotalSockets: 1 })
  t.after(() => agent.destroy())
  await Promise.all([
    ask(server.url, { agent }),
    assert.rejects(ask(server.url, { agent, rejectUnauthorized: false }), { code: 'ERR_TLS_PIN_UNSAFE' }),
    ask(`https://127.0.0.1:${server.port}`, { agent })
  ])
})

test('a connection refused leaves nothing in the agent', BOUNDED, async t => {
  const server = await httpsServer({ cert: good })
  t.after(() => server.close())
  for (const trust of TRUSTS) {
    const agent = agentFor(t, OTHER, trust)
    await assert.rejects(ask(server.url, { agent }), { code: 'ERR_TLS_PIN_MISMATCH' })
    await server.settled()
    const { sockets, freeSockets, requests } = agent
    assert.deepEqual({ ...sockets, ...freeSockets, ...requests }, {})
  }
})

describe('a process', () => {
  for (const trust of TRUSTS) {
    for (const [what, program] of Object.entries({
      'with an idle connection': 'get(pin).then(text => console.log(text))',
      'that was refused': 'get(other).catch(error => console.log(error.code))',
      'with a pin set that changes': 'get(pin).then(text => { agent.pins.replace(other); console.log(text) })',
      'with an agent that nobody used': "console.log('ok')"
    })) {
      test(`${what} ends by itself, trust ${trust}`, BOUNDED, async t => {
        const server = await httpsServer({ cert: good })
        t.after(() => server.close())
        const stdout = await run(`${CLIENT}\n${program}`, [], { trust, url: server.url })
        assert.equal(stdout.trim(), what.includes('refused') ? 'ERR_TLS_PIN_MISMATCH' : 'ok')
      })
    }
  }
})

for (const version of VERSIONS) {
  for (const trust of TRUSTS) {
    test(`nothing remains of 500 connections, trust ${trust}, ${version}`, { timeout: 60_000 }, async t => {
      const server = await httpsServer({ cert: good, minVersion: version, maxVersion: version })
      t.after(() => server.close())
      const program = `${CLIENT}
        const alive = new Set()
        const registry = new FinalizationRegistry(number => alive.delete(number))
        const make = PinnedAgent.prototype.createConnection
        let number = 0
        PinnedAgent.prototype.createConnection = function (...args) {
          const socket = make.apply(this, args)
          alive.add(++number)
          registry.register(socket, number)
          return socket
        }
        const turn = () => new Promise(resolve => setImmediate(resolve))
        async function main() {
          const pins = agent.pins
          for (let round = 0; round < 25; round++) {
            pins.replace(round % 2 ? other : pin)
            // The process keeps the pin set, agents come and go.
            agent = new PinnedAgent(pins, { ...options, keepAlive: round % 4 === 0 })
            await Promise.allSettled(Array.from({ length: 20 }, () => get()))
            agent.destroy()
          }
          for (let left = 50; left > 0 && alive.size > 20; left--) { await turn(); gc() }
          console.log(number, alive.size <= 20 ? 'few' : alive.size, pins.listenerCount('change'))
        }
        main()
      `
      const stdout = await run(program, ['--expose-gc'], { trust, url: server.url })
      assert.equal(stdout.trim(), '500 few 0')
    })
  }
}

const CLIENT = `
  const https = require('node:https')
  const { PinnedAgent } = require(${JSON.stringify(path.join(__dirname, '..'))})
  const { url, ca, trust, pin, other } = JSON.parse(process.argv[1])
  const options = { keepAlive: true, trust, ...(trust === 'ca' && { ca }) }
  let agent = new PinnedAgent(pin, options)
  const get = pins => new Promise((resolve, reject) => {
    if (pins) agent.pins.replace(pins)
    https.get(url, { agent }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', chunk => (text += chunk)).on('end', () => resolve(text)).on('error', reject)
    }).on('error', reject)
  })
`

/**
 * @param {string} program
 * @param {string[]} flags
 * @param {{ trust: string, url: string }} known
 */
async function run(program, flags, known) {
  const given = JSON.stringify({ ...known, ca: root.pem, pin: good.pin, other: OTHER })
  const args = [...flags, '-e', program, given]
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 50_000, killSignal: 'SIGKILL' })
  return stdout
}

/**
 * A server that goes silent, the moment when it does, and the moment when the client has gone.
 *
 * @param {import('node:test').TestContext} t
 * @param {(typeof STAGES)[number]} stage
 * @param {(typeof TRUSTS)[number]} trust
 */
async function stuck(t, stage, trust) {
  const server = await stallingServer(stage, { cert: good })
  let reached = () => {}
  const progress = new Promise(resolve => {
    reached = () => resolve(undefined)
  })
  const front = net.createServer(client => {
    const upstream = net.connect(server.port, server.host)
    for (const socket of [client, upstream]) socket.on('error', () => {})
    client.on('data', chunk => upstream.write(chunk, () => stage === 'clientHello' && reached()))
    upstream.on('data', chunk => client.write(chunk, reached))
    client.on('close', () => upstream.destroy())
    if (stage === 'accept') reached()
  })
  const gone = new Promise(resolve => front.once('connection', client => client.once('close', resolve)))
  front.listen(0, '127.0.0.1')
  await once(front, 'listening')
  t.after(() => Promise.all([server.close(), new Promise(resolve => front.close(resolve))]))
  const { port } = /** @type {net.AddressInfo} */ (front.address())
  return { gone, url: url({ port }), agent: agentFor(t, good.pin, trust), progress }
}

/** @param {{ port: number }} server */
function url({ port }) {
  return `https://localhost:${port}`
}

/**
 * @param {import('node:test').TestContext} t
 * @param {string} pins
 * @param {(typeof TRUSTS)[number]} trust
 */
function agentFor(t, pins, trust) {
  const agent = new PinnedAgent(pins, { keepAlive: true, trust, ...(trust === 'ca' && { ca: root.pem }) })
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

'use strict'
// The promise: the end of a connection at an awkward moment, by a change of policy, by an expiry, in http2, neither crashes a
// process nor lets anything out.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const { before, describe, test } = require('node:test')
const undici = require('undici')
const { PinSet, PinnedAgent, pinnedConnector } = require('..')
const { BOUNDED, VERSIONS, WRONG, pinned } = require('./fixtures/register-run')
const { REGISTER, httpsStatus, inProcess } = require('./helpers/node-tls')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const EXPIRED = 'ERR_TLS_PIN_EXPIRED'
const MISMATCH = 'ERR_TLS_PIN_MISMATCH'
/** No idle connection is closed for being idle within the time of a test, in milliseconds. */
const PATIENCE = 600_000

/** @type {import('./helpers/pki').Certificate} */ let root
/** @type {import('./helpers/pki').Certificate} */ let good
/** @type {import('./helpers/pki').Certificate} */ let device

before(async () => {
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root })
  device = await leaf({ selfSigned: true })
})

describe('a change of policy that strikes out the server of a kept-alive connection does not crash', () => {
  for (const [moment, listen] of [
    ['at the end of a response', "response.resume().on('end', change)"],
    ['when a response has closed', "response.resume().on('close', change)"],
    ['when a request has closed', "response.resume(); request.on('close', change)"],
    ['after a response has been read', '(async () => { for await (const _ of response); change() })()']
  ]) {
    test(moment, BOUNDED, async t => {
      let bytes = 0
      const server = await httpsServer({
        cert: good,
        handler: (_, response) => {
          bytes = server.appBytes
          response.end('ok')
        }
      })
      t.after(() => server.close())
      const program = `
        const https = require('node:https')
        const { PinSet, PinnedAgent } = require(ROOT)
        const { url, ca, pin, wrong } = DATA
        const pins = new PinSet(pin)
        const agent = new PinnedAgent(pins, { keepAlive: true, ca })
        const fail = error => tell(error.code)
        const change = () => {
          pins.replace(wrong)
          https.get(url, { agent }, response => tell(response.statusCode)).on('error', fail)
        }
        const request = https.get(url, { agent }, response => { ${listen} }).on('error', fail)
      `
      const data = { url: server.url, ca: root.pem, pin: good.pin, wrong: WRONG }
      const { told, status, stderr } = await inProcess(program, data)
      assert.deepEqual([told, status], [[MISMATCH], 0], stderr)
      await server.settled()
      assert.deepEqual([server.requests.length, server.appBytes], [1, bytes])
    })
  }
})

for (const version of VERSIONS) {
  test(`http2 over an agent whose pins are the only trust does not crash, ${version}`, BOUNDED, async t => {
    const server = await httpsServer({ cert: device, http2: true, minVersion: version, maxVersion: version })
    t.after(() => server.close())
    const program = `
      const { PinnedAgent } = require(ROOT)
      const { http2Status } = require(ROOT + '/__test__/helpers/node-tls.js')
      const { url, port, pin } = DATA
      const agent = new PinnedAgent(pin, { trust: 'pin-only' })
      const options = { host: 'localhost', servername: 'localhost', port, ALPNProtocols: ['h2'] }
      const createConnection = () => agent.createConnection(options)
      http2Status(url, { createConnection, body: Buffer.from('x') }).then(tell, error => tell(error.code))
    `
    const run = (/** @type {string} */ pin) => inProcess(program, { url: server.url, port: server.port, pin })
    const refused = await run(WRONG)
    assert.deepEqual([refused.told, refused.status], [[MISMATCH], 0], refused.stderr)
    await server.settled()
    assert.equal(server.appBytes, 0)
    const accepted = await run(device.pin)
    assert.deepEqual([accepted.told, accepted.status], [[200], 0], accepted.stderr)
  })
}

describe('an entry that expires closes an idle connection', { concurrency: true }, () => {
  test('of PinnedAgent', BOUNDED, async t => {
    const server = await patient(t)
    const agent = new PinnedAgent(soon(), { keepAlive: true, ca: root.pem })
    t.after(() => agent.destroy())
    const closed = new Promise(resolve => agent.on('free', socket => socket.once('close', resolve)))
    assert.equal(await httpsStatus(server.url, { agent }), 200)
    const bytes = server.appBytes
    await closed
    await assert.rejects(httpsStatus(server.url, { agent }), { code: EXPIRED })
    await server.settled()
    assert.equal(server.appBytes, bytes)
  })

  test('of pinnedConnector', BOUNDED, async t => {
    const server = await patient(t)
    const connect = pinnedConnector(soon(), { ca: root.pem })
    const client = new undici.Client(server.url, { connect, keepAliveTimeout: PATIENCE })
    t.after(() => client.destroy())
    const closed = once(client, 'disconnect')
    const ask = async () => (await client.request({ method: 'GET', path: '/' })).body.dump()
    await ask()
    const bytes = server.appBytes
    await closed
    await assert.rejects(ask(), { code: EXPIRED })
    await server.settled()
    assert.equal(server.appBytes, bytes)
  })

  test('under register', BOUNDED, async t => {
    const server = await patient(t)
    // The policy is dated in the process itself, whose start may take long.
    const program = `
      require('node:fs').writeFileSync(process.env.TLS_PINNING_POLICY, JSON.stringify((${policyOf})(DATA.pin)))
      require(${JSON.stringify(REGISTER)})
      const agent = new https.Agent({ keepAlive: true, ca })
      const ask = () => kit.outcome(() => httpsStatus(url, { agent })).then(tell)
      const { httpsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
      // An idle connection does not keep the process.
      const hold = setInterval(() => {}, 1000)
      agent.once('free', socket => socket.once('close', () => ask().finally(() => clearInterval(hold))))
      ask()
    `
    const { told, stderr } = await pinned({
      policy: {},
      program,
      server,
      ca: root.pem,
      data: { pin: good.pin },
      flags: []
    })
    assert.deepEqual(told, [200, EXPIRED], stderr)
    await server.settled()
    assert.equal(server.requests.length, 1)
  })
})

/**
 * A server that closes no idle connection by itself.
 * @param {import('node:test').TestContext} t
 */
async function patient(t) {
  const server = await httpsServer({ cert: good, tls: /** @type {any} */ ({ keepAliveTimeout: PATIENCE }) })
  t.after(() => server.close())
  return server
}

/** @param {string} pin */
function policyOf(pin) {
  const expires = new Date((Math.floor(Date.now() / 1000) + 3) * 1000).toISOString()
  return { hosts: { localhost: { pins: [pin], expires } } }
}

/** The server is pinned for two or three seconds more: the first request has to be made in them. */
function soon() {
  return new PinSet(policyOf(good.pin))
}

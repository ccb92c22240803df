'use strict'
// Promise: names put on `Object.prototype`, as by a body of JSON that was merged carelessly, let no wrong server pass. Every
// way to a server meets one whose certificate is trusted and not pinned, with each of the names that an options object or an
// answer of native code could have.

const assert = require('node:assert/strict')
const https = require('node:https')
const { after, before, describe, it } = require('node:test')
const undici = require('undici')
const tlsPinning = require('..')
const { BODY, REGISTER, httpsStatus, inProcess } = require('./helpers/node-tls')
const { withPolicy } = require('./helpers/ours')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const { PinnedAgent, PinnedClient, PinSet, createCheckServerIdentity, createPinnedFetch } = tlsPinning
const WRONG = `sha256/${'A'.repeat(43)}=`

/** @type {import('./helpers/pki').Certificate} */ let root
/** @type {import('./helpers/pki').Certificate} */ let cert
/** @type {any} */ let server

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root, names: ['localhost', '127.0.0.1'] })
  server = await httpsServer({ cert })
})
after(() => server.close())

/** Each settles: it fulfils if the server was accepted. @type {Record<string, () => Promise<unknown>>} */
const WAYS = {
  pinnedRequest: () => tlsPinning.pinnedRequest(server.url, { pins: WRONG, ca: root.pem, method: 'POST', body: BODY }),
  PinnedClient: async () => {
    const client = new PinnedClient({ pins: { localhost: [WRONG] }, ca: root.pem })
    try {
      return await client.request(server.url, { method: 'POST', body: BODY })
    } finally {
      await client.close()
    }
  },
  createPinnedFetch: () => createPinnedFetch({ pins: WRONG, ca: root.pem })(server.url, { method: 'POST', body: BODY }),
  PinnedAgent: () => withAgent(new PinnedAgent({ localhost: [WRONG] }, { ca: root.pem })),
  'PinnedAgent, pin-only': () => withAgent(new PinnedAgent(WRONG, { trust: 'pin-only' })),
  'options of PinnedAgent': () => withAgent(new https.Agent(new PinnedAgent(WRONG, { ca: root.pem }).options)),
  tlsOptions: () =>
    httpsStatus(server.url, { ...tlsPinning.tlsOptions(WRONG, { ca: root.pem }), agent: false, body: BODY }),
  createCheckServerIdentity: () =>
    httpsStatus(server.url, {
      ca: root.pem,
      checkServerIdentity: createCheckServerIdentity(WRONG, { ca: root.pem }),
      agent: false,
      body: BODY
    }),
  pinnedConnector: async () => {
    const dispatcher = new undici.Agent({ connect: tlsPinning.pinnedConnector(WRONG, { ca: root.pem }) })
    try {
      return await undici.request(server.url, { dispatcher, method: 'POST', body: BODY })
    } finally {
      await dispatcher.destroy()
    }
  },
  verifyChain: async () =>
    tlsPinning.verifyChain({ chain: [cert.der], hostname: 'localhost', pins: WRONG, ca: root.pem }),
  'PinSet.check': async () => new PinSet({ localhost: [WRONG] }).check('localhost', [cert.der], { ca: root.pem })
}

/** @param {import('node:https').Agent} agent */
async function withAgent(agent) {
  try {
    return await httpsStatus(server.url, { agent, body: BODY })
  } finally {
    agent.destroy()
  }
}

/** What a name could be polluted with, so that it would be taken for a yes. @type {Record<string, () => unknown[]>} */
const NAMES = {
  ok: () => [true, {}, 'x', { path: [], matched: WRONG, pattern: 'localhost' }],
  error: () => [null, undefined, false, ''],
  rejectUnauthorized: () => [false],
  checkServerIdentity: () => [() => undefined],
  verifyHostname: () => [() => undefined],
  trust: () => ['pin-only', 'ca'],
  pins: () => [[cert.pin], { localhost: [cert.pin] }],
  leaf: () => [[cert.pin]],
  ca: () => [root.pem, [cert.pin]],
  hosts: () => [{ localhost: [cert.pin] }],
  localhost: () => [[cert.pin]],
  unlisted: () => ['allow'],
  mode: () => ['report'],
  expires: () => ['2000-01-01'],
  onExpiry: () => ['allow'],
  excused: () => ['mode'],
  matched: () => [cert.pin],
  checks: () => [[]],
  session: () => [Buffer.from('x')],
  isSessionReused: () => [() => true],
  authorized: () => [true],
  secureContext: () => [{}],
  host: () => ['localhost'],
  servername: () => ['localhost'],
  port: () => [443],
  guessed: () => [true],
  proxyAgent: () => [new https.Agent()]
}

describe('Object.prototype', { timeout: 300_000 }, () => {
  for (const way of Object.keys(WAYS)) {
    it(`${way} refuses a wrong server`, async () => {
      await assert.rejects(WAYS[way](), { code: 'ERR_TLS_PIN_MISMATCH' })
      for (const [name, values] of Object.entries(NAMES)) {
        for (const value of values()) {
          const accepted = await polluted(name, value, WAYS[way])
          assert.ok(!accepted, `accepted with Object.prototype.${name} = ${String(value)}`)
        }
      }
      await server.settled()
      assert.equal(server.appBytes, 0)
    })
  }
})

it('register refuses a wrong server', { timeout: 120_000 }, async () => {
  const program = `
    const https = require('node:https')
    const status = () => new Promise((resolve, reject) => {
      const { url, ca } = DATA
      https.request(url, { ca, agent: false, method: 'POST' }, res => resolve(res.statusCode)).on('error', reject).end('x')
    })
    const attempt = async (name, value) => {
      Object.prototype[name] = value
      try {
        return await status()
      } catch (error) {
        return error.code
      } finally {
        delete Object.prototype[name]
      }
    }
    ;(async () => {
      tell(await attempt('nothing', 1))
      for (const [name, values] of DATA.names) for (const value of values) tell([name, await attempt(name, value)])
      process.exit()
    })()`
  // What JSON can hold.
  const names = Object.entries(NAMES).map(([name, values]) => [name, values().filter(isData)])
  const { told, stderr } = await withPolicy({ hosts: { localhost: WRONG } }, env =>
    inProcess(program, { url: server.url, ca: root.pem, names }, { flags: ['--require', REGISTER], env })
  )
  assert.equal(told.shift(), 'ERR_TLS_PIN_MISMATCH', stderr)
  assert.ok(told.length > 20, stderr)
  for (const [name, outcome] of told) assert.notEqual(outcome, 200, name)
  await server.settled()
  assert.equal(server.appBytes, 0)
})

/** @param {unknown} value */
function isData(value) {
  return value !== undefined && typeof value !== 'function' && !(value instanceof https.Agent)
}

/**
 * Whether a server was accepted. Whatever it is refused with will do: some of the names break Node itself.
 * @param {string} name
 * @param {unknown} value
 * @param {() => Promise<unknown>} way
 */
async function polluted(name, value, way) {
  const prototype = /** @type {any} */ (Object.prototype)
  // Enumerable, as by an assignment.
  prototype[name] = value
  try {
    await way()
    return true
  } catch {
    return false
  } finally {
    delete prototype[name]
  }
}

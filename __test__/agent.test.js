'use strict'
// The promise: a connection of `PinnedAgent` is made to the server that was pinned, or no request leaves. Whatever a request
// or the environment says besides, it is never looser, and nothing of one connection counts for another.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const https = require('node:https')
const os = require('node:os')
const path = require('node:path')
const { before, describe, test } = require('node:test')
const tls = require('node:tls')
const { promisify } = require('node:util')
const { PinSet, PinnedAgent } = require('..')
const { ca, daysFromNow, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
/** Where a failure would be a hang. */
const BOUNDED = { timeout: 20_000 }
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])
const PAST = { notBefore: daysFromNow(-60), notAfter: daysFromNow(-1) }

/** good root > intermediate > good. Both roots are trusted. @type {Record<string, import('./helpers/pki').Certificate>} */
const pki = {}
/** @type {string[]} */
let anchors

before(async () => {
  pki.root = await ca({ name: 'Good Root' })
  pki.intermediate = await ca({ name: 'Intermediate', issuer: pki.root })
  pki.good = await leaf({ issuer: pki.intermediate, names: ['localhost', '127.0.0.1', 'a.example', 'b.example'] })
  pki.rogueRoot = await ca({ name: 'Rogue Root' })
  pki.mitm = await leaf({ issuer: pki.rogueRoot })
  anchors = [pki.root.pem, pki.rogueRoot.pem]
})

for (const version of VERSIONS) {
  describe(`over ${version}`, () => {
    for (const depth of ['good', 'intermediate', 'root']) {
      for (const kind of /** @type {const} */ (['pin', 'certPin'])) {
        test(`accepts the ${kind} of ${depth}`, BOUNDED, async t => {
          const { server, agent } = await setUp(t, { pins: pki[depth][kind], server: { version } })
          assert.equal((await get(server.url, { agent })).body, 'ok')
          assert.equal(server.requests.length, 1)
        })
      }
    }

    test('refuses a pin that is not on the path', BOUNDED, async t => {
      const { server, agent } = await setUp(t, { pins: OTHER, server: { version } })
      const error = await refused(server, { agent }, 'ERR_TLS_PIN_MISMATCH')
      assert.deepEqual(
        error.path.map((/** @type {any} */ step) => step.spkiPin),
        [pki.good, pki.intermediate, pki.root].map(({ pin }) => pin)
      )
    })

    test('refuses a trusted certificate that is not pinned, also with a megabyte written at once', BOUNDED, async t => {
      const { server, agent } = await setUp(t, { pins: everyPin(), server: { version, cert: pki.mitm, chain: [] } })
      await refused(server, { agent }, 'ERR_TLS_PIN_MISMATCH')
      await refused(server, { agent, method: 'POST', body: Buffer.alloc(2 ** 20) }, 'ERR_TLS_PIN_MISMATCH')
    })

    test('refuses the pinned chain appended to a foreign one', BOUNDED, async t => {
      const chain = [pki.good, pki.intermediate, pki.root]
      const { server, agent } = await setUp(t, { pins: everyPin(), server: { version, cert: pki.mitm, chain } })
      await refused(server, { agent }, 'ERR_TLS_PIN_MISMATCH')
    })

    test(
      'refuses a rogue intermediate of the pinned one’s name, with the expired real one before it',
      BOUNDED,
      async t => {
        // Node's walk shows the expired one as the issuer.
        const { subject, subjectKeyId, keyPair } = pki.intermediate
        const expired = await ca({ name: 'unused', issuer: pki.root, subject, keyPair, ...PAST })
        const rogue = await ca({ name: 'unused', issuer: pki.rogueRoot, subject, subjectKeyId })
        const cert = await leaf({ issuer: rogue })
        const pins = [expired.certPin, expired.pin]
        const { server, agent } = await setUp(t, { pins, server: { version, cert, chain: [expired, rogue] } })
        await refused(server, { agent }, 'ERR_TLS_PIN_MISMATCH')
      }
    )

    test('refuses another name and an expired certificate, both pinned', BOUNDED, async t => {
      const other = await leaf({ issuer: pki.root, names: ['other.example'] })
      const expired = await leaf({ issuer: pki.root, ...PAST })
      for (const [cert, code] of /** @type {const} */ ([
        [other, 'ERR_TLS_CERT_ALTNAME_INVALID'],
        [expired, 'CERT_HAS_EXPIRED']
      ])) {
        const { server, agent } = await setUp(t, {
          pins: [cert.pin, pki.root.pin],
          server: { version, cert, chain: [] }
        })
        await refused(server, { agent }, code)
      }
    })

    test('no session is resumed, and none is kept', BOUNDED, async t => {
      const { server, agent } = await setUp(t, { options: { keepAlive: false }, server: { version } })
      for (let left = 3; left > 0; left--) await get(server.url, { agent })
      assert.equal(server.handshakes, 3)
      assert.equal(server.resumed, 0)
      assert.deepEqual(/** @type {any} */ (agent)._sessionCache.list, [])
    })

    test('no session of another agent is taken when a request brings one', BOUNDED, async t => {
      const { server, agent } = await setUp(t, { pins: OTHER, server: { version } })
      const session = await sessionOf(server)
      await server.settled()
      await refused(server, { agent, session }, 'ERR_TLS_PIN_MISMATCH', server.appBytes)
      assert.equal(server.resumed, 0)
    })

    test('no session is resumed that is put into the socket by hand', BOUNDED, async t => {
      const { server, agent } = await setUp(t, { pins: OTHER, server: { version } })
      const session = await sessionOf(server)
      await server.settled()
      const bytes = server.appBytes
      for (const [put, code] of /** @type {[(socket: tls.TLSSocket) => void, string][]} */ ([
        [socket => socket.setSession(session), 'ERR_TLS_PIN_MISMATCH'],
        // Nobody can prevent it, and then nobody has asked about the server.
        [socket => tls.TLSSocket.prototype.setSession.call(socket, session), 'ERR_TLS_PIN_UNSAFE']
      ])) {
        const error = await new Promise((resolve, reject) => {
          const request = https.request(server.url, { agent, method: 'POST' }, () => reject(new Error('answered')))
          request
            .on('error', resolve)
            .once('socket', put)
            .end(Buffer.alloc(2 ** 20))
        })
        assert.equal(error.code, code, error.message)
        await server.settled()
        assert.equal(server.appBytes, bytes)
      }
    })
  })
}

describe('reuse', () => {
  test('one connection for one request after the other', BOUNDED, async t => {
    const { server, agent } = await setUp(t)
    for (let left = 5; left > 0; left--) await get(server.url, { agent })
    assert.equal(server.connections, 1)
  })

  test('two agents share no connection, also with the same pin set and options', BOUNDED, async t => {
    const pins = new PinSet(pki.good.pin)
    const { server, agent } = await setUp(t, { pins })
    const second = agentFor(t, pins)
    const plain = new https.Agent({ keepAlive: true, ca: anchors })
    t.after(() => plain.destroy())
    for (const each of [agent, second, plain, agent, second, plain]) await get(server.url, { agent: each })
    assert.equal(server.connections, 3)
    assert.equal(server.resumed, 0)
  })

  test('requests with checks of their own share no connection with others', BOUNDED, async t => {
    const { server, agent } = await setUp(t)
    const accepts = () => undefined
    const refuses = () => Object.assign(new Error('not this one'), { code: 'MINE' })
    await get(server.url, { agent })
    await get(server.url, { agent, checkServerIdentity: accepts })
    await get(server.url, { agent, checkServerIdentity: accepts })
    // Newer versions of Node give every request with a check of its own a connection of its own.
    assert.ok(server.connections === 2 || server.connections === 3)
    const bytes = server.appBytes
    const error = await get(server.url, { agent, checkServerIdentity: refuses }).catch(reason => reason)
    assert.equal(error.code, 'MINE')
    assert.equal(server.appBytes, bytes)
  })
})

describe('requests with checks of their own', () => {
  test('get along with few connections', BOUNDED, async t => {
    const accepts = () => undefined
    const { server, agent } = await setUp(t, { options: { maxTotalSockets: 2 } })
    const requests = Array.from({ length: 12 }, (_, index) =>
      get(server.url, { agent, ...(index % 2 && { checkServerIdentity: accepts }) })
    )
    await Promise.all(requests)
    // One for each that has a check, and some for the others; no more.
    assert.ok(server.connections >= 7 && server.connections <= 12, String(server.connections))
  })

  test('leave no connection behind', BOUNDED, async t => {
    const { server, agent } = await setUp(t)
    await get(server.url, { agent, checkServerIdentity: () => undefined })
    assert.deepEqual(Object.values(agent.freeSockets).flat(), [])
  })

  test('run besides one that is put among the agent’s options later', BOUNDED, async t => {
    const { server, agent } = await setUp(t)
    agent.options.checkServerIdentity = () => Object.assign(new Error('no'), { code: 'LATER' })
    await assert.rejects(get(server.url, { agent }), { code: 'LATER' })
    await assert.rejects(get(server.url, { agent, checkServerIdentity: () => undefined }), { code: 'LATER' })
    agent.options.rejectUnauthorized = false
    await assert.rejects(get(server.url, { agent }), { code: 'ERR_TLS_PIN_UNSAFE' })
    await server.settled()
    assert.equal(server.appBytes, 0)
  })
})

describe('checks of a user’s own', () => {
  /** @type {{ name: string, check: () => any, expected: object }[]} */
  const REFUSING = [
    { name: 'an error', check: () => Object.assign(new Error('no'), { code: 'MINE' }), expected: { code: 'MINE' } },
    { name: 'true', check: () => true, expected: { code: 'ERR_INVALID_RETURN_VALUE' } },
    { name: 'a string', check: () => 'no', expected: { code: 'ERR_INVALID_RETURN_VALUE' } },
    { name: 'a promise', check: async () => undefined, expected: { code: 'ERR_INVALID_RETURN_VALUE' } },
    {
      name: 'a throw',
      check: () => {
        throw new RangeError('thrown')
      },
      expected: { name: 'RangeError', message: 'thrown' }
    },
    {
      name: 'a throw of undefined',
      check: () => {
        throw undefined
      },
      expected: { name: 'Error' }
    }
  ]
  for (const level of ['agent', 'request']) {
    for (const { name, check, expected } of REFUSING) {
      test(`refuses by ${name}, at the ${level}`, BOUNDED, async t => {
        const own = { checkServerIdentity: check }
        const { server, agent } = await setUp(t, { options: level === 'agent' ? own : {} })
        await assert.rejects(get(server.url, { agent, ...(level === 'request' && own) }), expected)
        await server.settled()
        assert.equal(server.appBytes, 0)
      })
    }

    test(`one that accepts everything changes nothing, at the ${level}`, BOUNDED, async t => {
      const own = { checkServerIdentity: () => undefined }
      const { server, agent } = await setUp(t, { pins: OTHER, options: level === 'agent' ? own : {} })
      await refused(server, { agent, ...(level === 'request' && own) }, 'ERR_TLS_PIN_MISMATCH')
      const cert = await leaf({ issuer: pki.root, names: ['other.example'] })
      const other = await setUp(t, {
        pins: cert.pin,
        options: level === 'agent' ? own : {},
        server: { cert, chain: [] }
      })
      const options = { agent: other.agent, ...(level === 'request' && own) }
      await refused(other.server, options, 'ERR_TLS_CERT_ALTNAME_INVALID')
    })
  }

  test('both run, in turn, and either refuses', BOUNDED, async t => {
    /** @type {string[]} */
    const asked = []
    const check = (/** @type {string} */ who) => (/** @type {string} */ host, /** @type {any} */ cert) => {
      asked.push(`${who} ${host} ${cert.fingerprint256 === pki.good.fingerprint256}`)
      return undefined
    }
    const { server, agent } = await setUp(t, { options: { checkServerIdentity: check('agent') } })
    await get(server.url, { agent, checkServerIdentity: check('request') })
    assert.deepEqual(asked, ['agent localhost true', 'request localhost true'])
  })
})

describe('what would switch pinning off', () => {
  test('is refused when the agent is made', () => {
    for (const options of [
      { rejectUnauthorized: false },
      { session: Buffer.alloc(1) },
      { checkServerIdentity: null }
    ]) {
      assert.throws(() => new PinnedAgent(OTHER, /** @type {any} */ (options)), { code: 'ERR_TLS_PIN_UNSAFE' })
    }
    for (const options of [{ proxyEnv: process.env }, { trust: 'none' }]) {
      assert.throws(() => new PinnedAgent(OTHER, /** @type {any} */ (options)), { code: 'ERR_INVALID_ARG_VALUE' })
    }
    for (const pins of [[], {}, 'nonsense', undefined, null]) {
      assert.throws(() => new PinnedAgent(/** @type {any} */ (pins)), { code: 'ERR_TLS_PIN_INVALID' })
    }
  })

  test('is refused in a request, which does not connect at all', BOUNDED, async t => {
    const { server, agent } = await setUp(t)
    for (const options of [{ rejectUnauthorized: false }, { checkServerIdentity: null }]) {
      await assert.rejects(get(server.url, { agent, .../** @type {any} */ (options) }), { code: 'ERR_TLS_PIN_UNSAFE' })
    }
    assert.equal(server.connections, 0)
    assert.equal((await get(server.url, { agent })).body, 'ok')
  })

  test('is without effect in the environment', BOUNDED, async t => {
    const { server } = await setUp(t)
    const untrusted = await setUp(t, { server: { cert: await leaf({ selfSigned: true }), chain: [] } })
    const program = `
      const https = require('node:https')
      const { PinnedAgent } = require(${JSON.stringify(path.join(__dirname, '..'))})
      const [url, untrusted, ca, pin, other] = process.argv.slice(1)
      const ask = (url, pins) => new Promise(done => https
        .get(url, { agent: new PinnedAgent(pins, { ca }) }, response => response.resume() && done(response.statusCode))
        .on('error', error => done(error.code)))
      Promise.all([ask(url, pin), ask(url, other), ask(untrusted, other)]).then(all => process.stdout.write(String(all)))
    `
    const args = ['--no-warnings', '-e', program, server.url, untrusted.server.url, pki.root.pem, pki.good.pin, OTHER]
    const env = { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: '0' }
    const { stdout } = await promisify(execFile)(process.execPath, args, { env })
    assert.equal(stdout, '200,ERR_TLS_PIN_MISMATCH,DEPTH_ZERO_SELF_SIGNED_CERT')
    assert.equal(untrusted.server.appBytes, 0)
    assert.equal(server.requests.length, 1)
  })
})

describe('whom the policy decides about', () => {
  test('the name in a Host header, which is also the one that is sent and checked', BOUNDED, async t => {
    const pins = { hosts: { localhost: pki.good.pin, 'a.example': pki.good.pin, 'b.example': OTHER } }
    const { server, agent } = await setUp(t, { pins, options: { keepAlive: false } })
    await get(server.url, { agent, headers: { host: 'a.example' } })
    assert.equal(server.requests[0].servername, 'a.example')
    const bytes = server.appBytes
    await refused(server, { agent, headers: { host: 'b.example' } }, 'ERR_TLS_PIN_MISMATCH', bytes)
  })

  test(
    'a Host header that no entry is for falls back on the host of the URL, and still has to be in the certificate',
    BOUNDED,
    async t => {
      const pins = { hosts: { localhost: pki.good.pin } }
      const { server, agent } = await setUp(t, { pins })
      await refused(server, { agent, headers: { host: 'c.example' } }, 'ERR_TLS_CERT_ALTNAME_INVALID')
    }
  )

  test('a host that no entry is for is refused', BOUNDED, async t => {
    const { server, agent } = await setUp(t, { pins: { hosts: { 'a.example': pki.good.pin } } })
    await refused(server, { agent }, 'ERR_TLS_PIN_UNLISTED')
  })

  test('an address', BOUNDED, async t => {
    const { server, agent } = await setUp(t, { pins: { hosts: { '127.0.0.1': pki.intermediate.pin } } })
    assert.equal((await get(`https://127.0.0.1:${server.port}`, { agent })).body, 'ok')
    await refused(server, { agent }, 'ERR_TLS_PIN_UNLISTED', server.appBytes)
  })

  test('one port', BOUNDED, async t => {
    const { server } = await setUp(t)
    const second = await setUp(t)
    const hosts = { [`localhost:${server.port}`]: pki.good.pin, localhost: OTHER }
    const agent = agentFor(t, { hosts })
    assert.equal((await get(server.url, { agent })).body, 'ok')
    await refused(second.server, { agent }, 'ERR_TLS_PIN_MISMATCH')
  })

  test('the name given for a Unix socket', { ...BOUNDED, skip: process.platform === 'win32' }, async t => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'agent-'))
    t.after(() => fs.rmSync(folder, { recursive: true }))
    const socketPath = path.join(folder, 'socket')
    const server = https.createServer(
      { key: pki.good.key, cert: pki.good.pem + pki.intermediate.pem },
      (request, response) => {
        response.end(request.url)
      }
    )
    await new Promise(resolve => server.listen(socketPath, () => resolve(undefined)))
    t.after(() => server.close())
    const agent = agentFor(t, { hosts: { 'a.example': pki.good.pin, 'b.example': OTHER } })
    assert.equal((await get('https://a.example/there', { agent, socketPath })).body, '/there')
    await assert.rejects(get('https://b.example/there', { agent, socketPath }), { code: 'ERR_TLS_PIN_MISMATCH' })
  })
})

/** The pins of the good path. */
function everyPin() {
  return [pki.good, pki.intermediate, pki.root].flatMap(({ pin, certPin }) => [pin, certPin])
}

/**
 * @param {import('node:test').TestContext} t
 * @param {{ pins?: any, options?: object, server?: any }} [given]
 */
async function setUp(t, { pins = pki.good.pin, options, server: { version, ...settings } = {} } = {}) {
  const server = await httpsServer({
    cert: pki.good,
    chain: [pki.intermediate],
    ...(version && { minVersion: version, maxVersion: version }),
    ...settings
  })
  t.after(() => server.close())
  return { server, agent: agentFor(t, pins, options) }
}

/**
 * @param {import('node:test').TestContext} t
 * @param {any} pins
 * @param {object} [options]
 */
function agentFor(t, pins, options) {
  const agent = new PinnedAgent(pins, { keepAlive: true, ca: anchors, ...options })
  t.after(() => agent.destroy())
  return agent
}

/**
 * @param {string} url
 * @param {https.RequestOptions & { body?: string | Uint8Array }} options
 * @returns {Promise<{ status: number | undefined, body: string }>}
 */
function get(url, { body, ...options }) {
  return new Promise((resolve, reject) => {
    const request = https.request(url, options, response => {
      let text = ''
      response.setEncoding('utf8').on('data', chunk => {
        text += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode, body: text })).on('error', reject)
    })
    request.on('error', reject).end(body)
  })
}

/**
 * @param {import('./helpers/servers').TlsTestServer} server
 * @param {Parameters<typeof get>[1]} options
 * @param {string} code
 * @param {number} [bytes] what the server has had before
 */
async function refused(server, options, code, bytes = 0) {
  const { connections } = server
  const error = await get(server.url, options).catch(reason => reason)
  assert.equal(error.code, code, String(error.message ?? `status ${error.status}`))
  if (options.agent instanceof PinnedAgent) options.agent.destroy()
  await server.settled()
  assert.equal(server.connections, connections + 1)
  assert.equal(server.appBytes, bytes, 'no application byte arrived')
  return error
}

/**
 * A session of a connection without pins.
 *
 * @param {{ port: number }} server
 * @returns {Promise<Buffer>}
 */
function sessionOf({ port }) {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ port, host: 'localhost', ca: anchors })
    socket.on('error', reject).on('session', session => {
      resolve(session)
      socket.destroy()
    })
    // TLS 1.3 sends its tickets after the handshake, with the first answer at the latest.
    socket.once('secureConnect', () => socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'))
  })
}

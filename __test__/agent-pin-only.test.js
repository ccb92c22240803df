'use strict'
// The promise: with `trust: 'pin-only'` a `PinnedAgent` reaches devices that no CA vouches for, and Node's leave to go on
// unverified lets not one byte through to any other.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const https = require('node:https')
const { describe, test } = require('node:test')
const tls = require('node:tls')
const { PinnedAgent } = require('..')
const { ca, daysFromNow, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
/** Where a failure would be a hang. */
const BOUNDED = { timeout: 20_000 }
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])
const PAST = { notBefore: daysFromNow(-60), notAfter: daysFromNow(-1) }

/** @typedef {import('./helpers/pki').Certificate} Certificate */

/** What devices present. @type {[name: string, make: () => Promise<Certificate>][]} */
const DEVICES = [
  ['EC, self-signed', () => leaf({ selfSigned: true })],
  ['RSA, self-signed', () => leaf({ selfSigned: true, key: 'rsa2048' })],
  ['Ed25519, self-signed', () => leaf({ selfSigned: true, key: 'ed25519' })],
  ['EC, self-signed, CA:TRUE', () => leaf({ selfSigned: true, ca: true })],
  ['EC, of a CA that nobody trusts', async () => leaf({ issuer: await ca({ name: 'Factory' }) })]
]

/** Ways to write a request that Node would send at once. @type {[name: string, send: (request: any) => void][]} */
const WRITERS = [
  ['end()', request => request.end()],
  ['a megabyte at once', request => request.end(Buffer.alloc(2 ** 20))],
  [
    'flushHeaders() and a body in pieces',
    request => {
      request.flushHeaders()
      for (let left = 100; left > 0; left--) request.write('x'.repeat(1000))
      request.end()
    }
  ],
  ['flushHeaders() alone', request => request.flushHeaders()],
  [
    'a write when the socket is there',
    request => {
      request.once('socket', (/** @type {any} */ socket) => {
        socket.write('direct')
        socket.cork()
        socket.write('corked')
        socket.write('corked')
        socket.uncork()
      })
      request.end('body')
    }
  ],
  [
    'a write when TCP is connected',
    request => {
      request.once('socket', (/** @type {any} */ socket) => socket.once('connect', () => socket.write('direct')))
      request.end('body')
    }
  ],
  [
    'a write when TLS says that it is secure',
    request => {
      request.once('socket', (/** @type {any} */ socket) => {
        for (const event of ['secure', 'secureConnect']) socket.prependListener(event, () => socket.write('direct'))
      })
      // No body: what is under way already would hold it back.
    }
  ]
]

for (const version of VERSIONS) {
  describe(`over ${version}`, () => {
    for (const [name, make] of DEVICES) {
      test(`a device, ${name}: its pins are enough, and needed`, BOUNDED, async t => {
        const cert = await make()
        const server = await serve(t, cert, version)
        for (const pins of [cert.pin, cert.certPin, [OTHER, cert.pin]]) {
          assert.equal(await ask(server.url, agentFor(t, pins, { keepAlive: false })), 'ok')
        }
        await server.settled()
        const bytes = server.appBytes
        await refused(t, server, OTHER, 'ERR_TLS_PIN_MISMATCH', bytes)
      })
    }

    test('a device with another name or out of date is refused, although it is pinned', BOUNDED, async t => {
      for (const [options, code] of /** @type {[object, string][]} */ ([
        [{ names: ['other.example'] }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
        [PAST, 'CERT_HAS_EXPIRED'],
        [{ notBefore: daysFromNow(1) }, 'CERT_NOT_YET_VALID']
      ])) {
        const cert = await leaf({ selfSigned: true, ...options })
        await refused(t, await serve(t, cert, version), cert.pin, code)
      }
    })

    test('the pin of an issuer is not enough: nobody vouches for it', BOUNDED, async t => {
      const factory = await ca({ name: 'Factory' })
      const cert = await leaf({ issuer: factory })
      const server = await serve(t, cert, version, [factory])
      await refused(t, server, [factory.pin, factory.certPin], 'ERR_TLS_PIN_MISMATCH')
      // Another device of the same factory is not the pinned one.
      const second = await leaf({ issuer: factory })
      await refused(t, await serve(t, second, version, [factory, cert]), cert.pin, 'ERR_TLS_PIN_MISMATCH')
    })

    for (const [name, send] of WRITERS) {
      test(`nothing is sent to another device by ${name}`, BOUNDED, async t => {
        const cert = await leaf({ selfSigned: true })
        const server = await serve(t, cert, version)
        const request = https.request(server.url, { agent: agentFor(t, OTHER), method: 'POST' })
        const failed = once(request, 'error').catch(reason => [reason])
        send(request)
        const [error] = await failed
        assert.equal(error.code, 'ERR_TLS_PIN_MISMATCH', error.message)
        await server.settled()
        assert.equal(server.appBytes, 0)
      })
    }

    test('what was written early arrives in its order', BOUNDED, async t => {
      const cert = await leaf({ selfSigned: true })
      const body = Array.from({ length: 2000 }, (_, index) => `piece ${index} `)
      const server = await serve(t, cert, version, [], echo)
      const request = https.request(server.url, { agent: agentFor(t, cert.pin), method: 'POST' })
      request.flushHeaders()
      for (const piece of body) request.write(piece)
      request.end()
      assert.equal(await textOf(request), body.join(''))
    })
  })
}

test('the socket of an accepted device says that it is authorized', BOUNDED, async t => {
  const cert = await leaf({ selfSigned: true })
  const server = await serve(t, cert)
  const request = https.get(server.url, { agent: agentFor(t, cert.pin) })
  const [response] = await once(request, 'response')
  assert.equal(response.socket.authorized, true)
  assert.equal(response.socket.authorizationError, null)
  await once(response.resume(), 'end')
})

test('a device that a trusted CA vouches for needs its pin all the same', BOUNDED, async t => {
  const root = await ca({ name: 'Root' })
  const cert = await leaf({ issuer: root })
  const server = await serve(t, cert)
  const secureContext = tls.createSecureContext({ ca: root.pem })
  await refused(t, server, root.pin, 'ERR_TLS_PIN_MISMATCH', 0, { secureContext })
  await refused(t, server, OTHER, 'ERR_TLS_PIN_MISMATCH', 0, { secureContext })
  assert.equal(await ask(server.url, agentFor(t, cert.pin)), 'ok')
})

test('a mode of report does not let another device through', BOUNDED, async t => {
  const cert = await leaf({ selfSigned: true })
  const server = await serve(t, cert)
  const pins = { hosts: { localhost: { pins: OTHER, mode: 'report' } } }
  await refused(t, server, pins, 'ERR_TLS_PIN_MISMATCH')
})

test('a check of a user’s own runs besides, once for each connection', BOUNDED, async t => {
  const cert = await leaf({ selfSigned: true })
  const server = await serve(t, cert)
  let asked = 0
  const accepts = () => {
    asked++
  }
  await ask(server.url, agentFor(t, cert.pin, { keepAlive: false, checkServerIdentity: accepts }))
  assert.equal(asked, 1)
  const refuses = () => Object.assign(new Error('no'), { code: 'MINE' })
  await server.settled()
  const bytes = server.appBytes
  await refused(t, server, cert.pin, 'MINE', bytes, { checkServerIdentity: refuses })
  await refused(t, server, OTHER, 'ERR_TLS_PIN_MISMATCH', bytes, { checkServerIdentity: accepts })
})

test('anchors beside pins that are the only trust are refused, at once', () => {
  assert.throws(() => new PinnedAgent(OTHER, { trust: 'pin-only', ca: 'x' }), { code: 'ERR_TLS_PIN_UNSAFE' })
})

test('rejectUnauthorized: false is refused here too', BOUNDED, async t => {
  const cert = await leaf({ selfSigned: true })
  const server = await serve(t, cert)
  assert.throws(() => new PinnedAgent(cert.pin, { trust: 'pin-only', rejectUnauthorized: false }), {
    code: 'ERR_TLS_PIN_UNSAFE'
  })
  await assert.rejects(ask(server.url, agentFor(t, cert.pin), { rejectUnauthorized: false }), {
    code: 'ERR_TLS_PIN_UNSAFE'
  })
  assert.equal(server.connections, 0)
})

test('a change of policy cuts a device off, and lets it in', BOUNDED, async t => {
  const cert = await leaf({ selfSigned: true })
  const server = await serve(t, cert)
  const agent = agentFor(t, cert.pin)
  await ask(server.url, agent)
  await ask(server.url, agent)
  assert.equal(server.connections, 1)
  const bytes = server.appBytes
  agent.pins.replace(OTHER)
  await assert.rejects(ask(server.url, agent), { code: 'ERR_TLS_PIN_MISMATCH' })
  await server.settled()
  assert.equal(server.appBytes, bytes)
  agent.pins.replace(cert.pin)
  assert.equal(await ask(server.url, agent), 'ok')
})

/**
 * @param {any} request
 * @param {any} response
 */
function echo(request, response) {
  request.pipe(response)
}

/**
 * @param {import('node:test').TestContext} t
 * @param {Certificate} cert
 * @param {import('node:tls').SecureVersion} [version]
 * @param {Certificate[]} [chain]
 * @param {any} [handler]
 */
async function serve(t, cert, version, chain = [], handler = { body: 'ok' }) {
  const versions = version && { minVersion: version, maxVersion: version }
  const server = await httpsServer({ cert, chain, handler, ...versions })
  t.after(() => server.close())
  return server
}

/**
 * @param {import('node:test').TestContext} t
 * @param {any} pins
 * @param {object} [options]
 */
function agentFor(t, pins, options) {
  const agent = new PinnedAgent(pins, { keepAlive: true, trust: 'pin-only', ...options })
  t.after(() => agent.destroy())
  return agent
}

/**
 * @param {string} url
 * @param {PinnedAgent} agent
 * @param {object} [options]
 */
function ask(url, agent, options) {
  return textOf(https.get(url, { agent, ...options }))
}

/**
 * @param {import('node:http').ClientRequest} request
 * @returns {Promise<string>}
 */
function textOf(request) {
  return new Promise((resolve, reject) => {
    request.on('error', reject).on('response', response => {
      let text = ''
      response.setEncoding('utf8').on('data', (/** @type {string} */ chunk) => {
        text += chunk
      })
      response.on('end', () => resolve(text)).on('error', reject)
    })
  })
}

/**
 * @param {import('node:test').TestContext} t
 * @param {import('./helpers/servers').TlsTestServer} server
 * @param {any} pins
 * @param {string} code
 * @param {number} [bytes] what the server has had before
 * @param {object} [options]
 */
async function refused(t, server, pins, code, bytes = 0, options = {}) {
  const { connections } = server
  const agent = agentFor(t, pins, options)
  const error = await ask(server.url, agent).catch(reason => reason)
  assert.equal(error.code, code, String(error.message ?? error))
  agent.destroy()
  await server.settled()
  assert.equal(server.connections, connections + 1)
  assert.equal(server.appBytes, bytes, 'no application byte arrived')
}

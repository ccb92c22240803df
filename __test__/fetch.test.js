'use strict'
// The promise: `fetch` with pins keeps them. No argument of a call gets past them, nothing reaches a server that fails them,
// at first or after a redirect, and the error says so where programs look.

const assert = require('node:assert/strict')
const { before, describe, test } = require('node:test')
const { inspect } = require('node:util')
const { PinnedClient, PinSet, createPinnedFetch } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const BOUNDED = { timeout: 20_000 }
const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`

/** @type {Awaited<ReturnType<typeof ca>>} */ let root
/** @type {Awaited<ReturnType<typeof leaf>>} */ let cert
/** @type {Awaited<ReturnType<typeof leaf>>} */ let stranger

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root, names: ['localhost', '127.0.0.1'] })
  stranger = await leaf({ issuer: root })
})

/** @param {any} t @param {object} [options] */
async function serve(t, options) {
  const server = await httpsServer({ cert, ...options })
  t.after(() => server.close())
  return server
}

/** @param {any} t @param {object} [options] */
function pinned(t, options) {
  const fetch = createPinnedFetch({ pins: cert.pin, ca: root.pem, ...options })
  t.after(() => fetch.client.close())
  return fetch
}

describe('a server that fails the pins', BOUNDED, () => {
  /** @type {[string, (url: string) => [any, any?]][]} */
  const calls = [
    ['a string', url => [url, { method: 'POST', body: 'secret' }]],
    ['a Request', url => [new Request(url, { method: 'POST', body: 'secret' })]],
    ['a stream', url => [url, { method: 'POST', body: new Blob(['secret']).stream(), duplex: 'half' }]],
    ['a form', url => [url, { method: 'POST', body: new FormData() }]],
    ['options that mean nothing here', url => [url, { agent: {}, tls: { rejectUnauthorized: false } }]]
  ]
  for (const http2 of [false, true]) {
    for (const [name, call] of calls) {
      test(`gets no byte of ${name}, over HTTP/${http2 ? 2 : 1.1}`, async t => {
        const server = await serve(t, { http2 })
        const fetch = pinned(t, { pins: OTHER })
        await assert.rejects(fetch(...call(server.url)), error => {
          assert.ok(error instanceof TypeError)
          const { message, code, cause } = /** @type {any} */ (error)
          assert.deepEqual([message, code, cause.code], ['fetch failed', ...Array(2).fill('ERR_TLS_PIN_MISMATCH')])
          return true
        })
        await server.settled()
        assert.equal(server.appBytes, 0)
      })
    }

    test(`gets no byte after a redirect, over HTTP/${http2 ? 2 : 1.1}`, async t => {
      const target = await serve(t, { cert: stranger, http2 })
      const server = await serve(t, { http2, handler: { status: 307, headers: { location: target.url } } })
      await assert.rejects(pinned(t)(server.url, { method: 'POST', body: 'secret' }), { code: 'ERR_TLS_PIN_MISMATCH' })
      await target.settled()
      assert.equal(target.appBytes, 0)
    })
  }

  test('gets no byte where a call says what only the making of a fetch can', async t => {
    const server = await serve(t)
    const fetch = pinned(t)
    for (const [name, value] of /** @type {[string, unknown][]} */ ([
      ['pins', OTHER],
      ['trust', 'pin-only'],
      ['ca', root.pem],
      ['proxy', 'http://localhost:1'],
      ['lookup', () => {}],
      ['rejectUnauthorized', false]
    ])) {
      for (const init of [{ [name]: value }, Object.create({ [name]: value })]) {
        await assert.rejects(fetch(server.url, init), {
          name: 'TypeError',
          code: 'ERR_INVALID_ARG_VALUE',
          message: new RegExp(`^${name} is not an option of a call`)
        })
      }
      await (await fetch(server.url, /** @type {any} */ ({ [name]: undefined }))).text()
    }
    assert.equal(server.handshakes, 1)
  })

  test('gets no byte although a dispatcher says otherwise', async t => {
    const server = await serve(t)
    const dispatcher = { dispatch: () => assert.fail('the dispatcher was used') }
    const init = /** @type {any} */ ({ dispatcher })
    await assert.rejects(pinned(t)(server.url, init), { name: 'TypeError', message: /dispatcher/ })
    assert.equal(server.connections, 0)
    const response = await pinned(t)(new Request(server.url, init))
    assert.equal(response.tls.matched, cert.pin)
  })
})

describe('a policy', BOUNDED, () => {
  test('decides about each hop: unlisted hosts are not connected to', async t => {
    const target = await serve(t)
    const server = await serve(t, {
      handler: { status: 302, headers: { location: `https://127.0.0.1:${target.port}` } }
    })
    for (const pins of [cert.pin, { localhost: cert.pin }]) {
      await assert.rejects(pinned(t, { pins })(server.url), { code: 'ERR_TLS_PIN_UNLISTED' })
    }
    assert.equal(target.connections, 0)
  })

  test('that is replaced between two hops decides about the next', async t => {
    const pins = new PinSet({ localhost: cert.pin, '127.0.0.1': cert.pin })
    const target = await serve(t)
    const server = await serve(t, {
      handler: (/** @type {any} */ _, /** @type {any} */ response) => {
        pins.replace({ localhost: cert.pin, '127.0.0.1': OTHER })
        response.writeHead(302, { location: `https://127.0.0.1:${target.port}` }).end()
      }
    })
    await assert.rejects(pinned(t, { pins })(server.url), { code: 'ERR_TLS_PIN_MISMATCH' })
    await target.settled()
    assert.equal(target.appBytes, 0)
  })
})

describe('a pinned fetch', BOUNDED, () => {
  test('has a client, which can be closed', async t => {
    const server = await serve(t)
    const fetch = createPinnedFetch({ pins: cert.pin, ca: root.pem })
    assert.ok(fetch.client instanceof PinnedClient)
    assert.equal(await (await fetch(server.url)).text(), 'ok')
    await fetch.client.close()
    await assert.rejects(fetch(server.url), { name: 'TypeError', code: 'ERR_INVALID_STATE' })
  })

  test('shares the connections of the client it is called on', async t => {
    const server = await serve(t)
    const { client } = pinned(t)
    await (await client.fetch(server.url)).text()
    await (await client.request(server.url)).text()
    assert.equal(server.handshakes, 1)
  })

  test('is the client’s own, and works detached', async t => {
    const server = await serve(t)
    const made = pinned(t)
    const { fetch } = made.client
    assert.equal(fetch, made)
    assert.equal(fetch, made.client.fetch)
    assert.equal(fetch.client, made.client)
    assert.equal(fetch.name, 'fetch')
    assert.equal(await (await fetch(server.url)).text(), 'ok')
    assert.notEqual(pinned(t), made)
  })

  test('has a client whose responses console.log shows, and does not read', async t => {
    const server = await serve(t)
    const response = await pinned(t).client.request(server.url)
    const shown = inspect(response)
    assert.match(shown, /^PinnedResponse \{\s+status: 200,.*headers: \{.*bodyUsed: false,.*tls: \{/s)
    assert.ok(shown.includes(cert.pin) && shown.includes(server.url), shown)
    assert.equal(await response.text(), 'ok')
    assert.match(inspect(response), /bodyUsed: true/)
  })

  test('says what the connection proved, on a clone too', async t => {
    const server = await serve(t)
    const response = await pinned(t)(server.url)
    const copy = response.clone()
    assert.equal(response.tls.matched, cert.pin)
    assert.equal(copy.tls.matched, cert.pin)
    assert.deepEqual([await copy.text(), await response.text()], ['ok', 'ok'])
  })

  test('gives bytes of one’s own', async t => {
    const server = await serve(t)
    const bytes = await (await pinned(t)(server.url)).bytes()
    assert.ok(bytes instanceof Uint8Array)
    assert.equal(bytes.buffer.byteLength, 2)
  })

  test('refuses options that are wrong, as a client does', () => {
    assert.throws(() => createPinnedFetch(/** @type {any} */ ({})), { code: 'ERR_TLS_PIN_INVALID' })
    assert.throws(() => createPinnedFetch(/** @type {any} */ ({ pins: OTHER, rejectUnauthorized: false })), {
      code: 'ERR_TLS_PIN_UNSAFE'
    })
  })

  test('rejects, and never throws', async t => {
    const fetch = pinned(t)
    const init = {
      get method() {
        throw new RangeError('mine')
      }
    }
    await assert.rejects(fetch('https://localhost/', init), RangeError)
  })
})

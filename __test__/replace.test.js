'use strict'
// The promise: what holds for a connection is the policy in force now, not the one it was made under. After a change of
// policy, or past an entry's expiry, nothing more is written to a server that is no longer allowed: not on a pooled
// connection, not on a multiplexed one, not on a resumed session, not in the middle of a body.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const net = require('node:net')
const { before, describe, test } = require('node:test')
const { PinnedClient, PinSet } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer, rawServer } = require('./helpers/servers')

const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const MISMATCH = { code: 'ERR_TLS_PIN_MISMATCH' }
const PROTOCOLS = [
  { name: 'HTTP/1.1', http2: false },
  { name: 'HTTP/2', http2: true }
]
/** Where a failure would be a hang. */
const BOUNDED = { timeout: 10_000 }
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])

/** @type {Awaited<ReturnType<typeof ca>>} */
let root
/** @type {Awaited<ReturnType<typeof leaf>>} */
let good
/** @type {Awaited<ReturnType<typeof leaf>>} */
let backup

before(async () => {
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root })
  backup = await leaf({ issuer: root })
})

for (const { name, http2 } of PROTOCOLS) {
  describe(`a change of policy, ${name}`, () => {
    test('the very next request on a pooled connection is refused, and not one byte of it leaves', async t => {
      const { server, pins, client } = await setUp(t, { server: { http2 } })
      await fetchOk(client, server)
      await fetchOk(client, server)
      assert.equal(server.handshakes, 1)

      const bytes = server.appBytes
      pins.replace(OTHER)
      await assert.rejects(client.request(server.url, { method: 'POST', body: 'secret' }), MISMATCH)
      await server.settled()
      assert.equal(server.appBytes, bytes)
      assert.equal(server.requests.length, 2)
      assert.equal(server.resumed, 0)
    })

    test('a batch of requests made in the same tick as the change is refused whole', async t => {
      const { server, pins, client } = await setUp(t, { server: { http2 } })
      await fetchOk(client, server)

      const bytes = server.appBytes
      const requests = Array.from({ length: 8 }, () => client.request(server.url))
      pins.replace(OTHER)
      const outcomes = await Promise.allSettled(requests)
      assert.deepEqual(
        outcomes.map(outcome => outcome.status === 'rejected' && outcome.reason.code),
        Array(8).fill(MISMATCH.code)
      )
      await server.settled()
      assert.equal(server.appBytes, bytes)
    })

    test('idle connections are closed, with nobody asking for them', async t => {
      const { server, pins, client } = await setUp(t, { server: { http2 }, keepAliveTimeout: 0 })
      await fetchOk(client, server)
      assert.equal(server.open.length > 0, true)
      pins.replace(OTHER)
      await server.settled()
    })

    test('a policy that still allows the server goes on without refusing a request', async t => {
      const { server, pins, client } = await setUp(t, { server: { http2 } })
      const first = await fetchOk(client, server)
      assert.equal(first.tls.matched, good.pin)
      pins.replace([root.pin, backup.pin])
      const second = await fetchOk(client, server)
      assert.equal(second.tls.matched, root.pin)
    })

    test('a host that is struck from the policy is refused before anything is sent', async t => {
      const { server, pins, client } = await setUp(t, { server: { http2 }, pins: { localhost: good.pin } })
      await fetchOk(client, server)
      const bytes = server.appBytes
      pins.replace({ 'other.example': good.pin })
      await assert.rejects(client.request(server.url), { code: 'ERR_TLS_PIN_UNLISTED', phase: 'policy' })
      await server.settled()
      assert.equal(server.appBytes, bytes)
      assert.equal(server.connections, 1)
    })

    test('a policy that is invalid is refused with its place, and nothing changes', async t => {
      const { server, pins, client } = await setUp(t, { server: { http2 }, pins: { localhost: good.pin } })
      await fetchOk(client, server)
      const policy = JSON.stringify(pins)
      let changes = 0
      pins.on('change', () => changes++)

      for (const invalid of [{ localhost: 'sha256/short' }, { localhost: [] }, {}, [], undefined, null, '', 7]) {
        assert.throws(() => pins.replace(invalid), { code: 'ERR_TLS_PIN_INVALID' }, JSON.stringify(invalid))
      }
      assert.equal(JSON.stringify(pins), policy)
      assert.equal(changes, 0)
      await fetchOk(client, server)
      assert.equal(server.connections, 1)

      pins.replace({ localhost: root.pin })
      assert.equal(changes, 1)
    })

    test('an upload is cut: of what follows the change, the server gets nothing', async t => {
      const piece = Buffer.alloc(1000, 'x')
      let received = 0
      /** @type {() => void} */
      let arrived = () => {}
      const first = new Promise(resolve => {
        arrived = () => resolve(undefined)
      })
      const handler = (/** @type {any} */ request, /** @type {any} */ response) => {
        if (request.method === 'GET') return response.end()
        request.on('error', () => {})
        request.on('data', (/** @type {Buffer} */ chunk) => {
          received += chunk.length
          if (received === piece.length) arrived()
        })
      }
      const { server, pins, client } = await setUp(t, { server: { http2, handler } })
      // The second is written after HTTP/2's acknowledged settings, which would count as well.
      await fetchOk(client, server)
      await fetchOk(client, server)
      let bytes = 0
      async function* source() {
        yield piece
        await first
        bytes = server.appBytes
        pins.replace(OTHER)
        for (let left = 100; left > 0; left--) yield piece
      }
      await assert.rejects(client.request(server.url, { method: 'POST', body: source() }), MISMATCH)
      await server.settled()
      assert.equal(received, piece.length)
      assert.equal(server.appBytes, bytes)
    })

    // The connection is leased then: the change itself has to wake it.
    for (const stage of ['head', 'body']) {
      test(`a response whose ${stage} is awaited is refused, and its connection closed`, BOUNDED, async t => {
        let asked = () => {}
        const arrived = new Promise(resolve => {
          asked = () => resolve(undefined)
        })
        const handler = (/** @type {any} */ request, /** @type {any} */ response) => {
          if (request.url === '/') return response.end()
          if (stage === 'body') response.writeHead(200).write('part')
          asked()
        }
        const { server, pins, client } = await setUp(t, { server: { http2, handler } })
        // The handshake's last records are read by then, so that none of them wakes the connection later.
        await fetchOk(client, server)
        const request = client.request(`${server.url}/waits`)
        const answer = stage === 'head' ? request : rest((await request).body)
        await arrived
        pins.replace(OTHER)
        await assert.rejects(answer, MISMATCH)
        await server.settled()
      })
    }

    test('of a response that goes on after the change, nothing more is given out', async t => {
      /** @type {any} */
      let answer
      const handler = (/** @type {any} */ _, /** @type {any} */ response) => {
        answer = response
        response.writeHead(200)
        response.write('before')
      }
      const { server, pins, client } = await setUp(t, { server: { http2, handler } })
      const { body } = await client.request(server.url)
      const reader = body.getReader()
      assert.equal(Buffer.from((await reader.read()).value).toString(), 'before')
      pins.replace(OTHER)
      answer.on('error', () => {}).end('after')
      await assert.rejects(reader.read(), MISMATCH)
      await server.settled()
    })

    test('two clients with different pins share neither connections nor sessions', async t => {
      const { server, client } = await setUp(t, { server: { http2 } })
      await fetchOk(client, server)
      const { client: wider } = await setUp(t, { pins: root.pin })
      const { client: wrong } = await setUp(t, { pins: OTHER })

      assert.equal((await fetchOk(wider, server)).tls.matched, root.pin)
      assert.equal(server.connections, 2)
      const bytes = server.appBytes
      await assert.rejects(wrong.request(server.url), MISMATCH)
      assert.equal(server.connections, 3)
      assert.equal(server.resumed, 0)
      assert.equal(server.appBytes, bytes)
    })
  })
}

for (const version of VERSIONS) {
  describe(`sessions, ${version}`, () => {
    const closing = { minVersion: version, maxVersion: version, handler: { headers: { connection: 'close' } } }

    test('are resumed under an unchanged policy', async t => {
      const { server, client } = await setUp(t, { server: closing })
      assert.equal((await fetchOk(client, server)).tls.resumed, false)
      const again = await fetchOk(client, server)
      assert.equal(again.tls.resumed, true)
      assert.equal(again.tls.protocol, version)
      assert.equal(again.tls.matched, good.pin)
      assert.deepEqual([server.handshakes, server.resumed], [2, 1])
    })

    test('are not resumed after a change that refuses the server', async t => {
      const { server, pins, client } = await setUp(t, { server: closing })
      await fetchOk(client, server)
      await server.settled()
      const bytes = server.appBytes
      pins.replace(OTHER)
      await assert.rejects(client.request(server.url), MISMATCH)
      await server.settled()
      assert.equal(server.resumed, 0)
      assert.equal(server.appBytes, bytes)
    })

    test('are not resumed after a change that still allows the server, and are again later', async t => {
      const { server, pins, client } = await setUp(t, { server: closing })
      await fetchOk(client, server)
      pins.replace(root.pin)
      assert.equal((await fetchOk(client, server)).tls.resumed, false)
      assert.equal((await fetchOk(client, server)).tls.resumed, true)
      assert.equal(server.resumed, 1)
    })

    test('of one client are not resumed by another with the same pins', async t => {
      const { server, client } = await setUp(t, { server: closing })
      await fetchOk(client, server)
      const { client: other } = await setUp(t)
      assert.equal((await fetchOk(other, server)).tls.resumed, false)
      assert.equal(server.resumed, 0)
    })
  })
}

test('a server that comes back with its backup key is reached without a restart of the client', async t => {
  const { server: old, client } = await setUp(t, { pins: [good.pin, backup.pin] })
  const { server: renewed } = await setUp(t, { server: { cert: backup } })
  let port = old.port
  const front = await rawServer(socket => {
    const upstream = net.connect(port, '127.0.0.1')
    upstream
      .on('error', () => {})
      .pipe(socket)
      .pipe(upstream)
    socket.once('close', () => upstream.destroy())
  })
  t.after(() => front.close())

  const url = `https://localhost:${front.port}`
  assert.equal((await readOk(client, url)).tls.matched, good.pin)
  port = renewed.port
  await old.close()
  await front.settled()
  const after = await readOk(client, url)
  assert.deepEqual([after.tls.matched, after.tls.resumed], [backup.pin, false])
  assert.equal(renewed.requests.length, 1)
})

test('an entry that expires while its connection is pooled is refused from then on', async t => {
  const expires = new Date(Math.ceil(Date.now() / 1000 + 1) * 1000)
  const { server, client } = await setUp(t, { pins: { localhost: { pins: good.pin, expires } } })
  const refusal = await untilRefused(() => fetchOk(client, server))
  assert.equal(refusal.code, 'ERR_TLS_PIN_EXPIRED')
  assert.equal(Date.now() >= expires.getTime(), true)
  assert.equal(server.requests.length > 0, true)

  await server.settled()
  const bytes = server.appBytes
  await assert.rejects(client.request(server.url), { code: 'ERR_TLS_PIN_EXPIRED', phase: 'policy' })
  assert.deepEqual([server.connections, server.appBytes], [1, bytes])
})

const LOOSER = [
  {
    says: "mode 'report' lets a mismatch through",
    reason: 'mismatch',
    pattern: 'localhost',
    policy: () => ({ hosts: { localhost: { pins: OTHER, mode: 'report' } } })
  },
  {
    says: "unlisted 'report' lets an unlisted host through",
    reason: 'unlisted',
    pattern: null,
    policy: () => ({ unlisted: 'report', hosts: { 'a.example': OTHER } })
  },
  {
    says: "onExpiry 'allow' lets an expired entry through",
    reason: 'expired',
    pattern: 'localhost',
    policy: () => ({ hosts: { localhost: { pins: OTHER, expires: '2020-01-01T00:00:00Z', onExpiry: 'allow' } } })
  }
]
for (const { says, reason, pattern, policy } of LOOSER) {
  test(`${says}, and says so in a report`, async t => {
    const { server, pins, client } = await setUp(t, { pins: policy() })
    const reported = once(pins, 'report')
    const response = await fetchOk(client, server)
    const [report] = await reported
    assert.deepEqual(
      [report.reason, report.host, report.port, report.pattern],
      [reason, 'localhost', server.port, pattern]
    )
    assert.equal(report.path[0].spkiPin, good.pin)
    assert.deepEqual([response.tls.excused, response.tls.matched], [reason, null])
  })
}

test("unlisted 'allow' lets an unlisted host through, still verified by CA", async t => {
  const policy = { unlisted: 'allow', hosts: { 'a.example': OTHER } }
  const { server, client } = await setUp(t, { pins: policy })
  assert.equal((await fetchOk(client, server)).tls.pattern, null)
  const { client: stranger } = await setUp(t, { pins: policy, ca: (await ca({ name: 'Other' })).pem })
  const bytes = server.appBytes
  await assert.rejects(stranger.request(server.url), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' })
  assert.equal(server.appBytes, bytes)
})

test('an entry that is enforced decides although unlisted hosts are allowed', async t => {
  const { server, client } = await setUp(t, { pins: { unlisted: 'allow', hosts: { localhost: OTHER } } })
  await assert.rejects(client.request(server.url), MISMATCH)
  assert.equal(server.appBytes, 0)
})

const REFUSED = [
  { says: 'unlisted', code: 'ERR_TLS_PIN_UNLISTED', pins: () => ({ 'a.example': good.pin }) },
  { says: 'listed for another port', code: 'ERR_TLS_PIN_UNLISTED', pins: () => ({ 'localhost:1': good.pin }) },
  {
    says: 'expired',
    code: 'ERR_TLS_PIN_EXPIRED',
    pins: () => ({ localhost: { pins: good.pin, expires: '2020-01-01T00:00:00Z' } })
  }
]
for (const { says, code, pins } of REFUSED) {
  test(`a host that is ${says} is refused before a packet leaves`, async t => {
    const { server, client } = await setUp(t, { pins: pins() })
    await assert.rejects(client.request(server.url), { code, phase: 'policy', host: 'localhost', port: server.port })
    assert.equal(server.connections, 0)
  })
}

/**
 * A server with the good key, and a client of it.
 * @param {any} t
 * @param {any} [options] `server`: options of the server; the others are the client's
 */
async function setUp(t, { server: serverOptions, pins = good.pin, ...options } = {}) {
  const server = await httpsServer({ cert: good, ...serverOptions })
  const pinSet = new PinSet(pins)
  const client = new PinnedClient({ pins: pinSet, ca: root.pem, ...options })
  t.after(async () => {
    await client.destroy()
    await server.close()
  })
  return { server, client, pins: pinSet }
}

/**
 * @param {PinnedClient} client
 * @param {{ url: string }} server
 */
function fetchOk(client, server) {
  return readOk(client, server.url)
}

/**
 * @param {PinnedClient} client
 * @param {string} url
 */
async function readOk(client, url) {
  const response = await client.request(url)
  assert.equal(response.status, 200)
  await response.bytes()
  return response
}

/** @param {ReadableStream<Uint8Array>} body */
async function rest(body) {
  for await (const _ of body) {
  }
}

/**
 * What `attempt` is refused with in the end; a bound keeps a client that never refuses from hanging the suite.
 * @param {() => Promise<unknown>} attempt
 */
async function untilRefused(attempt) {
  const bound = Date.now() + 20_000
  while (Date.now() < bound) {
    try {
      await attempt()
    } catch (error) {
      return /** @type {any} */ (error)
    }
  }
  throw new Error('was never refused')
}

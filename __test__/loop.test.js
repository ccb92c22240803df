'use strict'
// The promise: where a connection is waited for (the native threads, or this thread's own event loop) makes no difference
// to what a request does; and what runs on the loop leaves it to others.

const assert = require('node:assert/strict')
const { createHash, randomBytes } = require('node:crypto')
const { once } = require('node:events')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { Worker } = require('node:worker_threads')
const { PinnedClient } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const BOUNDED = { timeout: 30_000 }
/** Complete with its head, in some pieces, moved to the native threads in the middle, of a length that is not known. */
const SIZES = [0, 1, 16_000, 64 * 1024, 200_000, 300_000, 3_000_000]

/** @type {Awaited<ReturnType<typeof ca>>} */
let root
/** @type {Awaited<ReturnType<typeof leaf>>} */
let cert
/** @type {Awaited<ReturnType<typeof httpsServer<any>>> & import('./helpers/tracked').TlsTestServer} */
let server
const bodies = new Map(SIZES.map(size => [size, randomBytes(size)]))

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
  server = /** @type {any} */ (await httpsServer({ cert, handler }))
})
after(() => server.close())

for (const driver of /** @type {const} */ (['auto', 'threads'])) {
  describe(`driver: ${driver}`, () => {
    test(
      'bodies of all sizes, one after the other on one connection, read as a whole and by the piece',
      BOUNDED,
      async () => {
        const client = makeClient(driver)
        const connections = server.connections
        for (const how of ['length', 'chunked']) {
          for (const size of [...SIZES, ...SIZES.toReversed()]) {
            assert.deepEqual(digest(await (await get(client, `/${how}/${size}`)).bytes()), digest(bodies.get(size)))
            const pieces = []
            for await (const piece of (await get(client, `/${how}/${size}`)).body ?? []) pieces.push(piece)
            assert.deepEqual(digest(Buffer.concat(pieces)), digest(bodies.get(size)))
          }
        }
        assert.equal(server.connections - connections, 1)
        await client.close()
      }
    )

    test('alone and in bursts by turns', BOUNDED, async () => {
      const client = makeClient(driver)
      for (let round = 0; round < 20; round++) {
        for (let alone = 0; alone < 5; alone++) assert.equal(await (await get(client, '/text')).text(), 'ok')
        const burst = Array.from({ length: 8 }, async () => (await get(client, '/text')).text())
        assert.deepEqual(await Promise.all(burst), Array(8).fill('ok'))
      }
      await client.close()
    })

    test('an upload and a large answer on a connection that has carried small ones', BOUNDED, async () => {
      const client = makeClient(driver)
      for (let round = 0; round < 3; round++) {
        await (await get(client, '/text')).text()
        const body = randomBytes(1_000_000)
        const response = await client.request(`${url()}/echo`, { method: 'POST', body })
        assert.deepEqual(digest(await response.bytes()), digest(body))
      }
      await client.close()
    })

    for (const path of ['/hang', '/stall']) {
      test(`a request that is aborted in ${path} on a kept connection: the server sees it close`, BOUNDED, async () => {
        const client = makeClient(driver)
        for (let times = 0; times < 3; times++) await (await get(client, '/text')).text()
        const controller = new AbortController()
        const requested = new Promise(resolve => {
          onHanging = resolve
        })
        const answer = client.request(url() + path, { signal: controller.signal }).then(response => response.text())
        await requested
        controller.abort(new Error('enough'))
        await assert.rejects(answer, { message: 'enough' })
        await server.settled()
        assert.equal(await (await get(client, '/text')).text(), 'ok')
        await client.close()
      })
    }

    test('a limit in time holds on a kept connection', BOUNDED, async () => {
      const client = makeClient(driver, { headersTimeout: 50, bodyTimeout: 50 })
      for (const path of ['/hang', '/stall']) {
        await (await get(client, '/text')).text()
        const answer = get(client, path).then(response => response.text())
        await assert.rejects(answer, { code: 'ETIMEDOUT' })
        await server.settled()
      }
      await client.close()
    })

    test('a policy that no longer allows a kept connection ends it before anything is written', BOUNDED, async () => {
      const client = makeClient(driver)
      for (let times = 0; times < 20; times++) await (await get(client, '/text')).text()
      // Those that found an idle connection, which the native threads may be about to give back.
      const { onLoop } = client.stats().requests
      assert.ok(driver === 'auto' ? onLoop > 0 : onLoop === 0, `${onLoop} on the loop`)
      const before = server.requests.length
      client.pins.replace([`sha256/${'A'.repeat(43)}=`])
      await assert.rejects(get(client, '/text'), { code: 'ERR_TLS_PIN_MISMATCH' })
      await server.settled()
      assert.equal(server.requests.length, before)
      await client.close()
    })
  })
}

describe('the event loop', () => {
  test('is not needed for requests that start side by side, not even on its own connection', BOUNDED, async () => {
    const counter = new SharedArrayBuffer(4)
    const count = new Int32Array(counter)
    const workerData = { cert: cert.pem, key: cert.key, counter }
    const worker = new Worker(path.join(__dirname, 'fixtures', 'loop-server.js'), { workerData })
    const [port] = await once(worker, 'message')
    const client = makeClient('auto')
    const one = async () => (await client.request(`https://127.0.0.1:${port}/`)).text()
    // The last of them left its connection to the loop.
    for (let times = 0; times < 5; times++) await one()
    const answers = Promise.all([one(), one()])
    await new Promise(resolve => process.nextTick(resolve))
    // They have been handed over. This thread stands still until the server has both.
    for (let seen = Atomics.load(count, 0); seen < 7; seen = Atomics.load(count, 0)) {
      assert.notEqual(Atomics.wait(count, 0, seen, 10_000), 'timed-out')
    }
    assert.deepEqual(await answers, ['ok', 'ok'])
    await client.close()
    await worker.terminate()
  })
})

test('a driver that does not exist is refused', () => {
  assert.throws(() => makeClient(/** @type {any} */ ('turbo')), { code: 'ERR_INVALID_ARG_VALUE' })
})

let onHanging = () => {}

/** @param {any} request @param {any} response */
function handler(request, response) {
  const [, how, size] = request.url.split('/')
  if (how === 'text') response.end('ok')
  else if (how === 'echo') request.pipe(response)
  else if (how === 'hang') onHanging()
  else if (how === 'stall') {
    response.writeHead(200, { 'content-length': 1000 }).write('half')
    onHanging()
  } else {
    const body = bodies.get(Number(size))
    if (how === 'length') response.setHeader('content-length', body.length)
    else response.setHeader('transfer-encoding', 'chunked')
    response.write(body.subarray(0, body.length / 2))
    response.end(body.subarray(body.length / 2))
  }
}

const url = () => `https://127.0.0.1:${server.port}`

/** @param {'auto' | 'threads'} driver @param {object} [options] */
function makeClient(driver, options) {
  return new PinnedClient({ pins: [cert.pin], ca: root.pem, driver, ...options })
}

/** @param {InstanceType<typeof PinnedClient>} client @param {string} path */
function get(client, path) {
  return client.request(url() + path)
}

/** @param {any} bytes */
function digest(bytes) {
  return createHash('sha256').update(bytes).digest('hex')
}

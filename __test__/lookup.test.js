'use strict'
// The promise: `lookup` says where to connect and never whom to expect, and whatever it does, the request ends.

const assert = require('node:assert/strict')
const dns = require('node:dns')
const { once } = require('node:events')
const { before, describe, test } = require('node:test')
const { Worker } = require('node:worker_threads')
const { PinnedClient, pinnedRequest } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { connectProxy } = require('./helpers/proxies')
const { httpsServer } = require('./helpers/servers')

const NAME = 'api.pinned.example'
/** Where a failure would be a hang. */
const BOUNDED = { timeout: 20_000 }

/** @type {import('./helpers/pki').Certificate} */
let root
/** @type {import('./helpers/pki').Certificate} */
let good

before(async () => {
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root, names: [NAME] })
})

/**
 * @param {import('node:test').TestContext} t
 * @param {any} lookup
 * @param {any} [more]
 */
async function setUp(t, lookup, { cert = good, host, ...more } = /** @type {any} */ ({})) {
  const server = await httpsServer({ cert, host })
  const client = new PinnedClient({ pins: good.pin, ca: root.pem, lookup, ...more })
  t.after(() => Promise.all([client.close(), server.close()]))
  return { server, client, url: `https://${NAME}:${server.port}` }
}

describe('an answer', () => {
  for (const [name, ...answer] of /** @type {[string, ...any[]][]} */ ([
    ['one address', null, '127.0.0.1', 4],
    ['a list', null, [{ address: '127.0.0.1', family: 4 }]],
    ['a list in which the first does not answer', null, [{ address: '::1' }, { address: '127.0.0.1' }]],
    ['undefined for no error', undefined, '127.0.0.1', 4]
  ])) {
    test(name, BOUNDED, async t => {
      /** @type {any[]} */
      const asked = []
      const { client, server, url } = await setUp(t, (/** @type {any[]} */ ...question) => {
        asked.push(question.slice(0, 2))
        setImmediate(question[2], ...answer)
      })
      for (let i = 0; i < 3; i++) assert.equal(await (await client.request(url)).text(), 'ok')
      // Once a connection, not once a request.
      assert.deepEqual(asked, [[NAME, { family: 0, hints: 0, all: true }]])
      assert.equal(server.requests[0].servername, NAME)
      assert.equal(server.requests[0].headers.host, `${NAME}:${server.port}`)
    })
  }

  test('dns.lookup itself, and addresses that are not looked up', BOUNDED, async t => {
    const cert = await leaf({ issuer: root })
    let asked = 0
    const lookup = (/** @type {any} */ ...args) => {
      asked++
      return Reflect.apply(dns.lookup, dns, args)
    }
    const { client, server } = await setUp(t, lookup, { cert, pins: { localhost: cert.pin, '127.0.0.1': cert.pin } })
    await (await client.request(`https://localhost:${server.port}`)).text()
    await (await client.request(`https://127.0.0.1:${server.port}`)).text()
    assert.equal(asked, 1)
  })

  test('family narrows it, and is asked for', BOUNDED, async t => {
    /** @type {any[]} */
    const families = []
    const both = [
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 }
    ]
    const { client, server, url } = await setUp(
      t,
      (/** @type {any} */ _, /** @type {any} */ { family }, /** @type {any} */ done) => {
        families.push(family)
        done(null, both)
      },
      { family: 6, host: '::1' }
    )
    await (await client.request(url)).text()
    assert.deepEqual(families, [6])
    assert.equal(server.connections, 1)

    const {
      client: only,
      server: unused,
      url: other
    } = await setUp(
      t,
      (/** @type {any} */ _, /** @type {any} */ __, /** @type {any} */ done) => done(null, '127.0.0.1', 4),
      { family: 6 }
    )
    await assert.rejects(only.request(other), { code: 'ENOTFOUND', phase: 'dns' })
    assert.equal(unused.connections, 0)
  })

  test('the name, not the address, is verified and pinned', BOUNDED, async t => {
    const stranger = await leaf({ issuer: root, names: ['127.0.0.1', 'other.example'] })
    const { client, server, url } = await setUp(
      t,
      (/** @type {any} */ _, /** @type {any} */ __, /** @type {any} */ done) => done(null, '127.0.0.1', 4),
      { cert: stranger, pins: stranger.pin }
    )
    await assert.rejects(client.request(url), { code: 'ERR_TLS_CERT_ALTNAME_INVALID', host: NAME })
    await server.settled()
    assert.equal(server.appBytes, 0)
  })

  test('a proxy is looked up too', BOUNDED, async t => {
    const proxy = await connectProxy()
    t.after(() => proxy.close())
    /** @type {string[]} */
    const names = []
    const { client, url } = await setUp(
      t,
      (/** @type {string} */ name, /** @type {any} */ _, /** @type {any} */ done) => {
        names.push(name)
        done(null, '127.0.0.1', 4)
      },
      { proxy: `http://proxy.example:${proxy.port}` }
    )
    assert.equal(await (await client.request(url)).text(), 'ok')
    assert.deepEqual(names, ['proxy.example'])
    assert.match(proxy.heads[0], new RegExp(`^CONNECT ${NAME}:`))
  })
})

describe('a function that', () => {
  /** @type {[string, (done: (...args: any[]) => void) => void, any][]} */
  const FAULTS = [
    [
      'fails',
      done => done(Object.assign(new Error('nope'), { code: 'ENODATA' })),
      { code: 'ENODATA', message: /nope/ }
    ],
    ['fails without a code', done => done(new Error('nope')), { code: 'ERR_OPERATION_FAILED' }],
    ['fails with what is no error', done => done('nope'), { code: 'ERR_OPERATION_FAILED', message: /nope/ }],
    [
      'fails with a hostile error',
      done =>
        done({
          get code() {
            throw new Error('boo')
          }
        }),
      { code: 'ERR_OPERATION_FAILED' }
    ],
    [
      'throws',
      () => {
        throw Object.assign(new Error('thrown'), { code: 'EWHAT' })
      },
      { code: 'EWHAT', message: /thrown/ }
    ],
    [
      'throws nothing',
      () => {
        throw undefined
      },
      { code: 'ERR_OPERATION_FAILED' }
    ],
    ['answers nothing', done => done(null), { code: 'ERR_INVALID_IP_ADDRESS' }],
    ['answers an empty list', done => done(null, []), { code: 'ENOTFOUND' }],
    [
      'answers a name',
      done => done(null, 'other.example', 4),
      { code: 'ERR_INVALID_IP_ADDRESS', message: /other\.example/ }
    ],
    [
      'answers with one that is none',
      done => done(null, [{ address: '127.0.0.1' }, {}]),
      { code: 'ERR_INVALID_IP_ADDRESS' }
    ],
    ['answers with holes', done => done(null, [null, undefined]), { code: 'ERR_INVALID_IP_ADDRESS' }],
    ['answers a symbol', done => done(null, Symbol('x')), { code: 'ERR_INVALID_IP_ADDRESS' }],
    [
      'answers what throws',
      done =>
        done(null, {
          toString() {
            throw new Error('boo')
          }
        }),
      { code: 'ERR_OPERATION_FAILED' }
    ]
  ]
  for (const [name, run, expected] of FAULTS) {
    test(name, BOUNDED, async t => {
      const { client, server, url } = await setUp(
        t,
        (/** @type {any} */ _, /** @type {any} */ __, /** @type {any} */ done) => run(done)
      )
      await assert.rejects(client.request(url), { phase: 'dns', host: NAME, ...expected })
      assert.equal(server.connections, 0)
    })
  }

  test('calls twice: the first answer counts', BOUNDED, async t => {
    const { client, url } = await setUp(t, (/** @type {any} */ _, /** @type {any} */ __, /** @type {any} */ done) => {
      done(null, '127.0.0.1', 4)
      done(new Error('late'))
      done(null, 'garbage')
    })
    assert.equal(await (await client.request(url)).text(), 'ok')
  })

  test('never calls: connectTimeout, or an abort; what it says later goes nowhere', BOUNDED, async t => {
    /** @type {((...args: any[]) => void)[]} */
    const pending = []
    const lookup = (/** @type {any} */ _, /** @type {any} */ __, /** @type {any} */ done) => void pending.push(done)
    const { client, server, url } = await setUp(t, lookup, { connectTimeout: 300 })
    await assert.rejects(client.request(url), { code: 'ETIMEDOUT', phase: 'connect' })
    const stop = new AbortController()
    const request = client.request(url, { signal: stop.signal })
    while (pending.length < 2) await new Promise(resolve => setImmediate(resolve))
    stop.abort()
    await assert.rejects(request, { name: 'AbortError' })
    for (const done of pending) done(null, '127.0.0.1', 4)
    assert.equal(server.connections, 0)
  })

  test('is no function', () => {
    for (const lookup of [null, 'dns', {}, 1]) {
      assert.throws(() => new PinnedClient({ pins: good.pin, lookup: /** @type {any} */ (lookup) }), {
        code: 'ERR_INVALID_ARG_TYPE'
      })
    }
  })
})

test('pinnedRequest keeps a client for each function', BOUNDED, async t => {
  const server = await httpsServer({ cert: good })
  t.after(() => server.close())
  const made = () => (/** @type {any} */ _, /** @type {any} */ __, /** @type {any} */ done) =>
    done(null, '127.0.0.1', 4)
  const [one, two] = [made(), made()]
  for (const lookup of [one, two, one, two]) {
    const options = { pins: good.pin, ca: root.pem, lookup }
    await (await pinnedRequest(`https://${NAME}:${server.port}`, options)).text()
  }
  assert.equal(server.connections, 2)
})

test('a worker that ends while a name is looked up takes nobody along', BOUNDED, async () => {
  const worker = new Worker(
    `const { PinnedClient } = require(${JSON.stringify(require.resolve('..'))})
    const { parentPort } = require('node:worker_threads')
    const client = new PinnedClient({ pins: 'sha256/${Buffer.alloc(32, 7).toString('base64')}',
      lookup: () => parentPort.postMessage('asked') })
    client.request('https://${NAME}').catch(() => {})`,
    { eval: true }
  )
  await once(worker, 'message')
  assert.equal(await worker.terminate(), 1)
})

'use strict'
// The promise: the native client keeps its own in every runtime that loads it, from a pin that does not match to a process
// that ends by itself. Run by Node, and by `npm run test:matrix` in Bun and Deno.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { describe, test } = require('node:test')
const { connectProxy, socksProxy } = require('../helpers/proxies')
const { ca, leaf } = require('../helpers/pki')
const { name, run, serve } = require('../helpers/runtime')
const { TEXT } = require('./handler')

const WRONG = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const BOUNDED = { timeout: 60_000 }

for (const http2 of [false, true]) {
  describe(`${name}, ${http2 ? 'HTTP/2' : 'HTTP/1.1'}`, () => {
    for (const maxVersion of /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])) {
      test(`a server that matches, ${maxVersion}`, BOUNDED, async t => {
        const { server, data, cert, intermediate, root } = await serve(t, { http2, maxVersion })
        const path = [cert.pin, intermediate.pin, root.pin]
        const alpn = http2 ? 'h2' : 'http/1.1'
        check(await run('request', data), [200, 'ok', maxVersion, alpn, path])
        check(await run('request', { ...data, pins: root.pin }), [200, 'ok', maxVersion, alpn, path])
        assert.equal(server.requests.length, 2)
      })

      test(`nothing arrives at one that does not, ${maxVersion}`, BOUNDED, async t => {
        const { server, data } = await serve(t, { http2, maxVersion })
        refused(await run('post', { ...data, pins: WRONG }), 'ERR_TLS_PIN_MISMATCH')
        refused(await run('post', { ...data, pins: { 'other.example': [data.pins] } }), 'ERR_TLS_PIN_UNLISTED')
        await server.settled()
        assert.equal(server.appBytes, 0)
      })
    }

    for (const [what, result] of /** @type {const} */ ([
      ['many at once', true],
      ['large bodies', true],
      ['decoded', [TEXT, TEXT]],
      ['abort', 'enough'],
      ['timeout', 'TimeoutError'],
      ['bodies that nobody reads', 'collected'],
      ['open connections', 'ok'],
      ['fetch', [true, 200, 'ok']],
      ['replaced in a body', 'ERR_TLS_PIN_MISMATCH']
    ])) {
      test(what, BOUNDED, async t => {
        const { server, data } = await serve(t, { http2 })
        check(await run(what, data), result)
        // The process has ended; the server sees it on each of its connections.
        await server.settled()
      })
    }

    test('one after another share a connection, which waits where the runtime can', BOUNDED, async t => {
      const { server, data } = await serve(t, { http2 })
      const { result, ...ended } = await run('one after another', data)
      assert.deepEqual([ended.status, result.sent, result.failed, server.connections], [0, 20, 0, 1], ended.stderr)
      // libuv's event loop is Node's alone.
      const hasLoop = !http2 && name.startsWith('node') && process.platform !== 'win32'
      assert.equal(result.onLoop > 0, hasLoop, `${result.onLoop} on the loop`)
    })

    test('a policy that is replaced holds for idle connections', BOUNDED, async t => {
      const { server, data } = await serve(t, { http2 })
      check(await run('replaced', data), ['ERR_TLS_PIN_MISMATCH', 200])
      assert.deepEqual(
        server.requests.map(({ method }) => method),
        ['GET', 'GET']
      )
    })

    test('a redirect is decided about anew', BOUNDED, async t => {
      const { server: second, data: there, cert } = await serve(t, { http2 })
      const location = there.url.replace('localhost', '127.0.0.1')
      const { data } = await serve(t, { http2, handler: { status: 302, headers: { location } } })
      refused(await run('redirect', data), 'ERR_TLS_PIN_UNLISTED')
      const wrong = { localhost: [cert.pin], '127.0.0.1': [WRONG] }
      refused(await run('redirect', { ...data, pins: wrong }), 'ERR_TLS_PIN_MISMATCH')
      assert.equal(second.appBytes, 0)
      const both = { localhost: [cert.pin], '127.0.0.1': [cert.pin] }
      check(await run('redirect', { ...data, pins: both }), [200, true, 'ok'])
    })
  })
}

describe(name, () => {
  for (const [kind, start] of /** @type {const} */ ([
    ['http', connectProxy],
    ['socks5h', socksProxy]
  ])) {
    test(`through a proxy: ${kind}`, BOUNDED, async t => {
      const { server, data } = await serve(t)
      const proxy = await start()
      t.after(() => proxy.close())
      const more = { proxy: proxy.url }
      refused(await run('through a proxy', { ...data, pins: WRONG, more }), 'ERR_TLS_PIN_MISMATCH')
      assert.equal(server.appBytes, 0)
      check(await run('through a proxy', { ...data, more }), 200)
      assert.equal(proxy.connections, 2)
    })
  }

  test('by default what the runtime trusts is trusted, and no more', BOUNDED, async t => {
    const { server, data, root } = await serve(t)
    const { ca: _, ...unknown } = data
    refused(await run('default trust', unknown), [
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'
    ])
    assert.equal(server.appBytes, 0)
    const file = path.join(folder(t), 'ca.pem')
    fs.writeFileSync(file, root.pem)
    check(await run('default trust', unknown, { env: { NODE_EXTRA_CA_CERTS: file } }), 200)
  })

  test('a client certificate, and none for a server that does not match', BOUNDED, async t => {
    const issuer = await ca({ name: 'Clients' })
    const client = await leaf({ issuer, clientAuth: true, names: ['client.example'] })
    const { server, data } = await serve(t, { ca: [issuer] })
    const more = { cert: client.pem, key: client.key }
    refused(await run('client certificate', { ...data, pins: WRONG, more }), 'ERR_TLS_PIN_MISMATCH')
    assert.equal(server.requests.length, 0)
    check(await run('client certificate', { ...data, more }), 200)
    assert.equal(server.requests[0]?.clientCert, client.fingerprint256)
  })

  test('a worker thread', BOUNDED, async t => {
    const { data } = await serve(t)
    const { result, status, stderr } = await run('worker', data)
    assert.deepEqual([status, result?.[0]?.[0], result?.[1]], [0, 200, 0], stderr)
  })

  test('inspect', BOUNDED, async t => {
    const { data, cert, intermediate } = await serve(t)
    check(await run('inspect', data), [cert.pin, intermediate.pin])
  })

  test('verifyChain, parsePin, pinOf', BOUNDED, async t => {
    const { data, cert } = await serve(t)
    const { result } = await run('without a connection', data)
    assert.deepEqual(result, [cert.pin, 'spki', cert.pin])
  })

  test('a policy file that changes', BOUNDED, async t => {
    const { data } = await serve(t)
    const more = { file: path.join(folder(t), 'policy.json') }
    check(await run('a file that changes', { ...data, more }), ['ERR_TLS_PIN_MISMATCH', 200])
  })
})

/**
 * @param {any} ended
 * @param {unknown} result
 */
function check({ status, result: told, code, message, stderr }, result) {
  assert.deepEqual([told, code, status], [result, undefined, 0], `${message} ${stderr}`)
}

/**
 * @param {any} ended
 * @param {string | string[]} codes
 */
function refused({ status, result, code, message, stderr }, codes) {
  assert.ok([codes].flat().includes(code), `${JSON.stringify(result)} ${code} ${message} ${stderr}`)
  assert.equal(status, 0, stderr)
}

/** @param {import('node:test').TestContext} t */
function folder(t) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'runtimes-'))
  t.after(() => fs.rmSync(made, { recursive: true }))
  return made
}

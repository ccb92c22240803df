'use strict'
// The promise: redirects are followed by the rules of the Fetch standard, and every hop is decided about like a first
// request: nothing arrives at a target that the policy in force does not allow, nor what is not meant for its origin.

const assert = require('node:assert/strict')
const { before, describe, test } = require('node:test')
const { PinnedClient, PinSet, TlsPinningError, pinnedRequest } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const BOUNDED = { timeout: 20_000 }

/** @type {Awaited<ReturnType<typeof ca>>} */ let root
/** @type {Awaited<ReturnType<typeof leaf>>} */ let cert
/** @type {Awaited<ReturnType<typeof leaf>>} */ let stranger

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root, names: ['localhost', '127.0.0.1'] })
  stranger = await leaf({ issuer: root, names: ['localhost', '127.0.0.1'] })
})

/**
 * @typedef {{ status?: number, to?: string, fill?: number }} Step
 * @typedef {{ method: string, url: string, headers: any, body: string }} Seen
 */

/**
 * A server that answers `/redirect?…` as the query says, and all else with what it received.
 * @param {any} t
 * @param {object} [options]
 */
async function redirecting(t, options = {}) {
  /** @type {Seen[]} */
  const seen = []
  const handler = async (/** @type {any} */ request, /** @type {any} */ response) => {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const { method, url, headers } = request
    seen.push({ method, url, headers, body: Buffer.concat(chunks).toString() })
    const query = new URL(url, 'https://x').searchParams
    if (!url.startsWith('/redirect')) return response.end('here')
    const to = query.get('to')
    response.writeHead(Number(query.get('status')), to === null ? {} : { location: to })
    response.end('x'.repeat(Number(query.get('fill') ?? 0)))
  }
  const server = await httpsServer({ cert, handler, ...options })
  t.after(() => server.close())
  return Object.assign(server, { seen })
}

/** @param {any} t @param {object} [options] */
function clientFor(t, options) {
  const client = new PinnedClient({ pins: cert.pin, ca: root.pem, ...options })
  t.after(() => client.close())
  return client
}

/**
 * @param {{ url: string }} server
 * @param {Step} step
 */
function redirect({ url }, { status = 302, ...query }) {
  return `${url}/redirect?${new URLSearchParams({ status: String(status), .../** @type {any} */ (query) })}`
}

describe('the method and the body', BOUNDED, () => {
  for (const [status, method, then, body] of /** @type {const} */ ([
    [301, 'POST', 'GET', ''],
    [302, 'POST', 'GET', ''],
    [303, 'POST', 'GET', ''],
    [307, 'POST', 'POST', 'text'],
    [308, 'POST', 'POST', 'text'],
    [301, 'PUT', 'PUT', 'text'],
    [302, 'PUT', 'PUT', 'text'],
    [303, 'PUT', 'GET', ''],
    [303, 'HEAD', 'HEAD', undefined],
    [301, 'GET', 'GET', undefined],
    [308, 'DELETE', 'DELETE', undefined]
  ])) {
    for (const http2 of [false, true]) {
      test(`${status}: ${method} becomes ${then}, over HTTP/${http2 ? 2 : 1.1}`, async t => {
        const server = await redirecting(t, { http2 })
        const given = body === undefined ? undefined : 'text'
        const headers = { 'content-type': 'text/x', 'content-language': 'en', 'x-own': '1' }
        const response = await clientFor(t).request(redirect(server, { status, to: '/end' }), {
          method,
          body: given,
          headers
        })
        assert.equal(response.status, 200)
        assert.equal(response.url, `${server.url}/end`)
        assert.equal(response.redirected, true)
        await response.text()
        const last = server.seen[1]
        assert.equal(last?.method, then)
        assert.equal(last?.body, body ?? '')
        assert.equal(last?.headers['x-own'], '1')
        const keeps = then === method
        assert.equal(last?.headers['content-type'], keeps ? 'text/x' : undefined)
        assert.equal(last?.headers['content-language'], keeps ? 'en' : undefined)
        assert.equal(server.handshakes, 1)
      })
    }
  }

  test('what can be read again is sent again: large bytes, a blob, a form', async t => {
    const server = await redirecting(t)
    const client = clientFor(t)
    const url = redirect(server, { status: 307, to: '/end' })
    const form = new FormData()
    form.append('a', 'b')
    for (const body of [Buffer.alloc(600_000, 'a'), new Blob(['blob'], { type: 'text/y' }), form]) {
      server.seen.length = 0
      await (await client.request(url, { method: 'POST', body })).text()
      const [first, second] = server.seen
      assert.ok(first?.body)
      const boundary = (/** @type {any} */ seen) => /boundary=(.*)/.exec(seen.headers['content-type'])?.[1]
      if (body === form) assert.ok(second?.body.includes(`--${boundary(second)}`))
      else assert.equal(first?.body === second?.body, true)
    }
  })

  test('a stream is not, unless it is dropped', async t => {
    const server = await redirecting(t)
    const client = clientFor(t)
    const send = (/** @type {number} */ status) =>
      client.request(redirect(server, { status, to: '/end' }), { method: 'POST', body: pieces() })
    async function* pieces() {
      yield 'one'
    }
    for (const status of [307, 308]) {
      await assert.rejects(send(status), { code: 'ERR_BODY_NOT_REPLAYABLE', phase: 'request' })
    }
    assert.equal(server.seen.length, 2)
    for (const status of [301, 302, 303]) assert.equal(await (await send(status)).text(), 'here')
  })

  test('headers that can be read once are sent with every hop', async t => {
    const server = await redirecting(t)
    const pairs = /** @type {[string, string][]} */ ([['x-own', '1']])
    await clientFor(t).request(redirect(server, { to: '/end' }), { headers: pairs.values() })
    assert.deepEqual(
      server.seen.map(({ headers }) => headers['x-own']),
      ['1', '1']
    )
  })
})

describe('the address', BOUNDED, () => {
  test('is relative to the last one, in UTF-8, and inherits the fragment', async t => {
    const server = await redirecting(t)
    const client = clientFor(t)
    const ends = [
      ['../a/b?c', '/a/b?c#top'],
      ['/%C3%A4', '/%C3%A4#top'],
      [Buffer.from('/ä').toString('latin1'), '/%C3%A4#top'],
      ['/x#own', '/x#own'],
      [`//localhost:${server.port}/y`, '/y#top']
    ]
    for (const [to, end] of ends) {
      const response = await client.request(`${redirect(server, { to })}#top`)
      assert.equal(response.url, server.url + end)
      await response.text()
    }
  })

  test('that is no https URL, or holds credentials, is refused, and nothing connects', async t => {
    const server = await redirecting(t)
    const other = await redirecting(t)
    const client = clientFor(t)
    const place = `localhost:${server.port}: redirected to`
    for (const [to, code, message] of [
      [
        `http://u:secret@localhost:${other.port}/?secret`,
        'ERR_INVALID_PROTOCOL',
        `http://localhost:${other.port}, and`
      ],
      ['data:,secret', 'ERR_INVALID_PROTOCOL', 'data:, and only https: can be pinned'],
      ['file:///etc/passwd', 'ERR_INVALID_PROTOCOL', 'file:, and only https: can be pinned'],
      [
        `https://u:secret@localhost:${other.port}/`,
        'ERR_INVALID_URL',
        `https://localhost:${other.port} with credentials`
      ],
      ['https://u:secret@a b/', 'ERR_INVALID_URL', 'what is not a URL'],
      ['https://localhost:99999/', 'ERR_INVALID_URL', 'what is not a URL']
    ]) {
      await assert.rejects(client.request(redirect(server, { to })), error => {
        // The server's doing, not a wrong argument.
        assert.ok(error instanceof TlsPinningError)
        const { phase, host, port, redirectedFrom } = /** @type {any} */ (error)
        assert.deepEqual([error.code, phase, host, port], [code, 'request', 'localhost', server.port])
        assert.ok(error.message.startsWith(`${place} ${message}`), error.message)
        assert.ok(!error.message.includes('secret'))
        assert.equal(redirectedFrom, undefined)
        return true
      })
    }
    assert.equal(other.connections, 0)
  })

  test('that is missing makes the redirect the answer', async t => {
    const server = await redirecting(t)
    const response = await clientFor(t).request(redirect(server, { status: 301, fill: 3 }))
    assert.deepEqual([response.status, response.redirected, await response.text()], [301, false, 'xxx'])
  })

  test('of 300, 304, 305 and 306 is not followed', async t => {
    const server = await redirecting(t)
    const client = clientFor(t)
    for (const status of [300, 304, 305, 306]) {
      assert.equal((await client.request(redirect(server, { status, to: '/end' }))).status, status)
    }
  })
})

describe('the modes', BOUNDED, () => {
  test('manual: the redirect is the answer', async t => {
    const server = await redirecting(t)
    const url = redirect(server, { to: '/end', fill: 2 })
    const response = await clientFor(t).request(url, { redirect: 'manual' })
    assert.deepEqual([response.status, response.redirected, response.url], [302, false, url])
    assert.equal(response.headers.get('location'), '/end')
    assert.equal(await response.text(), 'xx')
    assert.equal(server.seen.length, 1)
  })

  test('error: the redirect is an error', async t => {
    const server = await redirecting(t)
    const url = redirect(server, { to: '/end' })
    await assert.rejects(clientFor(t).request(url, { redirect: 'error' }), { code: 'ERR_UNEXPECTED_REDIRECT' })
    assert.equal(server.seen.length, 1)
  })

  test('20 redirects are followed and no more, or as many as maxRedirections says', async t => {
    const server = await redirecting(t, {
      handler: (/** @type {any} */ { url }, /** @type {any} */ response) => {
        const left = Number(url.slice(1))
        response.writeHead(left > 0 ? 302 : 200, left > 0 ? { location: `/${left - 1}` } : {}).end()
      }
    })
    const client = clientFor(t)
    const code = 'ERR_TOO_MANY_REDIRECTS'
    assert.equal((await client.request(`${server.url}/20`)).url, `${server.url}/0`)
    await assert.rejects(client.request(`${server.url}/21`), { code })
    assert.equal((await client.request(`${server.url}/2`, { maxRedirections: 2 })).status, 200)
    await assert.rejects(client.request(`${server.url}/3`, { maxRedirections: 2 }), { code })
    await assert.rejects(client.request(`${server.url}/1`, { maxRedirections: 0 }), { code })
    assert.equal(server.handshakes, 1)
  })

  test('are checked', async t => {
    const client = clientFor(t)
    for (const options of [
      { redirect: 'Follow' },
      { redirect: null },
      { maxRedirections: -1 },
      { maxRedirections: 1.5 }
    ]) {
      await assert.rejects(client.request('https://localhost/', /** @type {any} */ (options)), {
        code: 'ERR_INVALID_ARG_VALUE'
      })
    }
  })

  test('hold for pinnedRequest too', async t => {
    const server = await redirecting(t)
    const options = { pins: cert.pin, ca: root.pem }
    const url = redirect(server, { to: '/end' })
    assert.equal((await pinnedRequest(url, options)).redirected, true)
    assert.equal((await pinnedRequest(url, { ...options, redirect: 'manual' })).status, 302)
  })
})

describe('another origin', BOUNDED, () => {
  test('is told no credentials; the same origin is', async t => {
    const target = await redirecting(t)
    const server = await redirecting(t)
    const headers = { Authorization: 'a', cookie: 'b', 'Proxy-Authorization': 'c', host: 'other.example', 'x-own': 'd' }
    const client = clientFor(t)
    await (await client.request(redirect(server, { to: `${target.url}/end` }), { headers })).text()
    const { authorization, cookie, host, ...rest } = target.seen[0]?.headers ?? {}
    assert.deepEqual([authorization, cookie, rest['proxy-authorization']], [undefined, undefined, undefined])
    assert.equal(host, `localhost:${target.port}`)
    assert.equal(rest['x-own'], 'd')
    await (await client.request(redirect(server, { to: '/end' }), { headers })).text()
    assert.equal(server.seen.at(-1)?.headers.authorization, 'a')
    assert.equal(server.seen.at(-1)?.headers.host, 'other.example')
  })

  for (const http2 of [false, true]) {
    test(`with a CA-valid certificate that is not pinned gets no byte, over HTTP/${http2 ? 2 : 1.1}`, async t => {
      const target = await redirecting(t, { cert: stranger, http2 })
      const server = await redirecting(t, { http2 })
      const url = redirect(server, { status: 307, to: `${target.url}/end` })
      const request = clientFor(t, { pins: { localhost: cert.pin } }).request(url, { method: 'POST', body: 'secret' })
      await assert.rejects(request, { code: 'ERR_TLS_PIN_MISMATCH', port: target.port })
      await target.settled()
      assert.equal(target.appBytes, 0)
      assert.equal(target.seen.length, 0)
    })
  }

  test('that the policy does not list is not connected to', async t => {
    const target = await redirecting(t)
    const server = await redirecting(t)
    const to = `https://127.0.0.1:${target.port}/end`
    const request = clientFor(t, { pins: { localhost: cert.pin } }).request(redirect(server, { to }))
    await assert.rejects(request, { code: 'ERR_TLS_PIN_UNLISTED', phase: 'policy' })
    assert.equal(target.connections, 0)
  })

  test('is not what a bare list of pins is about, even with the pinned key; another port of the host is', async t => {
    const target = await redirecting(t)
    const server = await redirecting(t)
    const client = clientFor(t)
    const away = client.request(redirect(server, { to: `https://127.0.0.1:${target.port}/end` }))
    await assert.rejects(away, { code: 'ERR_TLS_PIN_UNLISTED', phase: 'policy', host: '127.0.0.1', port: target.port })
    assert.equal(target.connections, 0)
    assert.equal((await client.request(redirect(server, { to: `${target.url}/end` }))).status, 200)
  })

  test('is not what a bare list is about by way of a second hop', async t => {
    const target = await redirecting(t)
    const server = await redirecting(t)
    const second = redirect(server, { to: `https://127.0.0.1:${target.port}/end` })
    await assert.rejects(clientFor(t).request(redirect(server, { to: second })), { code: 'ERR_TLS_PIN_UNLISTED' })
    assert.equal(target.connections, 0)
  })

  test('is not what servername is about', async t => {
    const target = await redirecting(t)
    const server = await redirecting(t)
    const client = clientFor(t, { pins: { localhost: cert.pin, '127.0.0.1': cert.pin }, servername: 'localhost' })
    const away = client.request(redirect(server, { to: `https://127.0.0.1:${target.port}/end` }))
    await assert.rejects(away, { code: 'ERR_TLS_PIN_UNLISTED' })
    assert.equal(target.connections, 0)
  })
})

describe('an error after a redirect', BOUNDED, () => {
  /** @type {[string, (port: number) => string, string][]} */
  const hops = [
    ['a mismatch', port => `https://127.0.0.1:${port}/end`, 'ERR_TLS_PIN_MISMATCH'],
    ['an unlisted host', port => `https://other.example:${port}/end`, 'ERR_TLS_PIN_UNLISTED'],
    ['a bare list of pins', port => `https://127.0.0.1:${port}/end`, 'ERR_TLS_PIN_UNLISTED'],
    ['a port that is closed', () => 'https://localhost:1/end', 'ECONNREFUSED'],
    ['a redirect too many', port => `https://localhost:${port}/redirect?status=302&to=/`, 'ERR_TOO_MANY_REDIRECTS'],
    ['a redirect to http', port => `https://localhost:${port}/redirect?status=302&to=http://x`, 'ERR_INVALID_PROTOCOL']
  ]
  for (const [name, to, code] of hops) {
    test(`names the redirect: ${name}`, async t => {
      const server = await redirecting(t)
      const pins = name.startsWith('a bare list') ? cert.pin : { localhost: cert.pin, '127.0.0.1': stranger.pin }
      const url = redirect(server, { to: to(server.port) })
      const options = { maxRedirections: name.endsWith('too many') ? 1 : 20 }
      await assert.rejects(clientFor(t, { pins }).request(url, options), error => {
        const { redirectedFrom, message } = /** @type {any} */ (error)
        assert.ok(error instanceof TlsPinningError)
        assert.equal(error.code, code)
        // Without the query, which may hold a secret.
        assert.equal(redirectedFrom, `${server.url}/redirect`)
        assert.equal(message.split('\n')[0].endsWith(` (redirected here from ${server.url})`), true, message)
        assert.equal(message.split('redirected here').length, 2)
        return true
      })
    })
  }

  test('names it in the body too, and the last of several', async t => {
    const server = await redirecting(t, {
      handler: (/** @type {any} */ { url }, /** @type {any} */ response) => {
        const to = url === '/' ? '/second?secret' : '/end'
        if (url !== '/end') return response.writeHead(302, { location: to }).end()
        response.writeHead(200, { 'content-length': 100_000 })
        response.write('x'.repeat(50_000), () => response.destroy())
      }
    })
    const body = clientFor(t)
      .request(server.url)
      .then((/** @type {any} */ response) => response.text())
    await assert.rejects(body, { code: 'ECONNRESET', redirectedFrom: `${server.url}/second` })
  })

  test('is the caller’s own where the caller gave it', async t => {
    const reason = new Error('enough')
    const server = await redirecting(t, {
      handler: (/** @type {any} */ { url }, /** @type {any} */ response) => {
        if (url === '/') response.writeHead(302, { location: '/second' }).end()
        else client.destroy(reason)
      }
    })
    const client = clientFor(t)
    await assert.rejects(client.request(server.url), error => error === reason && !('redirectedFrom' in error))
  })
})

describe('a change of policy between two hops', BOUNDED, () => {
  /**
   * Redirects to 127.0.0.1 after the policy was replaced.
   * @param {any} t
   * @param {any} old
   * @param {any} policy
   */
  async function replaced(t, old, policy) {
    const pins = new PinSet(old)
    const target = await redirecting(t)
    const server = await redirecting(t, {
      handler: (/** @type {any} */ _, /** @type {any} */ response) => {
        pins.replace(policy)
        response.writeHead(302, { location: `https://127.0.0.1:${target.port}/end` }).end()
      }
    })
    return { target, request: clientFor(t, { pins }).request(server.url) }
  }

  test('a hop is judged by the new one: its pins', async t => {
    const both = { localhost: [cert.pin], '127.0.0.1': [cert.pin] }
    const { target, request } = await replaced(t, both, { ...both, '127.0.0.1': [stranger.pin] })
    await assert.rejects(request, { code: 'ERR_TLS_PIN_MISMATCH' })
    await target.settled()
    assert.equal(target.appBytes, 0)
  })

  test('a hop is judged by the new one: its hosts', async t => {
    const { target, request } = await replaced(
      t,
      { localhost: [cert.pin], '127.0.0.1': [cert.pin] },
      { localhost: [cert.pin] }
    )
    await assert.rejects(request, { code: 'ERR_TLS_PIN_UNLISTED' })
    assert.equal(target.connections, 0)
  })

  test('a policy that became a bare list is about the first host', async t => {
    const { target, request } = await replaced(t, { localhost: [cert.pin], '127.0.0.1': [cert.pin] }, [cert.pin])
    await assert.rejects(request, { code: 'ERR_TLS_PIN_UNLISTED' })
    assert.equal(target.connections, 0)
  })

  test('a bare list that became a policy is a policy', async t => {
    const { request } = await replaced(t, [cert.pin], { localhost: [cert.pin], '127.0.0.1': [cert.pin] })
    assert.equal((await request).status, 200)
  })
})

describe('what is under way', BOUNDED, () => {
  test('is aborted in any hop', async t => {
    const controller = new AbortController()
    const reason = new Error('enough')
    const server = await redirecting(t, {
      handler: (/** @type {any} */ { url }, /** @type {any} */ response) => {
        if (url === '/') response.writeHead(302, { location: '/second' }).end()
        else controller.abort(reason)
      }
    })
    const request = clientFor(t).request(server.url, { signal: controller.signal })
    await assert.rejects(request, error => error === reason)
    await server.settled()
  })

  test('has its limits in each hop', async t => {
    const server = await redirecting(t, {
      handler: (/** @type {any} */ { url }, /** @type {any} */ response) => {
        if (url === '/') response.writeHead(302, { location: '/silent' }).end()
      }
    })
    await assert.rejects(clientFor(t, { headersTimeout: 200 }).request(server.url), { code: 'ETIMEDOUT' })
  })

  test('does not wait for the body of a redirect, and ends one without end', async t => {
    const server = await redirecting(t, {
      handler: (/** @type {any} */ { url }, /** @type {any} */ response) => {
        if (url === '/end') return response.end('here')
        response.writeHead(302, { location: '/end' })
        const fill = () => {
          while (!response.destroyed && response.write(Buffer.alloc(64 * 1024))) {}
        }
        response.on('drain', fill)
        fill()
      }
    })
    const client = clientFor(t)
    assert.equal(await (await client.request(server.url)).text(), 'here')
    await client.close()
    await server.settled()
  })
})

'use strict'
// Promise: `inspect` shows what a server presents, with the pins that OpenSSL computes for it, and whether it would be
// trusted. It trusts nothing, and not one application byte is sent.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const { execFile } = require('node:child_process')
const { before, describe, it } = require('node:test')
const { inspect, parsePin } = require('..')
const { ca, daysFromNow, leaf } = require('./helpers/pki')
const {
  ALERT,
  alertServer,
  closeAtServer,
  httpsServer,
  rawServer,
  stallingServer,
  tlsServer
} = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const LIMIT = { timeout: 60_000 }
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])
const KEYS = { p256: 'EC P-256', p384: 'EC P-384', rsa2048: 'RSA 2048', ed25519: 'Ed25519' }

/** @type {Certificate} */ let root
/** @type {Certificate} */ let stranger
/** @type {Certificate} */ let intermediate
/** @type {Certificate} */ let cert

before(async () => {
  root = await ca({ name: 'Root' })
  stranger = await ca({ name: 'Stranger' })
  intermediate = await ca({ name: 'Intermediate', issuer: root })
  cert = await leaf({ issuer: intermediate, names: ['localhost', '*.test.example', '192.0.2.7', '2001:db8::1'] })
})

for (const version of VERSIONS) {
  describe(`over ${version}`, LIMIT, () => {
    for (const [key, name] of Object.entries(KEYS)) {
      it(`${key}: shows every certificate with every form of its pin`, async t => {
        const own = await leaf({ issuer: intermediate, key: /** @type {any} */ (key) })
        const server = await serve(t, own, version, [intermediate, stranger])
        const seen = await look(server, { ca: root.pem })
        assert.deepEqual(seen.chain, [presented(own, name), presented(intermediate), presented(stranger)])
        assert.deepEqual(seen.path, [own, intermediate, root].map(described))
        assert.deepEqual([seen.untrusted, seen.incomplete], [null, null])
        assert.deepEqual([seen.host, seen.port, seen.remoteAddress], ['localhost', server.port, '127.0.0.1'])
        assert.equal(seen.protocol, version)
        assert.match(String(seen.cipher), version === 'TLSv1.3' ? /^TLS_(AES|CHACHA20)_/ : /^TLS_ECDHE_/)
        assert.ok(seen.group)
        assert.equal(seen.alpn, 'http/1.1')
        for (const form of Object.values(seen.chain[0].pins)) assert.ok(parsePin(form).digest)
      })
    }

    it('RSA-PSS: shows the chain, and why the handshake was not finished', async t => {
      const own = await leaf({ issuer: intermediate, key: 'rsa-pss' })
      const server = await serve(t, own, version, [intermediate])
      const seen = await look(server, { ca: root.pem })
      assert.deepEqual(seen.chain, [presented(own, 'RSA-PSS 2048'), presented(intermediate)])
      assert.deepEqual([seen.protocol, seen.cipher, seen.group, seen.alpn, seen.path], [null, null, null, null, null])
      assert.ok(seen.incomplete instanceof Error && seen.incomplete.code)
      assert.equal(seen.untrusted?.code, 'UNSUPPORTED_SIGNATURE_ALGORITHM')
      assert.match(String(seen.untrusted?.message), /RSA-PSS/)
    })

    it('a certificate request: is answered without one', async t => {
      const server = await serve(t, cert, version, [intermediate], { ca: [root], rejectUnauthorized: false })
      const seen = await look(server, { ca: root.pem })
      assert.equal(seen.untrusted, null)
    })
  })
}

describe('what is not trusted', LIMIT, () => {
  /** @type {[name: string, make: () => Promise<Certificate>, options: () => any, code: string][]} */
  const ROWS = [
    ['of another CA', async () => cert, () => ({ ca: stranger.pem }), 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
    ['of no CA that Node knows', async () => cert, () => ({}), 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
    ['self-signed', () => leaf({ selfSigned: true }), () => ({ ca: root.pem }), 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    [
      'self-signed CA:TRUE',
      () => leaf({ selfSigned: true, ca: true }),
      () => ({ ca: root.pem }),
      'DEPTH_ZERO_SELF_SIGNED_CERT'
    ],
    [
      'expired',
      () => leaf({ issuer: intermediate, notAfter: daysFromNow(-0.5) }),
      () => ({ ca: root.pem }),
      'CERT_HAS_EXPIRED'
    ],
    [
      'not yet valid',
      () => leaf({ issuer: intermediate, notBefore: daysFromNow(1) }),
      () => ({ ca: root.pem }),
      'CERT_NOT_YET_VALID'
    ],
    [
      'for another name',
      () => leaf({ issuer: intermediate, names: ['other.example'] }),
      () => ({ ca: root.pem }),
      'ERR_TLS_CERT_ALTNAME_INVALID'
    ],
    [
      'not for servers',
      () => leaf({ issuer: intermediate, clientAuth: true }),
      () => ({ ca: root.pem }),
      'INVALID_PURPOSE'
    ]
  ]
  for (const [name, make, options, code] of ROWS) {
    it(`${name}: is shown, with ${code}`, async t => {
      const own = await make()
      const server = await serve(t, own, undefined, [intermediate])
      const seen = await look(server, options())
      assert.deepEqual([seen.chain[0].pem, seen.chain[0].pins.sha256], [own.pem, own.pin])
      assert.equal(seen.chain[0].selfIssued, own.x509.subject === own.x509.issuer)
      assert.ok(seen.untrusted instanceof Error)
      assert.deepEqual([seen.untrusted.code, seen.path, seen.incomplete], [code, null, null])
    })
  }

  it('names its host and port', async t => {
    const server = await serve(t, cert)
    const { untrusted } = await look(server, { ca: stranger.pem })
    assert.deepEqual([untrusted?.host, untrusted?.port], ['localhost', server.port])
  })
})

describe('the target', LIMIT, () => {
  /** @type {[form: string, target: (port: number) => string | URL][]} */
  const FORMS = [
    ['host and port', port => `localhost:${port}`],
    ['upper case', port => `LOCALHOST:${port}`],
    ['a URL', port => `https://localhost:${port}`],
    ['a URL with a path', port => `https://localhost:${port}/a?b#c`],
    ['a URL object', port => new URL(`https://localhost:${port}/x`)]
  ]
  for (const [form, target] of FORMS) {
    it(`${form}: is where it looks`, async t => {
      const server = await serve(t, cert)
      const seen = await inspect(target(server.port), { ca: root.pem })
      assert.deepEqual([seen.host, seen.port, seen.chain[0].pins.sha256], ['localhost', server.port, cert.pin])
      await silent(server)
    })
  }

  it('an address: is looked at as one', async t => {
    const own = await leaf({ issuer: root, names: ['127.0.0.1'] })
    const server = await serve(t, own)
    const seen = await inspect(`127.0.0.1:${server.port}`, { ca: root.pem })
    assert.deepEqual([seen.host, seen.untrusted], ['127.0.0.1', null])
  })

  for (const [target, code] of /** @type {[any, string][]} */ ([
    ['', 'ERR_INVALID_URL'],
    ['https://', 'ERR_INVALID_URL'],
    ['a b', 'ERR_INVALID_URL'],
    ['localhost:65536', 'ERR_INVALID_URL'],
    ['user@localhost', 'ERR_INVALID_URL'],
    ['http://localhost', 'ERR_INVALID_PROTOCOL'],
    ['ssh://localhost', 'ERR_INVALID_PROTOCOL'],
    [undefined, 'ERR_INVALID_ARG_TYPE'],
    [null, 'ERR_INVALID_ARG_TYPE'],
    [443, 'ERR_INVALID_ARG_TYPE'],
    [{}, 'ERR_INVALID_ARG_TYPE']
  ])) {
    it(`${JSON.stringify(target)}: ${code}`, () => assert.rejects(inspect(target), { code }))
  }
})

describe('servername', LIMIT, () => {
  it('is sent, and is the name to be for', async t => {
    const other = await leaf({ issuer: root, names: ['b.test'] })
    const server = await httpsServer({ cert, chain: [intermediate], sni: { 'b.test': other } })
    t.after(() => server.close())
    const seen = await look(server, { ca: root.pem, servername: 'B.test.' })
    assert.deepEqual([seen.host, seen.chain[0].pins.sha256, seen.untrusted], ['b.test', other.pin, null])
    const named = await look(server, { ca: root.pem, servername: 'api.test.example' })
    assert.deepEqual([named.chain[0].pins.sha256, named.untrusted], [cert.pin, null])
    const wrong = await look(server, { ca: root.pem, servername: 'example.com' })
    assert.equal(wrong.untrusted?.code, 'ERR_TLS_CERT_ALTNAME_INVALID')
  })

  it('that is no host: is refused before a connection', async t => {
    const server = await serve(t, cert)
    for (const servername of ['', 'a b', 'https://x', '*.example']) {
      await assert.rejects(inspect(server.url, { servername }), { code: 'ERR_INVALID_ARG_VALUE' })
    }
    assert.equal(server.connections, 0)
  })
})

describe('options', LIMIT, () => {
  /** @type {[name: string, options: any, code: string][]} */
  const ROWS = [
    ['pins', { pins: 'sha256/x' }, 'ERR_INVALID_ARG_VALUE'],
    ['rejectUnauthorized', { rejectUnauthorized: false }, 'ERR_INVALID_ARG_VALUE'],
    ['trust', { trust: 'pin-only' }, 'ERR_INVALID_ARG_VALUE'],
    ['timeout', { timeout: 5 }, 'ERR_INVALID_ARG_VALUE'],
    ['ca: garbage', { ca: 'x' }, 'ERR_INVALID_ARG_VALUE'],
    ['key without cert', { key: 'x' }, 'ERR_INVALID_ARG_VALUE'],
    ['connectTimeout: negative', { connectTimeout: -1 }, 'ERR_INVALID_ARG_VALUE'],
    ['minVersion: unknown', { minVersion: 'TLSv1' }, 'ERR_TLS_INVALID_PROTOCOL_VERSION'],
    ['null', null, 'ERR_INVALID_ARG_TYPE'],
    ['text', 'x', 'ERR_INVALID_ARG_TYPE']
  ]
  for (const [name, options, code] of ROWS) {
    it(`${name}: ${code}`, async t => {
      const server = await serve(t, cert)
      await assert.rejects(inspect(server.url, options), { code })
      assert.equal(server.connections, 0)
    })
  }

  it('a version the server does not speak: is refused', async t => {
    const server = await serve(t, cert, 'TLSv1.2')
    await assert.rejects(inspect(server.url, { minVersion: 'TLSv1.3' }), { code: /^ERR_SSL_/, phase: 'handshake' })
    await silent(server)
  })

  it('cert and key: are shown to the server', async t => {
    const client = await leaf({ issuer: root, clientAuth: true })
    /** @type {string[]} */ const shown = []
    // Only looked at here: Node 20 crashes if the server is closed from within its own `secureConnection`.
    const server = await serveRaw(t, socket => void shown.push(socket.getPeerCertificate().fingerprint256))
    await look(server, { cert: client.pem, key: client.key })
    assert.deepEqual(shown, [client.fingerprint256])
  })

  it('allowH2: offers HTTP/2 or not', async t => {
    const server = await httpsServer({ cert, chain: [intermediate], http2: true })
    t.after(() => server.close())
    assert.equal((await look(server, {})).alpn, 'h2')
    assert.equal((await look(server, { allowH2: false })).alpn, 'http/1.1')
  })

  for (const signal of /** @type {any[]} */ (['x', {}, 5])) {
    it(`signal: ${JSON.stringify(signal)}`, async () => {
      await assert.rejects(inspect('127.0.0.1:1', { signal }), { code: 'ERR_INVALID_ARG_TYPE' })
    })
  }

  // The hold on the process must be given back once, and only if it was taken: else a later request keeps nothing alive.
  it('a hostile signal does not end the process under a later request', async t => {
    const server = await stallingServer('accept')
    t.after(() => server.close())
    const program = `
      const { inspect } = require(${JSON.stringify(require.resolve('..'))})
      const signal = { throwIfAborted() {}, addEventListener() { throw new Error('hostile') } }
      inspect('localhost:${server.port}', { signal }).catch(() => inspect('localhost:${server.port}', { handshakeTimeout: 300 }))
        .catch(error => console.log(error.code))`
    const stdout = await new Promise(resolve => {
      execFile(process.execPath, ['-e', program], { timeout: 8_000 }, (_, stdout) => resolve(stdout))
    })
    assert.equal(String(stdout).trim(), 'ERR_TLS_HANDSHAKE_TIMEOUT')
  })
})

describe('a server that cannot be looked at', LIMIT, () => {
  it('nobody listens: ECONNREFUSED', async () => {
    const server = await rawServer(() => {})
    await server.close()
    await assert.rejects(inspect(`localhost:${server.port}`), {
      ...{ code: 'ECONNREFUSED', host: 'localhost', port: server.port, phase: 'connect' }
    })
  })

  it('no TLS: ERR_SSL_WRONG_VERSION_NUMBER', async t => {
    const server = await rawServer(socket => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    t.after(() => server.close())
    await assert.rejects(inspect(`localhost:${server.port}`), { code: 'ERR_SSL_WRONG_VERSION_NUMBER' })
  })

  it('an alert: its code', async t => {
    const server = await alertServer(ALERT.handshakeFailure)
    t.after(() => server.close())
    await assert.rejects(inspect(`localhost:${server.port}`), {
      code: /^ERR_SSL_.*HANDSHAKE_FAILURE/,
      phase: 'handshake'
    })
  })

  it('an end in the handshake: ECONNRESET', async t => {
    const server = await closeAtServer('clientHello')
    t.after(() => server.close())
    await assert.rejects(inspect(`localhost:${server.port}`), { code: 'ECONNRESET', phase: 'handshake' })
  })

  it('silence: ERR_TLS_HANDSHAKE_TIMEOUT', async t => {
    const server = await stallingServer('clientHello')
    t.after(() => server.close())
    await assert.rejects(inspect(`localhost:${server.port}`, { handshakeTimeout: 50 }), {
      ...{ code: 'ERR_TLS_HANDSHAKE_TIMEOUT', host: 'localhost', port: server.port }
    })
    await server.settled()
  })
})

describe('a signal', LIMIT, () => {
  it('that is aborted already: no connection', async t => {
    const server = await serve(t, cert)
    const reason = new Error('enough')
    await assert.rejects(inspect(server.url, { signal: AbortSignal.abort(reason) }), error => error === reason)
    assert.equal(server.connections, 0)
  })

  it('that aborts: rejects with its reason, and closes the connection', async t => {
    const server = await stallingServer('clientHello')
    t.after(() => server.close())
    const controller = new AbortController()
    const looking = inspect(`localhost:${server.port}`, { signal: controller.signal, handshakeTimeout: 0 })
    while (server.connections === 0) await new Promise(resolve => setImmediate(resolve))
    controller.abort()
    await assert.rejects(looking, { name: 'AbortError' })
    await server.settled()
  })

  it('that aborts later: changes nothing', async t => {
    const server = await serve(t, cert)
    const controller = new AbortController()
    const seen = await look(server, { ca: root.pem, signal: controller.signal })
    controller.abort()
    assert.equal(seen.untrusted, null)
    assert.equal((await look(server, { ca: root.pem })).untrusted, null)
  })
})

/** @param {any} t @param {Certificate} own @param {any} [version] @param {Certificate[]} [chain] @param {any} [more] */
async function serve(t, own, version, chain = [intermediate], more = {}) {
  const server = await httpsServer({ cert: own, chain, minVersion: version, maxVersion: version, ...more })
  t.after(() => server.close())
  return server
}

/** @param {any} t @param {(socket: import('node:tls').TLSSocket) => void} onSocket */
async function serveRaw(t, onSocket) {
  const server = await tlsServer(onSocket, { cert, chain: [intermediate], ca: [root] })
  t.after(() => server.close())
  return server
}

/** @param {any} server @param {any} options */
async function look(server, options) {
  const seen = await inspect(server.url, options)
  await silent(server)
  return seen
}

/** @param {any} server */
async function silent(server) {
  await server.settled()
  assert.equal(server.appBytes, 0)
  assert.equal(server.requests.length, 0)
}

/**
 * What is shown of a certificate, as OpenSSL reads it.
 * @param {Certificate} certificate
 * @param {string} [key]
 */
function presented({ x509, der, spki, pem }, key = 'EC P-256') {
  const hash = (/** @type {string} */ name, /** @type {Buffer} */ bytes) => crypto.createHash(name).update(bytes)
  const base64 = hash('sha256', spki).digest('base64')
  return {
    subject: x509.subject,
    issuer: x509.issuer,
    serialNumber: x509.serialNumber,
    validFrom: new Date(x509.validFrom),
    validTo: new Date(x509.validTo),
    names: names(x509.subjectAltName),
    ca: x509.ca,
    key,
    selfIssued: x509.subject === x509.issuer,
    fingerprint256: x509.fingerprint256,
    pins: {
      sha256: `sha256/${base64}`,
      sha512: `spki:sha512:${hash('sha512', spki).digest('hex')}`,
      certificate256: `cert:sha256:${hash('sha256', der).digest('hex')}`,
      certificate512: `cert:sha512:${hash('sha512', der).digest('hex')}`,
      tlsa: `3 1 1 ${hash('sha256', spki).digest('hex')}`,
      curl: `sha256//${base64}`,
      hpkp: `pin-sha256="${base64}"`
    },
    pem
  }
}

/** OpenSSL's list, with its addresses in the form that RFC 5952 gives them. @param {string | undefined} text */
function names(text) {
  const canonical = (/** @type {string} */ address) => new URL(`http://[${address}]`).hostname.slice(1, -1)
  const list = text?.split(', ') ?? []
  return list.map(name => name.replace(/^(IP Address:)(.*:.*)$/, (_, label, address) => label + canonical(address)))
}

/** @param {Certificate} certificate */
function described({ x509, pin, fingerprint256 }) {
  const [validFrom, validTo] = [new Date(x509.validFrom), new Date(x509.validTo)]
  return { subject: x509.subject, issuer: x509.issuer, spkiPin: pin, fingerprint256, validFrom, validTo }
}

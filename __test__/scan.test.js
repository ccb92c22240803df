'use strict'
// Promise: `scan` tells what a server accepts, as it was set up. What could not be learnt is `unknown`, with the reason, and
// never taken for a no. Not one application byte is sent.

const assert = require('node:assert/strict')
const net = require('node:net')
const { before, describe, it } = require('node:test')
const { scan } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { ALERT, alertServer, closeAtServer, rawServer, stallingServer, tlsServer } = require('./helpers/servers')
const { connectProxy } = require('./helpers/proxies')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const LIMIT = { timeout: 60_000 }
const OPENSSL = Number(process.versions.openssl.split('.')[0]) * 100 + Number(process.versions.openssl.split('.')[1])
/** OpenSSL 3.5 has ML-KEM. */
const PQ = OPENSSL >= 305

/** @type {Certificate} */ let root
/** @type {Certificate} */ let ec
/** @type {Certificate} */ let rsa

before(async () => {
  root = await ca({ name: 'Root' })
  ec = await leaf({ issuer: root })
  rsa = await leaf({ issuer: root, key: 'rsa2048' })
})

describe('versions', LIMIT, () => {
  /** @type {[string, import('node:tls').TlsOptions, string[]][]} */
  const ROWS = [
    ['TLSv1.3', { minVersion: 'TLSv1.3' }, ['TLSv1.3']],
    ['TLSv1.2', { maxVersion: 'TLSv1.2' }, ['TLSv1.2']],
    ['both', {}, ['TLSv1.3', 'TLSv1.2']],
    ['TLSv1 to TLSv1.3', { minVersion: 'TLSv1', ...old() }, ['TLSv1.3', 'TLSv1.2', 'TLSv1.1', 'TLSv1']],
    ['TLSv1.1 only', { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ...old() }, ['TLSv1.1']],
    ['TLSv1 only', { minVersion: 'TLSv1', maxVersion: 'TLSv1', ...old() }, ['TLSv1']]
  ]
  for (const [name, options, accepted] of ROWS) {
    for (const key of /** @type {const} */ (['ec', 'rsa'])) {
      it(`${name}, ${key}: are those of the server`, async t => {
        const server = await serve(t, key === 'ec' ? ec : rsa, options)
        const seen = await look(server)
        assert.deepEqual([seen.host, seen.port, seen.remoteAddress], ['localhost', server.port, '127.0.0.1'])
        assert.deepEqual(
          seen.versions.map(({ version }) => version),
          ['TLSv1.3', 'TLSv1.2', 'TLSv1.1', 'TLSv1', 'SSLv3']
        )
        assert.deepEqual(
          seen.versions.filter(({ outcome }) => outcome === 'accepted').map(({ version }) => version),
          accepted
        )
        for (const { outcome, code, reason, cipher, ciphers } of seen.versions) {
          if (outcome === 'accepted') assert.deepEqual([code, reason, typeof cipher], [null, null, 'string'])
          else assert.deepEqual([outcome, cipher, ciphers, typeof reason], ['refused', null, [], 'string'])
        }
      })
    }
  }

  it('of an old one the cipher suite is told', async t => {
    const server = await serve(t, rsa, { minVersion: 'TLSv1', ...old('AES128-SHA') })
    const { versions } = await look(server)
    assert.deepEqual(
      versions.slice(2, 4).map(({ cipher }) => cipher),
      ['TLS_RSA_WITH_AES_128_CBC_SHA', 'TLS_RSA_WITH_AES_128_CBC_SHA']
    )
  })

  it('SSLv3: by a ServerHello of it alone', async t => {
    const hello = (/** @type {number} */ minor) =>
      Buffer.concat([
        Buffer.from([22, 3, 0, 0, 42, 2, 0, 0, 38, 3, minor]),
        Buffer.alloc(32),
        Buffer.from([0, 0, 10, 0])
      ])
    for (const [minor, outcome, cipher] of /** @type {[number, string, string | null][]} */ ([
      [0, 'accepted', 'TLS_RSA_WITH_3DES_EDE_CBC_SHA'],
      [1, 'refused', null]
    ])) {
      const server = await rawServer(socket => void socket.once('data', () => socket.end(hello(minor))))
      t.after(() => server.close())
      const ssl3 = (await scan(`localhost:${server.port}`)).versions.at(-1)
      assert.deepEqual([ssl3?.version, ssl3?.outcome, ssl3?.cipher], ['SSLv3', outcome, cipher])
    }
  })
})

describe('cipher suites', LIMIT, () => {
  const OF_13 = ['TLS_AES_256_GCM_SHA384', 'TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256']
  const of12 = (/** @type {string} */ kind, /** @type {string[]} */ ...names) =>
    names.map(name => `TLS_ECDHE_${kind}_WITH_${name}`)
  const [AES256, AES128, CHACHA] = ['AES_256_GCM_SHA384', 'AES_128_GCM_SHA256', 'CHACHA20_POLY1305_SHA256']

  /** @type {[string, 'ec' | 'rsa', string, string[], string[]][]} */
  const ROWS = [
    ['all, EC', 'ec', 'DEFAULT', OF_13, of12('ECDSA', AES256, AES128, CHACHA)],
    ['all, RSA', 'rsa', 'DEFAULT', OF_13, of12('RSA', AES256, AES128, CHACHA)],
    ['one', 'rsa', 'ECDHE-RSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256', [OF_13[1]], of12('RSA', AES128)],
    [
      'two',
      'ec',
      'ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256',
      OF_13.slice(1),
      of12('ECDSA', AES256, CHACHA)
    ]
  ]
  for (const [name, key, ciphers, of13, of12] of ROWS) {
    it(`${name}: are those of the server, and the others refused`, async t => {
      const server = await serve(t, key === 'ec' ? ec : rsa, { ciphers })
      const [tls13, tls12] = (await look(server)).versions
      assert.deepEqual([accepted(tls13.ciphers), accepted(tls12.ciphers)], [of13, of12])
      assert.deepEqual([tls13.ciphers.length, tls12.ciphers.length], [3, 6])
      for (const { outcome, code } of [...tls13.ciphers, ...tls12.ciphers]) {
        if (outcome === 'accepted') assert.equal(code, null)
        else assert.deepEqual([outcome, code], ['refused', 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE'])
      }
    })
  }

  for (const [honorCipherOrder, preference] of /** @type {const} */ ([
    [true, 'server'],
    [false, 'client']
  ])) {
    it(`by the order of the ${preference}`, async t => {
      const server = await serve(t, ec, { honorCipherOrder })
      const [tls13, tls12] = (await look(server)).versions
      assert.deepEqual([tls13.preference, tls12.preference], [preference, preference])
    })
  }

  it('one alone: no preference', async t => {
    const server = await serve(t, ec, { ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256' })
    const [tls13, tls12] = (await look(server)).versions
    assert.deepEqual([tls13.preference, tls12.preference], [null, null])
  })
})

describe('groups', LIMIT, () => {
  /** @type {[string, string, string[], string[]][]} */
  const ROWS = [
    ['X25519 and P-384', 'X25519:P-384', ['X25519', 'secp384r1'], ['X25519', 'secp384r1']],
    ['P-256', 'P-256', ['secp256r1'], ['secp256r1']]
  ]
  if (PQ) ROWS.push(['the hybrid', 'X25519MLKEM768:X25519', ['X25519MLKEM768', 'X25519'], ['X25519']])
  for (const [name, ecdhCurve, of13, of12] of ROWS) {
    it(`${name}: are those of the server`, async t => {
      const server = await serve(t, rsa, { ecdhCurve })
      const [tls13, tls12] = (await look(server)).versions
      assert.deepEqual([accepted(tls13.groups), accepted(tls12.groups)], [of13, of12])
      for (const { outcome } of [...tls13.groups, ...tls12.groups]) assert.notEqual(outcome, 'unknown')
    })
  }

  it('in TLS 1.2 with an ECDSA certificate: its curve is offered too, and a no is not concluded from another choice', async t => {
    const server = await serve(t, ec, { ecdhCurve: 'X25519:P-256:P-384', maxVersion: 'TLSv1.2' })
    const groups = (await look(server)).versions[1].groups
    assert.deepEqual(
      groups.map(({ name, outcome }) => [name, outcome]),
      [
        ['X25519', 'accepted'],
        ['secp256r1', 'accepted'],
        ['secp384r1', 'unknown']
      ]
    )
    assert.match(String(groups[2].reason), /prefers secp256r1, the curve of its certificate/)
  })
})

describe('what is no answer', LIMIT, () => {
  it('nobody listens: rejects', async () => {
    const server = await rawServer(() => {})
    await server.close()
    await assert.rejects(scan(`localhost:${server.port}`), { code: 'ECONNREFUSED', phase: 'connect' })
  })

  it('silence: unknown, with the time-out', async t => {
    const server = await stallingServer('clientHello')
    t.after(() => server.close())
    assert.deepEqual(outcomes(await scan(`localhost:${server.port}`, { handshakeTimeout: 50 })), [
      ...Array(5).fill(['unknown', 'ERR_TLS_HANDSHAKE_TIMEOUT'])
    ])
    await server.settled()
  })

  it('an end of every connection: unknown, since nothing was accepted', async t => {
    const server = await closeAtServer('clientHello')
    t.after(() => server.close())
    assert.deepEqual(outcomes(await scan(`localhost:${server.port}`)), Array(5).fill(['unknown', 'ECONNRESET']))
  })

  it('what is not TLS: unknown', async t => {
    const server = await rawServer(socket => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    t.after(() => server.close())
    const unknown = Array(5).fill(['unknown', 'ERR_SSL_WRONG_VERSION_NUMBER'])
    assert.deepEqual(outcomes(await scan(`localhost:${server.port}`)), unknown)
  })

  it('an alert: refused, or unknown where it is about something else', async t => {
    for (const [alert, outcome, code] of /** @type {[number, string, string][]} */ ([
      [ALERT.handshakeFailure, 'refused', 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE'],
      [ALERT.protocolVersion, 'refused', 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'],
      [ALERT.internalError, 'refused', 'ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR'],
      [ALERT.unrecognizedName, 'unknown', 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME'],
      [ALERT.certificateRequired, 'unknown', 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED']
    ])) {
      const server = await alertServer(alert)
      t.after(() => server.close())
      assert.deepEqual(outcomes(await scan(`localhost:${server.port}`)), Array(5).fill([outcome, code]))
    }
  })

  it('an end where others are accepted: refused, by closing', async t => {
    const server = await serve(t, ec, { maxVersion: 'TLSv1.2' })
    const front = await inFront(t, server.port, hello => (isTls12(hello) ? 'pass' : 'close'))
    const scanned = await scan(`localhost:${front.port}`)
    assert.deepEqual(outcomes(scanned), [
      ['refused', 'ECONNRESET'],
      ['accepted', null],
      ...Array(3).fill(['refused', 'ECONNRESET'])
    ])
  })

  it('an end that comes once: is asked again', async t => {
    const server = await serve(t, ec)
    const closed = new Set()
    const front = await inFront(t, server.port, hello => {
      // Each kind of hello once, by its length.
      if (closed.has(hello.length)) return 'pass'
      closed.add(hello.length)
      return 'close'
    })
    const [tls13] = (await scan(`localhost:${front.port}`)).versions
    assert.deepEqual([tls13.outcome, accepted(tls13.ciphers).length], ['accepted', 3])
  })

  it('a server that takes no more connections after some: what is left is unknown', async t => {
    const server = await serve(t, ec)
    let left = 8
    const front = await inFront(t, server.port, () => (left-- > 0 ? 'pass' : 'close'))
    const { versions } = await scan(`localhost:${front.port}`)
    assert.equal(versions[0].outcome, 'accepted')
    const all = versions.flatMap(({ ciphers, groups, ...version }) => [version, ...ciphers, ...groups])
    const closed = all.filter(({ code }) => code === 'ECONNRESET')
    assert.ok(closed.length > 0)
    for (const { outcome } of closed) assert.equal(outcome, 'unknown')
  })
})

describe('a scan', LIMIT, () => {
  it('of a server that wants a client certificate: as of any other', async t => {
    const server = await serve(t, ec, { requestCert: true, ca: root.pem })
    const [tls13, tls12] = (await look(server)).versions
    assert.deepEqual([accepted(tls13.ciphers).length, accepted(tls12.ciphers).length], [3, 3])
  })

  it('of a key that is not verified: as of any other', async t => {
    const server = await serve(t, await leaf({ issuer: root, key: 'rsa-pss' }))
    const [tls13, tls12] = (await look(server)).versions
    assert.deepEqual([accepted(tls13.ciphers).length, accepted(tls12.ciphers).length], [3, 3])
  })

  it('sends the name, through a proxy, and resumes nothing', async t => {
    /** @type {Set<string | false>} */ const names = new Set()
    const server = await tlsServer(socket => void names.add(/** @type {any} */ (socket).servername), { cert: ec })
    t.after(() => server.close())
    const proxy = await connectProxy()
    t.after(() => proxy.close())
    const scanned = await scan(`localhost:${server.port}`, { servername: 'b.example', proxy: proxy.url })
    assert.equal(scanned.versions[0].outcome, 'accepted')
    assert.deepEqual([...names], ['b.example'])
    await server.settled()
    assert.deepEqual([server.appBytes, server.resumed, server.connections], [0, 0, proxy.heads.length])
    assert.ok(server.connections <= 40, String(server.connections))
  })

  it('opens four connections at once; one that is aborted rejects with the reason, and opens no more', async t => {
    const server = await stallingServer('clientHello')
    t.after(() => server.close())
    const controller = new AbortController()
    const scanning = scan(`localhost:${server.port}`, { signal: controller.signal, handshakeTimeout: 0 })
    while (server.connections < 5) await new Promise(resolve => setImmediate(resolve))
    assert.ok(server.open.length <= 4)
    controller.abort()
    await assert.rejects(scanning, { name: 'AbortError' })
    await server.settled()
    assert.equal(server.connections, 5)
  })

  for (const [name, options, code] of /** @type {[string, any, string][]} */ ([
    ['ca', { ca: 'x' }, 'ERR_INVALID_ARG_VALUE'],
    ['minVersion', { minVersion: 'TLSv1.2' }, 'ERR_INVALID_ARG_VALUE'],
    ['servername', { servername: 'a b' }, 'ERR_INVALID_ARG_VALUE'],
    ['null', null, 'ERR_INVALID_ARG_TYPE']
  ])) {
    it(`${name}: ${code}`, () => assert.rejects(scan('localhost:1', options), { code }))
  }
})

/** OpenSSL 3 has the old versions at security level 0 only. @param {string} [ciphers] */
function old(ciphers = 'DEFAULT') {
  return { ciphers: `${ciphers}:@SECLEVEL=0` }
}

/** @param {{ name: string, outcome: string }[]} list */
function accepted(list) {
  return list.filter(({ outcome }) => outcome === 'accepted').map(({ name }) => name)
}

/** @param {any} scanned */
function outcomes({ versions }) {
  return versions.map((/** @type {any} */ { outcome, code }) => [outcome, code])
}

/** Whether it is a hello of rustls without TLS 1.3. @param {Buffer} hello */
function isTls12(hello) {
  return hello[10] === 3 && !hello.includes(Buffer.from('002b0003020304', 'hex'))
}

/**
 * A relay that looks at the first bytes of each connection.
 * @param {any} t
 * @param {number} port
 * @param {(hello: Buffer) => 'pass' | 'close'} decide
 */
async function inFront(t, port, decide) {
  const server = await rawServer(socket =>
    socket.once('data', hello => {
      if (decide(hello) === 'close') return void socket.end()
      const upstream = net.connect(port, '127.0.0.1')
      server.track(upstream)
      upstream.write(hello)
      socket.pipe(upstream).pipe(socket)
      socket.once('close', () => upstream.destroy())
      upstream.once('close', () => socket.destroy())
    })
  )
  t.after(() => server.close())
  return server
}

/** @param {any} t @param {Certificate} cert @param {import('node:tls').TlsOptions} [options] */
async function serve(t, cert, options) {
  const server = await tlsServer(() => {}, { cert, tls: options })
  t.after(() => server.close())
  return server
}

/** @param {any} server */
async function look(server) {
  const seen = await scan(`localhost:${server.port}`)
  await server.settled()
  assert.equal(server.appBytes, 0)
  return seen
}

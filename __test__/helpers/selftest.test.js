'use strict'
// Proves the test kit with Node's own clients, so that a suite which uses it fails for its own reasons only.

require('reflect-metadata')
const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const crypto = require('node:crypto')
const { once } = require('node:events')
const http2 = require('node:http2')
const https = require('node:https')
const net = require('node:net')
const { describe, it, before, after } = require('node:test')
const tls = require('node:tls')
const x509 = require('@peculiar/x509')
const { generalNames } = require('./der')
const pki = require('./pki')
const servers = require('./servers')

const { ca, leaf, crl, pfx, cachedKeyPair, daysFromNow } = pki
const { httpsServer, tlsServer, rawServer, stallingServer, closeAtServer, alertServer, tcpProxy, ALERT } = servers

/** @typedef {import('./pki').Certificate} Certificate */

const BEFORE_TLS = /** @type {const} */ (['accept', 'clientHello', 'serverHello'])
const UNDER_TLS = /** @type {const} */ (['handshake', 'request', 'headers', 'body'])
/** A test that waits for what never comes has to fail. */
const LIMIT = { timeout: 60_000 }

/** @type {Certificate} */ let root
/** @type {Certificate} */ let intermediate
/** @type {Certificate} */ let server
/** @type {{ close(): Promise<unknown> }[]} */
const running = []

before(async () => {
  root = await ca({ name: 'Root' })
  intermediate = await ca({ name: 'Intermediate', issuer: root, pathLength: 0 })
  server = await leaf({ issuer: intermediate })
})

after(() => Promise.all(running.map(one => one.close())))

/**
 * Closes what a test started, whatever becomes of the test.
 *
 * @template {{ close(): Promise<unknown> }} T
 * @param {T | Promise<T>} starting
 */
async function start(starting) {
  const started = await starting
  running.push(started)
  return started
}

/**
 * @param {string} url
 * @param {https.RequestOptions & { body?: string }} [options]
 * @returns {Promise<{ status: number | undefined, body: string }>}
 */
function get(url, { body, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const request = https.request(url, { agent: false, ca: root.pem, ...options }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', chunk => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode, body: text })).on('error', reject)
    })
    request.on('error', reject).end(body)
  })
}

describe('pki', LIMIT, () => {
  for (const key of /** @type {const} */ (['p256', 'p384', 'rsa2048', 'ed25519', 'rsa-pss'])) {
    it(`serves a chain of ${key} keys that Node verifies`, async () => {
      const authority = await ca({ name: 'Root', keyPair: await cachedKeyPair(key) })
      const middle = await ca({ name: 'Middle', issuer: authority, key: key === 'rsa-pss' ? 'p256' : key })
      const cert = await leaf({ issuer: middle, key })
      const { url } = await start(httpsServer({ cert, chain: [middle] }))
      assert.deepEqual(await get(url, { ca: authority.pem }), { status: 200, body: 'ok' })
    })

    it(`describes a ${key} certificate as its bytes have it`, async () => {
      const cert = await leaf({ selfSigned: true, key })
      const parsed = new x509.X509Certificate(cert.der)
      const hash = (/** @type {Uint8Array} */ data) => crypto.createHash('sha256').update(data)
      assert.equal(cert.pin, `sha256/${hash(new Uint8Array(parsed.publicKey.rawData)).digest('base64')}`)
      assert.equal(cert.certPin, `cert:sha256:${hash(cert.der).digest('hex')}`)
      assert.equal(cert.fingerprint256.replaceAll(':', '').toLowerCase(), hash(cert.der).digest('hex'))
      assert.ok(cert.der.includes(cert.spki))
      assert.ok(cert.x509.checkPrivateKey(crypto.createPrivateKey(cert.key)))
      assert.ok(cert.x509.checkPrivateKey(crypto.createPrivateKey({ key: cert.keyDer, type: 'pkcs8', format: 'der' })))
      assert.ok(cert.x509.verify(cert.keyPair.publicKey))
    })
  }

  it('keeps an RSA-PSS key an RSA-PSS key', async () => {
    assert.equal((await leaf({ selfSigned: true, key: 'rsa-pss' })).x509.publicKey.asymmetricKeyType, 'rsa-pss')
  })

  it('gives every certificate a key of its own unless one is handed over', async () => {
    const keyPair = await cachedKeyPair('rsa2048')
    assert.equal(keyPair, await cachedKeyPair('rsa2048'))
    assert.notEqual(keyPair, await cachedKeyPair('rsa2048', 'other'))
    assert.notEqual((await ca({ name: 'Twin' })).pin, (await ca({ name: 'Twin' })).pin)
    assert.equal((await ca({ name: 'A', keyPair })).pin, (await ca({ name: 'B', keyPair })).pin)
  })

  it('makes cross-signed twins: one leaf, two roots', async () => {
    const other = await ca({ name: 'Other' })
    const { keyPair, subject } = intermediate
    const twin = await ca({ name: 'Intermediate', issuer: other, keyPair, subject })
    const { url } = await start(httpsServer({ cert: server, chain: [twin] }))
    assert.equal((await get(url, { ca: other.pem })).status, 200)
    await assert.rejects(get(url), { code: 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY' })
  })

  it('makes namesakes that differ from the original in the key alone', async () => {
    const { subject, subjectKeyId } = intermediate
    const fake = await ca({ name: 'unused', issuer: root, subject, subjectKeyId })
    assert.equal(fake.x509.subject, intermediate.x509.subject)
    assert.equal(
      new x509.X509Certificate(fake.der).getExtension(x509.SubjectKeyIdentifierExtension)?.keyId,
      subjectKeyId?.toString('hex')
    )
    assert.equal(server.x509.checkIssued(fake.x509), true)
    assert.equal(server.x509.verify(fake.x509.publicKey), false)
  })

  it('writes names: DNS, IPv4, IPv6, raw bytes, none', async () => {
    const names = ['a.example', '127.0.0.1', '::1', '2001:db8::5:0:1', Buffer.from('good.example\0.evil.example')]
    const { x509: cert } = await leaf({ issuer: root, names })
    assert.equal(
      cert.subjectAltName,
      [
        'DNS:a.example',
        'IP Address:127.0.0.1',
        'IP Address:0:0:0:0:0:0:0:1',
        'IP Address:2001:DB8:0:0:0:5:0:1',
        String.raw`DNS:"good.example\u0000.evil.example"`
      ].join(', ')
    )
    const raw = await leaf({ issuer: root, rawSan: generalNames(['b.example']) })
    assert.equal(raw.x509.subjectAltName, 'DNS:b.example')
    assert.equal((await leaf({ issuer: root, rawSan: null })).x509.subjectAltName, undefined)
  })

  it('sets CA flags, validity and usages as asked', async () => {
    const constraints = (/** @type {Certificate} */ { der }) =>
      new x509.X509Certificate(der).getExtension(x509.BasicConstraintsExtension)
    assert.equal(root.x509.ca, true)
    assert.equal(constraints(intermediate)?.pathLength, 0)
    assert.equal(constraints(await ca({ name: 'No CA', ca: false }))?.ca, false)
    assert.equal(constraints(await ca({ name: 'Neither', ca: undefined })), null)
    assert.equal((await leaf({ selfSigned: true })).x509.ca, false)
    assert.equal((await leaf({ selfSigned: true, ca: true })).x509.ca, true)
    assert.deepEqual((await leaf({ issuer: root, eku: ['codeSigning'] })).x509.keyUsage, ['1.3.6.1.5.5.7.3.3'])
    assert.equal((await leaf({ issuer: root, eku: [] })).x509.keyUsage, undefined)
    await assert.rejects(leaf({ names: ['a.example'] }), TypeError)

    const expired = await leaf({ issuer: root, notBefore: daysFromNow(-9), notAfter: daysFromNow(-2) })
    const early = await leaf({ issuer: root, notBefore: daysFromNow(2) })
    for (const [cert, code] of /** @type {const} */ ([
      [expired, 'CERT_HAS_EXPIRED'],
      [early, 'CERT_NOT_YET_VALID']
    ])) {
      const { url } = await start(httpsServer({ cert }))
      await assert.rejects(get(url), { code })
    }
  })

  it('constrains names', async () => {
    const nameConstraints = { permitted: ['example', '127.0.0.0/8'], excluded: ['bad.example'] }
    const authority = await ca({ name: 'Constrained', issuer: root, nameConstraints })
    const cases = /** @type {const} */ ([
      ['good.example', true],
      ['127.9.9.9', true],
      ['bad.example', false],
      ['128.0.0.1', false]
    ])
    for (const [name, allowed] of cases) {
      const cert = await leaf({ issuer: authority, names: [name] })
      const { url } = await start(httpsServer({ cert, chain: [authority] }))
      const answer = get(url, { checkServerIdentity: () => undefined })
      if (allowed) assert.equal((await answer).status, 200, name)
      else await assert.rejects(answer, { code: /PERMITTED_VIOLATION|EXCLUDED_VIOLATION|INVALID_CA|UNSPECIFIED/ }, name)
    }
  })

  it('revokes', async () => {
    const other = await leaf({ issuer: root })
    const revoked = await leaf({ issuer: root })
    const list = await crl({ issuer: root, revoked: [revoked] })
    assert.equal(new x509.X509Crl(list).entries.length, 1)
    assert.match(list, /^-----BEGIN X509 CRL-----\n/)
    const good = await start(httpsServer({ cert: other }))
    const bad = await start(httpsServer({ cert: revoked }))
    assert.equal((await get(good.url, { crl: list })).status, 200)
    assert.equal((await get(bad.url, { crl: await crl({ issuer: root }) })).status, 200)
    await assert.rejects(get(bad.url, { crl: list }), { code: 'CERT_REVOKED' })
  })

  it('writes PFX files', async () => {
    for (const passphrase of ['a passphrase', 'grüße', 'x'.repeat(80)]) {
      const file = pfx({ cert: server, chain: [intermediate], passphrase })
      const identity = { key: undefined, cert: undefined, pfx: file, passphrase }
      const { url } = await start(httpsServer({ cert: server, tls: identity }))
      assert.equal((await get(url)).status, 200)
      assert.throws(() => tls.createSecureContext({ pfx: file, passphrase: 'wrong' }), /mac verify failure/)
    }
  })
})

describe('httpsServer', LIMIT, () => {
  it('sends the chain as given: duplicates, strangers and order', async () => {
    const stranger = await ca({ name: 'Stranger' })
    const chain = [stranger, intermediate, intermediate, root, stranger]
    const { port } = await start(httpsServer({ cert: server, chain, maxVersion: 'TLSv1.2' }))
    const proxy = await start(tcpProxy({ port }, { record: true }))
    assert.equal((await get(`https://localhost:${proxy.port}`)).status, 200)
    const sent = certificateMessage(Buffer.concat(proxy.recorded.down))
    assert.deepEqual(
      sent,
      [server, ...chain].map(({ der }) => der)
    )
  })

  it('chooses certificates by server name', async () => {
    const a = await leaf({ issuer: root, names: ['a.example'] })
    const b = await leaf({ issuer: intermediate, names: ['b.example'] })
    const { url, requests } = await start(
      httpsServer({
        cert: server,
        chain: [intermediate],
        sni: { 'a.example': a, 'b.example': { ...b, chain: [intermediate] } }
      })
    )
    for (const servername of ['a.example', 'b.example']) assert.equal((await get(url, { servername })).status, 200)
    assert.equal((await get(url)).status, 200)
    assert.deepEqual(
      requests.map(({ servername }) => servername),
      ['a.example', 'b.example', 'localhost']
    )
  })

  it('asks for client certificates', async () => {
    const clients = await ca({ name: 'Clients' })
    const client = await leaf({ issuer: clients, names: ['client'], clientAuth: true })
    const strict = await start(httpsServer({ cert: server, chain: [intermediate], ca: [clients] }))
    assert.equal((await get(strict.url, { key: client.key, cert: client.pem })).status, 200)
    assert.equal(strict.requests[0]?.clientCert, client.fingerprint256)
    await assert.rejects(get(strict.url))
    await strict.settled()
    assert.equal(strict.requests.length, 1)
  })

  for (const version of /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])) {
    for (const http2 of [false, true]) {
      it(`counts what a client sends, ${version}, http2: ${http2}`, async () => {
        const counting = await start(
          httpsServer({ cert: server, chain: [intermediate], minVersion: version, maxVersion: version, http2 })
        )
        const checkServerIdentity = () => new Error('refused by the client')
        await assert.rejects(get(counting.url, { checkServerIdentity }), /refused by the client/)
        await counting.settled()
        assert.equal(counting.connections, 1)
        assert.equal(counting.appBytes, 0)
        assert.equal(counting.requests.length, 0)

        await get(counting.url, { method: 'POST', body: 'x'.repeat(100_000), headers: { 'Content-Length': 100_000 } })
        await counting.settled()
        const { port } = counting
        const head = `POST / HTTP/1.1\r\nContent-Length: 100000\r\nHost: localhost:${port}\r\nConnection: close\r\n\r\n`
        assert.equal(counting.appBytes, head.length + 100_000)
        assert.equal(counting.requests.length, 1)
        assert.equal((await counting.stats()).appBytes, counting.appBytes)
      })
    }

    it(`counts resumed sessions, ${version}`, async () => {
      const counting = await start(
        httpsServer({ cert: server, chain: [intermediate], minVersion: version, maxVersion: version })
      )
      const agent = new https.Agent({ maxCachedSessions: 10 })
      for (let i = 0; i < 2; i++) {
        await get(counting.url, { agent })
        await counting.settled()
      }
      assert.deepEqual([counting.handshakes, counting.resumed], [2, 1])
      assert.deepEqual(
        counting.requests.map(({ resumed }) => resumed),
        [false, true]
      )
    })
  }

  it('speaks HTTP/2 and counts it', async () => {
    const handler = { status: 201, headers: { 'x-test': 'yes' }, body: 'two' }
    const counting = await start(httpsServer({ cert: server, chain: [intermediate], http2: true, handler }))
    const session = http2.connect(counting.url, { ca: root.pem })
    const stream = session.request({ ':path': '/two' })
    const [headers] = await once(stream, 'response')
    assert.deepEqual([headers[':status'], headers['x-test']], [201, 'yes'])
    stream.resume()
    await once(stream, 'end')
    session.close()
    await counting.settled()
    assert.ok(counting.appBytes > 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'.length)
    const [{ httpVersion, alpn, url }] = /** @type {any} */ (counting.requests)
    assert.deepEqual({ httpVersion, alpn, url }, { httpVersion: '2.0', alpn: 'h2', url: '/two' })
  })

  it('notes why a handshake failed', async () => {
    const stranger = await ca({ name: 'Stranger' })
    const failing = await start(httpsServer({ cert: server, chain: [intermediate], maxVersion: 'TLSv1.2' }))
    await assert.rejects(get(failing.url, { ca: stranger.pem, minVersion: 'TLSv1.3' }), /alert protocol version/)
    await failing.settled()
    assert.deepEqual([failing.handshakes, failing.tlsErrors], [0, ['ERR_SSL_UNSUPPORTED_PROTOCOL']])
  })

  it('runs isolated, and answers while this thread is blocked', async () => {
    const isolated = await start(
      httpsServer({ cert: server, chain: [intermediate], isolated: true, handler: { body: 'from afar' } })
    )
    const client = `
      require('node:https').get(process.argv[1], { ca: process.argv[2], agent: false }, (response) => {
        response.pipe(process.stdout)
      })`
    const { stdout } = spawnSync(process.execPath, ['-e', client, isolated.url, root.pem], { encoding: 'utf8' })
    assert.equal(stdout, 'from afar')
    await isolated.settled()
    const { requests, handshakes, appBytes } = await isolated.stats()
    assert.deepEqual([requests.length, handshakes, appBytes > 0], [1, 1, true])
    await assert.rejects(httpsServer({ cert: server, isolated: true, handler: () => {} }), TypeError)
  })
})

describe('faults', LIMIT, () => {
  /** @param {number} port */
  const connect = port => tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca: root.pem })
  const identity = () => ({ cert: server, chain: [intermediate] })

  for (const stage of BEFORE_TLS) {
    it(`closes at ${stage}`, async () => {
      const closing = await start(closeAtServer(stage, identity()))
      await assert.rejects(get(`https://localhost:${closing.port}`), {
        code: 'ECONNRESET',
        message: /before secure TLS/
      })
    })
  }

  for (const stage of UNDER_TLS) {
    it(`closes at ${stage}`, async () => {
      const closing = await start(closeAtServer(stage, identity()))
      await assert.rejects(get(`https://localhost:${closing.port}`), { code: 'ECONNRESET', message: /hang up|aborted/ })
    })
  }

  it('stalls at each stage', async () => {
    for (const stage of [...BEFORE_TLS, ...UNDER_TLS]) {
      const stalling = await start(stallingServer(stage, identity()))
      const socket = connect(stalling.port)
      socket.on('error', () => {}).resume()
      const closed = new Promise(resolve => socket.once('close', resolve))
      const secure = once(socket, 'secureConnect').then(
        () => true,
        () => false
      )
      if (UNDER_TLS.some(one => one === stage)) {
        assert.equal(await secure, true)
        socket.write('GET / HTTP/1.1\r\n\r\n')
        if (stage === 'headers' || stage === 'body') await once(socket, 'data')
      } else {
        await once(socket, 'connect')
      }
      assert.equal(socket.closed, false, stage)
      await stalling.close()
      await closed
    }
  })

  it('counts bytes that a stalling server never asked for', { timeout: 10_000 }, async ({ signal }) => {
    const stalling = await start(stallingServer('handshake', identity()))
    const socket = connect(stalling.port)
    await once(socket, 'secureConnect')
    socket.end('twelve bytes')
    socket.resume()
    const counting = /** @type {import('./tracked').TlsTestServer} */ (stalling)
    while (counting.appBytes < 12 && !signal.aborted) await new Promise(resolve => setImmediate(resolve))
    assert.equal(counting.appBytes, 12)
    await stalling.close()
  })

  it('needs a certificate from the ServerHello on', async () => {
    await assert.rejects(closeAtServer('serverHello'), TypeError)
    await assert.rejects(stallingServer('body'), TypeError)
    await assert.rejects(closeAtServer(/** @type {any} */ ('nowhere'), identity()), TypeError)
  })

  for (const name of /** @type {const} */ (['handshakeFailure', 'unrecognizedName', 'protocolVersion'])) {
    it(`alerts ${name}`, async () => {
      const { port } = await start(alertServer(ALERT[name]))
      await assert.rejects(get(`https://localhost:${port}`), new RegExp(`SSL alert number ${ALERT[name]}\\b`))
    })
  }

  it('serves garbage', async () => {
    const garbage = await start(rawServer(socket => void socket.end('SSH-2.0-OpenSSH_9.2\r\n')))
    await assert.rejects(get(`https://localhost:${garbage.port}`), /wrong version number|packet length too long/)
    assert.equal(garbage.connections, 1)
  })

  it('serves HTTP that no library would', async () => {
    const broken = await start(
      tlsServer(socket => void socket.end('HTTP/1.1 200 OK\r\nBad Header\r\n\r\n'), identity())
    )
    await assert.rejects(get(broken.url), { code: /^HPE_/ })
    const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'
    const fine = await start(tlsServer(socket => void socket.once('data', () => socket.end(chunked)), identity()))
    assert.deepEqual(await get(fine.url), { status: 200, body: 'ok' })
    await fine.settled()
    assert.ok(fine.appBytes > 0)
  })

  it('counts bytes on the wire and cuts connections', async () => {
    const target = await start(httpsServer(identity()))
    const proxy = await start(tcpProxy(target))
    const url = `https://localhost:${proxy.port}`
    assert.equal((await get(url)).status, 200)
    await proxy.settled()
    assert.ok(proxy.bytesUp > 0 && proxy.bytesDown > server.der.length)
    assert.deepEqual(proxy.recorded, { up: [], down: [] })

    for (const reset of [true, false]) {
      const socket = connect(proxy.port)
      socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
      await once(socket, 'data')
      const ended = once(socket.resume(), 'end').then(
        () => 'end',
        error => error.code
      )
      proxy.cut({ reset })
      assert.equal(await ended, reset ? 'ECONNRESET' : 'end')
    }
    assert.equal((await get(url)).status, 200, 'accepts after a cut')
  })
})

describe('close', LIMIT, () => {
  it('refuses new connections, ends old ones, and may be called twice', async () => {
    const closing = await httpsServer({ cert: server, chain: [intermediate], http2: true })
    const session = http2.connect(closing.url, { ca: root.pem })
    await once(session, 'connect')
    const ended = once(session, 'close')
    await closing.close()
    await closing.close()
    await ended
    const socket = net.connect(closing.port, '127.0.0.1')
    await assert.rejects(once(socket, 'connect'), { code: 'ECONNREFUSED' })
  })

  it('leaves nothing that keeps a process alive', () => {
    const program = `
      const { ca, leaf } = require(${JSON.stringify(require.resolve('./pki'))})
      const kit = require(${JSON.stringify(require.resolve('./servers'))})
      const tls = require('node:tls')
      const { once } = require('node:events')
      ;(async () => {
        const cert = await leaf({ selfSigned: true })
        const servers = [
          await kit.httpsServer({ cert }),
          await kit.httpsServer({ cert, http2: true }),
          await kit.httpsServer({ cert, isolated: true }),
          await kit.tlsServer(() => {}, { cert }),
          await kit.stallingServer('handshake', { cert }),
          await kit.stallingServer('serverHello', { cert }),
          await kit.rawServer(() => {}),
        ]
        servers.push(await kit.tcpProxy(servers[0]))
        for (const { port } of servers) {
          const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false }).on('error', () => {})
          await once(socket, 'connect')
        }
        for (const server of servers) await server.close()
        console.log('closed')
      })()`
    const { stdout, stderr, status, signal } = spawnSync(process.execPath, ['-e', program], {
      encoding: 'utf8',
      timeout: 30_000
    })
    assert.deepEqual({ stdout, stderr, status, signal }, { stdout: 'closed\n', stderr: '', status: 0, signal: null })
  })
})

/**
 * The certificates in a server's first flight. Up to TLS 1.2 the Certificate message (RFC 5246, 7.4.2) is in the clear.
 *
 * @param {Buffer} flight
 */
function certificateMessage(flight) {
  let handshake = Buffer.alloc(0)
  for (let at = 0; at < flight.length && flight[at] === 22; at += 5 + flight.readUInt16BE(at + 3)) {
    handshake = Buffer.concat([handshake, flight.subarray(at + 5, at + 5 + flight.readUInt16BE(at + 3))])
  }
  let at = 0
  while (handshake[at] !== 11) at += 4 + handshake.readUIntBE(at + 1, 3)
  const list = handshake.subarray(at + 7, at + 4 + handshake.readUIntBE(at + 1, 3))
  const certificates = []
  for (let next = 0; next < list.length; next += 3 + list.readUIntBE(next, 3)) {
    certificates.push(list.subarray(next + 3, next + 3 + list.readUIntBE(next, 3)))
  }
  return certificates
}

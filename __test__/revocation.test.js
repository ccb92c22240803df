'use strict'
// The promise: revocation lists are replaced as policies are: what they no longer allow gets not one byte more, on whatever
// connection; lists that cannot be used change nothing and are told; and an error says which certificate it is about.

const assert = require('node:assert/strict')
const { subscribe, unsubscribe } = require('node:diagnostics_channel')
const { once, EventEmitter } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { before, describe, test } = require('node:test')
const { PinnedClient, verifyChain } = require('..')
const { inProcess } = require('./helpers/node-tls')
const { ca, crl, daysFromNow, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')
const { pipe } = require('./helpers/sources')

const BOUNDED = { timeout: 20_000 }
const REVOKED = { code: 'CERT_REVOKED' }
const IS_WINDOWS = process.platform === 'win32'
const POST = { method: 'POST', body: 'secret' }

/** @typedef {import('./helpers/pki').Certificate} Certificate */
/** @type {Certificate} */ let root
/** @type {Certificate} */ let issuer
/** @type {Certificate} */ let good
/** Lists in PEM: of the root, of the issuer with nothing in it, of the issuer with the server in it. @type {string} */
let ofRoot
/** @type {string} */ let clean
/** @type {string} */ let revoking

before(async () => {
  root = await ca({ name: 'Root' })
  issuer = await ca({ name: 'Issuer', issuer: root })
  good = await leaf({ issuer })
  ofRoot = await crl({ issuer: root })
  clean = await crl({ issuer })
  revoking = await crl({ issuer, revoked: [good], number: 2 })
})

/** @param {any} t @param {any} [options] @param {any} [serverOptions] */
async function setUp(t, options, serverOptions) {
  const server = await httpsServer({ cert: good, chain: [issuer], ...serverOptions })
  t.after(() => server.close())
  const client = new PinnedClient({
    pins: good.pin,
    ca: root.pem,
    crl: [ofRoot, clean],
    keepAliveTimeout: 0,
    ...options
  })
  t.after(() => client.destroy())
  const ask = async () => {
    const response = await client.request(server.url)
    assert.equal(response.status, 200)
    return response.text()
  }
  return { server, client, ask }
}

for (const http2 of [false, true]) {
  describe(`replaceCrl, ${http2 ? 'HTTP/2' : 'HTTP/1.1'}`, BOUNDED, () => {
    test(
      'the very next request on a pooled connection is refused, and nobody is connected to anew',
      BOUNDED,
      async t => {
        const { server, client, ask } = await setUp(t, {}, { http2 })
        await ask()
        await ask()
        const { appBytes } = server
        client.replaceCrl([ofRoot, revoking])
        await assert.rejects(client.request(server.url, POST), REVOKED)
        await server.settled()
        assert.deepEqual([server.appBytes, server.requests.length, server.resumed], [appBytes, 2, 0])
      }
    )

    test('idle connections are closed, with nobody asking for them', BOUNDED, async t => {
      const { server, client, ask } = await setUp(t, {}, { http2 })
      await ask()
      assert.ok(server.open.length > 0)
      client.replaceCrl([ofRoot, revoking])
      await server.settled()
    })

    test('an upload is cut: of what follows, the server gets nothing', BOUNDED, async t => {
      const piece = Buffer.alloc(1000, 'x')
      const arrived = new EventEmitter()
      let received = 0
      const handler = (/** @type {any} */ request, /** @type {any} */ response) => {
        if (request.method === 'GET') return response.end()
        request.on('error', () => {})
        request.on('data', (/** @type {Buffer} */ chunk) => {
          received += chunk.length
          if (received === piece.length) arrived.emit('first')
        })
      }
      const { server, client, ask } = await setUp(t, {}, { http2, handler })
      await ask()
      await ask()
      const first = once(arrived, 'first')
      let appBytes = 0
      async function* source() {
        yield piece
        await first
        appBytes = server.appBytes
        client.replaceCrl([ofRoot, revoking])
        for (let left = 100; left > 0; left--) yield piece
      }
      await assert.rejects(client.request(server.url, { method: 'POST', body: source() }), REVOKED)
      await server.settled()
      assert.deepEqual([received, server.appBytes], [piece.length, appBytes])
    })

    test('a server that the new lists allow goes on, on the same connection', BOUNDED, async t => {
      const { server, client, ask } = await setUp(t, {}, { http2 })
      await ask()
      client.replaceCrl([ofRoot, await crl({ issuer, revoked: [root], number: 3 })])
      await ask()
      assert.equal(server.connections, 1)
    })

    test('what cannot be used is refused, and nothing changes', BOUNDED, async t => {
      const { server, client, ask } = await setUp(t, {}, { http2 })
      await ask()
      for (const bad of ['x', [], [ofRoot, 'x'], root.pem, Buffer.from([0x30, 1]), undefined, 7, [revoking, null]]) {
        assert.throws(
          () => client.replaceCrl(/** @type {any} */ (bad)),
          /** @type {any} */ (({ code }) => ['ERR_INVALID_ARG_VALUE', 'ERR_INVALID_ARG_TYPE'].includes(code))
        )
      }
      await ask()
      assert.equal(server.connections, 1)
    })
  })
}

describe('replaceCrl', BOUNDED, () => {
  for (const version of /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])) {
    test(`no session from before is resumed, ${version}`, BOUNDED, async t => {
      const handler = (/** @type {any} */ _, /** @type {any} */ response) => {
        response.setHeader('connection', 'close').end('ok')
      }
      const { server, client, ask } = await setUp(t, { allowH2: false }, { handler, maxVersion: version })
      for (let request = 0; request < 2; request++) {
        await ask()
        await server.settled()
      }
      assert.equal(server.resumed, 1)
      const { appBytes } = server
      client.replaceCrl([ofRoot, revoking])
      await assert.rejects(client.request(server.url, POST), REVOKED)
      await server.settled()
      assert.deepEqual([server.resumed, server.appBytes], [1, appBytes])
      client.replaceCrl([ofRoot, clean])
      await ask()
      assert.equal(server.resumed, 1)
    })
  }

  test('a client that had none has them from then on, and every certificate needs one', BOUNDED, async t => {
    const { server, client, ask } = await setUp(t, { crl: undefined })
    await ask()
    const { appBytes } = server
    client.replaceCrl(ofRoot)
    await assert.rejects(client.request(server.url, POST), { code: 'UNABLE_TO_GET_CRL' })
    await server.settled()
    assert.equal(server.appBytes, appBytes)
    client.replaceCrl([ofRoot, clean])
    await ask()
  })

  test('lists that have run out refuse', BOUNDED, async t => {
    const { server, client, ask } = await setUp(t)
    await ask()
    const { appBytes } = server
    const dates = { thisUpdate: daysFromNow(-2), nextUpdate: daysFromNow(-1) }
    client.replaceCrl([ofRoot, await crl({ issuer, ...dates })])
    await assert.rejects(client.request(server.url, POST), { code: 'CRL_HAS_EXPIRED' })
    await server.settled()
    assert.equal(server.appBytes, appBytes)
  })

  test('is of no use where the pins are the only trust', t => {
    const client = new PinnedClient({ pins: good.pin, trust: 'pin-only' })
    t.after(() => client.destroy())
    assert.throws(() => client.replaceCrl(ofRoot), { code: 'ERR_TLS_PIN_UNSAFE' })
  })

  test('of a client that is closed does nothing', async () => {
    const client = new PinnedClient({ pins: good.pin, ca: root.pem })
    await client.close()
    client.replaceCrl(ofRoot)
    assert.throws(() => client.replaceCrl('x'), { code: 'ERR_INVALID_ARG_VALUE' })
  })
})

describe('lists in files', BOUNDED, () => {
  /** @param {any} t */
  function folder(t) {
    const made = fs.mkdtempSync(path.join(os.tmpdir(), 'crl-'))
    t.after(() => fs.rmSync(made, { recursive: true }))
    fs.writeFileSync(path.join(made, 'root.pem'), ofRoot)
    return made
  }

  /** Ways in which a file comes to have another content. @type {[string, (file: string, text: string) => void][]} */
  const CHANGES = [
    ['written to', (file, text) => fs.writeFileSync(file, text)],
    [
      'replaced by another',
      (file, text) => {
        fs.writeFileSync(`${file}.new`, text)
        fs.renameSync(`${file}.new`, file)
      }
    ],
    [
      'gone and there again',
      (file, text) => {
        fs.unlinkSync(file)
        fs.writeFileSync(file, text)
      }
    ]
  ]
  for (const [how, change] of CHANGES) {
    test(`one that is ${how}: the server that it revokes gets nothing more`, BOUNDED, async t => {
      const made = folder(t)
      const file = path.join(made, 'issuer.pem')
      fs.writeFileSync(file, clean)
      const files = [path.join(made, 'root.pem'), file]
      const { server, client, ask } = await setUp(t, { crl: { files, interval: 10 } })
      await ask()
      const { appBytes } = server
      change(file, revoking)
      // Closed by nobody but the client that has read the list.
      await server.settled()
      await assert.rejects(client.request(server.url, POST), REVOKED)
      await server.settled()
      assert.equal(server.appBytes, appBytes)
    })
  }

  test('behind a link to a folder that is swapped, as Kubernetes does it', BOUNDED, async t => {
    const made = folder(t)
    for (const [name, text] of Object.entries({ one: clean, two: revoking })) {
      fs.mkdirSync(path.join(made, name))
      fs.writeFileSync(path.join(made, name, 'crl.pem'), ofRoot + text)
    }
    fs.symlinkSync('one', path.join(made, '..data'))
    fs.symlinkSync('..data/crl.pem', path.join(made, 'crl.pem'))
    const { server, client, ask } = await setUp(t, { crl: { files: path.join(made, 'crl.pem'), interval: 10 } })
    await ask()
    const { appBytes } = server
    fs.symlinkSync('two', path.join(made, '..new'))
    fs.renameSync(path.join(made, '..new'), path.join(made, '..data'))
    await server.settled()
    await assert.rejects(client.request(server.url, POST), REVOKED)
    await server.settled()
    assert.equal(server.appBytes, appBytes)
  })

  test('broken ones are told once each, change nothing, and may be mended', BOUNDED, async t => {
    const made = folder(t)
    const file = path.join(made, 'crl.pem')
    fs.writeFileSync(file, ofRoot + clean)
    const told = new EventEmitter()
    /** @type {any[]} */
    const messages = []
    const listener = (/** @type {any} */ message) => {
      messages.push(message)
      told.emit('message')
    }
    subscribe('tls-pinning:load-error', listener)
    t.after(() => unsubscribe('tls-pinning:load-error', listener))
    const { server, ask } = await setUp(t, { crl: { files: file, interval: 10 } })
    await ask()

    for (const [broken, code] of /** @type {[string | null, string][]} */ ([
      ['', 'ERR_INVALID_ARG_VALUE'],
      [(ofRoot + revoking).slice(0, -100), 'ERR_INVALID_ARG_VALUE'],
      [null, 'ENOENT']
    ])) {
      const heard = once(told, 'message')
      if (broken === null) fs.unlinkSync(file)
      else fs.writeFileSync(file, broken)
      await heard
      const { source, error } = messages.at(-1)
      assert.equal(source, file)
      assert.equal(error.code, code)
      await ask()
    }
    assert.equal(server.connections, 1)
    // For some more looks, which find the same.
    await new Promise(resolve => setTimeout(resolve, 100))
    assert.equal(messages.length, 3)
    fs.writeFileSync(`${file}.new`, ofRoot + revoking)
    fs.renameSync(`${file}.new`, file)
    await server.settled()
    assert.equal(messages.length, 3)
  })

  test('a pipe is not waited for, and a file without end not read', { ...BOUNDED, skip: IS_WINDOWS }, async t => {
    const made = folder(t)
    const file = path.join(made, 'crl.pem')
    const large = path.join(made, 'large.pem')
    fs.writeFileSync(large, '')
    fs.truncateSync(large, 64 * 1024 * 1024 + 1)
    for (const [files, message] of /** @type {[string, RegExp][]} */ ([
      ['/dev/null', /null is not a regular file$/],
      [large, /large\.pem is larger than 67108864 bytes$/]
    ])) {
      const options = { pins: good.pin, ca: root.pem, crl: { files } }
      assert.throws(() => new PinnedClient(options), { code: 'ERR_INVALID_ARG_VALUE', message })
    }

    fs.writeFileSync(file, ofRoot + clean)
    const { server, client, ask } = await setUp(t, { crl: { files: file, interval: 10 } })
    await ask()
    const { appBytes } = server
    for (const other of [pipe(t), large]) {
      const told = new Promise(resolve => {
        subscribe('tls-pinning:load-error', resolve)
        t.after(() => unsubscribe('tls-pinning:load-error', resolve))
      })
      fs.symlinkSync(other, `${file}.new`)
      fs.renameSync(`${file}.new`, file)
      assert.equal((await told).error.code, 'ERR_INVALID_ARG_VALUE')
    }
    fs.writeFileSync(`${file}.new`, ofRoot + revoking)
    fs.renameSync(`${file}.new`, file)
    await server.settled()
    await assert.rejects(client.request(server.url, POST), REVOKED)
    await server.settled()
    assert.equal(server.appBytes, appBytes)
  })

  test('broken ones are a warning of the process where nobody listens', BOUNDED, async t => {
    const made = folder(t)
    const file = path.join(made, 'crl.pem')
    fs.writeFileSync(file, ofRoot)
    const program = `
      const fs = require('node:fs')
      const { PinnedClient } = require(ROOT)
      const client = new PinnedClient({ pins: DATA.pin, ca: DATA.ca, crl: { files: DATA.file, interval: 10 } })
      fs.writeFileSync(DATA.file, 'x')
      const alive = setInterval(() => {}, 1000)
      process.on('warning', warning => { tell([warning.name, warning.code]); clearInterval(alive); client.close() })`
    const { told, stderr, status } = await inProcess(program, { file, pin: good.pin, ca: root.pem })
    assert.deepEqual([told, status], [[['TlsPinningWarning', 'TLS_PINNING']], 0], stderr)
    assert.match(stderr, /crl\.pem cannot be used, those read before stay/)
  })

  test('no process is kept alive', BOUNDED, async t => {
    const made = folder(t)
    const program = `
      const { PinnedClient } = require(ROOT)
      globalThis.client = new PinnedClient({ pins: DATA.pin, ca: DATA.ca, crl: { files: DATA.file } })`
    const { status, stderr } = await inProcess(program, {
      file: path.join(made, 'root.pem'),
      pin: good.pin,
      ca: root.pem
    })
    assert.deepEqual([status, stderr], [0, ''])
  })

  test('by fetch and pinnedRequest, which knows its client again', BOUNDED, async t => {
    const made = folder(t)
    const file = path.join(made, 'crl.pem')
    fs.writeFileSync(file, ofRoot + clean)
    const { server } = await setUp(t)
    // In a process of its own: the client behind pinnedRequest is there to its end.
    const program = `
      const { createPinnedFetch, pinnedRequest } = require(ROOT)
      const { url, pins, ca, file } = DATA
      const ask = async () => {
        for (const crl of [{ files: file, interval: 10 }, { interval: 10, files: file }]) {
          const response = await pinnedRequest(url, { pins, ca, crl })
          tell(await response.text())
        }
        const response = await createPinnedFetch({ pins, ca, crl: { files: [file] } })(url)
        tell(await response.text())
      }
      ask()`
    const { told, stderr } = await inProcess(program, { url: server.url, pins: good.pin, ca: root.pem, file })
    assert.deepEqual(told, ['ok', 'ok', 'ok'], stderr)
    assert.equal(server.connections, 2)
  })

  /** @type {[string, any, RegExp | string][]} */
  const WRONG = [
    ['no files', {}, /crl\.files/],
    ['an empty list', { files: [] }, /crl\.files/],
    ['no path', { files: [7] }, /crl\.files/],
    ['an unknown option', { files: 'x', watch: true }, /crl\.watch/],
    ['no interval', { files: 'x', interval: 0 }, /crl\.interval/],
    ['half a millisecond', { files: 'x', interval: 0.5 }, /crl\.interval/],
    ['a file that is not there', { files: '/nowhere/crl.pem' }, 'ENOENT'],
    ['a file that is no list', { files: __filename }, /crl\[0\]/]
  ]
  for (const [name, given, wanted] of WRONG) {
    test(`a client is not made with ${name}`, () => {
      const make = () => new PinnedClient({ pins: good.pin, ca: root.pem, crl: given })
      assert.throws(make, typeof wanted === 'string' ? { code: wanted } : wanted)
    })
  }

  test('a client is not made with files where they could not count', () => {
    const files = { files: __filename }
    assert.throws(() => new PinnedClient({ pins: good.pin, trust: 'pin-only', crl: files }), {
      code: 'ERR_TLS_PIN_UNSAFE'
    })
    const proxy = /** @type {any} */ ({ url: 'https://localhost', pins: good.pin, ca: root.pem })
    const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'crl-')), 'crl.pem')
    fs.writeFileSync(file, ofRoot)
    assert.throws(() => new PinnedClient({ pins: good.pin, proxy: { ...proxy, crl: { files: file } } }), /proxy\.crl/)
    fs.rmSync(path.dirname(file), { recursive: true })
  })
})

describe('which certificate it was', () => {
  const hostname = 'localhost'

  /** @param {any} options @returns {any} */
  function refusal(options) {
    try {
      verifyChain({ hostname, ca: root.pem, ...options })
    } catch (error) {
      return error
    }
    return assert.fail('accepted')
  }

  test('the server’s own, revoked and pinned: the pin has to go', () => {
    const error = refusal({ chain: [good.pem, issuer.pem], pins: good.pin, crl: [ofRoot, revoking] })
    assert.deepEqual([error.code, error.certificate.spkiPin, error.pinned], ['CERT_REVOKED', good.pin, good.pin])
    assert.equal(error.certificate.fingerprint256, good.fingerprint256)
    assert.match(
      error.message,
      /^localhost:443: the server's own certificate, CN=localhost \(sha256\/.{44}\), has been revoked/
    )
    assert.match(error.message, /\(keyCompromise\); sha256\/.{44} is pinned, .* take that pin out of the policy$/)
  })

  test('an issuer, revoked, while the server’s own key is pinned', async () => {
    const lists = [await crl({ issuer: root, revoked: [issuer] }), clean]
    const error = refusal({ chain: [good.pem, issuer.pem], pins: good.pin, crl: lists })
    assert.deepEqual([error.code, error.certificate.spkiPin, error.pinned], ['CERT_REVOKED', issuer.pin, null])
    assert.match(error.message, /an issuer on the path, CN=Issuer .* has been revoked/)
    assert.match(error.message, /CN=localhost, presented with it, matches .*: with a valid path .* the pins stay/)
  })

  const past = { notBefore: daysFromNow(-20), notAfter: daysFromNow(-1) }

  test('the server’s own, expired, by its key: the pins stay', async () => {
    const old = await leaf({ issuer, ...past })
    const error = refusal({ chain: [old.pem, issuer.pem], pins: old.pin })
    assert.deepEqual([error.code, error.certificate.spkiPin, error.pinned], ['CERT_HAS_EXPIRED', old.pin, old.pin])
    const end = past.notAfter.toISOString().replace('.000', '')
    assert.ok(error.message.includes(`has expired at ${end}; ${old.pin} is pinned: renewed with the same key`))
    // And so it is.
    const renewed = await leaf({ issuer, keyPair: old.keyPair })
    const renewal = verifyChain({ hostname, ca: root.pem, chain: [renewed.pem, issuer.pem], pins: old.pin })
    assert.equal(renewal.matched, old.pin)
  })

  test('the server’s own, expired, pinned as it is: another pin is needed', async () => {
    const old = await leaf({ issuer, ...past })
    const error = refusal({ chain: [old.pem, issuer.pem], pins: old.certPin })
    assert.equal(error.pinned, old.certPin)
    assert.match(error.message, /is pinned, which is this very certificate: .* needs a pin of its own$/)
  })

  test('an intermediate, expired, pinned and not pinned', async () => {
    const old = await ca({ name: 'Old Issuer', issuer: root, ...past })
    const below = await leaf({ issuer: old })
    const chain = [below.pem, old.pem]
    const pinned = refusal({ chain, pins: old.pin })
    assert.deepEqual([pinned.certificate.subject, pinned.pinned], ['CN=Old Issuer', old.pin])
    assert.match(pinned.message, /an issuer on the path, CN=Old Issuer/)
    const other = refusal({ chain, pins: below.pin })
    assert.equal(other.pinned, null)
    assert.match(other.message, /CN=localhost, presented with it, matches/)
    // A pin for the leaf alone is not the issuer's.
    assert.equal(refusal({ chain, pins: { localhost: { leaf: old.pin } } }).pinned, null)
    const neither = refusal({ chain, pins: root.certPin.replace(/.$/, d => (d === '0' ? '1' : '0')) })
    assert.equal(neither.pinned, null)
    assert.doesNotMatch(neither.message, /pin(s|ned)? /)
  })

  test('a root of the trust store, which the server does not send', async () => {
    const old = await ca({ name: 'Old Root', ...past })
    const below = await leaf({ issuer: old })
    const error = refusal({ chain: below.pem, ca: [root.pem, old.pem], pins: old.pin })
    assert.deepEqual(
      [error.code, error.certificate.subject, error.pinned],
      ['CERT_HAS_EXPIRED', 'CN=Old Root', old.pin]
    )
  })

  test('where the pins are the only trust', async () => {
    const old = await leaf({ selfSigned: true, ...past })
    const error = refusal({ chain: old.pem, pins: old.pin, trust: 'pin-only', ca: undefined })
    assert.deepEqual([error.code, error.pinned], ['CERT_HAS_EXPIRED', old.pin])
  })

  test('a bystander with the pinned key is named as one in a mismatch', async () => {
    const impostor = await leaf({ issuer: root })
    const error = refusal({ chain: [impostor.pem, good.pem, issuer.pem], pins: issuer.pin })
    assert.equal(error.code, 'ERR_TLS_PIN_MISMATCH')
    const beside = /Pinned and presented, but not on a verified path, so that they prove nothing:\n {4}(\S+) {2}(.*)\n/
    assert.deepEqual(beside.exec(error.message)?.slice(1), [issuer.pin, 'CN=Issuer'])
    // Nothing of it where nothing pinned was presented.
    assert.doesNotMatch(refusal({ chain: [impostor.pem, issuer.pem], pins: good.pin }).message, /prove nothing/)
  })

  test('text of a certificate cannot forge a line', async () => {
    const old = await leaf({ issuer, subject: 'CN="a\nb: fine"', ...past })
    assert.doesNotMatch(refusal({ chain: [old.pem, issuer.pem], pins: old.pin }).message, /\n/)
  })
})

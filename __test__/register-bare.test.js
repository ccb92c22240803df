'use strict'
// The promise: a TLS client that is made by `new tls.TLSSocket(…)` instead of `tls.connect`, as the package mysql does,
// satisfies the policy of its process too, and what is written to it before waits.

const assert = require('node:assert/strict')
const { before, describe, test } = require('node:test')
const { BOUNDED, VERSIONS, WRONG, answer, pinned } = require('./fixtures/register-run')
const { nodeIsAtLeast } = require('./helpers/node-tls')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const MISMATCH = 'ERR_TLS_PIN_MISMATCH'

/** @type {Certificate} */ let root
/** @type {Certificate} */ let issuer
/** @type {Certificate} */ let good
/** @type {Certificate} */ let rogueRoot
/** @type {Certificate} */ let impostor
/** @type {Certificate} */ let stranger
/** @type {Certificate} */ let device

before(async () => {
  root = await ca({ name: 'Root' })
  issuer = await ca({ name: 'Issuer', issuer: root })
  good = await leaf({ issuer })
  rogueRoot = await ca({ name: 'Rogue Root' })
  impostor = await leaf({ issuer: rogueRoot })
  stranger = await leaf({ issuer, names: ['stranger.example'] })
  device = await leaf({ selfSigned: true })
})

/**
 * As mysql 2.18 makes it. `start` runs before the handshake, `secure` when it is done; the outcome is a status or a code.
 */
const PROGRAM = `
  const { once } = require('node:events')
  function bare(socket, options = {}) {
    const secureContext = tls.createSecureContext({ ca })
    return new tls.TLSSocket(socket, { isServer: false, requestCert: true, rejectUnauthorized: true, secureContext, ...options })
  }
  /** Writes when it is secure, or at once; listens for 'error', or only for '_tlsError'. */
  function talk(secure, { atOnce = false, listen = true, verify = true } = {}) {
    return new Promise((resolve, reject) => {
      const write = () => { secure.write('POST / HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 300000\\r\\n\\r\\n'); secure.write(kit.body) }
      secure.on('_tlsError', reject)
      if (listen) secure.on('error', reject)
      secure.on('close', () => reject(Object.assign(new Error('closed'), { code: 'CLOSED' })))
      secure.on('secure', () => {
        const error = verify ? secure.ssl.verifyError() : null
        if (error) reject(error), secure.destroy()
        else if (!atOnce) write()
      })
      secure.once('data', data => { resolve(Number(String(data).split(' ')[1])); secure.destroy() })
      if (atOnce) write()
      secure._start()
    })
  }
  const run = kit.outcome
  function Old(socket, options) { tls.TLSSocket.call(this, socket, options) }
  require('node:util').inherits(Old, tls.TLSSocket)
`

/** @type {{ name: string, run: string, right?: number | string, wrong?: number | string }[]} */
const WAYS = [
  { name: 'as mysql makes it', run: "talk(bare(await kit.connected(port, 'localhost')))" },
  {
    name: 'only listened to for _tlsError',
    run: "talk(bare(await kit.connected(port, 'localhost')), { listen: false })"
  },
  { name: 'written to at once', run: "talk(bare(await kit.connected(port, 'localhost')), { atOnce: true })" },
  {
    name: 'written to at once, without verifyError',
    run: "talk(bare(await kit.connected(port, 'localhost')), { atOnce: true, verify: false })"
  },
  {
    name: 'rejectUnauthorized: false',
    run: "talk(bare(await kit.connected(port, 'localhost'), { rejectUnauthorized: false }), { atOnce: true, verify: false })",
    right: 'ERR_TLS_PIN_UNSAFE',
    wrong: 'ERR_TLS_PIN_UNSAFE'
  },
  {
    name: 'a class on top of it',
    run: "talk(new (class extends tls.TLSSocket {})(await kit.connected(port, 'localhost'), { isServer: false, requestCert: true, rejectUnauthorized: true, secureContext: tls.createSecureContext({ ca }) }), { atOnce: true })"
  },
  {
    name: 'from the view of an ECMAScript module',
    run: "import('node:tls').then(async ({ TLSSocket }) => talk(new TLSSocket(await kit.connected(port, 'localhost'), { isServer: false, requestCert: true, rejectUnauthorized: true, secureContext: tls.createSecureContext({ ca }) }), { atOnce: true }))"
  },
  {
    name: 'a socket still to be connected by its owner, to a name',
    run: "talk(bare(net.connect({ port, host: 'localhost', family: 4 })), { atOnce: true })"
  },
  {
    name: 'a socket whose connect() comes later',
    run: "((socket) => { const secure = bare(socket); socket.connect({ port, host: 'localhost', family: 4 }); return talk(secure, { atOnce: true }) })(new net.Socket())"
  },
  {
    name: 'its own connect()',
    run: "((secure) => { secure.connect({ port, host: 'localhost', family: 4 }); return talk(secure, { atOnce: true }) })(bare(undefined))"
  },
  {
    name: 'an address, and setServername()',
    run: "((secure) => { secure.setServername('localhost'); return talk(secure, { atOnce: true }) })(bare(await kit.connected(port, '127.0.0.1')))"
  },
  {
    name: 'inherited from in the old way',
    run: "talk(new Old(await kit.connected(port, 'localhost'), { isServer: false, requestCert: true, rejectUnauthorized: true, secureContext: tls.createSecureContext({ ca }) }), { atOnce: true })"
  }
]

for (const version of VERSIONS) {
  describe(`a bare client, ${version}`, () => {
    for (const { name, run, right = 200, wrong = MISMATCH } of WAYS) {
      test(name, BOUNDED, async t => {
        const program = `${PROGRAM}; run(async () => ${run}).then(tell)`
        const { server, ask } = await setUp(t, { version, program })
        for (const pins of [good.pin, issuer.pin, root.pin]) assert.equal(await ask(pins), right)
        await server.settled()
        if (right !== 200) assert.equal(server.appBytes, 0)
        const before = server.appBytes
        assert.equal(await ask(WRONG), wrong)
        await server.settled()
        assert.equal(server.appBytes, before)
      })
    }

    for (const { name, cert, chain = () => [issuer], pins = () => [good.pin, issuer.pin, root.pin], code } of [
      { name: 'a man in the middle', cert: () => impostor, chain: () => [good, issuer, root], code: MISMATCH },
      { name: 'another name', cert: () => stranger, code: 'ERR_TLS_CERT_ALTNAME_INVALID' },
      {
        name: 'a server that nobody vouches for, with the pinned key',
        cert: () => device,
        chain: () => [],
        pins: () => [device.pin],
        code: 'DEPTH_ZERO_SELF_SIGNED_CERT'
      }
    ]) {
      for (const options of ['{}', '{ atOnce: true, verify: false }']) {
        test(`${name}, ${options}`, BOUNDED, async t => {
          const program = `${PROGRAM}; run(async () => talk(bare(await kit.connected(port, 'localhost')), ${options})).then(tell)`
          const { server, ask } = await setUp(t, { version, program, cert: cert(), chain: chain() })
          assert.equal(await ask(/** @type {any} */ (pins())), code)
          await server.settled()
          assert.equal(server.appBytes, 0)
        })
      }
    }

    test('a session given or set by hand is not resumed', BOUNDED, async t => {
      const program = `${PROGRAM}
        async function main() {
          let session
          const told = []
          for (let left = 3; left > 0; left--) {
            const secure = bare(await kit.connected(port, 'localhost'), { session })
            if (session && left === 1) secure.setSession(session)
            secure.on('session', given => { session = given })
            told.push([await run(() => talk(secure)), session !== undefined])
          }
          tell(told.map(([status]) => status))
        }
        main()`
      const { server, ask } = await setUp(t, { version, program })
      assert.deepEqual(await ask(good.pin), [200, 200, 200])
      assert.equal(server.resumed, 0)
    })

    for (const unlisted of ['deny', 'allow', 'report']) {
      test(`a host without an entry, unlisted: ${unlisted}`, BOUNDED, async t => {
        const program = `${PROGRAM}; run(async () => talk(bare(await kit.connected(port, 'localhost')), { atOnce: true })).then(tell)`
        const { server, pinnedWith } = await setUp(t, { version, program })
        const { told, stderr } = await pinnedWith({ unlisted, hosts: { 'other.example': WRONG } })
        await server.settled()
        assert.deepEqual(told, [unlisted === 'deny' ? 'ERR_TLS_PIN_UNLISTED' : 200])
        if (unlisted === 'deny') assert.equal(server.appBytes, 0)
        assert.equal(stderr.includes(good.pin), unlisted === 'report', stderr)
      })
    }

    test('what is written is complete, and in order', BOUNDED, async t => {
      const program = `${PROGRAM}
        async function main() {
          const secure = bare(await kit.connected(port, 'localhost'))
          secure.write('POST / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\nContent-Length: 6\\r\\n\\r\\n')
          secure.cork(); secure.write('ab'); secure.write('cd'); secure.uncork()
          secure.end('ef')
          let answer = ''
          secure.on('data', data => { answer += data }).on('error', error => tell(error.code))
          secure._start()
          await once(secure, 'end')
          tell(answer.split('\\r\\n\\r\\n')[1])
        }
        main()`
      const handler = (/** @type {any} */ request, /** @type {any} */ response) => {
        let body = ''
        request.setEncoding('utf8').on('data', (/** @type {string} */ data) => {
          body += data
        })
        request.once('end', () => response.writeHead(200, { 'Content-Length': body.length }).end(body))
      }
      const { ask } = await setUp(t, { version, program, handler })
      assert.equal(await ask(good.pin), 'abcdef')
    })
  })
}

test('an IP address, which only a socket tells', BOUNDED, async t => {
  const program = `${PROGRAM}; run(async () => talk(bare(await kit.connected(port, '127.0.0.1')), { atOnce: true })).then(tell)`
  const { server, pinnedWith } = await setUp(t, { program })
  assert.deepEqual((await pinnedWith({ hosts: { '127.0.0.1': good.pin } })).told, [200])
  await server.settled()
  const before = server.appBytes
  assert.deepEqual((await pinnedWith({ hosts: { '127.0.0.1': WRONG } })).told, [MISMATCH])
  await server.settled()
  assert.equal(server.appBytes, before)
})

test('tls.createSecurePair, where there is one: a client is warned about, a server is not', {
  ...BOUNDED,
  skip: nodeIsAtLeast('24.0.0') && 'Node has it no longer'
}, async () => {
  const program = `
    const { cert, key } = DATA
    const secureContext = tls.createSecureContext({ cert, key })
    const before = []
    process.on('warning', ({ name, message }) => before.push([name, /createSecurePair/.test(message)]))
    if (typeof tls.createSecurePair === 'function') tls.createSecurePair(secureContext, !DATA.client)
    setImmediate(() => tell(before.filter(([name, seen]) => seen && name === 'TlsPinningWarning')))
  `
  const policy = { hosts: { localhost: WRONG } }
  const data = { cert: good.pem, key: good.key }
  const warnings = await answer({ policy, program, data: { ...data, client: true } })
  assert.deepEqual(warnings, [['TlsPinningWarning', true]])
  assert.deepEqual(await answer({ policy, program, data: { ...data, client: false } }), [])
})

/**
 * A server, and a program that connects to it.
 *
 * @param {import('node:test').TestContext} t
 * @param {{
 *   program: string, version?: 'TLSv1.2' | 'TLSv1.3', cert?: Certificate, chain?: Certificate[],
 *   handler?: import('node:http').RequestListener
 * }} options
 */
async function setUp(t, { program, version = 'TLSv1.3', cert = good, chain = [issuer], handler }) {
  const server = await httpsServer({
    cert,
    chain,
    minVersion: version,
    maxVersion: version,
    ...(handler && { handler })
  })
  t.after(() => server.close())
  const options = { server, ca: root.pem + rogueRoot.pem, program }
  return {
    server,
    pinnedWith: (/** @type {unknown} */ policy) => pinned({ ...options, policy }),
    ask: (/** @type {string} */ pins) =>
      answer({ ...options, policy: { unlisted: 'allow', hosts: { localhost: pins } } })
  }
}

'use strict'
// The promise: no option of a client weakens the policy of its process, and what a client asks for besides still holds.

const assert = require('node:assert/strict')
const { before, describe, test } = require('node:test')
const { BOUNDED, VERSIONS, WRONG, answer } = require('./fixtures/register-run')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer, tlsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const UNSAFE = 'ERR_TLS_PIN_UNSAFE'
const MISMATCH = 'ERR_TLS_PIN_MISMATCH'

/** @type {Certificate} */ let root
/** @type {Certificate} */ let issuer
/** @type {Certificate} */ let good
/** @type {Certificate} */ let device

before(async () => {
  root = await ca({ name: 'Root' })
  issuer = await ca({ name: 'Issuer', issuer: root })
  good = await leaf({ issuer, names: ['localhost', 'other.example', '127.0.0.1'] })
  device = await leaf({ selfSigned: true })
})

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {string} run an expression: what to do
 * @property {number | string} [pinned] the outcome with the right pin, default 200
 * @property {number | string} [wrong] with another one, default a mismatch
 * @property {() => string} [pins] default: the key of the server
 * @property {Record<string, string>} [env]
 * @property {() => Certificate} [cert]
 * @property {string} [todo]
 */

/** @type {Case[]} */
const CASES = [
  {
    name: 'an own checkServerIdentity that accepts',
    run: "kit.speak(tls.connect({ port, host: 'localhost', ca, checkServerIdentity: () => undefined }))"
  },
  {
    name: 'an own checkServerIdentity that refuses',
    run: "kit.speak(tls.connect({ port, host: 'localhost', ca, checkServerIdentity: () => Object.assign(new Error('mine'), { code: 'MINE' }) }))",
    pinned: 'MINE',
    wrong: 'MINE'
  },
  {
    name: 'an own checkServerIdentity that throws, with an uncaughtException handler',
    run: "process.on('uncaughtException', () => {}) && kit.speak(tls.connect({ port, host: 'localhost', ca, checkServerIdentity: () => { throw Object.assign(new Error('mine'), { code: 'MINE' }) } }))",
    pinned: 'MINE',
    wrong: 'MINE'
  },
  {
    name: 'an own checkServerIdentity that answers with a promise',
    run: "kit.speak(tls.connect({ port, host: 'localhost', ca, checkServerIdentity: async () => undefined }))",
    pinned: 'ERR_INVALID_RETURN_VALUE',
    wrong: 'ERR_INVALID_RETURN_VALUE'
  },
  {
    name: 'a checkServerIdentity that is no function',
    run: "kit.speak(tls.connect({ port, host: 'localhost', ca, checkServerIdentity: true }))",
    pinned: UNSAFE,
    wrong: UNSAFE
  },
  {
    name: 'tls.checkServerIdentity put aside',
    run: "(tls.checkServerIdentity = () => undefined, kit.speak(tls.connect({ port, host: 'localhost', ca })))"
  },
  {
    name: 'rejectUnauthorized: false in tls.connect',
    run: "kit.speak(tls.connect({ port, host: 'localhost', ca, rejectUnauthorized: false }))",
    pinned: UNSAFE,
    wrong: UNSAFE
  },
  {
    name: 'rejectUnauthorized: false in https',
    run: 'require(ROOT + "/__test__/helpers/node-tls").httpsStatus(url, { ca, body: kit.body, rejectUnauthorized: false })',
    pinned: UNSAFE,
    wrong: UNSAFE
  },
  {
    name: 'rejectUnauthorized: false in an https.Agent',
    run: 'kit.withAgent({ ca, rejectUnauthorized: false }, agent => require(ROOT + "/__test__/helpers/node-tls").httpsStatus(url, { agent, body: kit.body }))',
    pinned: UNSAFE,
    wrong: UNSAFE
  },
  {
    name: 'rejectUnauthorized: false in http2',
    run: 'require(ROOT + "/__test__/helpers/node-tls").http2Status(url, { ca, body: kit.body, rejectUnauthorized: false })',
    pinned: UNSAFE,
    wrong: UNSAFE
  },
  {
    name: 'rejectUnauthorized: false on a socket that exists',
    run: "kit.connected(port, 'localhost').then(socket => kit.speak(tls.connect({ socket, servername: 'localhost', ca, rejectUnauthorized: false })))",
    pinned: UNSAFE,
    wrong: UNSAFE
  },
  ...[0, null, ''].map(value => ({
    name: `rejectUnauthorized: ${JSON.stringify(value)}`,
    run: `kit.speak(tls.connect({ port, host: 'localhost', ca, rejectUnauthorized: ${JSON.stringify(value)} }))`
  })),
  {
    name: 'NODE_TLS_REJECT_UNAUTHORIZED=0',
    run: 'kit.outcomes({ ...kit.forms, ...kit.clients }, DATA).then(all => [...new Set(Object.values(all))].join())',
    env: { NODE_TLS_REJECT_UNAUTHORIZED: '0', NODE_NO_WARNINGS: '1' },
    pinned: '200',
    wrong: MISMATCH
  },
  {
    name: 'NODE_TLS_REJECT_UNAUTHORIZED=0 and a server that nobody vouches for',
    run: "kit.speak(tls.connect({ port, host: 'localhost' }))",
    env: { NODE_TLS_REJECT_UNAUTHORIZED: '0', NODE_NO_WARNINGS: '1' },
    cert: () => device,
    pinned: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    wrong: 'DEPTH_ZERO_SELF_SIGNED_CERT'
  },
  {
    name: 'a self-signed server, given as ca',
    run: "kit.speak(tls.connect({ port, host: 'localhost', ca: DATA.own }))",
    cert: () => device
  },
  {
    name: 'a context by hand, with the pin of an issuer that only it trusts',
    run: "kit.speak(tls.connect({ port, host: 'localhost', secureContext: tls.createSecureContext({ ca: DATA.root }) }))",
    env: { NODE_EXTRA_CA_CERTS: '' },
    pins: () => root.pin
  },
  {
    name: 'a context by hand, from the view of an ECMAScript module',
    run: "import('node:tls').then(({ connect, createSecureContext }) => kit.speak(connect({ port, host: 'localhost', secureContext: createSecureContext({ ca: DATA.root }) })))",
    env: { NODE_EXTRA_CA_CERTS: '' },
    pins: () => root.pin
  },
  {
    name: 'an issuer that only the option ca names',
    run: "kit.speak(tls.connect({ port, host: 'localhost', ca: [DATA.root] }))",
    env: { NODE_EXTRA_CA_CERTS: '' },
    pins: () => root.pin
  },
  {
    name: 'an IP target as agent-base gives it: hostname alone',
    run: "kit.connected(port, '127.0.0.1').then(socket => kit.speak(tls.connect({ socket, servername: '', hostname: '127.0.0.1', ca })))",
    host: '127.0.0.1'
  },
  {
    name: 'an IP target by host',
    run: "kit.speak(tls.connect({ port, host: '127.0.0.1', ca }))",
    host: '127.0.0.1'
  },
  {
    name: 'an IP target by a socket alone',
    run: "kit.connected(port, '127.0.0.1').then(socket => kit.speak(tls.connect({ socket, ca })))",
    host: '127.0.0.1'
  },
  {
    name: 'PinnedAgent in the same process',
    run: '((agent) => require(ROOT + "/__test__/helpers/node-tls").httpsStatus(url, { agent, body: kit.body }).finally(() => agent.destroy()))(new (require(ROOT).PinnedAgent)(DATA.pin, { ca }))'
  },
  {
    name: 'PinnedAgent that has the wrong pin',
    run: '((agent) => require(ROOT + "/__test__/helpers/node-tls").httpsStatus(url, { agent, body: kit.body }).finally(() => agent.destroy()))(new (require(ROOT).PinnedAgent)(DATA.other, { ca }))',
    pinned: MISMATCH
  },
  {
    name: 'PinnedAgent with trust: pin-only',
    run: '((agent) => require(ROOT + "/__test__/helpers/node-tls").httpsStatus(url, { agent, body: kit.body }).finally(() => agent.destroy()))(new (require(ROOT).PinnedAgent)(DATA.pin, { trust: "pin-only" }))',
    cert: () => device
  },
  {
    name: 'pinnedConnector in undici',
    run: 'require(ROOT + "/__test__/helpers/ours").GUARDS.find(({ name }) => name === "pinnedConnector in undici").status({ server: { url, host: "localhost", port }, pins: DATA.pin, ca })'
  },
  {
    name: 'tlsOptions and createCheckServerIdentity',
    run: "kit.speak(tls.connect({ port, host: 'localhost', ...require(ROOT).tlsOptions(DATA.pin, { ca }) }))"
  }
].map(row => /** @type {Case & { host?: string }} */ (row))

for (const version of VERSIONS) {
  describe(`options, ${version}`, () => {
    for (const {
      name,
      run,
      pinned = 200,
      wrong = MISMATCH,
      pins,
      env,
      cert,
      host = 'localhost',
      todo
    } of /** @type {(Case & { host?: string })[]} */ (CASES)) {
      test(name, { ...BOUNDED, ...(todo && { todo }) }, async t => {
        const shown = cert?.() ?? good
        const server = await httpsServer({
          cert: shown,
          chain: [issuer],
          http2: true,
          minVersion: version,
          maxVersion: version
        })
        t.after(() => server.close())
        const data = { pin: shown.pin, other: WRONG, own: shown.pem, root: root.pem }
        const options = { server, ca: root.pem, data, env, program: `kit.outcome(async () => ${run}).then(tell)` }
        const policy = (/** @type {string} */ pin) => ({ unlisted: 'allow', hosts: { [host]: pin } })
        assert.equal(await answer({ ...options, policy: policy(pins?.() ?? shown.pin) }), pinned)
        await server.settled()
        if (pinned !== 200 && pinned !== '200') assert.equal(server.appBytes, 0)
        const before = server.appBytes
        assert.equal(await answer({ ...options, policy: policy(WRONG) }), wrong)
        await server.settled()
        assert.equal(server.appBytes, before)
        assert.equal(server.resumed, 0)
      })
    }

    test('sessions that a client keeps are never resumed', BOUNDED, async t => {
      const server = await httpsServer({ cert: good, chain: [issuer], minVersion: version, maxVersion: version })
      t.after(() => server.close())
      const program = `
        async function main() {
          const sessions = []
          const told = []
          for (const way of [
            () => ({}),
            () => ({ session: sessions.at(-1) }),
            () => ({ later: sessions.at(-1) }),
            () => ({ later: sessions.at(-1), session: sessions.at(-1) })
          ]) {
            const { later, ...options } = way()
            const socket = tls.connect({ port, host: 'localhost', ca, ...options })
            if (later) socket.setSession(later)
            socket.on('session', session => sessions.push(session))
            let reused
            socket.once('secureConnect', () => { reused = socket.isSessionReused() })
            told.push([await kit.outcome(() => kit.speak(socket)), reused])
          }
          tell([...told, sessions.length > 0])
        }
        main()
      `
      const policy = { hosts: { localhost: good.pin } }
      const fresh = [200, false]
      assert.deepEqual(await answer({ policy, program, server, ca: root.pem }), [fresh, fresh, fresh, fresh, true])
      assert.equal(server.resumed, 0)
    })

    test('an https.Agent, which keeps sessions itself, with many requests', BOUNDED, async t => {
      const server = await httpsServer({ cert: good, chain: [issuer], minVersion: version, maxVersion: version })
      t.after(() => server.close())
      const program = `
        const { httpsStatus } = require(ROOT + '/__test__/helpers/node-tls')
        async function main() {
          const agent = new https.Agent({ ca })
          const told = []
          for (let left = 4; left > 0; left--) told.push(await kit.outcome(() => httpsStatus(url, { agent })))
          tell(told)
        }
        main()
      `
      const policy = { hosts: { localhost: good.pin } }
      assert.deepEqual(await answer({ policy, program, server, ca: root.pem }), [200, 200, 200, 200])
      assert.equal(server.handshakes, 4)
      assert.equal(server.resumed, 0)
    })

    test('a pre-shared key, which needs no certificate', BOUNDED, async t => {
      const key = Buffer.from('d731ef57be09e5204f0b205b60627028', 'hex')
      const ciphers = version === 'TLSv1.2' ? 'PSK' : 'TLS_AES_128_GCM_SHA256'
      const server = await tlsServer(socket => socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\n\r\n')), {
        cert: good,
        minVersion: version,
        maxVersion: version,
        tls: { ciphers, pskCallback: () => key }
      })
      t.after(() => server.close())
      const program = `
        kit.outcome(() => kit.speak(tls.connect({
          port, host: 'localhost', ca, ciphers: DATA.ciphers, minVersion: DATA.version, maxVersion: DATA.version,
          checkServerIdentity: () => undefined, pskCallback: () => ({ psk: Buffer.from('d731ef57be09e5204f0b205b60627028', 'hex'), identity: 'me' })
        }))).then(tell)
      `
      const options = { program, server, ca: root.pem, data: { ciphers, version } }
      const outcome = await answer({ ...options, policy: { hosts: { localhost: good.pin } } })
      await server.settled()
      // Node asks about the certificate that there is not, or does not ask.
      assert.deepEqual([outcome, server.appBytes], [version === 'TLSv1.2' ? 'ERR_TLS_CERT_ALTNAME_INVALID' : UNSAFE, 0])
      // Without an entry it would have worked.
      assert.equal(await answer({ ...options, policy: { unlisted: 'allow', hosts: { other: good.pin } } }), 200)
    })
  })
}

test(
  'what was written to a refused connection does not arrive in parts, and neither does its end',
  BOUNDED,
  async t => {
    const server = await tlsServer(() => {}, { cert: good, chain: [issuer] })
    t.after(() => server.close())
    const program = `
    const told = []
    const cases = [
      socket => socket.write('one'),
      socket => socket.end('one'),
      socket => { socket.cork(); socket.write('one'); socket.write('two'); socket.uncork() },
      socket => socket.once('connect', () => socket.write('one')),
      socket => socket.once('secureConnect', () => socket.write('one')),
      socket => require('node:stream').Readable.from(['one', 'two']).pipe(socket),
      socket => socket.once('error', () => { try { socket.write('late') } catch {} }),
      socket => { socket.write('one'); socket.once('close', () => socket.write('late')) }
    ]
    async function main() {
      for (const act of cases) {
        const socket = tls.connect({ port, host: 'localhost', ca })
        act(socket)
        told.push(await new Promise(resolve => socket.on('error', error => resolve(error.code))))
      }
      tell([...new Set(told)])
    }
    main()
  `
    const policy = { hosts: { localhost: WRONG } }
    assert.deepEqual(await answer({ policy, program, server, ca: root.pem }), [MISMATCH])
    await server.settled()
    assert.deepEqual([server.appBytes, server.connections], [0, 8])
  }
)

'use strict'
// The promise: a process runs under the policy that its file means, or not at all; what the policy does not list is decided
// about in its words.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { before, describe, test } = require('node:test')
const { BOUNDED, WRONG, answer, pinned } = require('./fixtures/register-run')
const { REGISTER, inProcess } = require('./helpers/node-tls')
const { withPolicy } = require('./helpers/ours')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

/** @type {Certificate} */ let root
/** @type {Certificate} */ let issuer
/** @type {Certificate} */ let good

before(async () => {
  root = await ca({ name: 'Root' })
  issuer = await ca({ name: 'Issuer', issuer: root })
  good = await leaf({ issuer, names: ['localhost', 'b.example', 'a.b.example', '127.0.0.1'] })
})

describe('a policy that cannot be used: exit code 1, a message, and no line of the program runs', () => {
  const pin = WRONG
  for (const [name, policy, message] of /** @type {[string, unknown, RegExp][]} */ ([
    ['empty', '', /JSON|EOF|empty|expected/i],
    ['no JSON', '{ "hosts": ', /line|EOF|JSON|column/i],
    ['a list', '[]', /policy|object/i],
    ['null', 'null', /policy|object/i],
    ['a duplicate host', `{"hosts":{"localhost":["${pin}"],"localhost":["${pin}"]}}`, /localhost/],
    ['a duplicate key', `{"unlisted":"deny","unlisted":"allow","hosts":{"localhost":["${pin}"]}}`, /unlisted/],
    ['hosts twice', `{"hosts":{"localhost":["${pin}"]},"hosts":{}}`, /hosts/],
    ['one host in two spellings', { hosts: { localhost: pin, LOCALHOST: pin } }, /localhost/i],
    ['an unknown key', { hosts: { localhost: pin }, unlsted: 'allow' }, /unlsted/],
    ['an unknown key of an entry', { hosts: { localhost: { pins: pin, modes: 'report' } } }, /modes/],
    ['an unknown word', { hosts: { localhost: pin }, unlisted: 'ignore' }, /unlisted/],
    ['a malformed pin', { hosts: { localhost: 'sha256/AAAA' } }, /localhost/],
    ['no pins', { hosts: { localhost: [] } }, /localhost/],
    ['a malformed pattern', { hosts: { 'https://localhost': pin } }, /https:\/\/localhost/]
  ])) {
    test(name, BOUNDED, async () => {
      const { status, stdout, stderr } = await pinned({ policy, program: "tell('ran')" })
      assert.deepEqual([status, stdout], [1, ''])
      assert.match(stderr, /^tls-pinning\/register: /)
      assert.match(stderr, message)
      assert.equal(stderr.split('\n').length, 2, stderr)
    })
  }

  for (const [name, file, message] of /** @type {[string, string | undefined, RegExp][]} */ ([
    ['no variable', undefined, /TLS_PINNING_POLICY is not set/],
    ['an empty variable', '', /TLS_PINNING_POLICY is not set/],
    ['a file that is missing', '/nowhere/policy.json', /\/nowhere\/policy\.json.*ENOENT/],
    ['a folder', __dirname, /EISDIR/]
  ])) {
    test(name, BOUNDED, async () => {
      const env = { TLS_PINNING_POLICY: file }
      const { status, stdout, stderr } = await inProcess("tell('ran')", null, { flags: ['--require', REGISTER], env })
      assert.deepEqual([status, stdout], [1, ''])
      assert.match(stderr, /^tls-pinning\/register: /)
      assert.match(stderr, message)
    })
  }

  test('even when something catches whatever is thrown', BOUNDED, async () => {
    await withPolicy('{', async env => {
      const hook = path.join(path.dirname(env.TLS_PINNING_POLICY), 'hook.js')
      fs.writeFileSync(hook, "process.on('uncaughtException', () => {}).on('unhandledRejection', () => {})")
      for (const way of ['--require', '--import']) {
        const flags = ['--require', hook, way, REGISTER]
        const { status, stdout, stderr } = await inProcess("tell('ran')", null, { flags, env })
        assert.deepEqual([status, stdout], [1, ''], way)
        assert.match(stderr, /^tls-pinning\/register: /)
      }
      const program = `
        process.on('uncaughtException', () => {})
        try { require(${JSON.stringify(REGISTER)}) } catch {}
        tell('ran')
      `
      const { status, stdout } = await inProcess(program, null, { env })
      assert.deepEqual([status, stdout], [1, ''])
    })
  })

  test('even when something has replaced process.exit', BOUNDED, async () => {
    await withPolicy('{', async env => {
      const program = `
        process.exit = () => {}
        process.on('uncaughtException', () => {})
        try { require(${JSON.stringify(REGISTER)}) } catch {}
        tell('ran')
      `
      const { stdout } = await inProcess(program, null, { env })
      assert.equal(stdout, '')
    })
  })
})

describe('the file', () => {
  test('is found by a relative path, and read once', BOUNDED, async t => {
    const server = await httpsServer({ cert: good, chain: [issuer] })
    t.after(() => server.close())
    const outcomes = await withPolicy({ hosts: { localhost: good.pin } }, async env => {
      const file = path.relative(process.cwd(), env.TLS_PINNING_POLICY)
      const program = `
        const kit = require(ROOT + '/__test__/fixtures/register-kit.js')
        async function main() {
          const told = [await kit.outcome(() => kit.forms['(options)'](DATA))]
          process.chdir('/')
          require('node:fs').writeFileSync(DATA.file, JSON.stringify({ hosts: { localhost: DATA.wrong } }))
          process.env.TLS_PINNING_POLICY = '/nowhere'
          told.push(await kit.outcome(() => kit.forms['(options)'](DATA)))
          tell(told)
        }
        main()
      `
      const data = { url: server.url, port: server.port, ca: root.pem, file: env.TLS_PINNING_POLICY, wrong: WRONG }
      const { told, stderr } = await inProcess(program, data, {
        flags: ['--require', REGISTER],
        env: { TLS_PINNING_POLICY: file }
      })
      assert.equal(told.length, 1, stderr)
      return told[0]
    })
    assert.deepEqual(outcomes, [200, 200])
  })

  test('with a byte order mark, as some editors write it', BOUNDED, async () => {
    const policy = `\ufeff${JSON.stringify({ hosts: { localhost: WRONG } })}`
    const { status, told, stderr } = await pinned({ policy, program: "tell('ran')" })
    // Taken or refused, but never half of it.
    assert.ok((status === 0 && told[0] === 'ran') || (status === 1 && told.length === 0), stderr)
  })

  test('what is doubtful in it is warned about, and the program runs', BOUNDED, async () => {
    const { status, told, stderr } = await pinned({ policy: { hosts: { localhost: WRONG } }, program: "tell('ran')" })
    assert.deepEqual([status, told], [0, ['ran']])
    assert.match(stderr, /TlsPinningWarning: hosts\["localhost"\]: .*backup/)
  })
})

describe('hosts without an entry', () => {
  const program = `
    async function main() {
      const told = []
      for (const host of ['localhost', '127.0.0.1', 'localhost', '127.0.0.1', 'b.example']) {
        told.push(await kit.outcome(() => kit.speak(tls.connect({ port, host, ca, lookup: kit.lookup }))))
      }
      told.push(await kit.outcome(() => kit.clients['https.request'](DATA)), await kit.outcome(() => kit.clients.fetch(DATA)))
      told.push(await kit.outcome(() => kit.clients['http2.connect'](DATA)))
      tell(told)
    }
    main()
  `

  /** @param {import('node:test').TestContext} t */
  async function setUp(t) {
    const server = await httpsServer({ cert: good, chain: [issuer], http2: true })
    t.after(() => server.close())
    return { server, run: (/** @type {unknown} */ policy) => pinned({ policy, server, ca: root.pem, program }) }
  }

  test('deny, and by default: refused before anything is sent', BOUNDED, async t => {
    const { server, run } = await setUp(t)
    for (const policy of [{ unlisted: 'deny', hosts: { other: WRONG } }, { hosts: { other: WRONG } }]) {
      const { told } = await run(policy)
      assert.deepEqual(told, [Array(8).fill('ERR_TLS_PIN_UNLISTED')])
    }
    await server.settled()
    assert.deepEqual([server.connections, server.appBytes], [0, 0])
  })

  test('allow: connected to, without a word', BOUNDED, async t => {
    const { run } = await setUp(t)
    const { told, stderr } = await run({ unlisted: 'allow', hosts: { other: [WRONG, issuer.pin] } })
    assert.deepEqual([told, stderr], [[Array(8).fill(200)], ''])
  })

  test('report: each once, with the pins it would need, which then work', BOUNDED, async t => {
    const { server, run } = await setUp(t)
    const hosts = { other: [WRONG, issuer.pin] }
    const { told, stderr } = await run({ unlisted: 'report', hosts })
    assert.deepEqual(told, [Array(8).fill(200)])
    const reported = stderr.split('\n').filter(line => line.includes('has no entry'))
    assert.equal(reported.length, 3, stderr)
    const entries = reported.map(line => JSON.parse(`{${line.slice(line.indexOf(': "') + 2)}}`))
    const found = Object.assign({}, ...entries)
    const names = ['127.0.0.1', 'b.example', 'localhost'].map(host => `${host}:${server.port}`)
    assert.deepEqual(Object.keys(found).sort(), names)
    for (const pins of Object.values(found)) assert.deepEqual(pins, [good.pin, issuer.pin])

    const again = await run({ unlisted: 'deny', hosts: found })
    assert.deepEqual([again.told, again.stderr], [[Array(8).fill(200)], ''])
    const before = server.appBytes
    const swapped = Object.fromEntries(Object.keys(found).map(host => [host, [WRONG]]))
    assert.deepEqual((await run({ unlisted: 'deny', hosts: swapped })).told, [Array(8).fill('ERR_TLS_PIN_MISMATCH')])
    await server.settled()
    assert.equal(server.appBytes, before)
  })
})

test('a bare pin, or a list of them, holds for every host', BOUNDED, async t => {
  const server = await httpsServer({ cert: good, chain: [issuer] })
  t.after(() => server.close())
  const program = `
    async function main() {
      const told = []
      for (const host of ['localhost', 'b.example', '127.0.0.1']) {
        told.push(await kit.outcome(() => kit.speak(tls.connect({ port, host, ca, lookup: kit.lookup }))))
      }
      tell(told)
    }
    main()
  `
  const options = { server, ca: root.pem, program }
  for (const make of [(/** @type {string} */ pin) => pin, (/** @type {string} */ pin) => [pin]]) {
    assert.deepEqual(await answer({ ...options, policy: JSON.stringify(make(good.pin)) }), [200, 200, 200])
    await server.settled()
    const before = server.appBytes
    const refused = await answer({ ...options, policy: JSON.stringify(make(WRONG)) })
    assert.deepEqual(refused, Array(3).fill('ERR_TLS_PIN_MISMATCH'))
    await server.settled()
    assert.equal(server.appBytes, before)
  }
})

describe('entries', () => {
  const three = `
    async function main() {
      const told = []
      for (const host of ['localhost', 'b.example', 'a.b.example', '127.0.0.1']) {
        told.push(await kit.outcome(() => kit.speak(tls.connect({ port, host, ca, lookup: kit.lookup }))))
      }
      tell(told)
    }
    main()
  `
  const [yes, no, none] = [200, 'ERR_TLS_PIN_MISMATCH', 'ERR_TLS_PIN_UNLISTED']
  const past = '2020-01-01T00:00:00Z'
  for (const [name, policy, expected] of /** @type {[string, (port: number, pin: string) => any, any[]][]} */ ([
    ['a wildcard', (_, pin) => ({ hosts: { '*.b.example': pin } }), [none, none, yes, none]],
    ['a deep wildcard', () => ({ hosts: { '**.b.example': WRONG } }), [none, no, no, none]],
    [
      'this port',
      (port, pin) => ({ hosts: { [`localhost:${port}`]: pin, localhost: WRONG } }),
      [yes, none, none, none]
    ],
    ['another port', (_, pin) => ({ hosts: { 'localhost:1': WRONG, localhost: pin } }), [yes, none, none, none]],
    ['another port alone', (_, pin) => ({ hosts: { 'localhost:1': pin } }), [none, none, none, none]],
    [
      'an expired entry',
      (_, pins) => ({ hosts: { localhost: { pins, expires: past } } }),
      ['ERR_TLS_PIN_EXPIRED', none, none, none]
    ],
    [
      'an expired entry that says allow',
      () => ({ hosts: { localhost: { pins: WRONG, expires: past, onExpiry: 'allow' } } }),
      [yes, none, none, none]
    ],
    ['mode: report', () => ({ hosts: { localhost: { pins: WRONG, mode: 'report' } } }), [yes, none, none, none]],
    ['a leaf', (_, leaf) => ({ hosts: { localhost: { leaf } } }), [yes, none, none, none]],
    ['a leaf where an issuer is wanted', (_, ca) => ({ hosts: { localhost: { ca } } }), [no, none, none, none]]
  ])) {
    test(name, BOUNDED, async t => {
      const server = await httpsServer({ cert: good, chain: [issuer] })
      t.after(() => server.close())
      const made = policy(server.port, good.pin)
      assert.deepEqual(await answer({ policy: made, server, ca: root.pem, program: three }), expected)
      await server.settled()
      const accepted = expected.filter(outcome => outcome === 200).length
      assert.equal(server.requests.length, accepted)
      if (accepted === 0) assert.equal(server.appBytes, 0)
    })
  }

  test('an entry for a port, through a tunnel that does not tell it', BOUNDED, async t => {
    const server = await httpsServer({ cert: good, chain: [issuer] })
    t.after(() => server.close())
    const program = `
      async function main() {
        const relay = net.createServer(one => {
          const other = net.connect(port, '127.0.0.1')
          one.on('error', () => other.destroy()).pipe(other)
          other.on('error', () => one.destroy()).pipe(one)
        })
        await new Promise(resolve => relay.listen(0, '127.0.0.1', resolve))
        const socket = await kit.connected(relay.address().port, '127.0.0.1')
        tell(await kit.outcome(() => kit.speak(tls.connect({ socket, servername: 'localhost', ca }))))
        relay.close()
      }
      main()
    `
    const options = { server, ca: root.pem, program }
    const policy = (/** @type {string} */ pin) => ({ unlisted: 'allow', hosts: { [`localhost:${server.port}`]: pin } })
    assert.equal(await answer({ ...options, policy: policy(good.pin) }), 200)
    const before = server.appBytes
    assert.equal(await answer({ ...options, policy: policy(WRONG) }), 'ERR_TLS_PIN_MISMATCH')
    await server.settled()
    assert.equal(server.appBytes, before)
  })

  test('mode: report warns once, and tells the channels', BOUNDED, async t => {
    const server = await httpsServer({ cert: good, chain: [issuer] })
    t.after(() => server.close())
    const program = `
      const told = []
      const { subscribe } = require('node:diagnostics_channel')
      for (const name of ['verified', 'mismatch', 'report']) {
        subscribe('tls-pinning:' + name, ({ decision, source, host, reason }) => told.push([name, decision, source, host, reason]))
      }
      async function main() {
        for (let left = 2; left > 0; left--) await kit.outcome(() => kit.forms['(options)'](DATA))
        await kit.outcome(() => kit.speak(tls.connect({ port, host: '127.0.0.1', ca })))
        await kit.outcome(() => kit.speak(tls.connect({ port, host: 'b.example', ca, lookup: kit.lookup })))
        setImmediate(() => tell(told))
      }
      main()
    `
    const hosts = { localhost: { leaf: WRONG, mode: 'report' }, '127.0.0.1': [WRONG, good.pin], 'b.example': [WRONG] }
    const { told, stderr } = await pinned({ policy: { hosts }, server, ca: root.pem, program })
    assert.deepEqual(told, [
      [
        ['report', 'excused', 'register', 'localhost', 'mismatch'],
        ['report', 'excused', 'register', 'localhost', 'mismatch'],
        ['verified', 'accepted', 'register', '127.0.0.1', null],
        ['mismatch', 'refused', 'register', 'b.example', 'mismatch']
      ]
    ])
    assert.equal(stderr.split('\n').filter(line => line.includes('does not match its pins')).length, 1, stderr)
  })
})

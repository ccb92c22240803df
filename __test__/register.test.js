'use strict'
// The promise: in a process that begins with `tls-pinning/register`, every way to connect by Node's own TLS satisfies the
// policy, or not one byte of the request arrives.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { pathToFileURL } = require('node:url')
const { BOUNDED, VERSIONS, WRONG, answer, pinned } = require('./fixtures/register-run')
const { clients, forms, unnamed } = require('./fixtures/register-kit')
const { REGISTER } = require('./helpers/node-tls')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const names = ['localhost', 'other.example', '127.0.0.1']
/** @type {Certificate} */ let root
/** @type {Certificate} */ let issuer
/** @type {Certificate} */ let good
/** Trusted too, and not pinned. @type {Certificate} */ let rogueRoot
/** @type {Certificate} */ let impostor

before(async () => {
  root = await ca({ name: 'Root' })
  issuer = await ca({ name: 'Issuer', issuer: root })
  good = await leaf({ issuer, names })
  rogueRoot = await ca({ name: 'Rogue Root' })
  impostor = await leaf({ issuer: rogueRoot, names })
})

const PROGRAM = 'kit.outcomes({ ...kit.forms, ...kit.clients }, DATA).then(tell)'
const WAYS = Object.keys({ ...forms, ...clients })

for (const version of VERSIONS) {
  for (const { name, cert, chain, pins, accepted = false } of [
    { name: 'the pinned key', cert: () => good, chain: () => [issuer], pins: () => good.pin, accepted: true },
    { name: 'a pinned issuer', cert: () => good, chain: () => [issuer], pins: () => issuer.pin, accepted: true },
    {
      name: 'a pinned root, which is not sent',
      cert: () => good,
      chain: () => [issuer],
      pins: () => root.pin,
      accepted: true
    },
    { name: 'another key', cert: () => good, chain: () => [issuer], pins: () => WRONG },
    {
      name: 'a man in the middle whom a trusted CA vouches for, who shows the pinned chain besides',
      cert: () => impostor,
      chain: () => [good, issuer, root],
      pins: () => [good.pin, issuer.pin, root.pin]
    }
  ]) {
    describe(`${name}, ${version}`, BOUNDED, () => {
      /** @type {Record<string, number | string>} */ let outcomes
      /** @type {import('./helpers/servers').TlsTestServer} */ let server

      before(async () => {
        server = await httpsServer({
          cert: cert(),
          chain: chain(),
          http2: true,
          minVersion: version,
          maxVersion: version
        })
        const policy = { unlisted: 'allow', hosts: { localhost: pins() } }
        outcomes = await answer({ policy, server, ca: root.pem + rogueRoot.pem, program: PROGRAM })
        await server.settled()
      })
      after(() => server.close())

      for (const way of WAYS) {
        test(way, () => {
          assert.equal(outcomes[way], accepted ? 200 : 'ERR_TLS_PIN_MISMATCH')
        })
      }

      test('what the server saw', () => {
        assert.equal(server.resumed, 0)
        assert.ok(server.connections >= (accepted ? 1 : WAYS.length))
        if (!accepted) {
          assert.equal(server.appBytes, 0)
          assert.equal(server.requests.length, 0)
        }
      })
    })
  }
}

describe('localhost, which nobody names', () => {
  for (const way of Object.keys(unnamed)) {
    for (const unlisted of ['allow', 'deny']) {
      test(`${way}, unlisted: ${unlisted}`, BOUNDED, async t => {
        const server = await httpsServer({ cert: good, chain: [issuer] })
        t.after(() => server.close())
        const program = `kit.outcome(() => kit.unnamed[DATA.way](DATA)).then(tell)`
        const options = { server, ca: root.pem, program, data: { way } }
        assert.equal(await answer({ ...options, policy: { unlisted, hosts: { localhost: good.pin } } }), 200)
        const before = server.appBytes
        const refused = await answer({ ...options, policy: { unlisted, hosts: { localhost: WRONG } } })
        await server.settled()
        assert.deepEqual([refused, server.appBytes - before], ['ERR_TLS_PIN_MISMATCH', 0])
      })
    }
  }
})

describe('ways round', () => {
  for (const [name, run] of [
    ["require('_tls_wrap').connect", "kit.speak(require('_tls_wrap').connect({ port, host: 'localhost', ca }))"],
    [
      'the constructor that sockets tell of',
      `kit.connected(port, 'localhost').then(below => {
        const { constructor: Original } = tls.TLSSocket.prototype
        const socket = new Original(below, { isServer: false, secureContext: tls.createSecureContext({ ca }) })
        socket._start()
        return kit.speak(socket)
      })`
    ]
  ]) {
    test(name, BOUNDED, async t => {
      const server = await httpsServer({ cert: good, chain: [issuer] })
      t.after(() => server.close())
      const program = `kit.outcome(() => ${run}).then(tell)`
      const outcome = await answer({ policy: { hosts: { localhost: WRONG } }, server, ca: root.pem, program })
      await server.settled()
      assert.deepEqual([outcome, server.appBytes], ['ERR_TLS_PIN_MISMATCH', 0])
    })
  }
})

describe('ways in', () => {
  const module = pathToFileURL(REGISTER).href
  const program = `kit.outcome(() => kit.forms['(options)'](DATA)).then(tell)`
  for (const [
    name,
    flags,
    env,
    main = program
  ] of /** @type {[string, string[], Record<string, string>?, string?][]} */ ([
    ['--import', ['--import', module]],
    ['--require', ['--require', REGISTER]],
    ['-r and --import together', ['-r', REGISTER, '--import', module]],
    ['NODE_OPTIONS=--require', [], { NODE_OPTIONS: `--require ${REGISTER}` }],
    ['NODE_OPTIONS=--import', [], { NODE_OPTIONS: `--import ${module}` }],
    ['a program that requires it first', [], {}, `require(${JSON.stringify(REGISTER)});${program}`],
    ['a program that imports it first', [], {}, `import(${JSON.stringify(module)}).then(() => ${program})`],
    ['twice', ['--require', REGISTER], {}, `require(${JSON.stringify(REGISTER)});${program}`]
  ])) {
    test(name, BOUNDED, async t => {
      const server = await httpsServer({ cert: good, chain: [issuer] })
      t.after(() => server.close())
      const options = { server, ca: root.pem, program: main, flags, env }
      assert.equal(await answer({ ...options, policy: { hosts: { localhost: good.pin } } }), 200)
      const before = server.appBytes
      assert.equal(await answer({ ...options, policy: { hosts: { localhost: WRONG } } }), 'ERR_TLS_PIN_MISMATCH')
      await server.settled()
      assert.equal(server.appBytes, before)
    })
  }

  test('by the name of the package, in a program with static imports', BOUNDED, async t => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pins-'))
    t.after(() => fs.rmSync(folder, { recursive: true }))
    const file = path.join(folder, 'app.mjs')
    const root_ = path.join(__dirname, '..')
    fs.mkdirSync(path.join(folder, 'node_modules'))
    fs.symlinkSync(root_, path.join(folder, 'node_modules', 'tls-pinning'))
    fs.writeFileSync(
      file,
      `import 'tls-pinning/register'
       import { connect } from 'node:tls'
       import { createRequire } from 'node:module'
       const { outcome, speak } = createRequire(import.meta.url)(${JSON.stringify(require.resolve('./fixtures/register-kit'))})
       export const run = ({ port, ca }) => outcome(() => speak(connect({ port, host: 'localhost', ca })))`
    )
    const server = await httpsServer({ cert: good, chain: [issuer] })
    t.after(() => server.close())
    const program = `import(DATA.file).then(({ run }) => run(DATA)).then(tell)`
    const options = { server, ca: root.pem, program, flags: [], data: { file: pathToFileURL(file).href } }
    assert.equal(await answer({ ...options, policy: { hosts: { localhost: good.pin } } }), 200)
    const before = server.appBytes
    assert.equal(await answer({ ...options, policy: { hosts: { localhost: WRONG } } }), 'ERR_TLS_PIN_MISMATCH')
    await server.settled()
    assert.equal(server.appBytes, before)
  })
})

describe('what is left as it was', () => {
  test('a process ends by itself', BOUNDED, async () => {
    const { status, stdout, stderr } = await pinned({ policy: { hosts: { localhost: WRONG } }, program: '' })
    assert.deepEqual([status, stdout], [0, ''], stderr)
  })

  test('servers, and clients of hosts that are let through', BOUNDED, async () => {
    const program = `
      const { once } = require('node:events')
      async function main() {
        const { cert, key } = DATA
        const outcomes = []
        for (const server of [
          tls.createServer({ cert, key }, socket => socket.once('data', () => socket.end('HTTP/1.1 200 OK\\r\\n\\r\\n')).on('error', () => {})),
          https.createServer({ cert, key }, (request, response) => request.resume().once('end', () => response.end('ok')))
        ]) {
          await once(server.listen(0, '127.0.0.1'), 'listening')
          const { port } = server.address()
          for (const host of ['127.0.0.1', 'localhost']) {
            outcomes.push(await kit.outcome(() => kit.speak(tls.connect({ port, host, ca, lookup: kit.lookup }))))
          }
          // By hand, as a server for STARTTLS is made.
          server.close()
        }
        const byHand = net.createServer(socket => {
          const secure = new tls.TLSSocket(socket, { isServer: true, secureContext: tls.createSecureContext({ cert, key }) })
          secure.once('data', () => secure.end('HTTP/1.1 200 OK\\r\\n\\r\\n')).on('error', () => {})
        })
        await once(byHand.listen(0, '127.0.0.1'), 'listening')
        outcomes.push(await kit.outcome(() => kit.speak(tls.connect({ port: byHand.address().port, host: '127.0.0.1', ca }))))
        byHand.close()
        tell(outcomes)
      }
      main()
    `
    const data = { cert: good.pem + issuer.pem, key: good.key }
    const policy = { unlisted: 'allow', hosts: { localhost: WRONG } }
    assert.deepEqual(await answer({ policy, program, data, ca: root.pem }), [
      200,
      'ERR_TLS_PIN_MISMATCH',
      200,
      'ERR_TLS_PIN_MISMATCH',
      200
    ])
  })

  test('the class of sockets', BOUNDED, async t => {
    const server = await httpsServer({ cert: good, chain: [issuer] })
    t.after(() => server.close())
    const program = `
      class Mine extends tls.TLSSocket {}
      const socket = tls.connect({ port, host: 'localhost', ca }, () => {
        const { authorized, encrypted } = socket
        const mine = new Mine(new net.Socket())
        tell({
          socket: socket instanceof tls.TLSSocket && socket instanceof net.Socket,
          mine: [mine instanceof Mine, mine instanceof tls.TLSSocket],
          name: tls.TLSSocket.name, authorized, encrypted,
          subject: socket.getPeerCertificate().subject.CN
        })
        socket.destroy()
        mine.destroy()
      })
    `
    assert.deepEqual(await answer({ policy: { hosts: { localhost: good.pin } }, server, ca: root.pem, program }), {
      socket: true,
      mine: [true, true],
      name: 'TLSSocket',
      authorized: true,
      encrypted: true,
      subject: 'localhost'
    })
  })

  test('what connects and fails below TLS keeps its codes', BOUNDED, async () => {
    const program = `
      const { once } = require('node:events')
      async function main() {
        const server = net.createServer(socket => socket.on('error', () => {}).resume().end('HTTP/1.1 400 no\\r\\n\\r\\n')).listen(0, '127.0.0.1')
        await once(server, 'listening')
        const { port } = server.address()
        const clear = await kit.outcome(() => kit.speak(tls.connect({ port, host: 'localhost', lookup: kit.lookup })))
        await new Promise(resolve => server.close(resolve))
        const none = await kit.outcome(() => kit.speak(tls.connect({ port, host: 'localhost', lookup: kit.lookup })))
        tell([/^(ERR_SSL_|EPROTO)/.test(clear) ? 'no TLS' : clear, none])
      }
      main()
    `
    const policy = { hosts: { localhost: WRONG } }
    assert.deepEqual(await answer({ policy, program }), ['no TLS', 'ECONNREFUSED'])
  })
})

'use strict'
// The promise: what is rare in a process that begins with `tls-pinning/register` fails closed as well: an error output that is
// gone, sockets that are not connected yet, odd ways to start Node, Node's own way through a proxy.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const net = require('node:net')
const { before, describe, test } = require('node:test')
const { BOUNDED, WRONG, answer, pinned } = require('./fixtures/register-run')
const { REGISTER } = require('./helpers/node-tls')
const { withPolicy } = require('./helpers/ours')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @type {import('./helpers/pki').Certificate} */ let root
/** @type {import('./helpers/pki').Certificate} */ let good

before(async () => {
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root })
})

test('a policy that cannot be used stops a process that nobody listens to', BOUNDED, async () => {
  await withPolicy('{', async env => {
    // Open for reading only, so that each write to it fails.
    const stderr = fs.openSync(env.TLS_PINNING_POLICY, 'r')
    const program = `
      process.on('uncaughtException', () => {})
      try { require(${JSON.stringify(REGISTER)}) } catch {}
      console.log('ran')
    `
    const child = spawn(process.execPath, ['-e', program], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', stderr]
    })
    let stdout = ''
    child.stdout.on('data', chunk => {
      stdout += chunk
    })
    const [status] = await once(child, 'close')
    fs.closeSync(stderr)
    assert.deepEqual([status, stdout], [1, ''])
  })
})

describe('a socket that is not connected yet, and no name', () => {
  for (const [name, dial] of [
    ['by address', "net.connect(port, '127.0.0.1')"],
    ['by name', "net.connect({ port, host: 'localhost', family: 4 })"]
  ]) {
    for (const unlisted of ['allow', 'deny']) {
      test(`${name}, unlisted: ${unlisted}`, BOUNDED, async t => {
        const server = await httpsServer({ cert: good })
        t.after(() => server.close())
        const program = `kit.outcome(() => kit.speak(tls.connect({ socket: ${dial}, ca }))).then(tell)`
        const policy = (/** @type {string} */ pin) => ({ unlisted, hosts: { localhost: pin, '127.0.0.1': pin } })
        const options = { server, ca: root.pem, program }
        assert.equal(await answer({ ...options, policy: policy(WRONG) }), 'ERR_TLS_PIN_MISMATCH')
        await server.settled()
        assert.equal(server.appBytes, 0)
        assert.equal(await answer({ ...options, policy: policy(good.pin) }), 200)
      })
    }
  }
})

test("require('_tls_wrap').connect is pinned too", BOUNDED, async t => {
  const server = await httpsServer({ cert: good })
  t.after(() => server.close())
  const program = `
    let old = tls
    try { old = require('_tls_wrap') } catch {}
    kit.outcome(() => kit.speak(old.connect({ port, host: 'localhost', ca }))).then(tell)
  `
  const policy = { hosts: { localhost: WRONG } }
  assert.equal(await answer({ policy, server, ca: root.pem, program }), 'ERR_TLS_PIN_MISMATCH')
  await server.settled()
  assert.equal(server.appBytes, 0)
})

for (const [name, hosts, reason] of /** @type {[string, object, string]} */ ([
  ['that no entry is for', { 'other.example': WRONG }, 'unlisted'],
  ['with another key', { localhost: WRONG }, 'mismatch']
])) {
  test(`the channel is told once of a server ${name}`, BOUNDED, async t => {
    const server = await httpsServer({ cert: good })
    t.after(() => server.close())
    const program = `
      const told = []
      require('node:diagnostics_channel').subscribe('tls-pinning:mismatch', ({ reason }) => told.push(reason))
      kit.outcome(() => kit.speak(tls.connect({ port, host: 'localhost', ca }))).then(() => setImmediate(() => tell(told)))
    `
    assert.deepEqual(await answer({ policy: { hosts }, server, ca: root.pem, program }), [reason])
  })
}

test('what is reported of two servers of one host can be put into one policy', BOUNDED, async t => {
  const second = await leaf({ issuer: root })
  const servers = [await httpsServer({ cert: good }), await httpsServer({ cert: second })]
  t.after(() => Promise.all(servers.map(server => server.close())))
  const program = `
    ;(async () => {
      const outcomes = []
      for (const port of DATA.ports) outcomes.push(await kit.outcome(() => kit.speak(tls.connect({ port, host: 'localhost', ca }))))
      tell(outcomes)
    })()
  `
  const options = { ca: root.pem, program, data: { ports: servers.map(({ port }) => port) } }
  const { stderr } = await pinned({ ...options, policy: { unlisted: 'report', hosts: { other: WRONG } } })
  const entries = stderr.split('\n').filter(line => line.includes('has no entry'))
  assert.equal(entries.length, 2, stderr)
  const hosts = entries.map(line => line.slice(line.lastIndexOf(': "') + 2)).join()
  assert.deepEqual(await answer({ ...options, policy: `{ "hosts": { ${hosts} } }` }), [200, 200])
})

describe('threads of a process that was started with', () => {
  const inner = `
    const kit = require(${JSON.stringify(require.resolve('./fixtures/register-kit'))})
    const { workerData, parentPort } = require('node:worker_threads')
    kit.outcome(() => kit.forms['(options)'](workerData)).then(outcome => parentPort.postMessage(outcome))
  `
  for (const flags of [
    ['--title', 'some title'],
    ['--title=title'],
    ['--max-old-space-size=500'],
    ['--stack-trace-limit=5'],
    ['--expose-gc'],
    ['--diagnostic-dir', __dirname],
    ['--conditions', 'x'],
    ['--unhandled-rejections', 'strict'],
    ['--no-deprecation', '--max-old-space-size=500', '--title', 'x']
  ]) {
    test(flags.join(' '), BOUNDED, async t => {
      const server = await httpsServer({ cert: good })
      t.after(() => server.close())
      const program = `
        const { Worker } = require('node:worker_threads')
        new Worker(DATA.inner, { eval: true, workerData: DATA }).once('message', tell).once('error', error => tell(error.message))
      `
      const all = [...flags, '--require', REGISTER]
      const options = { server, ca: root.pem, program, data: { inner }, flags: all }
      const policy = (/** @type {string} */ pin) => ({ unlisted: 'allow', hosts: { localhost: pin } })
      assert.equal(await answer({ ...options, policy: policy(WRONG) }), 'ERR_TLS_PIN_MISMATCH')
      await server.settled()
      assert.equal(server.appBytes, 0)
      assert.equal(await answer({ ...options, policy: policy(good.pin) }), 200)
    })
  }
})

const [major] = process.versions.node.split('.').map(Number)

for (const way of ['https', 'fetch']) {
  test(`Node's own way through a proxy, ${way}`, { ...BOUNDED, skip: major < 24 && 'Node has none' }, async t => {
    const server = await httpsServer({ cert: good })
    const proxy = http.createServer()
    let asked = 0
    proxy.on('connect', (request, client) => {
      asked++
      const upstream = net.connect(Number(String(request.url).split(':')[1]), '127.0.0.1')
      for (const socket of [client, upstream]) socket.on('error', () => {})
      client.on('close', () => upstream.destroy())
      client.write('HTTP/1.1 200 OK\r\n\r\n')
      upstream.pipe(client).pipe(upstream)
    })
    proxy.listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    t.after(() => {
      proxy.close()
      proxy.closeAllConnections()
      return server.close()
    })
    const { port } = /** @type {net.AddressInfo} */ (proxy.address())
    const env = { NODE_USE_ENV_PROXY: '1', HTTPS_PROXY: `http://127.0.0.1:${port}`, NO_PROXY: '' }
    const program =
      way === 'fetch'
        ? 'fetch(url).then(response => response.status, error => error.cause.code).then(tell)'
        : "https.get(url, response => { tell(response.statusCode); response.resume() }).on('error', error => tell(error.code))"
    const options = { server, ca: root.pem, program, env }
    assert.equal(await answer({ ...options, policy: { hosts: { localhost: WRONG } } }), 'ERR_TLS_PIN_MISMATCH')
    assert.equal(server.appBytes, 0)
    assert.equal(await answer({ ...options, policy: { hosts: { localhost: good.pin } } }), 200)
    assert.equal(asked, 2)
  })
}

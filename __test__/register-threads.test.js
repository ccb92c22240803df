'use strict'
// The promise: every thread and every process that Node starts with this package is pinned, whatever it is started with.

const assert = require('node:assert/strict')
const path = require('node:path')
const { before, describe, test } = require('node:test')
const { pathToFileURL } = require('node:url')
const { BOUNDED, WRONG, answer, pinned } = require('./fixtures/register-run')
const { REGISTER } = require('./helpers/node-tls')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const WORKER = path.join(__dirname, 'fixtures', 'register-worker.js')

/** @type {import('./helpers/pki').Certificate} */ let root
/** @type {import('./helpers/pki').Certificate} */ let good

before(async () => {
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root })
})

const START = `
  const threads = require('node:worker_threads')
  function ask(worker) {
    worker.once('message', tell).once('error', error => tell(String(error)))
  }
  const { worker: file } = DATA
  const workerData = { url, port, ca, depth: DATA.depth ?? 0 }
`

/** @type {{ name: string, run: string, flags?: string[], depth?: number, env?: Record<string, string> }[]} */
const WAYS = [
  { name: 'by its file', run: 'ask(new threads.Worker(file, { workerData }))' },
  { name: 'by a URL', run: "ask(new threads.Worker(require('node:url').pathToFileURL(file), { workerData }))" },
  {
    name: 'by source',
    run: "ask(new threads.Worker('require(' + JSON.stringify(file) + ')', { eval: true, workerData }))"
  },
  {
    name: 'by a data: URL',
    run: "ask(new threads.Worker(new URL('data:text/javascript,' + encodeURIComponent('import { createRequire } from \"node:module\"; createRequire(' + JSON.stringify(file) + ')(' + JSON.stringify(file) + ')')), { workerData }))"
  },
  { name: 'with execArgv: []', run: 'ask(new threads.Worker(file, { workerData, execArgv: [] }))' },
  { name: 'with env: {}', run: 'ask(new threads.Worker(file, { workerData, env: {} }))' },
  { name: 'with both', run: 'ask(new threads.Worker(file, { workerData, execArgv: [], env: {} }))' },
  {
    name: 'with another policy in env',
    run: "ask(new threads.Worker(file, { workerData, env: { TLS_PINNING_POLICY: '/nowhere' } }))"
  },
  { name: 'with SHARE_ENV', run: 'ask(new threads.Worker(file, { workerData, env: threads.SHARE_ENV }))' },
  {
    name: 'with execArgv of its own',
    run: "ask(new threads.Worker(file, { workerData, execArgv: ['--no-warnings'] }))"
  },
  {
    name: 'with NODE_OPTIONS that a thread does not read',
    run: "ask(new threads.Worker(file, { workerData, env: { NODE_OPTIONS: '--no-warnings' } }))"
  },
  {
    name: 'from the view of an ECMAScript module',
    run: "import('node:worker_threads').then(({ Worker }) => ask(new Worker(file, { workerData, execArgv: [] })))"
  },
  {
    name: 'as a class on top of it',
    run: 'ask(new (class extends threads.Worker {})(file, { workerData, execArgv: [] }))'
  },
  { name: 'two deep', run: 'ask(new threads.Worker(file, { workerData, execArgv: [], env: {} }))', depth: 2 },
  {
    name: 'in a process with flags that no thread takes',
    run: 'ask(new threads.Worker(file, { workerData }))',
    flags: ['--expose-gc', '--max-old-space-size=200', '--title=pinned']
  },
  {
    name: 'whose policy was forgotten by the program',
    run: "require('node:fs').rmSync(process.env.TLS_PINNING_POLICY); delete process.env.TLS_PINNING_POLICY; ask(new threads.Worker(file, { workerData }))"
  },
  {
    name: 'through the constructor of an instance',
    run: "const one = new threads.Worker('', { eval: true }); ask(new one.constructor(file, { workerData, execArgv: [], env: {} }))"
  }
]

describe('threads', () => {
  for (const { name, run, flags = [], depth = 0 } of WAYS) {
    for (const [how, begin] of [
      ['--require', ['--require', REGISTER]],
      ['--import', ['--import', pathToFileURL(REGISTER).href]]
    ]) {
      test(`${name}, ${how}`, {
        ...BOUNDED
      }, async t => {
        const server = await httpsServer({ cert: good })
        t.after(() => server.close())
        const program = `${START}; ${run}`
        const options = {
          server,
          ca: root.pem,
          program,
          flags: [...flags, .../** @type {string[]} */ (begin)],
          data: { worker: WORKER, depth }
        }
        const policy = (/** @type {string} */ pin) => ({ unlisted: 'allow', hosts: { localhost: pin } })
        assert.deepEqual(await answer({ ...options, policy: policy(good.pin) }), [200, 200, 200])
        await server.settled()
        const earlier = server.appBytes
        assert.deepEqual(await answer({ ...options, policy: policy(WRONG) }), Array(3).fill('ERR_TLS_PIN_MISMATCH'))
        await server.settled()
        assert.equal(server.appBytes, earlier)
      })
    }
  }

  test('a thread is what it would be: its data, its arguments, its end, errors of its making', BOUNDED, async () => {
    const program = `
      const threads = require('node:worker_threads')
      const source = 'require("node:worker_threads").parentPort.postMessage([process.argv.slice(2), process.execArgv.length, require("node:worker_threads").workerData])'
      const worker = new threads.Worker(source, { eval: true, argv: ['a'], workerData: 7 })
      worker.once('message', ([argv, , data]) => worker.once('exit', code => {
        let thrown
        try { new threads.Worker(5) } catch (error) { thrown = error.code }
        let flag
        try { new threads.Worker('', { eval: true, execArgv: ['--no-such-flag'] }) } catch (error) { flag = error.code }
        tell([argv, data, code, worker instanceof threads.Worker, thrown, flag])
      }))
    `
    assert.deepEqual(await answer({ policy: { hosts: { localhost: WRONG } }, program }), [
      ['a'],
      7,
      0,
      true,
      'ERR_INVALID_ARG_TYPE',
      'ERR_WORKER_INVALID_EXEC_ARGV'
    ])
  })
})

describe('processes', () => {
  const inner = `
    const kit = require(ROOT + '/__test__/fixtures/register-kit.js')
    kit.outcome(() => kit.forms['(options)'](DATA)).then(outcome => process.send(outcome, () => process.disconnect()))
  `
  for (const [name, env, flags] of /** @type {[string, Record<string, string>, string[]?][]} */ ([
    ['with NODE_OPTIONS', { NODE_OPTIONS: `--require ${REGISTER}` }, []],
    ['with execArgv', {}]
  ])) {
    test(name, BOUNDED, async t => {
      const server = await httpsServer({ cert: good })
      t.after(() => server.close())
      const program = `
        const fs = require('node:fs'), path = require('node:path')
        const file = path.join(path.dirname(process.env.TLS_PINNING_POLICY), 'inner.js')
        fs.writeFileSync(file, 'const ROOT = ' + JSON.stringify(ROOT) + ', DATA = JSON.parse(process.env.TEST_DATA);' + DATA.inner)
        require('node:child_process').fork(file, { execArgv: DATA.execArgv }).once('message', tell)
      `
      const execArgv = flags ?? ['--require', REGISTER]
      const options = { server, ca: root.pem, program, env, data: { inner, execArgv }, ...(flags && { flags }) }
      assert.equal(await answer({ ...options, policy: { hosts: { localhost: good.pin } } }), 200)
      await server.settled()
      const before = server.appBytes
      assert.equal(await answer({ ...options, policy: { hosts: { localhost: WRONG } } }), 'ERR_TLS_PIN_MISMATCH')
      await server.settled()
      assert.equal(server.appBytes, before)
    })
  }

  test('threads end with the process, with nothing said twice', BOUNDED, async () => {
    const program = `
      const threads = require('node:worker_threads')
      for (let left = 3; left > 0; left--) new threads.Worker('', { eval: true })
    `
    const { status, stderr } = await pinned({ policy: { hosts: { localhost: WRONG } }, program })
    assert.equal(status, 0, stderr)
    assert.equal(stderr.split('TlsPinningWarning').length, 2, stderr)
  })
})

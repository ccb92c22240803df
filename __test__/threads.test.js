'use strict'
// The promise: the addon is at home in every thread, takes nothing down with it when a thread or the process ends under a
// request, and keeps a process alive only while somebody waits for an answer.

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const { before, beforeEach, afterEach, describe, test } = require('node:test')
const { Worker } = require('node:worker_threads')
const { PinnedClient } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** Where a failure would be a hang. */
const BOUNDED = { timeout: 30_000 }
const fixture = (/** @type {string} */ name) => path.join(__dirname, 'fixtures', `threads-${name}`)

/** @type {Awaited<ReturnType<typeof ca>>} */
let root
/** @type {Awaited<ReturnType<typeof leaf>>} */
let cert
/** @type {Awaited<ReturnType<typeof httpsServer<any>>> & import('./helpers/tracked').TlsTestServer} */
let server
/** Called with each request for /hang and /body. @type {() => void} */
let onHanging = () => {}

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
})

for (const http2 of [false, true]) {
  describe(http2 ? 'HTTP/2' : 'HTTP/1.1', () => {
    beforeEach(async () => {
      server = /** @type {any} */ (await httpsServer({ cert, http2, handler }))
    })
    afterEach(() => server.close())

    test('eight workers at once', BOUNDED, async () => {
      const workers = Array.from({ length: 8 }, () => worker('requests', { count: 50 }))
      // They leave their connections open, and end all the same.
      const exits = Promise.all(workers.map(worker => once(worker, 'exit')))
      const messages = await Promise.all(workers.map(worker => once(worker, 'message')))
      assert.deepEqual(messages, Array(8).fill([['ok']]))
      await exits
      await server.settled()
      assert.equal(server.requests.length, 400)
    })

    for (const what of ['hang', 'body', 'upload']) {
      test(`a worker that is terminated in ${what}: the server sees it, the process goes on`, BOUNDED, async () => {
        const begun = nextHanging()
        const started = worker(what)
        if (what === 'body') await once(started, 'message')
        await begun
        assert.equal(await started.terminate(), 1)
        await server.settled()
        assert.equal(await oneRequest(), 'ok')
      })
    }

    test('process.exit() in a worker that has just sent a request', BOUNDED, async () => {
      for (let left = 5; left > 0; left--) await once(worker('exit'), 'exit')
      await server.settled()
      assert.equal(await oneRequest(), 'ok')
    })

    test('workers that come and go', BOUNDED, async () => {
      for (let left = 10; left > 0; left--) {
        const started = worker('requests', { count: 1 })
        const exited = once(started, 'exit')
        assert.deepEqual(await once(started, 'message'), [['ok']])
        assert.deepEqual(await exited, [0])
      }
      await server.settled()
    })

    for (const { what, code = 0, stdout = '' } of [
      { what: 'nothing asked' },
      { what: 'idle', stdout: 'ok' },
      { what: 'idle, without a client', stdout: 'ok' },
      { what: 'unread body' },
      { what: 'unread stream' },
      { what: 'refused', stdout: 'ERR_TLS_PIN_MISMATCH' },
      { what: 'aborted', stdout: 'TimeoutError' },
      { what: 'exit', code: 7 },
      { what: 'exit at once', code: 7 },
      { what: 'rejection', code: 1 },
      { what: 'resources' }
    ]) {
      test(`a process ends by itself: ${what}`, BOUNDED, async () => {
        const ended = await run([fixture('process.js'), what, known()])
        assert.deepEqual([ended.signal, ended.code, ended.stdout], [null, code, stdout], ended.stderr)
        await server.settled()
      })
    }
  })
}

describe('ways in', () => {
  beforeEach(async () => {
    server = /** @type {any} */ (await httpsServer({ cert, handler }))
  })
  afterEach(() => server.close())

  test('import and require give the same classes', BOUNDED, async () => {
    const ended = await run([fixture('import.mjs'), known()])
    assert.deepEqual([ended.code, ended.stdout], [0, 'ok'], ended.stderr)
  })

  test('a suite under node --test ends by itself', BOUNDED, async () => {
    const ended = await run(['--test', '--test-reporter=tap', fixture('suite.js')], { THREADS_SERVER: known() })
    assert.equal(ended.code, 0, ended.stdout + ended.stderr)
    assert.match(ended.stdout, /^# pass 1$/m)
  })
})

/**
 * @param {any} request
 * @param {any} response
 */
function handler(request, response) {
  request.on('error', () => {}).resume()
  if (request.url === '/') return response.end('ok')
  if (request.url === '/body') response.write('part')
  onHanging()
}

function nextHanging() {
  return new Promise(resolve => {
    onHanging = () => resolve(undefined)
  })
}

/** What a client needs to know of the server, as JSON. */
function known() {
  return JSON.stringify({ url: server.url, pins: cert.pin, ca: root.pem })
}

async function oneRequest() {
  const client = new PinnedClient({ pins: cert.pin, ca: root.pem })
  const text = await (await client.request(server.url)).text()
  await client.close()
  return text
}

/**
 * @param {string} what
 * @param {object} [more]
 */
function worker(what, more) {
  const workerData = { what, ...JSON.parse(known()), ...more }
  return new Worker(fixture('worker.js'), { workerData, stderr: false })
}

/**
 * Runs Node to its end.
 * @param {string[]} args
 * @param {Record<string, string>} [env]
 */
async function run(args, env) {
  const { NODE_TEST_CONTEXT: _, ...own } = process.env
  const child = spawn(process.execPath, args, { env: { ...own, ...env }, timeout: 20_000, killSignal: 'SIGKILL' })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', text => {
    output.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', text => {
    output.stderr += text
  })
  const [code, signal] = await once(child, 'close')
  return { code, signal, ...output }
}

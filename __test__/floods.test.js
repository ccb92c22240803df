'use strict'
// The promise: whatever a server sends without end or makes others make of it, the event loop and the native threads go on
// with their other work, and the limits hold.

const assert = require('node:assert/strict')
const { before, describe, test } = require('node:test')
const { Worker } = require('node:worker_threads')
const zlib = require('node:zlib')
const { PinnedClient } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const BOUNDED = { timeout: 30_000 }
const MIB = 1024 * 1024

/** @type {import('./helpers/pki').Certificate} */
let root
/** @type {import('./helpers/pki').Certificate} */
let cert

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
})

/** @param {import('node:test').TestContext} t @param {any} [options] */
function clientFor(t, options) {
  const client = new PinnedClient({ pins: cert.pin, ca: root.pem, ...options })
  t.after(() => client.destroy())
  return client
}

/** A gzip member of so many bytes that decodes to nothing: empty stored blocks. @param {number} size */
function nothing(size) {
  const blocks = Buffer.alloc(size - (size % 5))
  for (let at = 0; at < blocks.length; at += 5) blocks.fill(0xff, at + 3, at + 5)
  const end = Buffer.from('010000ffff0000000000000000', 'hex')
  return Buffer.concat([Buffer.from('1f8b0800000000000003', 'hex'), blocks, end])
}

for (const driver of ['auto', 'threads']) {
  describe(`driver: ${driver}`, () => {
    test('a body of a few bytes that grows in between and then vanishes', BOUNDED, async t => {
      const members = Array(20).fill(zlib.gzipSync(nothing(16 * MIB)))
      const body = zlib.gzipSync(Buffer.concat(members))
      assert.ok(body.length < 10_000)
      const handler = (/** @type {any} */ request, /** @type {any} */ response) => {
        if (request.url === '/') return response.end('ok')
        response.writeHead(200, { 'content-encoding': 'gzip, gzip, gzip' }).end(body)
      }
      const server = await httpsServer({ cert, handler })
      t.after(() => server.close())
      const client = clientFor(t, { driver })
      await (await client.request(server.url)).bytes()
      const read = async () => (await client.request(`${server.url}/bomb`)).bytes()
      await assert.rejects(read(), { code: 'ERR_HTTP_RESPONSE_TOO_LARGE' })
    })

    test('interim responses without end', BOUNDED, async t => {
      const flood = new Worker(FLOOD, { eval: true, workerData: { key: cert.key, cert: cert.pem } })
      t.after(() => flood.terminate())
      const port = await new Promise(resolve => flood.once('message', resolve))
      const client = clientFor(t, { driver, allowH2: false, headersTimeout: 1000 })
      const url = `https://localhost:${port}`
      for (let n = 0; n < 2; n++) await (await client.request(url)).bytes()
      let turns = 0
      const timer = setInterval(() => turns++, 10)
      await assert.rejects(client.request(url), { code: 'ETIMEDOUT' })
      clearInterval(timer)
      assert.ok(turns >= 10, `the event loop had ${turns} turns`)
    })

    test('what stands behind the end of a coding counts', BOUNDED, async t => {
      const handler = async (/** @type {any} */ _, /** @type {any} */ response) => {
        response.on('error', () => {}).writeHead(200, { 'content-encoding': 'gzip' })
        response.write(zlib.gzipSync('hello'))
        const more = () => {
          while (!response.destroyed && response.write(Buffer.alloc(MIB, 1)));
          if (!response.destroyed) response.once('drain', more)
        }
        more()
      }
      const server = await httpsServer({ cert, handler })
      t.after(() => server.close())
      const client = clientFor(t, { driver, maxResponseSize: 1000, bodyTimeout: 2000 })
      const read = async () => (await client.request(server.url)).bytes()
      await assert.rejects(read(), { code: 'ERR_HTTP_RESPONSE_TOO_LARGE' })
    })
  })
}

/** A server with a thread of its own, which answers twice and then never. */
const FLOOD = `
  const { parentPort, workerData } = require('node:worker_threads')
  const tls = require('node:tls')
  const interim = Buffer.from('HTTP/1.1 103 Early Hints\\r\\nlink: </a>\\r\\n\\r\\n'.repeat(4000))
  const server = tls.createServer(workerData, socket => {
    let requests = 0
    const more = () => {
      while (!socket.destroyed && socket.write(interim));
      if (!socket.destroyed) socket.once('drain', more)
    }
    socket.on('error', () => {}).on('data', () => {
      if (++requests < 3) socket.write('HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok')
      else more()
    })
  })
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))
`

'use strict'
// A long body and a slow other side: whoever reads sets the pace, and what waits in between does not grow. The promise: a
// download of many GiB by a slow reader, and an upload to a slow server, cost less than 64 MiB of memory.
//
// node --expose-gc slow-reader.js --gib 10

const assert = require('node:assert/strict')
const { fork } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const { parseArgs } = require('node:util')
const { PinnedClient } = require('../..')
const { ca, leaf } = require('../helpers/pki')
const { Pattern } = require('./pattern')

const MIB = 1024 * 1024
const GROWTH = 64 * MIB
/** The reader rests this often, until the server can write no more. */
const REST = 64 * MIB
/** What runs before memory is first looked at: buffers that stay have been made by then. */
const WARM = 128 * MIB

const { values } = parseArgs({ options: { gib: { type: 'string', default: '10' } } })
const length = Number(values.gib) * 1024 * MIB

main()

async function main() {
  const root = await ca({ name: 'Root' })
  const cert = await leaf({ issuer: root })
  const server = fork(path.join(__dirname, 'stream-server.js'), { execArgv: [] })
  server.send({ key: cert.key, cert: cert.pem })
  const [{ port }] = await once(server, 'message')
  for (const http2 of [false, true]) {
    const client = new PinnedClient({ pins: { localhost: root.pin }, ca: root.pem, allowH2: http2 })
    const name = http2 ? 'HTTP/2' : 'HTTP/1.1'
    const url = `https://localhost:${port}/`
    await measured(`${name} download`, grown => download(client, url, server, grown))
    await measured(`${name} upload`, grown => upload(client, url, grown))
    await client.close()
  }
  server.send('exit')
  await once(server, 'exit')
  console.log('slow reader: ok')
}

async function download(client, url, server, grown) {
  const response = await client.request(url, { headers: { 'x-length': String(length) } })
  const pattern = new Pattern()
  let received = 0
  let untilRest = 0
  for await (const chunk of response.body) {
    pattern.check(chunk)
    received += chunk.length
    untilRest += chunk.length
    if (untilRest < REST) continue
    untilRest = 0
    if (received < length - REST) await blocked(server)
    grown(received)
  }
  assert.equal(received, length)
}

async function upload(client, url, grown) {
  const body = (async function* () {
    const pattern = new Pattern()
    let untilLook = 0
    for (let left = length; left > 0; ) {
      const piece = pattern.next(Math.min(left, 256 * 1024))
      left -= piece.length
      untilLook += piece.length
      yield piece
      if (untilLook < REST) continue
      untilLook = 0
      grown(length - left)
    }
  })()
  const response = await client.request(url, { method: 'POST', headers: { 'x-length': String(length) }, body })
  assert.equal(await response.text(), 'intact')
}

/** Until the server waits for room and has waited since it was last asked: what it sent is all that fits in between. */
async function blocked(server) {
  for (let last = -1; ; ) {
    server.send('progress')
    const [{ sent, isBlocked }] = await once(server, 'message')
    if (isBlocked && sent === last) return
    last = sent
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

async function measured(name, run) {
  let base = 0
  let most = 0
  const started = Date.now()
  await run(done => {
    globalThis.gc()
    const { rss } = process.memoryUsage()
    if (done <= WARM) base = rss
    else most = Math.max(most, rss - base)
  })
  const seconds = (Date.now() - started) / 1000
  const mib = bytes => (bytes / MIB).toFixed(1)
  console.log(
    `${name}: ${values.gib} GiB in ${seconds.toFixed(0)} s, ${mib(base)} MiB of memory, grown by ${mib(most)} MiB at most`
  )
  assert.ok(most < GROWTH, `${name}: memory grew by ${most} bytes`)
}

'use strict'
// Streams of a known pattern, down and up, in a process of its own. Nothing is stored: a piece is made when there is room for it.

const { once } = require('node:events')
const http2 = require('node:http2')
const { Pattern } = require('./pattern')

/** Announced to the other process: it reads on when this one can write no more. */
let sent = 0
let isBlocked = false

process.once('message', ({ key, cert }) => {
  const server = http2.createSecureServer({ key, cert, allowHTTP1: true })
  server.on('sessionError', () => {})
  Object.assign(server, { requestTimeout: 0, headersTimeout: 0 })
  server.on('request', (request, response) => {
    const length = Number(request.headers['x-length'])
    const work = request.method === 'POST' ? take(request, response, length) : give(response, length)
    work.catch(error => response.destroy(error))
  })
  server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }))
  process.on('message', message => {
    if (message === 'progress') process.send({ sent, isBlocked })
    if (message === 'exit') process.exit()
  })
})

/** Sends as much as the client takes. */
async function give(response, length) {
  const pattern = new Pattern()
  response.writeHead(200, { 'content-length': String(length) })
  sent = 0
  for (let left = length; left > 0; ) {
    const piece = pattern.next(Math.min(left, 256 * 1024))
    left -= piece.length
    sent += piece.length
    if (response.write(piece)) continue
    isBlocked = true
    await once(response, 'drain')
    isBlocked = false
  }
  response.end()
}

/** Reads with rests, in which the client has to wait. */
async function take(request, response, length) {
  const pattern = new Pattern()
  let untilRest = 0
  let received = 0
  for await (const chunk of request) {
    pattern.check(chunk)
    received += chunk.length
    untilRest += chunk.length
    if (untilRest < 64 * 1024 * 1024) continue
    untilRest = 0
    // Long enough for a client that does not wait to run ahead by gigabytes; how long does not decide what is asserted.
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  response.end(received === length ? 'intact' : `${received} bytes instead of ${length}`)
}

'use strict'
// Promise: an HTTP/2 body is complete when its server has said so (RFC 9113, 8.1), and at no other time: not when the stream
// was reset, with whatever code, nor when the connection has gone.

const assert = require('node:assert/strict')
const { after, before, describe, it } = require('node:test')
const { PinnedClient } = require('..')
const { frame } = require('./helpers/frames')
const { ca, leaf } = require('./helpers/pki')
const { tlsServer } = require('./helpers/servers')

const BOUNDED = { timeout: 20_000 }
const Frame = { data: 0, headers: 1, reset: 3, settings: 4, goAway: 7 }
const END_STREAM = 1
const END_HEADERS = 4
/** `:status: 200`, from the static table. */
const OK = Buffer.from([0x88])
const PIECE = Buffer.alloc(1000, 'x')

/** How the answer ends after its piece, and whether that is a whole body. */
const ENDINGS = {
  END_STREAM: { whole: true, end: () => frame(Frame.data, END_STREAM, 1) },
  'END_STREAM, then RST_STREAM(NO_ERROR), of which the server wants no more of the request': {
    whole: true,
    end: () => Buffer.concat([frame(Frame.data, END_STREAM, 1), frame(Frame.reset, 0, 1, code(0))])
  },
  'RST_STREAM(NO_ERROR)': { whole: false, end: () => frame(Frame.reset, 0, 1, code(0)) },
  'RST_STREAM(CANCEL)': { whole: false, end: () => frame(Frame.reset, 0, 1, code(8)) },
  'RST_STREAM(INTERNAL_ERROR)': { whole: false, end: () => frame(Frame.reset, 0, 1, code(2)) },
  'GOAWAY and the end of the connection': {
    whole: false,
    end: () => frame(Frame.goAway, 0, 0, Buffer.concat([code(1), code(0)])),
    close: true
  },
  'the end of the connection': { whole: false, end: () => Buffer.alloc(0), close: true }
}

/** @type {Awaited<ReturnType<typeof ca>>} */
let root
/** @type {Awaited<ReturnType<typeof leaf>>} */
let cert

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
})

for (const [name, ending] of Object.entries(ENDINGS)) {
  describe(name, () => {
    /** @type {Awaited<ReturnType<typeof tlsServer>>} */
    let server
    before(async () => {
      server = await tlsServer(socket => answer(socket, ending), { cert, alpn: ['h2'] })
    })
    after(() => server.close())

    for (const how of /** @type {const} */ (['bytes', 'body'])) {
      it(`${how}: ${ending.whole ? 'the whole body' : 'an error'}`, BOUNDED, async () => {
        const client = new PinnedClient({ pins: [cert.pin], ca: root.pem })
        // The whole exchange: what is known by the time the head is here fails the request itself.
        const reading = client
          .request(`https://localhost:${server.port}/`)
          .then(response => (how === 'bytes' ? response.bytes() : collect(response.body)))
        if (ending.whole) assert.deepEqual(Buffer.from(await reading), PIECE)
        else
          await assert.rejects(
            reading,
            (/** @type {any} */ error) => ['request', 'body'].includes(error.phase) && error.code !== undefined
          )
        await client.close()
      })
    }
  })
}

/** @param {any} body */
async function collect(body) {
  const pieces = []
  for await (const piece of body) pieces.push(piece)
  return Buffer.concat(pieces)
}

/**
 * Answers the first request of a connection.
 * @param {import('node:tls').TLSSocket} socket
 * @param {{ end: () => Buffer, close?: boolean }} ending
 */
function answer(socket, { end, close }) {
  let answered = false
  socket.on('error', () => {})
  socket.on('data', () => {
    if (answered) return
    answered = true
    const head = [frame(Frame.settings, 0, 0), frame(Frame.headers, END_HEADERS, 1, OK), frame(Frame.data, 0, 1, PIECE)]
    socket.write(Buffer.concat([...head, end()]))
    if (close) socket.end()
  })
}

/** @param {number} value */
function code(value) {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

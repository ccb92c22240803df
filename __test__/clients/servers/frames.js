'use strict'
const { tlsServer } = require('../../helpers/servers')

/**
 * A TLS server of a protocol whose messages begin with their length.
 *
 * @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity
 * @param {object} protocol
 * @param {(head: Buffer) => number} protocol.lengthOf the bytes of a whole message, from its first four
 * @param {(message: Buffer, port: number) => Buffer | undefined} protocol.answer
 * @returns {Promise<{ port: number, close: () => Promise<void> }>}
 */
async function frameServer(identity, { lengthOf, answer }) {
  const server = await tlsServer(socket => {
    let received = Buffer.alloc(0)
    socket.on('data', (/** @type {Buffer} */ data) => {
      received = Buffer.concat([received, data])
      while (received.length >= 4 && received.length >= lengthOf(received)) {
        const message = received.subarray(0, lengthOf(received))
        received = received.subarray(message.length)
        const reply = answer(message, server.port)
        if (reply) socket.write(reply)
      }
    })
  }, identity)
  return { port: server.port, close: () => server.close() }
}

module.exports = { frameServer }

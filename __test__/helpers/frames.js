'use strict'
// HTTP/2 by the frame, for what no HTTP/2 library would send.

/** How long the client's preface is. */
const PREFACE = 24

/**
 * Calls back for each frame that comes, after the preface.
 * @param {import('node:tls').TLSSocket} socket
 * @param {(type: number, stream: number) => void} onFrame
 */
function eachFrame(socket, onFrame) {
  let received = Buffer.alloc(0)
  let at = PREFACE
  socket.on('data', (/** @type {Buffer} */ chunk) => {
    received = Buffer.concat([received, chunk])
    while (received.length >= at + 9) {
      const end = at + 9 + received.readUIntBE(at, 3)
      if (received.length < end) return
      onFrame(received[at + 3], received.readUInt32BE(at + 5))
      at = end
    }
  })
}

/**
 * @param {number} type
 * @param {number} flags
 * @param {number} stream
 * @param {Buffer} [payload]
 */
function frame(type, flags, stream, payload = Buffer.alloc(0)) {
  const header = Buffer.alloc(9)
  header.writeUIntBE(payload.length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, payload])
}

module.exports = { eachFrame, frame }

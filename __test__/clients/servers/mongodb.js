'use strict'
// As much of a MongoDB server as a driver asks before and for one command: a stand-alone server that answers `hello` and
// says yes to all else. OP_QUERY is only what a driver begins with.
// https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/

const { deserialize, serialize } = require('bson')
const { frameServer } = require('./frames')

const OP = { reply: 1, query: 2004, message: 2013 }
const HEADER = 16
const HELLO = {
  helloOk: true,
  ismaster: true,
  isWritablePrimary: true,
  maxBsonObjectSize: 16_777_216,
  maxMessageSizeBytes: 48_000_000,
  maxWriteBatchSize: 100_000,
  minWireVersion: 0,
  maxWireVersion: 25,
  readOnly: false,
  ok: 1
}

/** @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity */
async function start(identity) {
  return frameServer(identity, { lengthOf: head => head.readInt32LE(0), answer })
}

/** @param {Buffer} message */
function answer(message) {
  const [request, operation] = [message.readInt32LE(4), message.readInt32LE(12)]
  if (operation === OP.query) return frame(request, OP.reply, Buffer.concat([replyHead(), serialize(HELLO)]))
  // Flags, and the kind of the one section there is: a command.
  const command = deserialize(message.subarray(HEADER + 5))
  const reply = 'hello' in command || 'ismaster' in command ? HELLO : { ok: 1 }
  return frame(request, OP.message, Buffer.concat([Buffer.alloc(5), serialize(reply)]))
}

/** Flags, cursor, first and number of documents. */
function replyHead() {
  const head = Buffer.alloc(20)
  head.writeInt32LE(1, 16)
  return head
}

/**
 * @param {number} request
 * @param {number} operation
 * @param {Buffer} body
 */
function frame(request, operation, body) {
  const header = Buffer.alloc(HEADER)
  header.writeInt32LE(HEADER + body.length, 0)
  header.writeInt32LE(request, 8)
  header.writeInt32LE(operation, 12)
  return Buffer.concat([header, body])
}

module.exports = {
  debian: [],
  product: 'a server of our own (hello, ping)',
  version: () => '',
  start
}

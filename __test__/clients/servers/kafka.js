'use strict'
// As much of a Kafka broker as a client asks for the list of topics: ApiVersions and Metadata.
// https://kafka.apache.org/protocol.html

const { frameServer } = require('./frames')

const TOPICS = ['orders', 'payments']
const API = { metadata: 3, apiVersions: 18 }
/** The versions of each request that are answered here. */
const VERSIONS = [
  [API.metadata, 1, 1],
  [API.apiVersions, 0, 2]
]
const NODE = 1

/** @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity */
async function start(identity) {
  return frameServer(identity, { lengthOf: head => 4 + head.readInt32BE(0), answer })
}

/**
 * @param {Buffer} message
 * @param {number} port
 */
function answer(message, port) {
  const [key, version, correlation] = [message.readInt16BE(4), message.readInt16BE(6), message.readInt32BE(8)]
  const body = key === API.metadata ? metadata(port) : apiVersions(version)
  const reply = Buffer.concat([int32(correlation), body])
  return Buffer.concat([int32(reply.length), reply])
}

/** @param {number} version */
function apiVersions(version) {
  const known = array(VERSIONS, range => Buffer.concat(range.map(int16)))
  return Buffer.concat([int16(0), known, ...(version > 0 ? [int32(0)] : [])])
}

/** @param {number} port */
function metadata(port) {
  const brokers = array([port], number => Buffer.concat([int32(NODE), string('localhost'), int32(number), int16(-1)]))
  const replicas = array([NODE], int32)
  const partition = Buffer.concat([int16(0), int32(0), int32(NODE), replicas, replicas])
  const topics = array(TOPICS, name =>
    Buffer.concat([int16(0), string(name), Buffer.from([0]), array([partition], bytes => bytes)])
  )
  return Buffer.concat([brokers, int32(NODE), topics])
}

/** @param {number} value */
function int16(value) {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

/** @param {number} value */
function int32(value) {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

/** @param {string} text */
function string(text) {
  return Buffer.concat([int16(Buffer.byteLength(text)), Buffer.from(text)])
}

/**
 * @template T
 * @param {T[]} items
 * @param {(item: T) => Buffer} encode
 */
function array(items, encode) {
  return Buffer.concat([int32(items.length), ...items.map(encode)])
}

module.exports = {
  debian: [],
  product: 'a broker of our own (ApiVersions, Metadata)',
  version: () => '',
  start,
  TOPICS
}

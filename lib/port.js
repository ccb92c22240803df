'use strict'
// This thread's way to the native ones: requests leave once a tick, completions arrive once a wake-up.

const { Port } = require('./native.js')
const { fromFailure } = require('./errors.js')
const { lookUp } = require('./lookup.js')
const { isNode } = require('./runtime.js')
const { Batch, Completions, Head, Kind } = require('./wire.js')

/**
 * @typedef {object} Exchange What a request under way wants to be told.
 * @property {unknown} [client] Kept alive.
 * @property {string} [redirectedFrom] The address whose answer led here, for the error.
 * @property {(head: InstanceType<typeof import('./wire.js').Head>) => void} [onHead]
 * @property {(chunk: Uint8Array | null, last: boolean, trailers: Buffer) => void} [onChunk]
 * @property {(error: Error) => void} onFailed
 * @property {(value: any) => void} [onInspected]
 */

/** @type {Map<number, Exchange>} */
const exchanges = new Map()
/** Uploads that wait for the network. A response may be complete before its request is. @type {Map<number, () => void>} */
const uploads = new Map()
/** What connections are, by number: told once, shown by each of their responses. @type {Map<number, any>} */
const connections = new Map()
/** Who is told of a client's connections and proxies, by the client's number. @type {Map<number, (info: any, isProxy: boolean) => void>} */
const watchers = new Map()
const batch = new Batch()
const port = new Port(deliver)

let lastId = 0
let scheduled = false

// The native side never keeps the process alive. This timer does, while somebody waits for an answer.
let waiting = 0
const keepAlive = setInterval(() => {}, 2 ** 31 - 1)
keepAlive.unref()

/** @type {boolean | undefined} */
let hasLoop

/** Whether native code may wait on this thread's event loop: that of Node, and of no runtime that only resembles it. */
function mayUseLoop() {
  hasLoop ??= isNode && port.useLoop(deliver)
  return hasLoop
}

function hold() {
  if (waiting++ === 0) keepAlive.ref()
}

function release() {
  if (--waiting === 0) keepAlive.unref()
}

/** @param {Exchange} exchange */
function register(exchange) {
  do {
    lastId = (lastId + 1) >>> 0
  } while (exchanges.has(lastId))
  exchanges.set(lastId, exchange)
  return lastId
}

/**
 * Puts a request into this tick's batch.
 * @param {number} id
 * @param {number} client
 * @param {{ host: string, port: number, path: string }} target
 * @param {string} method
 * @param {string[]} headers
 * @param {Uint8Array | null | { length: number | null }} body
 */
function send(id, client, target, method, headers, body) {
  batch.add(id, client, target, method, headers, body)
  if (scheduled) return
  scheduled = true
  // After the microtasks: a batch of answers makes a batch of next requests.
  process.nextTick(flushAndLinger)
}

function flush() {
  scheduled = false
  if (!batch.isEmpty) port.submit(batch.take(), false)
}

/** Where nobody's code is waiting for it to return, an answer that comes at once can be taken at once. */
function flushAndLinger() {
  scheduled = false
  if (!batch.isEmpty && port.submit(batch.take(), true)) deliver()
}

/**
 * Stops an exchange on both sides. Nothing is told to it any more.
 * @param {number} id
 */
function abort(id) {
  flush()
  exchanges.delete(id)
  port.abort(id)
  wake(id)
}

/**
 * Waits until an upload may go on, or until it is over.
 * @param {number} id
 * @returns {Promise<void>}
 */
function writable(id) {
  return new Promise(resolve => uploads.set(id, resolve))
}

/** @param {number} id */
function wake(id) {
  uploads.get(id)?.()
  uploads.delete(id)
}

function deliver() {
  const packed = port.take()
  if (packed === null) return
  const completions = new Completions(packed)
  while (!completions.done) {
    try {
      dispatch(completions)
    } catch (error) {
      // What a signal of somebody's own making throws must not cost others their answers.
      process.nextTick(() => {
        throw error
      })
    }
  }
}

/** @param {InstanceType<typeof import('./wire.js').Completions>} completions */
function dispatch(completions) {
  const kind = completions.u8()
  const id = completions.u32()
  const exchange = exchanges.get(id)
  switch (kind) {
    case Kind.head: {
      const head = new Head(id, completions, connections)
      if (head.end) exchanges.delete(id)
      exchange?.onHead?.(head)
      break
    }
    case Kind.chunk: {
      const last = completions.u8() === 1
      const trailers = completions.bytes()
      const apart = completions.u8() === 1
      // A small piece is copied out of the batch, so that what a user keeps is what the user was given.
      let chunk
      try {
        chunk = apart ? large(completions) : Uint8Array.prototype.slice.call(completions.bytes())
      } catch (error) {
        // No memory for it. The others have theirs.
        exchanges.delete(id)
        port.abort(id)
        exchange?.onFailed(/** @type {Error} */ (error))
        break
      }
      if (last) exchanges.delete(id)
      exchange?.onChunk?.(chunk.length === 0 ? null : chunk, last, trailers)
      break
    }
    case Kind.failed: {
      const failure = completions.json()
      exchanges.delete(id)
      exchange?.onFailed(fromFailure({ ...failure, redirectedFrom: exchange.redirectedFrom }))
      break
    }
    case Kind.writable:
      wake(id)
      break
    case Kind.connection: {
      const connection = completions.u32()
      const info = completions.json()
      connections.set(connection, info)
      watchers.get(id)?.(info, false)
      break
    }
    case Kind.proxy:
      watchers.get(id)?.(completions.json(), true)
      break
    case Kind.connectionClosed:
      connections.delete(id)
      break
    case Kind.more:
      // In an event of its own, so that others have their turn in between.
      setImmediate(deliver)
      break
    case Kind.inspected: {
      const value = completions.json()
      exchanges.delete(id)
      exchange?.onInspected?.(value)
      break
    }
    case Kind.lookup: {
      const question = completions.u32()
      const family = completions.u8()
      lookUp(port, id, question, family, completions.bytes().toString())
      break
    }
  }
}

/** @param {InstanceType<typeof import('./wire.js').Completions>} completions */
function large(completions) {
  const index = completions.nextLarge++
  const buffer = Buffer.allocUnsafeSlow(completions.u32())
  port.fill(index, buffer)
  return new Uint8Array(buffer.buffer)
}

module.exports = { port, mayUseLoop, watchers, register, send, flush, abort, wake, writable, hold, release }

'use strict'
// The packed form in which requests and completions cross, many at a time. Little-endian; `src/node/wire.rs` is the
// other side and is changed together with this file.

/** What a completion is; the first byte of its frame. */
const Kind = {
  head: 1,
  chunk: 2,
  failed: 3,
  writable: 4,
  connection: 5,
  connectionClosed: 6,
  inspected: 7,
  lookup: 8,
  more: 9,
  proxy: 10
}

const START = 16 * 1024

/** Collects the requests of one tick. */
class Batch {
  #buffer = Buffer.allocUnsafeSlow(START)
  #length = 0

  get isEmpty() {
    return this.#length === 0
  }

  /**
   * @param {number} id
   * @param {number} client
   * @param {{ host: string, port: number, path: string }} target
   * @param {string} method
   * @param {string[]} headers Names and values in turn.
   * @param {Uint8Array | null | { length: number | null }} body Bytes, nothing, or pieces that follow.
   */
  add(id, client, target, method, headers, body) {
    const inline = body instanceof Uint8Array ? body : null
    let most = 64 + 2 * (method.length + target.host.length + target.path.length)
    for (const text of headers) most += 4 + text.length
    this.#reserve(most + (inline?.length ?? 0))
    const start = this.#length
    try {
      this.#write(id, client, target, method, headers, body)
    } catch (error) {
      // Half a frame would be read as the beginning of the next request.
      this.#length = start
      throw error
    }
  }

  /**
   * @param {number} id
   * @param {number} client
   * @param {{ host: string, port: number, path: string }} target
   * @param {string} method
   * @param {string[]} headers
   * @param {Uint8Array | null | { length: number | null }} body
   */
  #write(id, client, target, method, headers, body) {
    this.#u32(id)
    this.#u32(client)
    this.#text(method)
    this.#text(target.host)
    this.#length = this.#buffer.writeUInt16LE(target.port, this.#length)
    this.#text(target.path)
    this.#u32(headers.length / 2)
    for (const text of headers) this.#text(text)
    if (body === null) {
      this.#buffer[this.#length++] = 0
    } else if (body instanceof Uint8Array) {
      this.#buffer[this.#length++] = 1
      this.#u32(body.length)
      this.#buffer.set(body, this.#length)
      this.#length += body.length
    } else {
      this.#buffer[this.#length++] = 2
      const known = body.length === null ? 0xffff_ffff_ffff_ffffn : BigInt(body.length)
      this.#length = this.#buffer.writeBigUInt64LE(known, this.#length)
    }
  }

  /** What was collected. Valid until the next `add`. */
  take() {
    const taken = this.#buffer.subarray(0, this.#length)
    this.#length = 0
    // One large batch is no reason to keep its memory.
    if (this.#buffer.length > 64 * START) this.#buffer = Buffer.allocUnsafeSlow(START)
    return taken
  }

  /** @param {number} value */
  #u32(value) {
    this.#length = this.#buffer.writeUInt32LE(value, this.#length)
  }

  /** @param {string} text */
  #text(text) {
    this.#u32(text.length)
    this.#length += this.#buffer.write(text, this.#length, 'latin1')
  }

  /** @param {number} more */
  #reserve(more) {
    const needed = this.#length + more
    if (needed <= this.#buffer.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#buffer.length))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }
}

/** Reads the frames of one wake-up. */
class Completions {
  #at = 0
  /** Which of the batch's large pieces the next frame with one refers to. */
  nextLarge = 0

  /** @param {Buffer} packed */
  constructor(packed) {
    this.packed = packed
  }

  get done() {
    return this.#at >= this.packed.length
  }

  u8() {
    return this.packed[this.#at++]
  }

  u16() {
    const value = this.packed.readUInt16LE(this.#at)
    this.#at += 2
    return value
  }

  u32() {
    const value = this.packed.readUInt32LE(this.#at)
    this.#at += 4
    return value
  }

  /** A view of the bytes, which is kept no longer than the batch is of use. */
  bytes() {
    const length = this.u32()
    const start = this.#at
    this.#at += length
    return this.packed.subarray(start, this.#at)
  }

  json() {
    return JSON.parse(this.bytes().toString())
  }

  /** Where the next bytes are, which are passed over. */
  skip() {
    const at = this.#at
    this.#at = at + 4 + this.packed.readUInt32LE(at)
    return at
  }
}

/** The head of a response. Its parts stay where they are in the batch until somebody looks at them. */
class Head {
  #packed
  #reason
  #headers
  #body
  #trailers

  /**
   * @param {number} id
   * @param {Completions} completions
   * @param {Map<number, any>} connections
   */
  constructor(id, completions, connections) {
    this.id = id
    this.connection = connections.get(completions.u32())
    this.status = completions.u16()
    /** Whether the whole body is here. */
    this.end = completions.u8() === 1
    this.#packed = completions.packed
    this.#reason = completions.skip()
    this.#headers = completions.skip()
    this.#body = completions.skip()
    this.#trailers = completions.skip()
  }

  get reason() {
    return this.#part(this.#reason).toString('latin1')
  }

  /** Packed. */
  get headers() {
    return this.#part(this.#headers)
  }

  get bodyLength() {
    return this.#packed.readUInt32LE(this.#body)
  }

  /** All of the body if `end`, else what was here with the head. */
  get body() {
    return this.#part(this.#body)
  }

  /** Packed. */
  get trailers() {
    return this.#part(this.#trailers)
  }

  /** @param {number} at */
  #part(at) {
    return this.#packed.subarray(at + 4, at + 4 + this.#packed.readUInt32LE(at))
  }
}

/**
 * The names and values of packed headers, in turn. Bytes become characters one to one, as in Node.
 * @param {Buffer} block
 */
function readHeaders(block) {
  const headers = []
  for (let at = 0; at < block.length; ) {
    const length = block.readUInt32LE(at)
    at += 4
    headers.push(block.toString('latin1', at, at + length))
    at += length
  }
  return headers
}

module.exports = { Batch, Completions, Head, Kind, readHeaders }

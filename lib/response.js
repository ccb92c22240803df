// A response. What was not asked for is not made: headers, body stream and TLS details are read from the packed
// bytes when somebody looks at them.

const { argumentError, certificate } = require('./errors.js')
const { abort, hold, port, release } = require('./port.js')
const { readHeaders } = require('./wire.js')

/**
 * @typedef {object} Head What native code says of a response.
 * @property {number} id
 * @property {number} status
 * @property {Buffer} reason
 * @property {Buffer} headers Packed.
 * @property {Buffer} body All of it if `end`, else what was there with the head.
 * @property {boolean} end
 * @property {Buffer} trailers Packed.
 * @property {any} connection
 */

/** Ends the exchange of a response that nobody can read any more, which frees its connection. */
const unread = new FinalizationRegistry(abort)

class PinnedResponse {
  #head
  #url
  #incoming
  #used = false
  /** @type {Headers | undefined} */
  #headers
  /** @type {ReadableStream<Uint8Array> | null | undefined} */
  #stream

  /**
   * @param {Head} head
   * @param {string} url
   * @param {Incoming} incoming
   */
  constructor(head, url, incoming) {
    this.#head = head
    this.#url = url
    this.#incoming = incoming
    this.status = head.status
    this.redirected = false
    if (!head.end) unread.register(this, head.id, incoming)
  }

  get ok() {
    return this.status >= 200 && this.status < 300
  }

  get statusText() {
    return this.#head.reason.toString('latin1')
  }

  get url() {
    return this.#url
  }

  get headers() {
    this.#headers ??= toHeaders(this.#head.headers)
    return this.#headers
  }

  get rawHeaders() {
    return readHeaders(this.#head.headers)
  }

  get trailers() {
    return toHeaders(this.#incoming.trailers)
  }

  get tls() {
    return tlsInfo(this.#head.connection)
  }

  get bodyUsed() {
    return this.#used || (this.#stream ? isDisturbed(this.#stream, this.#incoming) : false)
  }

  get body() {
    if (this.#stream === undefined) {
      const empty = this.#head.end && this.#head.body.length === 0
      if (this.#used && !empty) throw bodyUsed()
      this.#stream = empty ? null : this.#incoming.stream()
    }
    return this.#stream
  }

  /** @returns {Promise<Uint8Array>} */
  async bytes() {
    this.#use()
    return concat(await this.#incoming.all())
  }

  async arrayBuffer() {
    const bytes = await this.bytes()
    return /** @type {ArrayBuffer} */ (bytes.buffer)
  }

  async text() {
    this.#use()
    const chunks = await this.#incoming.all()
    const bytes = chunks.length === 1 ? chunks[0] : concat(chunks)
    // As in fetch: a byte order mark is not part of the text.
    return new TextDecoder().decode(bytes)
  }

  async json() {
    return JSON.parse(await this.text())
  }

  async blob() {
    const bytes = /** @type {Uint8Array<ArrayBuffer>} */ (await this.bytes())
    return new Blob([bytes], { type: this.headers.get('content-type') ?? '' })
  }

  #use() {
    if (this.#used || this.#stream) throw bodyUsed()
    this.#used = true
  }
}

/** The body as it comes in: pieces are asked for one at a time. */
class Incoming {
  #id = 0
  /** @type {Uint8Array[]} */
  #here = []
  #ended = false
  #read = false
  /** @type {unknown} */
  #error
  /** @type {{ resolve: () => void, reject: (error: unknown) => void } | undefined} */
  #waiting
  /** @type {() => void} */
  #onEnd
  /** @type {Buffer} */
  trailers = Buffer.alloc(0)

  /** @param {() => void} onEnd Called once, when nothing more will come. */
  constructor(onEnd) {
    this.#onEnd = onEnd
  }

  /** @param {Head} head */
  start(head) {
    this.#id = head.id
    this.trailers = head.trailers
    if (head.body.length > 0) this.#here.push(head.body)
    if (head.end) this.#finish()
  }

  /**
   * @param {Uint8Array | null} chunk
   * @param {boolean} last
   * @param {Buffer} trailers
   */
  chunk(chunk, last, trailers) {
    if (chunk) this.#here.push(chunk)
    if (trailers.length > 0) this.trailers = trailers
    if (last) this.#finish()
    this.#wake()
  }

  /** @param {unknown} error */
  fail(error) {
    if (this.#ended) return
    this.#error = error
    this.#finish()
    this.#wake()
  }

  get isRead() {
    return this.#read
  }

  /** Every piece to the end. */
  async all() {
    const chunks = []
    for (let chunk = await this.next(); chunk; chunk = await this.next()) chunks.push(chunk)
    return chunks
  }

  /** The next piece; null at the end. @returns {Promise<Uint8Array | null>} */
  async next() {
    this.#read = true
    while (this.#here.length === 0 && !this.#ended) {
      const arrived = new Promise((resolve, reject) => {
        this.#waiting = { resolve: () => resolve(undefined), reject }
      })
      hold()
      port.pull(this.#id)
      try {
        await arrived
      } finally {
        release()
      }
    }
    const chunk = this.#here.shift()
    if (chunk) return chunk
    if (this.#error !== undefined) throw this.#error
    return null
  }

  stream() {
    return new ReadableStream(
      {
        pull: async controller => {
          const chunk = await this.next()
          // What comes with the head is a view of a batch; what a user gets is the user's own.
          if (chunk) controller.enqueue(chunk.byteLength === chunk.buffer.byteLength ? chunk : new Uint8Array(chunk))
          else controller.close()
        },
        cancel: () => {
          if (!this.#ended) abort(this.#id)
          this.#finish()
        }
      },
      { highWaterMark: 0 }
    )
  }

  #finish() {
    if (this.#ended) return
    this.#ended = true
    unread.unregister(this)
    this.#onEnd()
  }

  #wake() {
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.resolve()
  }
}

/**
 * @param {ReadableStream} stream
 * @param {Incoming} incoming
 */
function isDisturbed(stream, incoming) {
  return stream.locked || incoming.isRead
}

/** @param {Buffer} packed */
function toHeaders(packed) {
  const headers = new Headers()
  const raw = readHeaders(packed)
  for (let index = 0; index < raw.length; index += 2) headers.append(raw[index], raw[index + 1])
  return headers
}

/**
 * One array with memory of its own.
 * @param {Uint8Array[]} chunks
 */
function concat(chunks) {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

/** @param {any} info */
function tlsInfo(info) {
  const { protocol, cipher, group, alpn, resumed, remoteAddress, remotePort, pattern, matched, excused, path } = info
  return {
    protocol,
    cipher,
    group,
    alpn,
    resumed,
    remoteAddress,
    remotePort,
    pattern,
    matched,
    excused,
    path: path.map(certificate)
  }
}

function bodyUsed() {
  return argumentError('ERR_INVALID_STATE', 'the body of this response has been read already')
}

module.exports = { PinnedResponse, Incoming }

'use strict'
// A response. What was not asked for is not made: headers, body stream and TLS details are read from the packed
// bytes when somebody looks at them.

const { argumentError, certificate } = require('./errors.js')
const { abort, hold, port, release } = require('./port.js')
const { readHeaders } = require('./wire.js')

/** @typedef {InstanceType<typeof import('./wire.js').Head>} Head */

const decoder = new TextDecoder()

/** Ends the exchange of a body that nobody can read any more, which frees its connection. */
const unread = new FinalizationRegistry((/** @type {InstanceType<typeof Arrived>} */ arrived) => {
  abort(arrived.id)
  arrived.end()
})

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
   * @param {Arrived} arrived
   * @param {boolean} redirected
   */
  constructor(head, url, arrived, redirected) {
    this.#head = head
    this.#url = url
    this.#incoming = new Incoming(arrived)
    this.status = head.status
    this.redirected = redirected
  }

  get ok() {
    return this.status >= 200 && this.status < 300
  }

  get statusText() {
    return this.#head.reason
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
    return toHeaders(this.#incoming.trailers ?? this.#head.trailers)
  }

  get tls() {
    return tlsInfo(this.#head.connection)
  }

  get bodyUsed() {
    return this.#used || (this.#stream ? this.#stream.locked || this.#incoming.isRead : false)
  }

  get body() {
    if (this.#stream === undefined) {
      const empty = this.#head.end && this.#head.bodyLength === 0
      if (this.#used && !empty) throw bodyUsed()
      this.#stream = empty ? null : this.#incoming.stream()
    }
    return this.#stream
  }

  /** @returns {Promise<Uint8Array>} */
  async bytes() {
    this.#use()
    return concat(this.#whole() ?? (await this.#incoming.all()))
  }

  async arrayBuffer() {
    const bytes = await this.bytes()
    return /** @type {ArrayBuffer} */ (bytes.buffer)
  }

  async text() {
    this.#use()
    const chunks = this.#whole() ?? (await this.#incoming.all())
    // As in fetch: a byte order mark is not part of the text.
    return decoder.decode(chunks.length === 1 ? chunks[0] : concat(chunks))
  }

  async json() {
    return JSON.parse(await this.text())
  }

  async blob() {
    const bytes = /** @type {Uint8Array<ArrayBuffer>} */ (await this.bytes())
    return new Blob([bytes], { type: this.headers.get('content-type') ?? '' })
  }

  /**
   * What `console.log` shows.
   * @param {number} depth
   * @param {import('node:util').InspectOptions} options
   * @param {typeof import('node:util').inspect} inspect
   */
  [Symbol.for('nodejs.util.inspect.custom')](depth, options, inspect) {
    const { status, statusText, url, redirected, bodyUsed } = this
    const { protocol, alpn, resumed, remoteAddress, pattern, matched } = this.tls
    const tls = { protocol, alpn, resumed, remoteAddress, pattern, matched }
    const headers = Object.fromEntries(this.headers)
    const shown = { status, statusText, url, redirected, headers, bodyUsed, tls }
    return `PinnedResponse ${inspect(shown, { ...options, depth })}`
  }

  /** The body, if it came along with the head. */
  #whole() {
    return this.#head.end ? [this.#head.body] : undefined
  }

  #use() {
    if (this.#used || this.#stream) throw bodyUsed()
    this.#used = true
  }
}

/**
 * What has arrived of a body. Native completions write to it, `Incoming` reads from it. Apart, so that a reader whom
 * nobody refers to any more can be told from a body that is still coming.
 */
class Arrived {
  id = 0
  /** @type {Uint8Array[]} */
  chunks = []
  started = false
  ended = false
  failed = false
  /** Whether somebody has begun to read it. */
  isRead = false
  /** @type {unknown} */
  error
  /** @type {Buffer | undefined} */
  trailers
  /** @type {(() => void) | undefined} */
  wake
  #onEnd

  /** @param {() => void} onEnd Called once, when nothing more will come. */
  constructor(onEnd) {
    this.#onEnd = onEnd
  }

  /** @param {Head} head */
  start(head) {
    this.id = head.id
    this.started = true
    if (head.bodyLength > 0) this.chunks.push(head.body)
    if (head.end) this.end()
  }

  /**
   * @param {Uint8Array | null} chunk
   * @param {boolean} last
   * @param {Buffer} trailers
   */
  chunk(chunk, last, trailers) {
    if (chunk) this.chunks.push(chunk)
    if (trailers.length > 0) this.trailers = trailers
    if (last) this.end()
    else this.wake?.()
  }

  /** @param {unknown} error */
  fail(error) {
    if (this.ended) return
    this.failed = true
    this.error = error
    this.end()
  }

  end() {
    if (this.ended) return
    this.ended = true
    unread.unregister(this)
    this.wake?.()
    this.#onEnd()
  }
}

/** The body as it is read: pieces are asked for one at a time. */
class Incoming {
  #arrived

  /** @param {Arrived} arrived */
  constructor(arrived) {
    this.#arrived = arrived
    if (!arrived.ended) unread.register(this, arrived, arrived)
  }

  get trailers() {
    return this.#arrived.trailers
  }

  get isRead() {
    return this.#arrived.isRead
  }

  /** Every piece to the end. */
  async all() {
    const chunks = []
    for (let chunk = await this.next(true); chunk; chunk = await this.next(true)) chunks.push(chunk)
    return chunks
  }

  /**
   * The next piece; null at the end.
   * @param {boolean} [all] Rather everything in one piece.
   * @returns {Promise<Uint8Array | null>}
   */
  async next(all = false) {
    const arrived = this.#arrived
    arrived.isRead = true
    while (arrived.chunks.length === 0 && !arrived.ended) {
      hold()
      port.pull(arrived.id, all)
      await new Promise(resolve => {
        arrived.wake = () => resolve(undefined)
      })
      release()
    }
    const chunk = arrived.chunks.shift()
    if (chunk) return chunk
    if (arrived.failed) throw arrived.error
    // Names `this`, which keeps the reader alive for as long as somebody waits here.
    return this.#end()
  }

  stream() {
    return new ReadableStream(
      {
        pull: async controller => {
          const chunk = await this.next()
          if (!chunk) controller.close()
          // What comes with the head is a view of a batch; what a user gets is the user's own.
          else controller.enqueue(chunk.byteLength === chunk.buffer.byteLength ? chunk : new Uint8Array(chunk))
        },
        cancel: () => {
          if (!this.#arrived.ended) abort(this.#arrived.id)
          this.#arrived.end()
        }
      },
      { highWaterMark: 0 }
    )
  }

  #end() {
    return null
  }
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
  if (chunks.length === 1 && chunks[0].byteLength === chunks[0].buffer.byteLength) return chunks[0]
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

module.exports = { PinnedResponse, Arrived }

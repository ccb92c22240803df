'use strict'
// The platform's `Response` over a response of the native client. Nothing of it is made before somebody asks: the
// platform's headers and streams cost more than the exchange itself.

const { TlsPinningError } = require('./errors.js')

/** Statuses that have no body, whatever the server says. */
const BODILESS = [204, 205, 304]

/** Its accessors are overridden one by one, which the declarations do not foresee. */
const Platform = /** @type {new (body: null) => object} */ (/** @type {unknown} */ (Response))

class PinnedFetchResponse extends Platform {
  #pinned
  /** The platform's own, once its body is wanted in a form that only it has. @type {Response | undefined} */
  #whole

  /**
   * @param {InstanceType<typeof import('./response.js').PinnedResponse>} pinned
   * @param {boolean} isHead Whether it answers HEAD.
   * @param {Response} [whole]
   */
  constructor(pinned, isHead, whole) {
    super(null)
    this.#pinned = pinned
    this.#whole = whole
    if (!whole && (isHead || BODILESS.includes(pinned.status))) {
      this.#whole = new Response(null, { headers: pinned.headers })
    }
  }

  get type() {
    return /** @type {const} */ ('basic')
  }

  get status() {
    return this.#pinned.status
  }

  get ok() {
    return this.#pinned.ok
  }

  get statusText() {
    return this.#pinned.statusText
  }

  get url() {
    const { url } = this.#pinned
    const hash = url.indexOf('#')
    return hash === -1 ? url : url.slice(0, hash)
  }

  get redirected() {
    return this.#pinned.redirected
  }

  get headers() {
    return this.#whole ? this.#whole.headers : this.#pinned.headers
  }

  get tls() {
    return this.#pinned.tls
  }

  get body() {
    return this.#made().body
  }

  get bodyUsed() {
    return this.#whole ? this.#whole.bodyUsed : this.#pinned.bodyUsed
  }

  text() {
    return this.#whole ? this.#whole.text() : this.#pinned.text().catch(ended)
  }

  json() {
    return this.#whole ? this.#whole.json() : this.#pinned.json().catch(ended)
  }

  arrayBuffer() {
    return this.#whole ? this.#whole.arrayBuffer() : this.#pinned.arrayBuffer().catch(ended)
  }

  async bytes() {
    return new Uint8Array(await this.arrayBuffer())
  }

  async blob() {
    return this.#made().blob()
  }

  async formData() {
    return this.#made().formData()
  }

  clone() {
    return new PinnedFetchResponse(this.#pinned, false, this.#made().clone())
  }

  /** Marks it as what it stands for, where it is printed. */
  get [Symbol.toStringTag]() {
    return 'Response'
  }

  #made() {
    if (!this.#whole) {
      const { headers, bodyUsed } = this.#pinned
      if (bodyUsed) {
        // As the platform has it: a body that is there, and cannot be read again.
        this.#whole = new Response('', { headers })
        this.#whole.body?.cancel()
      } else {
        this.#whole = new Response(streamOf(this.#pinned), { headers })
      }
    }
    return this.#whole
  }
}

/** @param {InstanceType<typeof import('./response.js').PinnedResponse>} pinned */
function streamOf(pinned) {
  const reader = pinned.body?.getReader()
  if (!reader) return ''
  return new ReadableStream(
    {
      type: 'bytes',
      async pull(controller) {
        const { done, value } = await reader.read().catch(ended)
        if (!done) return controller.enqueue(/** @type {Uint8Array<ArrayBuffer>} */ (value))
        controller.close()
        controller.byobRequest?.respond(0)
      },
      cancel: reason => reader.cancel(reason)
    },
    { highWaterMark: 0 }
  )
}

/**
 * A body that ended early, in the platform's words. Reasons of signals, and what is wrong with JSON, stay as they are.
 * @param {any} cause
 * @returns {never}
 */
function ended(cause) {
  if (!(cause instanceof TlsPinningError)) throw cause
  throw Object.assign(new TypeError('terminated', { cause }), { code: cause.code })
}

module.exports = { PinnedFetchResponse }

'use strict'
// The arguments of `fetch`, as a request of the client. The simple ones, which nearly all are, without a `Request`: that
// costs more than the whole exchange. All else is the platform's `Request` to judge.

const { isWhole } = require('./body.js')
const { argumentError, isPlain } = require('./errors.js')
const { TOKEN } = require('./headers.js')

/** What Node sends where nothing is said. */
const DEFAULTS = ['accept', '*/*', 'user-agent', 'node']
const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS']
const REDIRECTS = [undefined, 'follow', 'manual', 'error']
/**
 * What is said when a `fetch` is made: in a call somebody would believe in it. Not `agent`, which openai 4 and others give
 * with every call; it has no effect.
 */
const REFUSED = ['dispatcher', 'pins', 'trust', 'ca', 'proxy', 'lookup', 'rejectUnauthorized']
/** What else in a `RequestInit` means something. Names that nobody knows mean nothing, as in the platform's. */
const OTHERS = [
  ...['cache', 'credentials', 'integrity', 'keepalive', 'mode', 'priority', 'referrer', 'referrerPolicy', 'window'],
  ...REFUSED
]
/** A value that needs no trimming and no error. */
const PLAIN_VALUE = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/

/**
 * @param {any} input
 * @param {any} init
 * @returns {{ url: string | URL, options: Record<string, any> } | undefined}
 */
function readSimple(input, init) {
  if (typeof input !== 'string' && !(input instanceof URL)) return undefined
  if (init === undefined) return { url: input, options: { headers: DEFAULTS } }
  if (typeof init !== 'object' || init === null || !isPlain(init)) return undefined
  for (const name in init) if (OTHERS.includes(name) && init[name] !== undefined) return undefined
  const { method = 'GET', headers: given, body, signal, redirect } = init
  if (!METHODS.includes(method) || !REDIRECTS.includes(redirect)) return undefined
  if (signal !== undefined && signal !== null && !(signal instanceof AbortSignal)) return undefined
  if (body !== undefined && body !== null && (!isWhole(body) || method === 'GET' || method === 'HEAD')) {
    return undefined
  }
  const headers = simpleHeaders(given)
  if (!headers) return undefined
  if (!complete(headers, typeof body === 'string')) return undefined
  return { url: input, options: { method, headers, body, signal, redirect } }
}

/** @param {any} init */
function checkInit(init) {
  for (const name of REFUSED) {
    if (init?.[name] === undefined || init[name] === null) continue
    const why = 'this fetch keeps the connections, pins and trust that it was made with'
    throw argumentError('ERR_INVALID_ARG_VALUE', `${name} is not an option of a call: ${why}`)
  }
}

/**
 * Names and values in turn, if they are what `Headers` would make of them.
 * @param {any} given
 * @returns {string[] | undefined}
 */
function simpleHeaders(given) {
  if (given === undefined) return []
  if (given instanceof Headers) return [...given].flat()
  if (typeof given !== 'object' || given === null || Symbol.iterator in given || !isPlain(given)) return undefined
  const list = []
  for (const name of Object.keys(given)) {
    const value = given[name]
    if (typeof value !== 'string' || !TOKEN.test(name) || !PLAIN_VALUE.test(value)) return undefined
    list.push(name, value)
  }
  return list
}

/**
 * Adds what Node sends along. Returns false for headers that its `fetch` refuses.
 * @param {string[]} headers
 * @param {boolean} isText
 */
function complete(headers, isText) {
  let accept = false
  let agent = false
  let type = !isText
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index].toLowerCase()
    if (name === 'expect') return false
    accept ||= name === 'accept'
    agent ||= name === 'user-agent'
    type ||= name === 'content-type'
  }
  if (!accept) headers.push('accept', '*/*')
  if (!agent) headers.push('user-agent', 'node')
  if (!type) headers.push('content-type', 'text/plain;charset=UTF-8')
  return true
}

/**
 * What a `Request` asks for, with the arguments that it was made of.
 * @param {Request} request
 * @param {any} input
 * @param {any} init
 */
async function read(request, input, init) {
  const { method, redirect, signal, integrity, cache } = request
  if (integrity) {
    throw argumentError('ERR_INVALID_ARG_VALUE', 'integrity is not supported; compare the digest of the body yourself')
  }
  const headers = [...request.headers].flat()
  if (cache === 'no-store' || cache === 'reload') uncached(request, headers, 'no-cache', true)
  if (cache === 'no-cache') uncached(request, headers, 'max-age=0', false)
  if (!complete(headers, false)) {
    throw argumentError('ERR_INVALID_ARG_VALUE', 'fetch takes no expect header, as in Node; use request')
  }
  // From the text, bytes or form itself, where it is known: only those can be sent again.
  let body
  if (isWhole(init?.body)) body = init.body
  else if (isFormOfItsOwn(input, init)) {
    // Encoded by the client, which gives it another boundary.
    const type = headers.indexOf('content-type')
    if (type !== -1) headers.splice(type, 2)
    headers.push('content-length', String(await lengthOf(init.body)))
    body = init.body
  } else body = request.body && (await bodyOf(request.body))
  return { method, headers, body, signal, redirect }
}

/**
 * @param {Request} request
 * @param {string[]} headers
 * @param {string} control
 * @param {boolean} pragma
 */
function uncached(request, headers, control, pragma) {
  if (pragma && !request.headers.has('pragma')) headers.push('pragma', 'no-cache')
  if (!request.headers.has('cache-control')) headers.push('cache-control', control)
}

/**
 * Whether a form's content type is the one it has by itself.
 * @param {any} input
 * @param {any} init
 */
function isFormOfItsOwn(input, init) {
  if (!(init?.body instanceof FormData)) return false
  const given = init.headers ?? (input instanceof Request ? input.headers : undefined)
  return !new Headers(given).has('content-type')
}

/**
 * How long a form is once it is encoded. Files are not read for that.
 * @param {FormData} form
 */
async function lengthOf(form) {
  const frame = new FormData()
  let length = 0
  for (const [name, value] of form) {
    if (typeof value === 'string') frame.append(name, value)
    else frame.append(name, new Blob([], { type: value.type }), value.name)
    length += typeof value === 'string' ? 0 : value.size
  }
  // All boundaries are of one length.
  return length + (await new Response(frame).arrayBuffer()).byteLength
}

/**
 * The body of a `Request`, which does not say what it was made of. Text and bytes are one piece that is there at once:
 * they have a length and can be sent again. All else is a stream.
 * @param {ReadableStream<Uint8Array>} stream
 */
async function bodyOf(stream) {
  const reader = stream.getReader()
  /** @type {Promise<{ done: boolean, value?: any }>[]} */
  const reads = [reader.read(), reader.read()]
  for (const read of reads) read.catch(() => {})
  const later = new Promise(resolve => setImmediate(resolve, undefined))
  const known = /** @type {{ done: boolean, value?: any }[] | undefined} */ (
    await Promise.race([Promise.all(reads), later]).catch(() => undefined)
  )
  if (known?.[0].done) return new Uint8Array(0)
  if (known?.[1].done) return known[0].value
  return pieces(reader, reads)
}

/**
 * @param {ReadableStreamDefaultReader<Uint8Array>} reader
 * @param {Promise<{ done: boolean, value?: any }>[]} begun
 */
async function* pieces(reader, begun) {
  try {
    for (;;) {
      const { done, value } = await (begun.shift() ?? reader.read())
      if (done) return
      yield value
    }
  } finally {
    // Early, where nobody takes the rest.
    reader.cancel().catch(() => {})
  }
}

module.exports = { checkInit, read, readSimple }

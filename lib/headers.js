'use strict'
// The headers of a request, checked: what is sent is what was meant.

const { argumentError } = require('./errors.js')
const { kind } = require('./trust.js')

/** What may not stand in a header's value (RFC 9110, 5.5). */
const NOT_IN_VALUE = /[^\t\x20-\x7e\x80-\xff]/
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** What a host header may hold (RFC 9110, 7.2). */
const AUTHORITY = /^[\w.~-]+(:\d+)?$|^\[[\da-fA-F:.]+\](:\d+)?$/
/** Headers that belong to the connection, not to the request. */
const FORBIDDEN = ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'te']

/**
 * Names and values in turn, from an object, a `Headers`, pairs or a flat list as in `rawHeaders`.
 * @param {any} given
 * @param {import('./body.js').Outgoing} body
 * @param {string} method
 * @returns {string[]}
 */
function headerList(given, body, method) {
  const list = given === undefined || given === null ? [] : flatten(given)
  let hasType = false
  let hasLength = false
  let hasHost = false
  let hasExpect = false
  for (let index = 0; index < list.length; index += 2) {
    const name = list[index].toLowerCase()
    if (FORBIDDEN.includes(name)) {
      throw argumentError(
        'ERR_INVALID_ARG_VALUE',
        `the header ${name} belongs to the connection, which this client manages`
      )
    }
    // Two lengths or two hosts are read differently by different servers.
    if ((name === 'content-length' && hasLength) || (name === 'host' && hasHost) || (name === 'expect' && hasExpect)) {
      throw argumentError('ERR_INVALID_ARG_VALUE', `the header ${name} is given twice`)
    }
    hasType ||= name === 'content-type'
    hasHost ||= name === 'host'
    hasExpect ||= name === 'expect'
    // The only expectation there is (RFC 9110, 10.1.1).
    if (name === 'expect' && list[index + 1] !== '100-continue') {
      throw argumentError(
        'ERR_INVALID_ARG_VALUE',
        `the header expect must be 100-continue, not ${JSON.stringify(list[index + 1])}`
      )
    }
    if (name === 'host' && !AUTHORITY.test(list[index + 1])) {
      throw argumentError(
        'ERR_INVALID_ARG_VALUE',
        `the header host must be a host, not ${JSON.stringify(list[index + 1])}`
      )
    }
    if (name === 'content-length') {
      hasLength = true
      checkLength(list[index + 1], body)
      body.length = Number(list[index + 1])
    }
  }
  if (hasExpect && body.length === 0) {
    throw argumentError('ERR_INVALID_ARG_VALUE', 'the header expect is for a request with a body')
  }
  if (body.pieces && body.length === null && (method === 'GET' || method === 'HEAD')) {
    throw argumentError('ERR_INVALID_ARG_VALUE', `a body of unknown length cannot be sent with ${method}`)
  }
  if (body.type && !hasType) list.push('content-type', body.type)
  if (!hasLength && body.pieces && body.length !== null) list.push('content-length', String(body.length))
  // A server takes a request of these methods that has no length for one whose body is still to come.
  const empty = !body.pieces && !body.bytes?.length
  if (!hasLength && empty && (body.bytes || method === 'POST' || method === 'PUT' || method === 'PATCH')) {
    list.push('content-length', '0')
  }
  return list
}

/**
 * @param {string} value
 * @param {import('./body.js').Outgoing} body
 */
function checkLength(value, body) {
  const length = /^\d+$/.test(value) ? Number(value) : Number.NaN
  if (Number.isSafeInteger(length) && (body.length === null || length === body.length)) return
  throw argumentError(
    'ERR_HTTP_CONTENT_LENGTH_MISMATCH',
    `content-length is ${value}, the body has ${body.length} bytes`
  )
}

/** @param {any} given @returns {string[]} */
function flatten(given) {
  if (typeof given !== 'object') {
    throw argumentError('ERR_INVALID_ARG_TYPE', `headers must be an object, Headers or a list, not ${kind(given)}`)
  }
  if (Array.isArray(given) && !Array.isArray(given[0])) return inTurn(given)
  const isList = typeof given[Symbol.iterator] === 'function'
  return (isList ? [...given].map(pair) : Object.entries(given)).flatMap(([name, value]) =>
    Array.isArray(value) ? value.flatMap(item => header(name, item)) : header(name, value)
  )
}

/** @param {unknown} value */
function pair(value) {
  if (Array.isArray(value) && value.length === 2) return value
  throw argumentError('ERR_INVALID_ARG_TYPE', `a header must be a pair of name and value, not ${kind(value)}`)
}

/** @param {unknown[]} list */
function inTurn(list) {
  if (list.length % 2 !== 0) throw argumentError('ERR_INVALID_ARG_VALUE', 'headers has a name without a value')
  return list.flatMap((name, index) => (index % 2 === 0 ? header(name, list[index + 1]) : []))
}

/**
 * @param {unknown} name
 * @param {unknown} value
 */
function header(name, value) {
  if (typeof name !== 'string' || !TOKEN.test(name)) {
    const shown = typeof name === 'string' ? JSON.stringify(name) : kind(name)
    throw argumentError('ERR_INVALID_ARG_VALUE', `${shown} is not a header name`)
  }
  if (value === undefined) return []
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
    throw argumentError('ERR_INVALID_ARG_TYPE', `the header ${name} must be text, not ${kind(value)}`)
  }
  const text = String(value)
  if (NOT_IN_VALUE.test(text)) {
    throw argumentError('ERR_INVALID_CHAR', `the value of the header ${name} has a character that no header may hold`)
  }
  return [name, text]
}

module.exports = { TOKEN, headerList }

'use strict'
// One call of `fetch`: what fails, and how. Failures are told as the platform tells them, with the codes of this package.

const { checkInit, read, readSimple } = require('./fetch-request.js')

/** Loaded with the first response: it makes Node load its own `fetch`. @type {typeof import('./fetch-response.js') | undefined} */
let responses

/**
 * The `fetch` of a client, which is there as `fetch.client`.
 * @param {InstanceType<typeof import('./client.js').PinnedClient>} client
 */
function fetchOf(client) {
  /**
   * @param {any} input
   * @param {any} [init]
   */
  const fetch = (input, init) => fetchWith(client, input, init)
  return Object.defineProperty(fetch, 'client', { value: client, enumerable: true })
}

/**
 * @param {InstanceType<typeof import('./client.js').PinnedClient>} client
 * @param {any} input
 * @param {any} init
 * @returns {Promise<Response>}
 */
function fetchWith(client, input, init) {
  let simple
  try {
    simple = readSimple(input, init)
  } catch (error) {
    return Promise.reject(error)
  }
  if (!simple) return fetchAny(client, input, init)
  return client.request(simple.url, simple.options).then(simple.options.method === 'HEAD' ? head : answered, error => {
    const { signal } = simple.options
    if (signal?.aborted && error === signal.reason) throw error
    // A URL that is none has the platform's own words, which its `Request` throws.
    if (error?.code === 'ERR_INVALID_URL') new Request(input)
    throw failed(error)
  })
}

/**
 * The same for whatever the platform's `Request` makes of the arguments.
 * @param {InstanceType<typeof import('./client.js').PinnedClient>} client
 * @param {any} input
 * @param {any} init
 */
async function fetchAny(client, input, init) {
  checkInit(init)
  const request = new Request(input, init)
  const { signal } = request
  if (signal.aborted) throw signal.reason
  try {
    const response = await client.request(request.url, await read(request, input, init))
    return request.method === 'HEAD' ? head(response) : answered(response)
  } catch (error) {
    if (signal.aborted && error === signal.reason) throw error
    throw failed(error)
  }
}

/** @param {InstanceType<typeof import('./response.js').PinnedResponse>} response */
function answered(response) {
  return make(response, false)
}

/** @param {InstanceType<typeof import('./response.js').PinnedResponse>} response */
function head(response) {
  return make(response, true)
}

/**
 * @param {InstanceType<typeof import('./response.js').PinnedResponse>} response
 * @param {boolean} isHead
 * @returns {any}
 */
function make(response, isHead) {
  responses ??= require('./fetch-response.js')
  return new responses.PinnedFetchResponse(response, isHead)
}

/** @param {any} cause */
function failed(cause) {
  const error = new TypeError('fetch failed', { cause })
  return cause?.code === undefined ? error : Object.assign(error, { code: cause.code })
}

module.exports = { fetchOf }

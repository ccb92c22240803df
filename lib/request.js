'use strict'
// One request without a client of one's own: the clients behind it are kept for the next.

const { PinnedClient } = require('./client.js')
const { isKeyObject } = require('./crypto-objects.js')
const { isPlain, own } = require('./errors.js')
const { CLIENT_OPTIONS, REQUEST_OPTIONS, checkObject } = require('./options.js')
const { policyText } = require('./pins.js')
const { PinSet } = require('./policy.js')
const { proxyGiven } = require('./proxy.js')

/** @typedef {InstanceType<typeof PinSet>} Pins */

/** Clients that `pinnedRequest` keeps, by what they were made from, the one used last at the end. */
const CLIENTS = 32
/** @type {Map<string, InstanceType<typeof PinnedClient>>} */
const clients = new Map()

/**
 * One request, without a client of one's own.
 * @param {string | URL} url
 * @param {Record<string, any>} options
 */
async function pinnedRequest(url, options) {
  checkObject(options ?? {}, [...CLIENT_OPTIONS, ...REQUEST_OPTIONS])
  const { method, headers, body, signal, redirect, maxRedirections, ...client } = own(options)
  return clientFor(client).request(url, { method, headers, body, signal, redirect, maxRedirections })
}

/** @param {Record<string, any>} given */
function clientFor(given) {
  // One reading of everything: what a client is found by is what it is made from.
  // The environment is part of what a client is made from.
  const { pins, proxy, ...others } = given
  const rest = { ...others, proxy: proxyGiven(proxy) }
  const options = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, copy(value)]))
  const policy = pins instanceof PinSet ? pins : JSON.parse(policyText(pins))
  const key = identity(policy, options)
  // What has no key is not kept; most of it is not valid either, which the client says.
  if (key === undefined) return new PinnedClient({ ...options, pins: policy })
  const known = clients.get(key)
  const client = known ?? new PinnedClient({ ...options, pins: policy })
  clients.delete(key)
  clients.set(key, client)
  if (clients.size > CLIENTS) {
    const [[oldest, unused]] = clients
    clients.delete(oldest)
    unused.close()
  }
  return client
}

/** @param {any} value @returns {unknown} */
function copy(value) {
  if (Array.isArray(value)) return value.map(copy)
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice()
  }
  if (value instanceof ArrayBuffer) return new Uint8Array(value.slice(0))
  if (value instanceof URL) return value.href
  if (typeof value !== 'object' || value === null || !isPlain(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, copy(item)]))
}

let last = 0
/** Pin sets and functions, which are themselves and not what they say. @type {WeakMap<object, number>} */
const numbers = new WeakMap()

/**
 * Options by their values, so that a list written anew in each call is the same list, and one that was changed is
 * another. A `PinSet` is itself, since it is meant to change. Values of different kinds never have the same key.
 * @param {any} policy
 * @param {Record<string, any>} options
 */
function identity(policy, options) {
  const names = Object.keys(options).filter(name => options[name] !== undefined)
  const parts = names.sort().map(name => [name, keyOf(options[name])])
  if (parts.some(([, key]) => key === undefined)) return undefined
  return JSON.stringify([policy instanceof PinSet ? numberOf(policy) : policy, parts])
}

/** @param {object} value */
function numberOf(value) {
  const number = numbers.get(value) ?? ++last
  numbers.set(value, number)
  return number
}

/**
 * @param {any} value
 * @returns {string | undefined}
 */
function keyOf(value) {
  if (typeof value === 'string' || typeof value === 'boolean') return JSON.stringify(value)
  if (typeof value === 'number') return `number ${value}`
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value.buffer).toString('latin1')}`
  if (isKeyObject(value) && value.type === 'private') {
    return `key ${value.export({ type: 'pkcs8', format: 'der' }).toString('latin1')}`
  }
  if (typeof value === 'function') return `function ${numberOf(value)}`
  if (value instanceof PinSet) return `pins ${numberOf(value)}`
  if (!Array.isArray(value)) return entriesOf(value)
  const items = value.map(keyOf)
  return items.includes(undefined) ? undefined : JSON.stringify(items)
}

/** What stands in a plain object such as `proxy`. @param {any} value */
function entriesOf(value) {
  if (typeof value !== 'object' || value === null || !isPlain(value)) return undefined
  const names = Object.keys(value).filter(name => value[name] !== undefined)
  const entries = names.sort().map(name => [name, keyOf(value[name])])
  return entries.some(([, key]) => key === undefined) ? undefined : `object ${JSON.stringify(entries)}`
}

module.exports = { pinnedRequest }

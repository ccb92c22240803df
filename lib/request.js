'use strict'
// One request without a client of one's own: the clients behind it are kept for the next.

const { KeyObject } = require('node:crypto')
const { PinnedClient } = require('./client.js')
const { own } = require('./errors.js')
const { CLIENT_OPTIONS, REQUEST_OPTIONS, checkObject } = require('./options.js')
const { policyText } = require('./pins.js')
const { PinSet } = require('./policy.js')

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
  const { pins, ...rest } = given
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
  return value instanceof ArrayBuffer ? new Uint8Array(value.slice(0)) : value
}

let lastPinSet = 0
/** @type {WeakMap<object, number>} */
const pinSets = new WeakMap()

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
  return JSON.stringify([policy instanceof PinSet ? pinSetNumber(policy) : policy, parts])
}

/** @param {Pins} pins */
function pinSetNumber(pins) {
  const number = pinSets.get(pins) ?? ++lastPinSet
  pinSets.set(pins, number)
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
  if (value instanceof KeyObject && value.type === 'private') {
    return `key ${value.export({ type: 'pkcs8', format: 'der' }).toString('latin1')}`
  }
  if (!Array.isArray(value)) return undefined
  const items = value.map(keyOf)
  return items.includes(undefined) ? undefined : JSON.stringify(items)
}

module.exports = { pinnedRequest }

'use strict'
// The clients compared, behind one interface. All that can verify the path to the same CA, the host's name and the same pin.

const ours = require('./ours.js')
const node = require('./node.js')
const packages = require('./packages.js')

/**
 * `bytes`, `download` and `upload` are there where a workload measures them.
 *
 * @typedef {object} Client
 * @property {(url: string) => Promise<string>} text The whole body, as text.
 * @property {(url: string) => Promise<Uint8Array>} [bytes] The whole body.
 * @property {(url: string) => Promise<number>} [download] Reads the body piece by piece; how long it was.
 * @property {(url: string, body: AsyncIterable<Uint8Array>, length: number) => Promise<string>} [upload] The response's text.
 * @property {() => unknown} close
 */

/**
 * @typedef {object} Options
 * @property {string} ca
 * @property {string} pin
 * @property {boolean} resume Whether sessions may be resumed. Where not, each connection's handshake is a full one.
 * @property {boolean} http2
 */

/**
 * Nothing is loaded before `make`: it belongs to the time to the first response.
 *
 * @typedef {object} Adapter
 * @property {string} [package] The npm package. Without one it is this package or Node itself.
 * @property {string} [note] What to know when comparing.
 * @property {Record<string, string>} [env] What its process needs.
 * @property {(options: Options) => Client | Promise<Client>} make
 */

/** @type {Record<string, Adapter>} */
const ADAPTERS = { ...ours, ...node, ...packages }

module.exports = { ADAPTERS }

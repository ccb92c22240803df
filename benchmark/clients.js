'use strict'
// The clients compared. All verify the path to the same CA, the host's name and the same pin.

const crypto = require('node:crypto')
const https = require('node:https')
const { Readable } = require('node:stream')
const { pipeline } = require('node:stream/promises')
const tls = require('node:tls')

/**
 * @typedef {object} Client
 * @property {(url: string) => Promise<string>} text The whole body, as text.
 * @property {(url: string) => Promise<Uint8Array>} bytes The whole body.
 * @property {(url: string) => Promise<number>} download Reads the body piece by piece; how long it was.
 * @property {(url: string, body: AsyncIterable<Uint8Array>, length: number) => Promise<string>} upload The response's text.
 * @property {() => Promise<void>} close
 */

/** @typedef {{ ca: string, pin: string }} Trusted */

/** @type {Record<'tls-pinning' | 'https' | 'undici', (trusted: Trusted) => Client>} */
const clients = {
  'tls-pinning': ({ ca, pin }) => {
    const { PinnedClient } = require('../index.js')
    const client = new PinnedClient({ pins: [pin], ca })
    return {
      text: async url => (await client.request(url)).text(),
      bytes: async url => (await client.request(url)).bytes(),
      download: async url => count((await client.request(url)).body),
      upload: async (url, body, length) => {
        const headers = { 'content-length': String(length) }
        return (await client.request(url, { method: 'PUT', headers, body })).text()
      },
      close: () => client.close()
    }
  },

  https: ({ ca, pin }) => {
    const agent = new https.Agent({ keepAlive: true, maxCachedSessions: 0, ca, checkServerIdentity: checkPin(pin) })
    /** @param {string} url @param {https.RequestOptions} [options] @param {AsyncIterable<Uint8Array>} [body] */
    const request = (url, options, body) =>
      /** @type {Promise<import('node:http').IncomingMessage>} */ (
        new Promise((resolve, reject) => {
          const request = https.request(url, { agent, ...options }, resolve).on('error', reject)
          if (body) pipeline(Readable.from(body), request).catch(reject)
          else request.end()
        })
      )
    return {
      text: async url => String(await whole(await request(url))),
      bytes: async url => whole(await request(url)),
      download: async url => count(await request(url)),
      upload: async (url, body, length) => {
        const options = { method: 'PUT', headers: { 'content-length': length } }
        return String(await whole(await request(url, options, body)))
      },
      close: async () => agent.destroy()
    }
  },

  undici: ({ ca, pin }) => {
    const { Agent, request } = require('undici')
    const dispatcher = new Agent({ connect: { ca, checkServerIdentity: checkPin(pin), maxCachedSessions: 0 } })
    return {
      text: async url => (await request(url, { dispatcher })).body.text(),
      bytes: async url => (await request(url, { dispatcher })).body.bytes(),
      download: async url => count((await request(url, { dispatcher })).body),
      upload: async (url, body, length) => {
        const headers = { 'content-length': String(length) }
        return (await request(url, { dispatcher, method: 'PUT', headers, body: Readable.from(body) })).body.text()
      },
      close: () => dispatcher.close()
    }
  }
}

/**
 * Node's own check of the name, then the pin of the leaf. It answers with an error and never throws.
 * @param {string} pin
 */
function checkPin(pin) {
  /** @param {string} hostname @param {tls.PeerCertificate} certificate */
  return (hostname, certificate) => {
    try {
      const wrongName = tls.checkServerIdentity(hostname, certificate)
      if (wrongName) return wrongName
      const spki = new crypto.X509Certificate(certificate.raw).publicKey.export({ type: 'spki', format: 'der' })
      if (`sha256/${crypto.createHash('sha256').update(spki).digest('base64')}` === pin) return undefined
      return Object.assign(new Error('no pin matches'), { code: 'ERR_TLS_PIN_MISMATCH' })
    } catch (error) {
      return /** @type {Error} */ (error)
    }
  }
}

/**
 * By events, which is the quickest way that a stream of Node's has.
 * @param {import('node:http').IncomingMessage} response
 * @returns {Promise<Buffer>}
 */
function whole(response) {
  return new Promise((resolve, reject) => {
    /** @type {Buffer[]} */
    const chunks = []
    response.on('data', chunk => chunks.push(chunk))
    response.on('end', () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)))
    response.on('error', reject)
  })
}

/** @param {AsyncIterable<Uint8Array> | null} body */
async function count(body) {
  let bytes = 0
  for await (const chunk of body ?? []) bytes += chunk.length
  return bytes
}

module.exports = { clients }

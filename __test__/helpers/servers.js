'use strict'
// Real servers on loopback, each on a port of its own. The faulty ones live in faults.js and are exported from here too.

const http2 = require('node:http2')
const https = require('node:https')
const tls = require('node:tls')
const { isolatedServer } = require('./isolated')
const { TrackedTlsServer } = require('./tracked')

/** @typedef {import('./tracked').TlsTestServer} TlsTestServer */
/** @typedef {import('./isolated').IsolatedTestServer} IsolatedTestServer */
/** @typedef {{ pem: string, key: string }} Identity a `Certificate` of pki.js will do */

/**
 * @typedef {object} TlsOptions
 * @property {Identity} cert
 * @property {{ pem: string }[]} [chain] sent after `cert` exactly as given: duplicates, strangers, any order
 * @property {{ pem: string }[]} [ca] the issuers of client certificates; asks for one
 * @property {boolean} [requestCert] default: whether `ca` is given
 * @property {boolean} [rejectUnauthorized] default true: a client without a valid certificate is turned away
 * @property {tls.SecureVersion} [minVersion]
 * @property {tls.SecureVersion} [maxVersion]
 * @property {string[]} [alpn] default: as the kind of server has it
 * @property {Record<string, Identity & { chain?: { pem: string }[] }>} [sni] other certificates by server name
 * @property {string} [host] the loopback address to listen on, default `127.0.0.1`
 * @property {number} [port] default: one that is free
 * @property {tls.TlsOptions} [tls] anything else that Node's server takes; wins
 */

/** @typedef {{ status?: number, headers?: Record<string, string>, body?: string | Uint8Array }} Reply */

/**
 * @typedef {TlsOptions & {
 *   http2?: boolean,
 *   handler?: Reply | import('node:http').RequestListener,
 *   isolated?: boolean,
 * }} HttpsOptions `http2`: HTTP/2 and HTTP/1.1, by ALPN. `handler`: a function, or a fixed
 *   reply that is sent when the whole request is there; default 200 `ok`
 */

/**
 * An HTTPS server. `isolated: true` runs it in a thread of its own, for tests that block this one: it takes no function as
 * `handler` and is asked with `await server.stats()`.
 *
 * @template {HttpsOptions} T
 * @param {T} options
 * @returns {Promise<T extends { isolated: true } ? IsolatedTestServer : TlsTestServer>}
 */
async function httpsServer(options) {
  return /** @type {any} */ (options.isolated ? isolatedServer(options) : localServer(options))
}

/**
 * A TLS server without HTTP, for answers no HTTP library would give.
 *
 * @param {(socket: tls.TLSSocket) => void} onSecureSocket
 * @param {TlsOptions} options
 */
async function tlsServer(onSecureSocket, options) {
  const server = tls.createServer(serverOptions(options))
  const tracked = new TrackedTlsServer(server)
  server.on('secureConnection', onSecureSocket)
  return tracked.listen(options.host, options.port)
}

/** @param {HttpsOptions} options */
async function localServer(options) {
  const { handler = { body: 'ok' } } = options
  const settings = serverOptions(options)
  const server = options.http2
    ? http2.createSecureServer({ allowHTTP1: true, ...settings })
    : https.createServer(settings)
  const tracked = new TrackedTlsServer(/** @type {tls.Server} */ (server))
  server.on('request', (/** @type {any} */ request, /** @type {any} */ response) => {
    tracked.requests.push(record(request))
    if (typeof handler === 'function') handler(request, response)
    else request.resume().once('end', () => reply(response, handler))
  })
  return tracked.listen(options.host, options.port)
}

/**
 * @param {any} response
 * @param {Reply} reply
 */
function reply(response, { status = 200, headers = {}, body = '' }) {
  response.writeHead(status, headers).end(body)
}

/**
 * @param {TlsOptions} options
 * @returns {tls.TlsOptions}
 */
function serverOptions({ cert, chain = [], ca, sni, alpn, requestCert = ca !== undefined, ...options }) {
  const { rejectUnauthorized = true, minVersion, maxVersion } = options
  return {
    ...identity(cert, chain),
    ...(ca && { ca: ca.map(({ pem }) => pem) }),
    requestCert,
    rejectUnauthorized,
    ...(minVersion && { minVersion }),
    ...(maxVersion && { maxVersion }),
    ...(alpn && { ALPNProtocols: alpn }),
    ...(sni && { SNICallback: chooser(sni) }),
    ...options.tls
  }
}

/**
 * @param {Identity} cert
 * @param {{ pem: string }[]} chain
 */
function identity({ pem, key }, chain) {
  return { key, cert: [pem, ...chain.map(link => link.pem)].join('') }
}

/**
 * @param {NonNullable<TlsOptions['sni']>} sni
 * @returns {NonNullable<tls.TlsOptions['SNICallback']>}
 */
function chooser(sni) {
  const contexts = new Map(
    Object.entries(sni).map(([name, cert]) => [name, tls.createSecureContext(identity(cert, cert.chain ?? []))])
  )
  return (servername, done) => done(null, contexts.get(servername))
}

/**
 * @param {any} request
 * @returns {import('./tracked').RequestRecord}
 */
function record({ method, url, httpVersion, headers, socket }) {
  return {
    method,
    url,
    httpVersion,
    headers: { ...headers },
    servername: socket.servername,
    alpn: socket.alpnProtocol,
    resumed: socket.isSessionReused?.() ?? false,
    clientCert: socket.getPeerCertificate()?.fingerprint256
  }
}

module.exports = { httpsServer, tlsServer, ...require('./faults') }

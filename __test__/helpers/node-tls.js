'use strict'
// Node's own TLS clients, each as a promise, and programs in a process of their own.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const http2 = require('node:http2')
const https = require('node:https')
const path = require('node:path')
const { text } = require('node:stream/consumers')
const tls = require('node:tls')

const ROOT = path.join(__dirname, '..', '..')
const REGISTER = path.join(ROOT, 'lib', 'register.js')

/** Larger than any buffer on the way: what is written at once waits, or arrives. */
const BODY = Buffer.alloc(300_000, 'x')

/**
 * One request by `https`. Its body is written at once.
 *
 * @param {string | URL} url
 * @param {https.RequestOptions & { body?: Uint8Array }} [options]
 * @returns {Promise<number>} the status
 */
function httpsStatus(url, { body, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const request = https.request(url, { method: body ? 'POST' : 'GET', ...options }, response => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0))
      response.once('error', reject)
    })
    request.once('error', reject).end(body)
  })
}

/**
 * One request by hand over `tls.connect`, written before the connection stands.
 *
 * @param {{ host: string, port: number }} server
 * @param {tls.ConnectionOptions & { body?: Uint8Array }} options
 * @returns {Promise<number>} the status
 */
async function tlsStatus({ host, port }, { body = Buffer.alloc(0), ...options }) {
  const socket = tls.connect({ host, port, servername: 'localhost', ...options })
  try {
    socket.write(`POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n`)
    socket.write(body)
    const [head] = await once(socket, 'data')
    return Number(String(head).split(' ')[1])
  } finally {
    socket.destroy()
  }
}

/**
 * One request by `http2`.
 *
 * @param {string} url
 * @param {http2.SecureClientSessionOptions & { body?: Uint8Array }} options
 * @returns {Promise<number>} the status
 */
async function http2Status(url, { body, ...options }) {
  const session = http2.connect(url, options)
  try {
    const failed = once(session, 'close').then(() => Promise.reject(new Error('closed')))
    failed.catch(() => {})
    const broken = new Promise((_, reject) => session.once('error', reject))
    const stream = session.request({ ':method': 'POST', ':path': '/' })
    stream.on('error', () => {})
    stream.end(body)
    const [headers] = await Promise.race([once(stream, 'response'), broken, failed])
    return headers[':status']
  } finally {
    session.destroy()
  }
}

/**
 * A program in a process of its own, by default with this package loadable as `ROOT`. What it was given is `DATA` in it, and
 * what it gives to `tell` comes back as a list.
 *
 * @param {string} program
 * @param {unknown} [data]
 * @param {{ flags?: string[], env?: Record<string, string | undefined> }} [options]
 */
async function inProcess(program, data = null, { flags = [], env = {} } = {}) {
  const preamble = `
    'use strict'
    const ROOT = ${JSON.stringify(ROOT)}
    const DATA = JSON.parse(process.env.TEST_DATA)
    const tell = value => console.log('told:' + JSON.stringify(value))
  `
  const child = spawn(process.execPath, [...flags, '-e', preamble + program], {
    env: { ...process.env, NODE_OPTIONS: '', TEST_DATA: JSON.stringify(data), ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  const told = stdout.split('\n').filter(line => line.startsWith('told:'))
  return { told: told.map(line => JSON.parse(line.slice(5))), stdout, stderr, status: /** @type {number} */ (status) }
}

/**
 * What Node shows of a chain, the server's own certificate first.
 *
 * @param {...import('./pki').Certificate} chain
 * @returns {any}
 */
function show(...chain) {
  const objects = chain.map(({ x509 }) => /** @type {any} */ (x509.toLegacyObject()))
  for (const [index, object] of objects.entries()) object.issuerCertificate = objects[index + 1] ?? object
  return objects[0]
}

/**
 * The code of an error, or of that which it wraps, as `fetch` does.
 * @param {any} error
 * @returns {string | undefined}
 */
function codeOf(error) {
  return error?.code ?? error?.cause?.code
}

/**
 * Whether this Node is at least one of these in its own release line, or in a later line than all of them.
 * @param {...string} versions in rising order
 */
function nodeIsAtLeast(...versions) {
  const parts = (/** @type {string} */ version) => version.split('.').map(Number)
  const [major = 0, minor = 0, patch = 0] = parts(process.versions.node)
  const own = versions.map(parts).find(([line]) => line === major)
  if (!own) return major > (parts(versions.at(-1) ?? '')[0] ?? 0)
  const [, leastMinor = 0, leastPatch = 0] = own
  return minor > leastMinor || (minor === leastMinor && patch >= leastPatch)
}

module.exports = { BODY, REGISTER, ROOT, codeOf, http2Status, httpsStatus, inProcess, nodeIsAtLeast, show, tlsStatus }

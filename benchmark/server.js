'use strict'
// The server that all clients are measured against: nginx where there is one, else Node's own.

const { fork, spawn, spawnSync } = require('node:child_process')
const { SSL_OP_NO_TICKET } = require('node:crypto').constants
const { once } = require('node:events')
const fs = require('node:fs')
const http2 = require('node:http2')
const https = require('node:https')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { setTimeout: sleep } = require('node:timers/promises')
const { nginxConf } = require('./nginx.js')
const { LARGE_BYTES, MEDIUM_BYTES, SMALL_BODY } = require('./bodies.js')

/**
 * What each port does with connections, named by it:
 *
 * - `keepAlive`: keeps them, resumes no session
 * - `close`, `closeRsa`: ends them after each response, resumes no session; P-256 and RSA-2048
 * - `resume`: ends them after each response, resumes sessions
 * - `http2`: as `keepAlive`, over HTTP/2
 */
const PORTS = /** @type {const} */ (['keepAlive', 'close', 'closeRsa', 'resume', 'http2'])

const STARTS_WITHIN = 10_000

/** @typedef {Record<(typeof PORTS)[number], number>} Ports */
/** @typedef {{ cert: string, key: string }} Identity */
/** @typedef {{ p256: Identity, rsa: Identity }} Identities */

/**
 * @typedef {object} Server
 * @property {string} name
 * @property {string} [notice] What to know about figures measured against it.
 * @property {Ports} ports
 * @property {() => void} stop
 */

/**
 * @param {Identities} identities
 * @returns {Promise<Server>}
 */
async function startServer(identities) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-bench-'))
  const free = await freePorts(PORTS.length)
  const ports = /** @type {Ports} */ (Object.fromEntries(PORTS.map((name, i) => [name, free[i]])))
  const { name, notice, child } = startProcess(folder, identities, ports)
  let running = true
  child.once('exit', () => {
    running = false
  })
  const stop = () => {
    if (running) child.kill('SIGKILL')
    fs.rmSync(folder, { recursive: true, force: true })
  }
  // However this process ends, the server ends with it.
  process.once('exit', stop)
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']))
    process.once(signal, () => process.exit(1))

  const end = Date.now() + STARTS_WITHIN
  for (const port of free) {
    while (!(await answers(port))) {
      if (!running || Date.now() > end) throw new Error(`${name} did not start`)
      await sleep(50)
    }
  }
  return { name, notice, ports, stop }
}

/**
 * @param {string} folder
 * @param {Identities} identities
 * @param {Ports} ports
 */
function startProcess(folder, identities, ports) {
  const { status, stderr } = spawnSync('nginx', ['-v'], { encoding: 'utf8' })
  if (status === 0) {
    return {
      name: stderr.replace('nginx version: ', '').trim(),
      notice: undefined,
      child: startNginx(folder, identities, ports)
    }
  }
  const child = fork(__filename, { stdio: 'inherit' })
  child.send({ identities, ports })
  const notice =
    'there is no nginx on the PATH, so the server is Node. It is slower than the native client and limits requests/s\n' +
    'and p50, so those ratios show too little. Trust the two columns that count the time of the client.'
  return { name: 'Node https server', notice, child }
}

/**
 * @param {string} folder
 * @param {Identities} identities
 * @param {Ports} ports
 */
function startNginx(folder, identities, ports) {
  for (const [name, { cert, key }] of Object.entries(identities)) {
    fs.writeFileSync(path.join(folder, `${name}.pem`), cert)
    fs.writeFileSync(path.join(folder, `${name}.key`), key, { mode: 0o600 })
  }
  for (const [name, bytes] of /** @type {const} */ ([
    ['medium', MEDIUM_BYTES],
    ['large', LARGE_BYTES]
  ])) {
    fs.writeFileSync(path.join(folder, name), '')
    fs.truncateSync(path.join(folder, name), bytes)
  }
  fs.writeFileSync(path.join(folder, 'nginx.conf'), nginxConf(ports))
  // Without a master, one process is the worker and the one to kill.
  return spawn('nginx', ['-p', '.', '-e', 'stderr', '-c', 'nginx.conf'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit']
  })
}

/** The server without nginx, run in a process of its own. */
function serveNode() {
  process.once('disconnect', () => process.exit(0))
  process.once('message', (/** @type {{ identities: Identities, ports: Ports }} */ { identities, ports }) => {
    const medium = Buffer.alloc(MEDIUM_BYTES)
    const resuming = { ...identities.p256, minVersion: /** @type {const} */ ('TLSv1.3'), keepAliveTimeout: 3_600_000 }
    const options = { ...resuming, secureOptions: SSL_OP_NO_TICKET }
    /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
    const answer = (request, response) => {
      if (request.url === '/upload') {
        request.resume().once('end', () => response.end(SMALL_BODY))
      } else if (request.url === '/large') {
        response.setHeader('content-length', LARGE_BYTES)
        sendLarge(response, medium)
      } else if (request.url === '/medium') {
        response.end(medium)
      } else if (request.url === '/session') {
        const socket = /** @type {import('node:tls').TLSSocket} */ (request.socket)
        response.end(socket.isSessionReused() ? 'r' : '.')
      } else {
        response.setHeader('content-type', 'application/json')
        response.end(SMALL_BODY)
      }
    }
    /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
    const answerAndClose = (request, response) => {
      response.setHeader('connection', 'close')
      answer(request, response)
    }
    https.createServer(options, answer).listen(ports.keepAlive, '127.0.0.1')
    https.createServer(options, answerAndClose).listen(ports.close, '127.0.0.1')
    https.createServer({ ...options, ...identities.rsa }, answerAndClose).listen(ports.closeRsa, '127.0.0.1')
    https.createServer(resuming, answerAndClose).listen(ports.resume, '127.0.0.1')
    const http2Server = http2.createSecureServer(options, /** @type {any} */ (answer))
    http2Server.listen(ports.http2, '127.0.0.1')
  })
}

/**
 * @param {import('node:http').ServerResponse} response
 * @param {Buffer} piece
 */
async function sendLarge(response, piece) {
  for (let sent = 0; sent < LARGE_BYTES; sent += piece.length) {
    if (!response.write(piece)) await new Promise(resolve => response.once('drain', resolve))
  }
  response.end()
}

/**
 * Held until all are known, so that no two are the same.
 * @param {number} count
 */
async function freePorts(count) {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map(server => once(server, 'listening')))
  const ports = servers.map(server => /** @type {net.AddressInfo} */ (server.address()).port)
  await Promise.all(servers.map(server => once(server.close(), 'close')))
  return ports
}

/**
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function answers(port) {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

if (require.main === module) serveNode()

module.exports = { startServer }

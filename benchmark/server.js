'use strict'
// The server that all clients are measured against: nginx where there is one, else Node's own.

const { fork, spawn, spawnSync } = require('node:child_process')
const { SSL_OP_NO_TICKET } = require('node:crypto').constants
const fs = require('node:fs')
const https = require('node:https')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { setTimeout: sleep } = require('node:timers/promises')

const SMALL_BODY = JSON.stringify({ id: 4711, name: 'a small answer', tags: ['pinned', 'measured'], ok: true })
const MEDIUM_BYTES = 2 ** 20
const LARGE_BYTES = 100 * 2 ** 20
const STARTS_WITHIN = 10_000

/**
 * @typedef {object} Server
 * @property {string} name
 * @property {string} [notice] What to know about figures measured against it.
 * @property {{ keepAlive: number, close: number }} ports The connections of the second end after each response.
 * @property {() => void} stop
 */

/**
 * @param {{ cert: string, key: string }} identity
 * @returns {Promise<Server>}
 */
async function startServer(identity) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-bench-'))
  const ports = { keepAlive: await freePort(), close: await freePort() }
  const { name, notice, child } = startProcess(folder, identity, ports)
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

  for (const end = Date.now() + STARTS_WITHIN; !((await answers(ports.keepAlive)) && (await answers(ports.close))); ) {
    if (!running || Date.now() > end) throw new Error(`${name} did not start`)
    await sleep(50)
  }
  return { name, notice, ports, stop }
}

/**
 * @param {string} folder
 * @param {{ cert: string, key: string }} identity
 * @param {Server['ports']} ports
 */
function startProcess(folder, identity, ports) {
  const { status, stderr } = spawnSync('nginx', ['-v'], { encoding: 'utf8' })
  if (status === 0) {
    return {
      name: stderr.replace('nginx version: ', '').trim(),
      notice: undefined,
      child: startNginx(folder, identity, ports)
    }
  }
  const child = fork(__filename, { stdio: 'inherit' })
  child.send({ ...identity, ports })
  const notice =
    'there is no nginx on the PATH, so the server is Node. It is slower than the native client and limits requests/s\n' +
    'and p50, so those ratios show too little. Trust the two columns that count the time of the client.'
  return { name: 'Node https server', notice, child }
}

/**
 * @param {string} folder
 * @param {{ cert: string, key: string }} identity
 * @param {Server['ports']} ports
 */
function startNginx(folder, { cert, key }, ports) {
  fs.writeFileSync(path.join(folder, 'cert.pem'), cert)
  fs.writeFileSync(path.join(folder, 'key.pem'), key, { mode: 0o600 })
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

/**
 * An upload is answered when all of it is there: the proxy waits for the body, and does not pass it on.
 * @param {Server['ports']} ports
 */
function nginxConf(ports) {
  const locations = `
    location = /small   { default_type application/json; return 200 '${SMALL_BODY}'; }
    location = /session { default_type text/plain; return 200 '$ssl_session_reused'; }
    location = /medium  { }
    location = /large   { }
    location = /upload  {
      client_max_body_size 0;
      client_body_buffer_size ${LARGE_BYTES};
      proxy_pass http://unix:upload.sock:/;
      proxy_pass_request_body off;
      proxy_set_header Content-Length '';
    }`
  return `
daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off;
  root .;
  keepalive_requests 1000000000;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;

  ssl_certificate cert.pem;
  ssl_certificate_key key.pem;
  ssl_protocols TLSv1.3;
  ssl_session_cache off;
  ssl_session_tickets off;

  server {
    listen 127.0.0.1:${ports.keepAlive} ssl backlog=1024;
    keepalive_timeout 1h;
    ${locations}
  }
  server {
    listen 127.0.0.1:${ports.close} ssl backlog=1024;
    keepalive_timeout 0;
    ${locations}
  }
  server {
    listen unix:upload.sock;
    default_type application/json;
    return 200 '${SMALL_BODY}';
  }
}
`
}

/** The server without nginx, run in a process of its own. */
function serveNode() {
  process.once('disconnect', () => process.exit(0))
  process.once('message', (/** @type {any} */ { cert, key, ports }) => {
    const medium = Buffer.alloc(MEDIUM_BYTES)
    const options = { cert, key, minVersion: /** @type {const} */ ('TLSv1.3'), secureOptions: SSL_OP_NO_TICKET }
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
        response.setHeader('content-type', 'application/json').end(SMALL_BODY)
      }
    }
    https.createServer({ ...options, keepAliveTimeout: 3_600_000 }, answer).listen(ports.keepAlive, '127.0.0.1')
    const closing = https.createServer(options, (request, response) => {
      response.setHeader('connection', 'close')
      answer(request, response)
    })
    closing.listen(ports.close, '127.0.0.1')
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

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {net.AddressInfo} */ (server.address())
      server.close(() => resolve(port))
    })
  })
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

module.exports = { LARGE_BYTES, MEDIUM_BYTES, SMALL_BODY, startServer }

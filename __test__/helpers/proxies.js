'use strict'
// Real proxies on loopback: HTTP CONNECT, in the clear and inside TLS, and SOCKS5. They note what they were asked and
// every byte that was sent through them.

const net = require('node:net')
const tls = require('node:tls')
const { once } = require('node:events')
const { TrackedServer, TrackedTlsServer } = require('./tracked')

/** @typedef {{ username: string, password: string }} Credentials */

/**
 * @typedef {object} ProxyOptions
 * @property {{ pem: string, key: string }} [cert] speak TLS
 * @property {tls.TlsOptions} [tls]
 * @property {Credentials} [auth] turn others away with 407
 * @property {(socket: net.Socket, head: string) => void} [answer] instead of opening a tunnel
 * @property {number} [to] a port of loopback that all tunnels end at, whatever was asked for
 * @property {string} [host] the address to listen on
 */

/**
 * @param {ProxyOptions} [options]
 * @returns {Promise<any>}
 */
async function connectProxy({ cert, tls: tlsOptions, auth, answer, to, host } = {}) {
  const server = cert ? tls.createServer({ key: cert.key, cert: cert.pem, ...tlsOptions }) : net.createServer()
  const tracked = cert ? new TrackedTlsServer(/** @type {tls.Server} */ (server)) : new TrackedServer(server)
  const proxy = Object.assign(tracked, {
    /** Heads of CONNECT as they came. @type {string[]} */
    heads: [],
    /** Everything that was received. @type {Buffer[]} */
    bytes: []
  })
  const expected = auth && `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`
  server.on(cert ? 'secureConnection' : 'connection', async (/** @type {net.Socket} */ socket) => {
    socket.on('error', () => {}).on('data', (/** @type {any} */ chunk) => proxy.bytes.push(chunk))
    const head = await readHead(socket)
    if (head === undefined) return
    proxy.heads.push(head)
    if (answer) return answer(socket, head)
    if (expected && !head.includes(`\r\nProxy-Authorization: ${expected}\r\n`)) {
      return socket.end(
        'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n'
      )
    }
    const [, authority] = head.split(' ')
    const port = to ?? Number(authority.slice(authority.lastIndexOf(':') + 1))
    await tunnel(proxy, socket, port, 'HTTP/1.1 200 Connection established\r\n\r\n')
  })
  await tracked.listen(host)
  return withUrl(proxy, cert ? 'https' : 'http')
}

/**
 * SOCKS5 (RFC 1928) with user name and password (RFC 1929) if `auth`.
 * @param {{ auth?: Credentials, to?: number, reply?: Buffer, method?: number }} [options] `reply`: instead of opening a tunnel
 * @returns {Promise<any>}
 */
async function socksProxy({ auth, to, reply, method } = {}) {
  const server = net.createServer()
  const proxy = Object.assign(new TrackedServer(server), {
    /** What was asked for: the kind of address, the address, the port. @type {{ type: number, host: string, port: number }[]} */
    asked: [],
    /** @type {Buffer[]} */
    bytes: []
  })
  server.on('connection', async socket => {
    socket.on('error', () => {}).on('data', (/** @type {any} */ chunk) => proxy.bytes.push(chunk))
    const read = reader(socket)
    try {
      const [, count] = await read(2)
      const methods = await read(count)
      const wanted = method ?? (auth ? 2 : 0)
      if (!methods.includes(wanted)) return socket.end(Buffer.from([5, 0xff]))
      socket.write(Buffer.from([5, wanted]))
      if (auth) {
        const [, length] = await read(2)
        const username = (await read(length)).toString()
        const password = (await read((await read(1))[0])).toString()
        const known = username === auth.username && password === auth.password
        if (!known) return socket.end(Buffer.from([1, 1]))
        socket.write(Buffer.from([1, 0]))
      }
      const [, , , type] = await read(4)
      const address = await read(type === 1 ? 4 : type === 4 ? 16 : (await read(1))[0])
      const port = (await read(2)).readUInt16BE()
      const host = type === 3 ? address.toString() : type === 1 ? [...address].join('.') : address.toString('hex')
      proxy.asked.push({ type, host, port })
      if (reply) return socket.end(reply)
      await tunnel(proxy, socket, to ?? port, Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
    } catch {
      socket.destroy()
    }
  })
  await proxy.listen()
  return withUrl(proxy, 'socks5h')
}

/** @param {any} proxy @param {string} scheme */
function withUrl(proxy, scheme) {
  return Object.defineProperties(proxy, {
    url: { get: () => `${scheme}://${proxy.host.includes(':') ? `[${proxy.host}]` : 'localhost'}:${proxy.port}` },
    received: { value: () => Buffer.concat(proxy.bytes).toString('latin1') }
  })
}

/**
 * @param {any} proxy
 * @param {net.Socket} socket
 * @param {number} port
 * @param {string | Buffer} established
 */
async function tunnel(proxy, socket, port, established) {
  const target = net.connect(port, '127.0.0.1').on('error', () => socket.destroy())
  proxy.track(target)
  await once(target, 'connect').catch(() => {})
  socket.write(established)
  socket.pipe(target).pipe(socket)
  socket.once('close', () => target.destroy())
  target.once('close', () => socket.destroy())
}

/** @param {net.Socket} socket @returns {Promise<string | undefined>} */
async function readHead(socket) {
  let head = ''
  for (;;) {
    const chunk = await readSome(socket)
    if (!chunk) return undefined
    head += chunk.toString('latin1')
    if (head.endsWith('\r\n\r\n')) return head
  }
}

/** @param {net.Socket} socket @returns {Promise<Buffer | undefined>} */
function readSome(socket) {
  return new Promise(resolve => {
    /** @param {Buffer} [chunk] */
    const done = chunk => {
      socket.off('data', done).off('close', onClose)
      resolve(chunk)
    }
    const onClose = () => done()
    socket.on('data', done).on('close', onClose)
  })
}

/** @param {net.Socket} socket */
function reader(socket) {
  let held = Buffer.alloc(0)
  return async (/** @type {number} */ length) => {
    while (held.length < length) {
      const chunk = await readSome(socket)
      if (!chunk) throw new Error('closed')
      held = Buffer.concat([held, chunk])
    }
    const taken = held.subarray(0, length)
    held = held.subarray(length)
    return taken
  }
}

module.exports = { connectProxy, socksProxy }

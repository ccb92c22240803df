'use strict'
const assert = require('node:assert/strict')
const http = require('node:http')
const { once } = require('node:events')
const net = require('node:net')

/** What servers/nginx.js answers. @param {string} body */
function greeted(body) {
  assert.match(body, /^hello over HTTP\/[\d.]+$/)
}

/**
 * A request of Node's own, to its end.
 *
 * @param {string} url
 * @param {import('node:https').RequestOptions} options
 * @returns {Promise<string>}
 */
async function get(url, options) {
  const request = require('node:https').get(url, options)
  const [response] = await once(request, 'response')
  let body = ''
  for await (const chunk of response) body += chunk
  return body
}

/**
 * Runs `use` beside a proxy for CONNECT on loopback.
 *
 * @param {(url: string) => Promise<void>} use
 * @param {string} [address] one that is not the servers'
 */
async function withProxy(use, address = '127.0.0.2') {
  /** @type {Set<net.Socket>} */
  const sockets = new Set()
  const proxy = http.createServer().on('connect', ({ url }, /** @type {any} */ client, head) => {
    const { hostname, port } = new URL(`http://${url}`)
    const target = net.connect(Number(port), hostname, () => {
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n')
      target.write(head)
      client.pipe(target).pipe(client)
    })
    for (const [socket, other] of [
      [client, target],
      [target, client]
    ]) {
      sockets.add(socket)
      socket.on('error', () => {}).once('close', () => other.destroy())
    }
  })
  await once(proxy.listen(0, address), 'listening')
  try {
    await use(`http://${address}:${/** @type {net.AddressInfo} */ (proxy.address()).port}`)
  } finally {
    proxy.close()
    for (const socket of sockets) socket.destroy()
  }
}

module.exports = { get, greeted, withProxy }

'use strict'
const { once } = require('node:events')
const https = require('node:https')
const { WebSocketServer } = require('ws')

/** An echo. @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity */
async function start({ cert, chain }) {
  const server = https.createServer({ key: cert.key, cert: [cert, ...chain].map(({ pem }) => pem).join('') })
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', socket => socket.on('message', (data, binary) => socket.send(data, { binary })))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    port: /** @type {import('node:net').AddressInfo} */ (server.address()).port,
    close: async () => {
      for (const socket of sockets.clients) socket.terminate()
      sockets.close()
      server.closeAllConnections()
      await once(server.close(), 'close')
    }
  }
}

module.exports = {
  debian: [],
  product: 'ws',
  version: () => /^\d+\.\d+/.exec(require('ws/package.json').version)?.[0] ?? 'unknown',
  start
}

// A database driver, or any client that takes TLS options. These are the lines for some drivers:
//
//   new pg.Client({ host, ssl: options })              // not with sslmode in the URL: it drops them
//   new Redis({ host, port, tls: options })            // ioredis
//   mqtt.connect(url, options)
//   new WebSocket(url, options)                        // ws
//
// Below is what a driver does with them: here a Redis server is asked for a PING, over TLS.
//
//   node examples/database.mjs redis.example.com:6379 sha256/CURRENT… sha256/BACKUP…

import tls from 'node:tls'
import { tlsOptions } from 'tls-pinning'

const [server, ...pins] = process.argv.slice(2)
if (pins.length === 0) throw new Error('usage: database.mjs HOST:PORT PIN…')
const { hostname: host, port } = new URL(`tls://${server}`)

// For this host and no other. A private CA is given here as well: { host, ca: fs.readFileSync('ca.pem') }.
const options = tlsOptions(pins, { host })

const socket = tls.connect({ ...options, host, port: Number(port) }, () => socket.write('PING\r\n'))
socket.on('error', error => {
  console.error(error.message)
  process.exitCode = 1
})
socket.on('data', answer => {
  console.log(String(answer).trim())
  socket.end()
})

'use strict'
// What is said in plain text before TLS, by protocol. Each function relays it between a client and the real server, and
// returns when the next byte must be TLS. What a client says in plain text beyond it goes to `plain`.

const { once } = require('node:events')

const POSTGRES_SSL_REQUEST = Buffer.from('0000000804d2162f', 'hex')
const MYSQL_CLIENT_SSL = 0x800
const MYSQL_SSL_REQUEST_BYTES = 32
const LDAP_STARTTLS = '1.3.6.1.4.1.1466.20037'

/**
 * @typedef {import('node:net').Socket} Socket
 * @typedef {(client: Socket, upstream: () => Promise<Socket>, plain: (bytes: Buffer) => void) => Promise<void>} Preamble
 */

/** @type {Record<string, Preamble>} */
const preambles = {
  async postgres(client, upstream, plain) {
    const request = await take(client, POSTGRES_SSL_REQUEST.length)
    if (!request.equals(POSTGRES_SSL_REQUEST)) return plain(request)
    const server = await upstream()
    server.write(request)
    client.write(await take(server, 1))
  },

  async mysql(client, upstream, plain) {
    client.write(await mysqlPacket(await upstream()))
    const request = await mysqlPacket(client)
    const wantsTls = (request.readUInt16LE(4) & MYSQL_CLIENT_SSL) !== 0
    if (!wantsTls || request.length !== 4 + MYSQL_SSL_REQUEST_BYTES) plain(request)
  },

  async smtp(client, upstream, plain) {
    const server = await upstream()
    client.write(await smtpReply(server))
    for (;;) {
      const command = await line(client)
      if (!/^(EHLO|HELO|STARTTLS)\b/i.test(command.toString())) return plain(command)
      server.write(command)
      client.write(await smtpReply(server))
      if (/^STARTTLS\b/i.test(command.toString())) return
    }
  },

  async nats(client, upstream) {
    client.write(await line(await upstream()))
  },

  async ldap(client, upstream, plain) {
    const request = await ldapMessage(client)
    if (!request.includes(LDAP_STARTTLS)) return plain(request)
    const server = await upstream()
    server.write(request)
    client.write(await ldapMessage(server))
  }
}

/** @param {Socket} socket @param {number} length */
async function take(socket, length) {
  for (;;) {
    const bytes = socket.read(length)
    if (bytes) return /** @type {Buffer} */ (bytes)
    if (socket.readableEnded || socket.destroyed) throw new Error('the connection ended before TLS began')
    await Promise.race([once(socket, 'readable'), once(socket, 'close')])
  }
}

/** @param {Socket} socket */
async function mysqlPacket(socket) {
  const header = await take(socket, 4)
  return Buffer.concat([header, await take(socket, header.readUIntLE(0, 3))])
}

/**
 * One DER element with a short length, which is all that StartTLS needs.
 *
 * @param {Socket} socket
 */
async function ldapMessage(socket) {
  const header = await take(socket, 2)
  return Buffer.concat([header, await take(socket, header[1])])
}

/** @param {Socket} socket */
async function line(socket) {
  const bytes = []
  do bytes.push(await take(socket, 1))
  while (bytes.at(-1)?.[0] !== 0x0a)
  return Buffer.concat(bytes)
}

/** @param {Socket} socket */
async function smtpReply(socket) {
  const lines = []
  do lines.push(await line(socket))
  while (lines.at(-1)?.[3] === 0x2d)
  return Buffer.concat(lines)
}

module.exports = { preambles }

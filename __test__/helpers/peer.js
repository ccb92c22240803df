'use strict'
// The server's side of connections, by hand: what has come, and any answer.

const { tlsServer } = require('./servers')

/** What quiet is measured with, in milliseconds: nothing is expected within it. */
const QUIET = 150

class Peer {
  #socket
  #more = () => {}
  /** All that came, one character a byte. */
  received = ''

  /** @param {import('node:tls').TLSSocket} socket */
  constructor(socket) {
    this.#socket = socket
    /** When the connection is gone, in whatever way. */
    this.closed = new Promise(resolve => socket.once('close', () => resolve(undefined)))
    socket.on('close', () => this.#more())
    socket.on('data', chunk => {
      this.received += chunk.toString('latin1')
      this.#more()
    })
  }

  /** Resolves when `text` has come, with what stands behind it. @param {string} text @param {number} [from] */
  async after(text, from = 0) {
    for (;;) {
      const at = this.received.indexOf(text, from)
      if (at !== -1) return this.received.slice(at + text.length)
      if (this.#socket.closed) throw new Error(`closed before ${JSON.stringify(text)} came`)
      await new Promise(resolve => {
        this.#more = () => resolve(undefined)
      })
    }
  }

  /** Resolves when a head has come, with what came behind it. @param {number} [from] */
  head(from) {
    return this.after('\r\n\r\n', from)
  }

  /** @param {string} text */
  write(text) {
    this.#socket.write(text, 'latin1')
  }

  /** @param {string} [text] */
  end(text = '') {
    this.#socket.end(text, 'latin1')
  }
}

/**
 * A TLS server whose connections are served by hand, with an array of them.
 *
 * @param {(peer: Peer, number: number) => void | Promise<void>} serve A connection, and which one it is, from 0.
 * @param {import('./servers').TlsOptions} options
 */
async function peerServer(serve, options) {
  /** @type {Peer[]} */
  const peers = []
  /** @type {unknown[]} */
  const errors = []
  const server = await tlsServer(socket => {
    const peer = new Peer(socket)
    peers.push(peer)
    // A client that has gone is part of what is tested, and looked at there.
    Promise.resolve(serve(peer, peers.length - 1)).catch(error => errors.push(error))
  }, options)
  return Object.assign(server, { peers, errors })
}

const quiet = () => new Promise(resolve => setTimeout(resolve, QUIET))

/** @param {string} body @param {string} [status] */
const answer = (body, status = '200 OK') => `HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\n\r\n${body}`

module.exports = { Peer, answer, peerServer, quiet }

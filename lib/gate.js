'use strict'
// Sockets of Node's TLS that must not speak, or not any more: held until a check has passed, ended, or dead from the start.

const net = require('node:net')
const { TLSSocket } = require('node:tls')

/**
 * A socket that fails before anything is sent. Not a throw: who connects listens for an `error`.
 * @param {Error} error
 * @param {import('node:stream').Duplex} [below] The connection that it would have been made on.
 */
function refused(error, below) {
  const socket = new TLSSocket(new net.Socket())
  // Later than the next tick: Node 20 hands a request its socket in the next one.
  setImmediate(() => {
    socket.destroy(error)
    // After the error has been heard: the end of what is below would hide the reason.
    if (below) setImmediate(() => below.destroy())
  })
  return socket
}

/**
 * Ends a connection. Between two requests nobody may be listening for its errors.
 * @param {TLSSocket} socket
 * @param {Error} error
 */
function end(socket, error) {
  socket.on('error', () => {})
  socket.destroy(error)
}

/**
 * Keeps back what is written to a socket until it says that it is secure, and lets it say so only where the check has no
 * error: listeners that were there first might act on it.
 * @param {any} socket
 * @param {'secure' | 'secureConnect'} event
 * @param {() => Error | undefined} check
 * @param {(error: Error) => void} refuse
 */
function gate(socket, event, check, refuse) {
  let release = /** @type {(() => void) | undefined} */ (hold(socket))
  const { emit } = socket
  socket.emit = (/** @type {string | symbol} */ name, /** @type {any[]} */ ...args) => {
    if (name !== event) return emit.call(socket, name, ...args)
    // Each time: TLS 1.2 can shake hands again.
    const error = check()
    if (error) {
      refuse(error)
      return true
    }
    release?.()
    release = undefined
    return emit.call(socket, name, ...args)
  }
}

/**
 * Keeps back whatever is written. A stream has one write under way at a time, so that what follows waits behind the first.
 * @param {any} socket
 * @returns {() => void} Lets it go.
 */
function hold(socket) {
  /** @type {{ go: () => void, fail: (error: Error) => void }[]} */
  let held = []
  const methods = ['_write', '_writev', '_final'].map(name => ({ name, method: socket[name] }))
  for (const { name, method } of methods) {
    socket[name] = (/** @type {any[]} */ ...args) =>
      held.push({ go: () => method.apply(socket, args), fail: error => args.at(-1)(error) })
  }
  socket.once('close', () => {
    const error = Object.assign(new Error('the connection was refused'), { code: 'ERR_STREAM_DESTROYED' })
    for (const { fail } of held.splice(0)) fail(error)
  })
  return () => {
    for (const { name, method } of methods) socket[name] = method
    const going = held
    held = []
    for (const { go } of going) go()
  }
}

module.exports = { end, gate, refused }

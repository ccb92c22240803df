'use strict'
// A TLS client made by `new tls.TLSSocket(…)`, without tls.connect: nobody verifies its server but its owner, when it says
// `secure`, and what is written before leaves with the handshake.

const { refuseUnsafe } = require('./connection.js')
const { fromFailure } = require('./errors.js')
const { gate } = require('./gate.js')
const { guarded } = require('./identity.js')

/** @typedef {InstanceType<typeof import('./connection.js').PinnedConnection>} Connection */

/**
 * Keeps back what is written, and `secure`, until the server has been verified and has satisfied the pins.
 * @param {any} socket
 * @param {Record<string, any>} options What it was made with.
 * @param {(servername: string | undefined) => Connection | undefined} connectionFor What is to be satisfied, or nothing.
 */
function pinBare(socket, options, connectionFor) {
  /** @type {string | undefined} */
  let servername
  const { setServername } = socket
  socket.setServername = (/** @type {string} */ name) => {
    servername = name
    return setServername.call(socket, name)
  }
  socket.setSession = () => {}
  /** @type {Connection | undefined} */
  let connection
  const check = () =>
    guarded(() => {
      connection ??= connectionFor(servername)
      if (!connection) return undefined
      refuseUnsafe(options)
      const error = verifyError(socket) ?? connection.accept(socket, true)
      if (!error) connection.watch(socket)
      return error
    })
  gate(socket, 'secure', check, error => refuse(socket, error))
  return socket
}

/**
 * Why OpenSSL found no path to the server, which it tells only who asks.
 * @param {any} socket
 * @returns {Error | undefined}
 */
function verifyError(socket) {
  if (typeof socket.ssl?.verifyError === 'function') return socket.ssl.verifyError() ?? undefined
  return fromFailure({
    code: 'ERR_TLS_PIN_UNSAFE',
    message: `Node.js ${process.version} does not tell whether the server of a bare TLSSocket was verified`,
    phase: 'handshake'
  })
}

/**
 * In the way in which such a socket tells of a failed handshake: not everybody listens for `error`.
 * @param {any} socket
 * @param {Error} error
 */
function refuse(socket, error) {
  socket.emit('_tlsError', error)
  socket.destroy(socket.listenerCount('error') > 0 ? error : undefined)
}

module.exports = { pinBare }

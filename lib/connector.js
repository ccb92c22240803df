'use strict'
// Connections for undici, of whatever version: it asks for each by a function.

const net = require('node:net')
const tls = require('node:tls')
const { PinnedConnection } = require('./connection.js')
const { argumentError, own, unsafe } = require('./errors.js')
const { asPinSet } = require('./policy.js')
const { refuseIgnoredConnectors } = require('./runtime.js')
const { tlsOptions } = require('./tls-options.js')
const { anchorsOf, trustOf } = require('./trust.js')

/** As in undici, in milliseconds. */
const TIMEOUT = 10_000
const KEEP_ALIVE_DELAY = 60_000
const HIGH_WATER_MARK = 16_384

/** @typedef {(...args: [error: null, socket: tls.TLSSocket] | [error: Error, socket: null]) => void} Callback */

/**
 * @param {unknown} given
 * @param {Record<string, any>} [options]
 */
function pinnedConnector(given, options = {}) {
  refuseIgnoredConnectors()
  const pins = asPinSet(given)
  const { trust = 'ca', timeout = TIMEOUT, allowH2 = false, socketPath, ...connect } = own(options)
  for (const name of ['host', 'port']) {
    if (connect[name] === undefined) continue
    throw argumentError('ERR_INVALID_ARG_VALUE', `${name} is not an option here: undici says where to connect`)
  }
  if (!Number.isFinite(timeout) || timeout < 0) {
    throw argumentError('ERR_INVALID_ARG_VALUE', `timeout must be milliseconds, 0 or more, not ${String(timeout)}`)
  }
  trustOf({ trust, ca: connect.ca })
  // What `ProxyAgent` takes for a connector of its own making, which cannot do without a trusted certificate.
  const settings = tlsOptions(pins, connect)
  const { checkServerIdentity: users, ...tlsSettings } = connect

  /**
   * @param {import('../index.js').ConnectorRequest} request
   * @param {Callback} callback
   */
  function connector(request, callback) {
    try {
      open(request, callback)
    } catch (error) {
      process.nextTick(callback, error, null)
    }
  }

  /**
   * @param {import('../index.js').ConnectorRequest} request
   * @param {Callback} callback
   */
  function open({ hostname, host, protocol, port, servername: named, localAddress, httpSocket }, callback) {
    if (protocol !== 'https:') throw unsafe(`${protocol}//${hostname} is not encrypted, and only https: can be pinned`)
    const servername = named || tlsSettings.servername || nameOf(host ?? hostname)
    const connection = new PinnedConnection({
      pins,
      names: [servername, hostname],
      port: Number(port) || 443,
      ...anchorsOf(tlsSettings),
      trust,
      checks: [users],
      source: 'connector'
    })
    const socket = tls.connect(
      connection.options({
        highWaterMark: HIGH_WATER_MARK,
        ...tlsSettings,
        path: socketPath,
        host: hostname,
        port: Number(port) || 443,
        servername,
        localAddress: localAddress ?? tlsSettings.localAddress,
        ALPNProtocols: allowH2 ? ['http/1.1', 'h2'] : ['http/1.1'],
        socket: httpSocket
      })
    )
    connection.guard(socket)
    if (tlsSettings.keepAlive !== false)
      socket.setKeepAlive(true, tlsSettings.keepAliveInitialDelay ?? KEEP_ALIVE_DELAY)
    socket.setNoDelay(true)
    const timer =
      timeout === 0 ? undefined : setTimeout(() => socket.destroy(timedOut(connection.host, timeout)), timeout)
    connection.handOver(socket, (...outcome) => {
      clearTimeout(timer)
      callback(...outcome)
    })
  }

  return Object.assign(connector, settings)
}

/**
 * The name to send, as undici takes it from a `Host` header; none for an address.
 * @param {string} host
 */
function nameOf(host) {
  const name = host.startsWith('[') ? host.slice(1, host.indexOf(']')) : host.replace(/:\d*$/, '')
  return net.isIP(name) ? undefined : name
}

/**
 * @param {string} host
 * @param {number} timeout
 */
function timedOut(host, timeout) {
  const error = new Error(`Connect Timeout Error (${host}, no TLS connection within ${timeout} ms)`)
  return Object.assign(error, { name: 'ConnectTimeoutError', code: 'UND_ERR_CONNECT_TIMEOUT' })
}

module.exports = { pinnedConnector }

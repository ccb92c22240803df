'use strict'
// Options of the commands that look at servers, as the options of `inspect` and `scan`.

const { STARTTLS, starttlsPort } = require('../../lib/inspect.js')
const { usageError } = require('../errors.js')
const { parseHost } = require('../hosts.js')
const { readText } = require('../policies.js')

const OPTIONS = /** @type {const} */ ({
  servername: { type: 'string' },
  starttls: { type: 'string' },
  proxy: { type: 'string' },
  ca: { type: 'string' },
  timeout: { type: 'string' }
})

const HELP = `  --servername NAME    whom to ask for and to expect, where it is not HOST
  --starttls PROTOCOL  what is spoken before TLS: ${STARTTLS.slice(0, 5).join(', ')},
                       ${STARTTLS.slice(5).join(', ')}; the port is then that protocol's own
  --proxy URL          http, https, socks5 or socks5h; or env, for HTTPS_PROXY
  --ca FILE            trust anchors, PEM or DER, instead of Node's own
  --timeout SECONDS    for the connection, and again for each handshake; default 10`

/**
 * @param {string} text
 * @param {Record<string, any>} options
 */
function targetOf(text, { starttls }) {
  if (starttls !== undefined && !STARTTLS.includes(starttls)) {
    throw usageError(`--starttls ${starttls} is not known`, `write one of ${STARTTLS.join(', ')}`)
  }
  const { host, port, label } = parseHost(text, starttls === undefined ? 443 : starttlsPort(starttls))
  return { label, target: `${host.includes(':') ? `[${host}]` : host}:${port}` }
}

/** @param {Record<string, any>} options */
function inspectOptions({ servername, starttls, proxy, ca, timeout = '10' }) {
  const limit = Math.round(Number(timeout) * 1000)
  if (!/^\d+(\.\d+)?$/.test(timeout) || limit < 1 || limit > 3_600_000) {
    throw usageError(`--timeout ${timeout} is not a number of seconds`, 'write --timeout 30; an hour is the most')
  }
  return {
    connectTimeout: limit,
    handshakeTimeout: limit,
    ...(servername !== undefined && { servername }),
    ...(starttls !== undefined && { starttls }),
    ...(proxy !== undefined && { proxy }),
    ...(ca !== undefined && { ca: Buffer.from(readText(ca)) })
  }
}

module.exports = { HELP, OPTIONS, inspectOptions, targetOf }

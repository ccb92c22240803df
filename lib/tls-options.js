'use strict'
// The TLS options of any client of Node's.

const { X509Certificate } = require('node:crypto')
const { refuseUnsafe } = require('./connection.js')
const { argumentError, own, unsafe } = require('./errors.js')
const { Identity, answer, checkHost, guarded, nodeCheck } = require('./identity.js')
const { policyNumber } = require('./live.js')
const { PinSet, asPinSet, checkPort } = require('./policy.js')
const { byteList, kind, trustOf } = require('./trust.js')

let lastCheck = 0

/**
 * @param {unknown} pins
 * @param {Record<string, any>} [options]
 */
function tlsOptions(pins, options = {}) {
  if (typeof options !== 'object' || options === null) {
    throw argumentError('ERR_INVALID_ARG_TYPE', `options must be an object, not ${kind(options)}`)
  }
  refuseUnsafe(options)
  if (options.session !== undefined) {
    throw unsafe('session resumes an earlier connection, whose certificate is not checked again')
  }
  const { host, port, ca, trust = 'ca', checkServerIdentity: users, ...rest } = own(options)
  checkHost(host)
  if (trust === 'ca' && ca !== undefined) trustOf({ trust, ca })
  const set = asPinSet(pins)
  const anchors = trust === 'pin-only' ? pinnedCertificates(pins, ca) : ca
  const identity = new Identity({
    pins: set,
    host,
    port: port === undefined ? port : checkPort(port),
    ca: trust === 'ca' ? ca : undefined,
    trust,
    source: 'checkServerIdentity'
  })
  const check = ++lastCheck
  /** @param {string} hostname @param {import('node:tls').PeerCertificate} cert @returns {Error | undefined} */
  const checkServerIdentity = (hostname, cert) =>
    guarded(() => answer(users?.(hostname, cert)) ?? identity.check(nodeCheck, hostname, cert))
  return {
    ...rest,
    ...(anchors !== undefined && { ca: anchors }),
    ...(trust === 'pin-only' && { allowPartialTrustChain: true }),
    checkServerIdentity,
    rejectUnauthorized: /** @type {const} */ (true),
    maxCachedSessions: /** @type {const} */ (0),
    // Means nothing to a client's TLS, but an agent of Node's has connections and sessions of their own for each value of
    // it: Node 20, which does not look at the check, would let requests with other pins share them.
    get sessionIdContext() {
      return `pins ${policyNumber(set)}${users ? ` ${check}` : ''}`
    }
  }
}

/**
 * The certificates that are to be the only trust, in PEM.
 * @param {unknown} pins
 * @param {unknown} ca
 */
function pinnedCertificates(pins, ca) {
  const given = ca === undefined ? certificatesIn(pins) : byteList(ca, 'ca')
  if (given.length === 0) {
    throw unsafe(
      "trust: 'pin-only' needs the pinned certificates themselves in Node's TLS: give them as ca, or as pins of the form " +
        '{ certificate }; or use PinnedAgent, pinnedConnector or PinnedClient, which do with a pin'
    )
  }
  const certificates = given.map(read)
  if (!certificates.every(isSelfSigned) && !hasPartialChains()) {
    throw unsafe(
      `trust: 'pin-only' with a certificate that is not self-signed needs allowPartialTrustChain, which Node.js ${process.version} does not have (20.18, 22.9 and 23 do)`
    )
  }
  return certificates.map(String)
}

/**
 * The certificates in pins of the forms `{ certificate }` and `{ publicKey: certificate }`.
 * @param {any} pins
 * @returns {unknown[]}
 */
function certificatesIn(pins) {
  if (Array.isArray(pins)) return pins.flatMap(certificatesIn)
  if (typeof pins !== 'object' || pins === null || pins instanceof PinSet || ArrayBuffer.isView(pins)) return []
  const { certificate, publicKey } = own(pins)
  if (certificate !== undefined) return [certificate]
  if (publicKey !== undefined) return isCertificate(publicKey) ? [publicKey] : []
  return Object.values(pins).flatMap(certificatesIn)
}

/** @param {unknown} value */
function isCertificate(value) {
  try {
    return Boolean(read(value))
  } catch {
    return false
  }
}

/** @param {any} certificate */
function read(certificate) {
  if (certificate instanceof X509Certificate) return certificate
  try {
    return new X509Certificate(byteList(certificate, 'ca')[0])
  } catch (cause) {
    throw argumentError('ERR_INVALID_ARG_VALUE', 'a pinned certificate cannot be read', cause)
  }
}

/** @param {X509Certificate} certificate */
function isSelfSigned(certificate) {
  return certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey)
}

/** The option is ignored where it is not known, so it cannot be probed for. */
function hasPartialChains() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  return major > 22 || (major === 22 && minor >= 9) || (major === 20 && minor >= 18)
}

module.exports = { tlsOptions }

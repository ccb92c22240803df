'use strict'
// What is wrong with a server, and what to do about it.

const COMPARE = 'do not pin what is shown here unless another source says the same'
const NO_PATH = `for a private CA give its root with --ca FILE; what the server leaves out has to be added there; ${COMPARE}`

/** By the code of what is not trusted. @type {Record<string, string>} */
const HINTS = {
  DEPTH_ZERO_SELF_SIGNED_CERT: `for a device with a certificate of its own there is trust: 'pin-only'; ${COMPARE}`,
  SELF_SIGNED_CERT_IN_CHAIN: NO_PATH,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: NO_PATH,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: NO_PATH,
  ERR_TLS_CERT_ALTNAME_INVALID: 'check the host; where another name is meant, give it with --servername',
  CERT_HAS_EXPIRED: 'renew the certificate on the server; check the clock of this machine',
  CERT_NOT_YET_VALID: 'check the clocks of the server and of this machine',
  UNSUPPORTED_SIGNATURE_ALGORITHM: 'reissue the certificate with an EC key, or with RSA of 2048 bits or more'
}

/**
 * @typedef {{ kind: 'untrusted' | 'incomplete' | 'old-version', code: string | null, message: string, hint: string }} Finding
 */

/**
 * @param {any} seen What `inspect` found; null where it found nothing.
 * @param {any} scanned The same of `scan`.
 * @returns {Finding[]}
 */
function findings(seen, scanned) {
  return [...ofInspection(seen), ...ofScan(scanned)]
}

/**
 * @param {any} seen
 * @returns {Finding[]}
 */
function ofInspection(seen) {
  /** @type {Finding[]} */
  const found = []
  if (seen?.untrusted) {
    const { code } = seen.untrusted
    const hint = HINTS[code] ?? `the README says what ${code} means; ${COMPARE}`
    found.push({ kind: 'untrusted', code, message: messageOf(seen, seen.untrusted), hint })
  }
  // A server that wants a client certificate has proved its own before it says so.
  if (seen?.incomplete && !seen.incomplete.code.includes('_ALERT_')) {
    const hint = 'the server has not proved that it holds the key of its certificate: somebody may have copied it'
    found.push({ kind: 'incomplete', code: seen.incomplete.code, message: messageOf(seen, seen.incomplete), hint })
  }
  return found
}

/**
 * @param {any} scanned
 * @returns {Finding[]}
 */
function ofScan(scanned) {
  const old = (scanned?.versions ?? []).filter(
    (/** @type {any} */ { version, outcome }) => outcome === 'accepted' && !['TLSv1.3', 'TLSv1.2'].includes(version)
  )
  return old.map((/** @type {any} */ { version, cipher }) => ({
    kind: 'old-version',
    code: null,
    message: `the server accepts ${version}${cipher ? ` (${cipher})` : ''}`,
    hint: `switch ${version} off on the server (${version === 'SSLv3' ? 'RFC 7568' : 'RFC 8996'})`
  }))
}

/**
 * An error's message without the host that it is about, which is named already.
 * @param {{ host: string, port: number }} seen
 * @param {{ message: string }} error
 */
function messageOf({ host, port }, { message }) {
  const place = `${host}:${port}: `
  return message.startsWith(place) ? message.slice(place.length) : message
}

module.exports = { findings, messageOf }

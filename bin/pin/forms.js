'use strict'
// Every form of a pin.

/** @typedef {import('./material.js').Found} Found */

/**
 * By name, in the order in which they are shown. Null: what is pinned has none in this form.
 * @type {Record<string, (found: Found) => string | null>}
 */
const FORMS = {
  sha256: ({ pins }) => pins.sha256,
  curl: ({ pins }) => pins.sha256.replace('sha256/', 'sha256//'),
  hpkp: ({ pins }) => `pin-sha256="${pins.sha256.replace('sha256/', '')}"`,
  'spki-sha256': ({ pins }) => `spki:sha256:${keyHex(pins)}`,
  'spki-sha512': ({ pins }) => pins.sha512,
  tlsa: found => `${usage(found)} 1 1 ${keyHex(found.pins)}`,
  'cert-sha256': ({ pins }) => pins.certificate256 ?? null,
  'cert-sha512': ({ pins }) => pins.certificate512 ?? null,
  fingerprint: ({ pins }) => pins.fingerprint256 ?? null,
  'tlsa-cert': found => found.pins.certificate256?.replace('cert:sha256:', `${usage(found)} 0 1 `) ?? null
}

/** @param {Found['pins']} pins */
function keyHex({ sha256 }) {
  return Buffer.from(sha256.replace('sha256/', ''), 'base64').toString('hex')
}

/**
 * DANE-TA for an authority, else DANE-EE (RFC 7218).
 * @param {Found} found
 */
function usage({ role }) {
  return role === 'intermediate' || role === 'root' ? 2 : 3
}

/**
 * All forms that there are for it.
 * @param {Found} found
 * @returns {Record<string, string>}
 */
function formsOf(found) {
  const all = Object.entries(FORMS).map(([name, form]) => [name, form(found)])
  return Object.fromEntries(all.filter(([, text]) => text !== null))
}

module.exports = { FORMS, formsOf }

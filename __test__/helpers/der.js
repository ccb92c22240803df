'use strict'
// The few DER encodings that the certificate library has no shape for: names a real CA would never sign (NUL bytes in a
// dNSName), name constraints, and PKCS#12.

const net = require('node:net')

const TAG = { integer: 0x02, octets: 0x04, null: 0x05, oid: 0x06, sequence: 0x30, set: 0x31 }
const GENERAL_NAME = { dns: 0x82, ip: 0x87 }

/**
 * One DER value (X.690): tag, shortest length, contents.
 *
 * @param {number} tag
 * @param {...Uint8Array} contents
 */
function der(tag, ...contents) {
  const body = Buffer.concat(contents)
  if (body.length < 0x80) return Buffer.concat([Buffer.from([tag, body.length]), body])
  const hex = body.length.toString(16)
  const length = Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex')
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, body])
}

/**
 * GeneralNames (RFC 5280, 4.2.1.6). Text is a DNS name or an IP address; bytes become a dNSName as they are.
 *
 * @param {(string | Uint8Array)[]} names
 */
function generalNames(names) {
  return der(TAG.sequence, ...names.map(generalName))
}

/**
 * NameConstraints (RFC 5280, 4.2.1.10). A DNS name covers itself and all below it; an IP range is written as CIDR.
 *
 * @param {{ permitted?: string[], excluded?: string[] }} constraints
 */
function nameConstraints({ permitted = [], excluded = [] }) {
  const subtrees = (/** @type {number} */ tag, /** @type {string[]} */ names) =>
    names.length ? [der(tag, ...names.map(name => der(TAG.sequence, subtreeBase(name))))] : []
  return der(TAG.sequence, ...subtrees(0xa0, permitted), ...subtrees(0xa1, excluded))
}

/** @param {string} text an IPv4 or IPv6 address */
function ipBytes(text) {
  if (net.isIPv4(text)) return Buffer.from(text.split('.').map(Number))
  const canonical = new URL(`http://[${text}]`).hostname.slice(1, -1)
  const [head = [], tail] = canonical.split('::').map(half => (half ? half.split(':') : []))
  const groups = tail ? [...head, ...Array(8 - head.length - tail.length).fill('0'), ...tail] : head
  return Buffer.from(groups.map(group => group.padStart(4, '0')).join(''), 'hex')
}

/** @param {string} dotted */
function oid(dotted) {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return der(TAG.oid, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]))
}

/** @param {string | Uint8Array} name */
function generalName(name) {
  if (typeof name !== 'string') return der(GENERAL_NAME.dns, name)
  return net.isIP(name) ? der(GENERAL_NAME.ip, ipBytes(name)) : der(GENERAL_NAME.dns, Buffer.from(name, 'latin1'))
}

/** @param {string} name */
function subtreeBase(name) {
  const [address = '', prefix] = name.split('/')
  if (!net.isIP(address)) return generalName(name)
  const bytes = ipBytes(address)
  const bits = prefix === undefined ? bytes.length * 8 : Number(prefix)
  const mask = bytes.map((_, i) => 0xff & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * i))))
  return der(GENERAL_NAME.ip, bytes, mask)
}

/** @param {number} value */
function base128(value) {
  const digits = [value & 0x7f]
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) digits.unshift((rest & 0x7f) | 0x80)
  return digits
}

module.exports = { TAG, der, generalNames, ipBytes, nameConstraints, oid }

'use strict'
// `tls-pinning sign`: a policy in a signed envelope.

const { createPublicKey } = require('node:crypto')
const fs = require('node:fs')
const { PinSet } = require('../../lib/policy.js')
const { open, seal } = require('../../lib/sources/envelope.js')
const { iso } = require('../../lib/sources/judge.js')
const { keyId, publicKeys } = require('../../lib/sources/keys.js')
const { CliError, EXIT, usageError } = require('../errors.js')
const { readPrivateKey, readPublicKeys, write } = require('../sign/files.js')
const { printable } = require('../ui.js')

/** Milliseconds that a policy begins before it is signed: not every clock is right. */
const EARLIER = 300_000
const UNITS = /** @type {Record<string, number>} */ ({ h: 3_600_000, d: 86_400_000, w: 604_800_000 })

/** @type {import('../main.js').Command} */
const command = {
  usage: 'POLICY --key FILE --expires WHEN [--version N | --previous FILE] [--not-before WHEN] [--out FILE]',
  help: `
tls-pinning sign policy.json --key policy-signing-key.pem --expires 90d --out policy.signed.json
tls-pinning sign policy.json --key key.pem --expires 2027-03-01T00:00:00Z --previous policy.signed.json --out policy.signed.json
tls-pinning sign policy.json --key key.pem --expires 90d > policy.signed.json

  --key FILE          the private key that \`tls-pinning keygen\` has made
  --expires WHEN      after it every host is refused: RFC 3339, or hours, days, weeks from now (12h, 90d, 8w)
  --not-before WHEN   the same forms; default: five minutes ago, for clocks that are slow
  --version N         programs never go back to a lower one; default: the Unix time
  --previous FILE     the envelope before: its version and one
  --public-key KEY    of the envelope before, where another key has signed it; may be repeated
  --out FILE          replaced as a whole; default: standard output`,
  options: {
    key: { type: 'string' },
    expires: { type: 'string' },
    'not-before': { type: 'string' },
    version: { type: 'string' },
    previous: { type: 'string' },
    'public-key': { type: 'string', multiple: true },
    out: { type: 'string' }
  },
  run({ args, options, ui }) {
    const [file, ...others] = args
    const { key: keyFile, expires, out } = options
    if (!file || others.length > 0)
      throw usageError('give one policy', 'tls-pinning sign POLICY --key FILE --expires 90d')
    if (!keyFile) throw usageError('--key is missing', '`tls-pinning keygen` makes a key')
    if (!expires) throw usageError('--expires is missing', 'a policy is signed for a time: --expires 90d')
    const pins = PinSet.fromFile(file)
    const policy = pins.toJSON()
    if (Array.isArray(policy))
      throw usageError(`${file} has pins but no hosts`, 'write { "hosts": { "api.example.com": […] } }')
    const key = readPrivateKey(keyFile)
    const now = Date.now()
    const version = versionOf(options, key, now)
    const payload = {
      version,
      notBefore: moment(options['not-before'], '--not-before', now) ?? iso(seconds(now - EARLIER)),
      expires: moment(expires, '--expires', now),
      policy
    }
    if (Date.parse(String(payload.expires)) <= now) {
      throw usageError(`${payload.expires} is in the past`, 'give a later --expires')
    }
    const envelope = seal(JSON.stringify(payload), key)
    // As the programs will read it.
    const signed = open(envelope, publicKeys(createPublicKey(key)))

    const { warnings } = pins
    for (const { place, message } of warnings) ui.note(`warning: ${place}: ${message}`)
    if (out) write(out, envelope, { mode: 0o644, replace: true })
    const told = { version, notBefore: iso(Number(signed.notBefore) * 1000), expires: iso(signed.expires * 1000) }
    const id = keyId(key)
    ui.result({ ...told, keyId: id, ...(out ? { out } : { envelope: JSON.parse(envelope) }), warnings }, () =>
      out ? '' : envelope
    )
    ui.note(`version ${version}, from ${told.notBefore} to ${told.expires}, signed by ${id}${out ? `: ${out}` : ''}`)
    return EXIT.OK
  }
}

/**
 * @param {Record<string, any>} options
 * @param {import('node:crypto').KeyObject} key
 * @param {number} now
 */
function versionOf({ version, previous, 'public-key': others = [] }, key, now) {
  if (version !== undefined && previous !== undefined) {
    throw usageError('--version and --previous exclude each other', 'give one of them')
  }
  if (previous !== undefined) {
    const keys = [...publicKeys(createPublicKey(key)), ...(others.length > 0 ? readPublicKeys(others) : [])]
    try {
      return open(fs.readFileSync(previous), keys).version + 1
    } catch (cause) {
      const { code, message } = /** @type {NodeJS.ErrnoException} */ (cause)
      if (code !== 'ERR_TLS_PIN_POLICY_SIGNATURE') throw cause
      const hint = 'if the key has changed since, say with --public-key which was the one before'
      throw new CliError(`${printable(previous)}: ${message}`, { exit: EXIT.USAGE, hint, code, cause })
    }
  }
  if (version === undefined) return Math.floor(now / 1000)
  const number = /^[1-9]\d*$/.test(version) ? Number(version) : Number.NaN
  if (Number.isSafeInteger(number)) return number
  throw usageError(`${version} is no version`, 'give an integer, 1 or more')
}

/**
 * @param {string | undefined} text
 * @param {string} name
 * @param {number} now
 */
function moment(text, name, now) {
  if (text === undefined) return undefined
  const [, count, unit] = /^(\d{1,5})([hdw])$/.exec(text) ?? []
  if (unit) return iso(seconds(now + Number(count) * UNITS[unit]))
  if (/^\d{4}-\d\d-\d\dT/.test(text) && !Number.isNaN(Date.parse(text))) return text
  throw usageError(`${name} ${text} is no date and time`, 'write 2027-03-01T00:00:00Z, or 12h, 90d, 8w')
}

/** @param {number} milliseconds */
function seconds(milliseconds) {
  return Math.floor(milliseconds / 1000) * 1000
}

module.exports = command

'use strict'
// One host, looked at as a client of the policy would: the same trust, the same verifier, and not one application byte.

const { inspect } = require('../../lib/inspect.js')
const { PinSet } = require('../../lib/policy.js')
const { CliError, EXIT, explain } = require('../errors.js')

/**
 * What is in force for a host, and what it showed.
 * @typedef {object} Examined
 * @property {string} label The host, and its port where that is not 443.
 * @property {string} host Where it is connected to; whom it is to be says `servername`, where that is given.
 * @property {number | null} port Null where it was not named and is not known.
 * @property {string | null} pattern The entry that decides; null where there is none, or for a bare list.
 * @property {'match' | 'mismatch' | 'untrusted' | 'unlisted' | 'unreachable'} status Whether its pins match, whatever the
 *   entry's mode and expiry; `untrusted`: there is no path to compare them with.
 * @property {boolean} accepted Whether a client would connect, now.
 * @property {'enforce' | 'report' | null} mode
 * @property {{ pin: string, subject: string | null, position: number | null } | null} matched
 * @property {{ pin: string, role: 'any' | 'leaf' | 'ca' }[]} expected
 * @property {Shown[]} certificates The verified path or, where there is none, what the server presented.
 * @property {{ code: string | undefined, message: string, hint: string } | null} error Why it is not a match, or not accepted.
 */
/**
 * @typedef {object} Shown
 * @property {string} subject
 * @property {string} pin
 * @property {Date | null} validTo
 */
/** @typedef {ReturnType<InstanceType<typeof PinSet>['match']>} Entry */

/**
 * @param {{ host: string, port: number | null, label: string }} target
 * @param {InstanceType<typeof PinSet>} pins
 * @param {{ trust?: 'ca' | 'pin-only', ca?: Buffer, servername?: string, [inspectOption: string]: unknown }} options
 * @returns {Promise<Examined>}
 */
async function examine({ host, port, label }, pins, { trust = 'ca', ...options }) {
  const name = host.includes(':') ? `[${host}]` : host
  const identity = String(options.servername ?? host)
  /** @type {any} */
  let seen
  try {
    seen = await inspect(port === null ? name : `${name}:${port}`, options)
  } catch (error) {
    // Anything else is about the options, and the same for every host.
    if (explain(error).exit !== EXIT.NETWORK) throw error
    const failed = /** @type {any} */ (error)
    const tried = port ?? (failed.phase === 'proxy' ? null : failed.port)
    const entry = tried === null ? null : pins.match(identity, tried)
    return { ...described({ host, port: tried, label, entry }), status: 'unreachable', error: told(error) }
  }
  const entry = pins.match(identity, seen.port)
  const [leaf] = seen.chain
  const chain = seen.chain.flatMap((/** @type {any} */ certificate) => certificate.pem ?? [])
  /** @param {InstanceType<typeof PinSet>} policy */
  const verify = policy => {
    // Without its first certificate a chain is another server's.
    if (!leaf?.pem) throw seen.untrusted ?? unreadable()
    const ca = trust === 'ca' && options.ca ? { ca: options.ca } : {}
    return policy.check(identity, chain, { port: seen.port, trust, ...ca })
  }
  const decided = outcome(() => verify(pins))
  // The pins alone: an entry that has expired, or only reports, may still be right.
  const compared = entry ? outcome(() => verify(enforced(entry))) : decided
  // The client verifies the chain first, and then that the server has the key.
  const incomplete = compared.verified && seen.incomplete
  const error = compared.error ?? incomplete ?? decided.error
  const { verified } = compared
  const path = verified?.path ?? compared.error?.path ?? seen.path
  const base = described({ host, port: seen.port, label: label || name, entry })
  return {
    ...base,
    status: statusOf(Boolean(entry), compared.error, incomplete),
    accepted: !decided.error && !seen.incomplete,
    matched: verified?.matched && !incomplete ? matchedOn(verified.matched, base.expected, path, seen.chain) : null,
    certificates: (path?.length ? path : seen.chain).map(shown),
    error: error ? told(error) : null
  }
}

/**
 * @param {boolean} isListed
 * @param {any} error
 * @param {unknown} incomplete
 * @returns {Examined['status']}
 */
function statusOf(isListed, error, incomplete) {
  if (!isListed) return 'unlisted'
  if (error) return error.code === 'ERR_TLS_PIN_MISMATCH' ? 'mismatch' : 'untrusted'
  return incomplete ? 'unreachable' : 'match'
}

/**
 * @param {{ host: string, port: number | null, label: string, entry: Entry }} known
 * @returns {Examined}
 */
function described({ host, port, label, entry }) {
  return {
    label,
    host,
    port,
    pattern: entry?.pattern ?? null,
    status: 'unlisted',
    accepted: false,
    mode: entry?.mode ?? null,
    matched: null,
    expected: entry ? rolesOf(entry) : [],
    certificates: [],
    error: null
  }
}

/**
 * @param {NonNullable<Entry>} entry
 * @returns {Examined['expected']}
 */
function rolesOf({ pins, leaf, ca }) {
  const of = (/** @type {string[]} */ list, /** @type {'any' | 'leaf' | 'ca'} */ role) =>
    list.map(pin => ({ pin, role }))
  return [...of(pins, 'any'), ...of(leaf, 'leaf'), ...of(ca, 'ca')]
}

/**
 * The entry's pins and nothing else of it.
 * @param {NonNullable<Entry>} entry
 */
function enforced({ pattern, pins, leaf, ca }) {
  const lists = Object.entries({ pins, leaf, ca }).filter(([, list]) => list.length > 0)
  return new PinSet(pattern === null ? pins : { hosts: { [pattern]: Object.fromEntries(lists) } })
}

/**
 * @template T
 * @param {() => T} work
 * @returns {{ verified?: T, error?: any }}
 */
function outcome(work) {
  try {
    return { verified: work() }
  } catch (error) {
    return { error }
  }
}

/**
 * Which certificate of the path a pin is for, as far as the path tells.
 * @param {string} pin
 * @param {Examined['expected']} expected
 * @param {any[]} path
 * @param {any[]} presented
 */
function matchedOn(pin, expected, path, presented) {
  const issuersOnly = expected.every(rule => rule.pin !== pin || rule.role === 'ca')
  const position = path.findIndex(({ spkiPin, fingerprint256 }, at) => {
    if (at === 0 && issuersOnly) return false
    const twin = presented.find(certificate => fingerprint256 && certificate.fingerprint256 === fingerprint256)
    return spkiPin === pin || Object.values(twin?.pins ?? {}).includes(pin)
  })
  return { pin, subject: path[position]?.subject ?? null, position: position < 0 ? null : position }
}

/**
 * @param {any} certificate Of a path, or presented; of one that cannot be read there is only a pin.
 * @returns {Shown}
 */
function shown({ subject = '(a certificate that cannot be read)', spkiPin, pins, certificatePin, validTo = null }) {
  return { subject, pin: spkiPin ?? pins?.sha256 ?? certificatePin, validTo }
}

function unreadable() {
  const hint = 'look at it with openssl s_client -showcerts'
  return new CliError('the certificate of the server cannot be read', {
    exit: EXIT.FINDING,
    hint,
    code: 'CERT_REJECTED'
  })
}

/** @param {unknown} error */
function told(error) {
  const { code, message, hint } = explain(error)
  return { code, message, hint }
}

module.exports = { examine }

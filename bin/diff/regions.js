'use strict'
// Which hosts two policies have to be compared for.
//
// The most specific entry alone decides about a host. So it is not enough to compare entry with entry: without its own, a
// host falls to a wildcard or is unlisted. Each pattern of either policy stands for the hosts that no more specific one of
// either is for. Within such a region a policy decides about all hosts alike, so that one of them speaks for all; but it may
// tell ports apart, those that a pattern names and all the others. One kind of host is a region of its own: under `*.x` and
// `**.a.x` the apex `a.x`, which the second is not for as long as the first is there.

/** @typedef {import('./changes.js').Decision} Decision */
/** @typedef {InstanceType<typeof import('../../lib/policy.js').PinSet>} PinSet */
/**
 * @typedef {object} Region
 * @property {string} hosts A pattern without a port, or `*` for the hosts that no pattern of either policy is for.
 * @property {number | null} port Null: every port that is not named elsewhere.
 * @property {Decision} from
 * @property {Decision} to
 */

/**
 * @param {PinSet} a
 * @param {PinSet} b
 * @returns {Region[]}
 */
function regions(a, b) {
  const [from, to] = [a.toJSON(), b.toJSON()]
  const ports = portsOf([...patternsIn(from), ...patternsIn(to)])
  const apexes = apexesIn(ports)
  const label = unused([...ports.keys()].join(' '))
  /** @type {(hosts: string, host: string, port: number | null, asked: number) => Region} */
  const region = (hosts, host, port, asked) => {
    return { hosts, port, from: decision(a, from, host, asked), to: decision(b, to, host, asked) }
  }
  const listed = [...new Set([...ports.keys(), ...apexes])].sort().flatMap(hosts => {
    const host = oneOf(hosts, label)
    // Longer than any name may be: there is no such host.
    if (host.length > 253) return []
    const named = [...new Set(lessSpecific(hosts).flatMap(pattern => [...(ports.get(pattern) ?? [])]))].sort(
      (one, other) => one - other
    )
    const some = [443, ...Array.from({ length: named.length + 1 }, (_, index) => index + 1)]
    const other = /** @type {number} */ (some.find(port => !named.includes(port)))
    return [region(hosts, host, null, other), ...named.map(port => region(hosts, host, port, port))]
  })
  // Where neither policy decides by the pattern itself, a less specific one has it in its region too.
  const own = listed.filter(({ hosts, from, to }) => apexes.has(hosts) || isBy(hosts, from) || isBy(hosts, to))
  return [region('*', `${label}.${label}`, null, 443), ...own]
}

/**
 * @param {string} hosts
 * @param {Decision} decision
 */
function isBy(hosts, { entry }) {
  return entry !== undefined && entry.pattern !== null && split(entry.pattern).hosts === hosts
}

/**
 * @param {PinSet} pins
 * @param {any} policy
 * @param {string} host
 * @param {number} port
 * @returns {Decision}
 */
function decision(pins, policy, host, port) {
  const entry = pins.match(host, port)
  if (!entry) return { unlisted: policy.unlisted ?? 'deny' }
  // The earlier of both moments; where it is the policy's, nothing is let through from then on.
  const whole = expiryOf(policy)
  const isWhole = whole !== null && entry.expires !== null && entry.expires.getTime() >= whole.getTime()
  return { entry: isWhole ? { ...entry, onExpiry: 'deny' } : entry }
}

/**
 * When a policy expires as a whole.
 * @param {any} policy In canonical form.
 */
function expiryOf(policy) {
  return policy.expires === undefined ? null : new Date(policy.expires)
}

/** @param {any} policy @returns {string[]} */
function patternsIn(policy) {
  return Array.isArray(policy) ? [] : Object.keys(policy.hosts)
}

/**
 * Patterns without their ports, each with the ports it is given with.
 * @param {string[]} patterns
 */
function portsOf(patterns) {
  /** @type {Map<string, Set<number>>} */
  const ports = new Map()
  for (const pattern of patterns) {
    const { hosts, port } = split(pattern)
    if (!ports.has(hosts)) ports.set(hosts, new Set())
    if (port) ports.get(hosts)?.add(Number(port))
  }
  return ports
}

/** @param {string} pattern Canonical: an IPv6 address is in brackets. */
function split(pattern) {
  const [hosts, port] = pattern.split(/:(?=\d+$)(?![^[]*\])/)
  return { hosts, port }
}

/**
 * Hosts that are one label below a `*.` and at the top of a `**.`.
 * @param {Map<string, unknown>} ports
 */
function apexesIn(ports) {
  const tops = [...ports.keys()].flatMap(hosts => (hosts.startsWith('**.') ? hosts.slice(3) : []))
  return new Set(tops.filter(top => ports.has(top.replace(/^[^.]+/, '*'))))
}

/**
 * A host that is in the region of this pattern.
 * @param {string} pattern
 * @param {string} label
 */
function oneOf(pattern, label) {
  return pattern
    .replace(/^\[|\]$/g, '')
    .replace('**.', `${label}.${label}.`)
    .replace('*.', `${label}.`)
}

/**
 * The pattern, and all that are for all of its hosts too.
 * @param {string} pattern
 */
function lessSpecific(pattern) {
  const [wildcard, ...rest] = pattern.split('.')
  const names = (/** @type {string[]} */ labels) => labels.map((_, at) => `**.${labels.slice(at).join('.')}`)
  if (wildcard === '**') return names(rest)
  if (wildcard === '*') return [pattern, ...names(rest)]
  return [pattern, `*.${rest.join('.')}`, ...names([wildcard, ...rest])]
}

/**
 * A label that is in none of the patterns.
 * @param {string} patterns
 */
function unused(patterns) {
  let number = 0
  while (patterns.includes(`x${number}`)) number++
  return `x${number}`
}

module.exports = { expiryOf, regions }

'use strict'
// A policy, checked: whom to ask, what they showed, and what there is to say of it.

const { usageError } = require('../errors.js')
const { parseHost, sideBySide } = require('../hosts.js')
const { examine } = require('./examine.js')
const { entryFindings, expiryFindings, hostFindings, isLoose, warning } = require('./findings.js')

/** @typedef {InstanceType<typeof import('../../lib/policy.js').PinSet>} PinSet */
/** @typedef {import('./findings.js').Finding} Finding */
/** @typedef {import('./examine.js').Examined & { findings: Finding[] }} CheckedHost */
/**
 * @typedef {object} CheckedEntry
 * @property {string | null} pattern Null for a bare list of pins.
 * @property {boolean} checked Whether a host was asked that it decides about.
 * @property {Date | null} expires
 * @property {Finding[]} findings
 */
/**
 * @typedef {object} Checked
 * @property {CheckedHost[]} hosts
 * @property {CheckedEntry[]} entries
 * @property {Date | null} expires When the policy as a whole does.
 * @property {Finding[]} findings What is about the policy as a whole.
 * @property {{ hosts: number, matching: number, unreachable: number, findings: number, warnings: number }} summary
 */

/**
 * @param {PinSet} pins
 * @param {object} how
 * @param {string[]} how.only These hosts and no others, where there are any.
 * @param {string[]} how.more Hosts besides those of the policy.
 * @param {{ now: number, days: number }} how.when
 * @param {Parameters<typeof examine>[2]} how.inspect
 * @param {(done: number, all: number) => void} onProgress
 * @returns {Promise<Checked>}
 */
async function checkPolicy(pins, { only, more, when, inspect }, onProgress) {
  const policy = pins.toJSON()
  const isWhole = only.length === 0
  const targets = targetsOf(isWhole ? [...namesIn(policy), ...more] : [...only, ...more], Boolean(inspect.starttls))
  if (targets.length === 0) {
    const hint = 'name one that it is for: tls-pinning check policy.json api.example.com'
    throw usageError('the policy names no host that could be asked', hint)
  }
  onProgress(0, targets.length)
  const examined = await sideBySide(
    targets,
    target => examine(target, pins, inspect),
    done => onProgress(done, targets.length)
  )
  // Once each: a port that was not named may be that of another.
  const distinct = new Map(examined.map(host => [`${host.host} ${host.port}`, host]))
  const over = refusing(policy, when.now)
  const hosts = [...distinct.values()].map(host => ({
    ...host,
    findings: hostFindings(host, when, host.error?.code === 'ERR_TLS_PIN_EXPIRED' && over.has(host.pattern))
  }))
  const asked = new Set(hosts.map(({ pattern }) => pattern))
  const entries = entriesIn(policy)
    .map(([pattern, entry]) => checkEntry(pattern, entry, asked.has(pattern), when))
    .filter(({ checked }) => isWhole || checked)
  const expires = policy.expires ? new Date(policy.expires) : null
  // It is over for whichever hosts were asked.
  const ofExpiry = expiryFindings('the policy', expires, 'every host is refused', when)
  const findings = [...ofExpiry, ...(isWhole ? ofTheWhole(pins) : [])]
  return { hosts, entries, expires, findings, summary: summaryOf({ hosts, entries, findings }) }
}

/**
 * @param {string[]} names
 * @param {boolean} isUpgraded Then the port is the protocol's where none is named.
 */
function targetsOf(names, isUpgraded) {
  const targets = names.map(name => {
    const { host, port, label } = parseHost(name, isUpgraded ? 0 : 443)
    return port === 0 ? { host, port: null, label: label.replace(/:0$/, '') } : { host, port, label }
  })
  return [...new Map(targets.map(target => [target.label, target])).values()]
}

/** @param {any} policy */
function namesIn(policy) {
  return entriesIn(policy).flatMap(([pattern]) => (pattern === null || pattern.startsWith('*') ? [] : pattern))
}

/**
 * @param {any} policy In canonical form.
 * @returns {[pattern: string | null, entry: any][]}
 */
function entriesIn(policy) {
  return Array.isArray(policy) ? [[null, { pins: policy }]] : Object.entries(policy.hosts)
}

/**
 * The entries that refuse their hosts since they have expired.
 * @param {any} policy In canonical form.
 * @param {number} now
 */
function refusing(policy, now) {
  const over = entriesIn(policy).filter(
    ([, entry]) => entry.expires && new Date(entry.expires).getTime() <= now && !isLoose(entry)
  )
  return new Set(over.map(([pattern]) => pattern))
}

/**
 * @param {string | null} pattern
 * @param {any} entry
 * @param {boolean} checked
 * @param {{ now: number, days: number }} when
 * @returns {CheckedEntry}
 */
function checkEntry(pattern, entry, checked, when) {
  const findings = entryFindings(pattern, entry, when)
  if (!checked) findings.push(warning('not-checked', 'no host is named that it decides about: --host api.example.com'))
  return { pattern, checked, expires: entry.expires ? new Date(entry.expires) : null, findings }
}

/** @param {PinSet} pins */
function ofTheWhole(pins) {
  const warnings = pins.warnings.filter((/** @type {any} */ { place }) => place === 'unlisted')
  return warnings.map((/** @type {any} */ { code, message }) => warning(code, message))
}

/** @param {Pick<Checked, 'hosts' | 'entries' | 'findings'>} checked */
function summaryOf({ hosts, entries, findings }) {
  const all = [...hosts.flatMap(host => host.findings), ...entries.flatMap(entry => entry.findings), ...findings]
  return {
    hosts: hosts.length,
    matching: hosts.filter(({ status }) => status === 'match').length,
    unreachable: hosts.filter(({ status }) => status === 'unreachable').length,
    findings: all.filter(({ level }) => level === 'finding').length,
    warnings: all.filter(({ level }) => level === 'warning').length
  }
}

module.exports = { checkPolicy }

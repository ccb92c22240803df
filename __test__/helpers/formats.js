'use strict'
// How other clients find the pins of a host, written from their sources and documents, over what other parsers read of their
// configurations. Shares nothing with `src/pinning/formats`.

const { spawnSync } = require('node:child_process')

/** @typedef {{ accepts: Set<string>, enforced: boolean, after: string } | null} Decision */

const PYTHON = `
import json, plistlib, sys
import xml.etree.ElementTree as ET
kind, texts = json.load(sys.stdin)
def android(text):
    domains = []
    for config in ET.fromstring(text.encode()).findall('domain-config'):
        pins = config.find('pin-set')
        for domain in config.findall('domain'):
            domains.append({
                'name': domain.text, 'includes': domain.get('includeSubdomains') == 'true',
                'pins': [pin.text for pin in pins.findall('pin') if pin.get('digest') == 'SHA-256'],
                'expiration': pins.get('expiration')})
    return domains
read = android if kind == 'android' else lambda text: plistlib.loads(text.encode())
print(json.dumps([read(text) for text in texts]))
`

/**
 * @param {string} kind
 * @param {string[]} texts
 * @returns {any[]}
 */
function python(kind, texts) {
  const { stdout, stderr, status } = spawnSync('python3', ['-c', PYTHON], {
    input: JSON.stringify([kind, texts]),
    maxBuffer: 2 ** 28,
    encoding: 'utf8'
  })
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout)
}

/**
 * Configurations as other parsers read them.
 * @param {string} format
 * @param {string[]} texts
 * @returns {any[]}
 */
function parsed(format, texts) {
  switch (format) {
    case 'okhttp':
    case 'okhttp-java':
      return texts.map(text =>
        [...text.matchAll(/\.add\(([^)]*)\)/g)].map(call =>
          [...String(call[1]).matchAll(/"([^"]*)"/g)].map(([, string]) => string)
        )
      )
    case 'trustkit':
      return python('plist', texts).map(({ TSKConfiguration }) => TSKConfiguration.TSKPinnedDomains)
    case 'trustkit-json':
      return texts.map(text => JSON.parse(text).TSKConfiguration.TSKPinnedDomains)
    case 'apple':
      return python('plist', texts).map(({ NSAppTransportSecurity }) => NSAppTransportSecurity.NSPinnedDomains)
    case 'android':
      return python('android', texts)
    default:
      return texts
  }
}

/** The configuration's entry for a name, else the one of the longest name above it that includes subdomains.
 * @param {string} host
 * @param {string[]} names
 * @param {(name: string) => boolean} includes
 */
function mostSpecific(host, names, includes) {
  if (names.includes(host)) return host
  const above = names.filter(name => host.endsWith(`.${name}`) && includes(name))
  return above.sort((a, b) => b.length - a.length)[0]
}

/**
 * @param {string[]} digests
 * @param {{ positions?: string[], enforced?: boolean, expires?: boolean }} [more]
 * @returns {Decision}
 */
function decision(digests, { positions = ['leaf', 'ca'], enforced = true, expires = false } = {}) {
  const accepts = positions.flatMap(position => digests.map(digest => `${position} sha256/${digest}`))
  return { accepts: new Set(accepts), enforced, after: expires ? 'not pinned' : 'goes on' }
}

/** `findMatchingPins`: all patterns that match. @type {(calls: string[][], host: string) => Decision} */
function okhttp(calls, host) {
  const matches = (/** @type {string} */ pattern) => {
    if (pattern.startsWith('**.')) return host === pattern.slice(3) || host.endsWith(pattern.slice(2))
    if (!pattern.startsWith('*.')) return host === pattern
    const suffix = pattern.slice(1)
    return host.endsWith(suffix) && host.length > suffix.length && !host.slice(0, -suffix.length).includes('.')
  }
  const pins = calls.filter(([pattern]) => matches(String(pattern))).flatMap(([, ...pins]) => pins)
  return pins.length > 0 ? decision(pins.map(pin => pin.slice('sha256/'.length))) : null
}

/** @type {(domains: Record<string, any>, host: string) => Decision} */
function trustkit(domains, host) {
  const name = mostSpecific(host, Object.keys(domains), name => domains[name].TSKIncludeSubdomains)
  if (!name) return null
  const { TSKPublicKeyHashes: hashes, TSKEnforcePinning: enforced, TSKExpirationDate: date } = domains[name]
  return decision(hashes, { enforced, expires: Boolean(date) })
}

/** @type {Record<string, (configuration: any, host: string, port: number) => Decision>} */
const models = {
  okhttp,
  'okhttp-java': okhttp,
  trustkit,
  'trustkit-json': trustkit,

  android(domains, host) {
    const of = (/** @type {string} */ name) => domains.find((/** @type {any} */ domain) => domain.name === name)
    const names = domains.map((/** @type {any} */ { name }) => name)
    const name = mostSpecific(host, names, name => of(name).includes)
    return name && of(name).pins.length > 0 ? decision(of(name).pins, { expires: Boolean(of(name).expiration) }) : null
  },

  /** Subdomains are those with one label more. */
  apple(domains, host) {
    const parent = host.slice(host.indexOf('.') + 1)
    const domain = domains[host] ?? (domains[parent]?.NSIncludesSubdomains ? domains[parent] : undefined)
    if (!domain) return null
    const { NSPinnedLeafIdentities: leaf, NSPinnedCAIdentities: ca } = domain
    const digests = (leaf ?? ca).map((/** @type {any} */ identity) => identity['SPKI-SHA256-BASE64'])
    return decision(digests, { positions: [leaf ? 'leaf' : 'ca'] })
  },

  curl(text) {
    const [, argument] = /** @type {RegExpExecArray} */ (/^--pinnedpubkey '(.*)'\n$/.exec(text))
    const digests = String(argument).split(';')
    return decision(
      digests.map(pin => pin.slice('sha256//'.length)),
      { positions: ['leaf'] }
    )
  },

  hpkp(text) {
    const digests = [...text.matchAll(/pin-sha256="([^"]*)"/g)].map(([, digest]) => digest)
    return decision(digests, { enforced: text.startsWith('Public-Key-Pins: ') })
  },

  /** The records of the port, else those of the wildcard. */
  tlsa(text, host, port) {
    const records = text
      .trim()
      .split('\n')
      .map((/** @type {string} */ line) => line.split(' '))
    const of = (/** @type {string} */ owner) => records.filter((/** @type {string[]} */ [name]) => name === owner)
    const own = of(`_${port}._tcp.${host}.`)
    const found = own.length > 0 ? own : of(`*._tcp.${host}.`)
    if (found.length === 0) return null
    const accepts = found.map((/** @type {string[]} */ [, , , usage, , , hex]) => {
      return `${usage === '3' ? 'leaf' : 'ca'} sha256/${Buffer.from(String(hex), 'hex').toString('base64')}`
    })
    return { accepts: new Set(accepts), enforced: true, after: 'goes on' }
  }
}

module.exports = { models, parsed }

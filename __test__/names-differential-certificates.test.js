'use strict'
// Promise: the name is checked by Node's rules, also with pins and on real certificates: whoever Node accepts and whose pin
// matches is accepted, everybody else gets Node's own refusal. The first part are cases that Node publishes for its check.

const assert = require('node:assert/strict')
const { X509Certificate } = require('node:crypto')
const net = require('node:net')
const { before, describe, it } = require('node:test')
const tls = require('node:tls')

/** Taken before the code under test is loaded. */
const nodeCheck = tls.checkServerIdentity

const { checkServerIdentity, createCheckServerIdentity } = require('..')
const { TAG, der, generalNames, oid } = require('./helpers/der')
const { ADDRESSES, Dice, dnsName, nameFor, spelled } = require('./helpers/names')
const { keyPair, leaf } = require('./helpers/pki')

const CERTIFICATES = 300
const HOSTS = 8
const LIMIT = { timeout: 120_000 }

const NO_NAME = 'Cert does not contain a DNS name'
/** @param {string} host */
const notIn =
  host =>
  (/** @type {any} */ { subjectaltname }) =>
    `Host: ${host}. is not in the cert's altnames: ${subjectaltname}`
/** @param {string} host */
const notNamed =
  host =>
  (/** @type {any} */ { subject }) =>
    `Host: ${host}. is not cert's CN: ${subject.CN}`
/** @param {string} host @param {string} [list] */
const notAmong = (host, list = '') => `IP: ${host} is not in the cert's list: ${list}`

/**
 * What Node's own tests ask of its check: host, alternative names, common name, and why it is refused if it is.
 *
 * @type {[host: any, subjectaltname: string | undefined, CN: any, reason?: string | ((cert: any) => string)][]}
 */
const PUBLISHED = [
  // The common name, where there is no name else.
  ['a.com', undefined, 'a.com'],
  ['a.com', undefined, 'A.COM'],
  ['a.com', undefined, 'a.com.'],
  ['a.com', undefined, 'b.com', notNamed('a.com')],
  ['a.com', undefined, '.a.com', notNamed('a.com')],
  ['foo.com', undefined, ['foo.com', 'bar.com']],
  ['bar.com', undefined, ['foo.com', 'bar.com']],
  ['baz.com', undefined, ['foo.com', 'bar.com'], notNamed('baz.com')],
  ['b.a.com', undefined, '*.a.com'],
  ['ba.com', undefined, '*.a.com', notNamed('ba.com')],
  ['b.a.com', undefined, 'b*b.a.com', notNamed('b.a.com')],
  ['\n.b.com', undefined, '*n.b.com', notNamed('\n.b.com')],
  ['xn--bcher-kva.example.com', undefined, '*.example.com'],
  ['xn--bcher-kva.example.com', undefined, 'xn--*.example.com', notNamed('xn--bcher-kva.example.com')],
  [false, undefined, 'a.com', notNamed('false')],
  [null, undefined, 'a.com', notNamed('null')],
  [undefined, undefined, 'a.com', notNamed('undefined')],
  ['a.com', undefined, undefined, NO_NAME],
  // Not where there is another name, even if it does not fit.
  ['a.com', 'DNS:a.com', 'b.com'],
  ['a.com', 'DNS:A.COM', 'b.com'],
  ['b.a.com', 'DNS:omg.com', '*.a.com', notIn('b.a.com')],
  ['localhost', 'DNS:a.com', 'localhost', notIn('localhost')],
  ['a.com', 'DNS:*.a.com', 'a.com', notIn('a.com')],
  // Wildcards stand for one label, the first, and not for a whole domain.
  ['a.com', 'DNS:*', 'b.com', notIn('a.com')],
  ['a.com', 'DNS:*.com', 'b.com', notIn('a.com')],
  ['a.co.uk', 'DNS:*.co.uk', 'b.com'],
  ['b.a.com', 'DNS:*.a.com', undefined],
  ['a.com', 'DNS:*.a.com', undefined, notIn('a.com')],
  ['c.b.a.com', 'DNS:*.a.com', undefined, notIn('c.b.a.com')],
  ['b.a.com', 'DNS:*b.a.com', undefined],
  ['a-cb.a.com', 'DNS:*b.a.com', undefined],
  ['a.b.a.com', 'DNS:*b.a.com', undefined, notIn('a.b.a.com')],
  ['a.b.a.com', 'DNS:*b.a.com, DNS:a.b.a.com', undefined],
  // URIs are no names.
  ['a.b.a.com', 'URI:http://a.b.a.com/', undefined, NO_NAME],
  ['a.b.a.com', 'URI:http://*.b.a.com/', undefined, NO_NAME],
  // Addresses are looked for among the addresses only, whole.
  ['8.8.8.8', 'IP Address:8.8.8.8', '8.8.8.8'],
  ['8.8.8.8', undefined, '8.8.8.8', notAmong('8.8.8.8')],
  ['8.8.8.8', 'DNS:8.8.8.8', '8.8.8.8', notAmong('8.8.8.8')],
  ['8.8.8.8', 'URI:http://8.8.8.8/', '8.8.8.8', notAmong('8.8.8.8')],
  ['8.8.8.8', 'IP Address:8.8.8.0/24', '8.8.8.8', notAmong('8.8.8.8')],
  ['127.0.0.1', 'IP Address:127.0.0.1', undefined],
  ['127.0.0.2', 'IP Address:127.0.0.1', undefined, notAmong('127.0.0.2', '127.0.0.1')],
  ['127.0.0.1', 'DNS:a.com', undefined, notAmong('127.0.0.1')],
  ['a.b.a.com', 'IP Address:127.0.0.1', undefined, NO_NAME],
  // A comma within quotes does not begin another name.
  ['b.example.com', 'DNS:"a.example.com, DNS:b.example.com, DNS:c.example.com"', undefined, notIn('b.example.com')],
  ['evil.example.com', 'DNS:"good.example.com\\u002c DNS:evil.example.com"', undefined, notIn('evil.example.com')],
  ['good.example.com', 'URI:"http://example.com/a\\u002c DNS:good.example.com"', undefined, NO_NAME],
  ['evil.example.com', 'DNS:"\\"evil.example.com\\""', undefined, notIn('evil.example.com')]
]

/** What stands after `DNS:` and is not a string of JSON. */
const MALFORMED = [
  '"\\a"',
  '"\\v"',
  '"\\\'"',
  '"\\x42"',
  '"\\u202"',
  '"\\012"',
  '"no end',
  '"no end\\"',
  '"no end\\\\\\"',
  '"\u0000"',
  '"\u001e"',
  '"\u001f"'
]

describe('the cases that Node publishes', LIMIT, () => {
  for (const [host, subjectaltname, CN, reason] of PUBLISHED) {
    it(`${JSON.stringify(host)} with ${JSON.stringify(subjectaltname ?? CN)}: ${reason ? 'refused' : 'accepted'}`, () => {
      const cert = /** @type {any} */ ({ subjectaltname, subject: { CN } })
      const expected = typeof reason === 'function' ? reason(cert) : reason
      for (const check of [nodeCheck, checkServerIdentity]) {
        const error = /** @type {any} */ (check(host, cert))
        assert.equal(error?.reason, expected)
        assert.equal(error?.code, reason && 'ERR_TLS_CERT_ALTNAME_INVALID')
      }
    })
  }

  for (const text of MALFORMED) {
    it(`DNS:${JSON.stringify(text)} is malformed: thrown by Node, returned by ours`, () => {
      const cert = /** @type {any} */ ({ subjectaltname: `DNS:${text}` })
      const expected = { code: 'ERR_TLS_CERT_ALTNAME_FORMAT', message: 'Invalid subject alternative name string' }
      assert.throws(() => nodeCheck('example.com', cert), expected)
      const error = checkServerIdentity('example.com', cert)
      assert.ok(error instanceof SyntaxError)
      assert.throws(() => {
        throw error
      }, expected)
    })
  }
})

describe('real certificates, each pinned', LIMIT, () => {
  const dice = new Dice(7)
  /** @type {{ cert: any, pin: string, certPin: string, hosts: string[] }[]} */ const rows = []

  before(async () => {
    const pair = await keyPair()
    while (rows.length < CERTIFICATES) {
      const host = dice.chance(0.2) ? dice.of(ADDRESSES) : dnsName(dice)
      const rawSan = der(TAG.sequence, ...dice.some(4, () => generalName(dice, host)))
      const {
        der: bytes,
        pin,
        certPin
      } = await leaf({
        selfSigned: true,
        keyPair: pair,
        rawSan: dice.chance(0.15) ? null : rawSan,
        subject: subject(dice, host)
      })
      const hosts = Array.from({ length: HOSTS }, () => (dice.chance(0.6) ? spelled(dice, host) : dnsName(dice)))
      // As a connection shows it.
      rows.push({ cert: new X509Certificate(bytes).toLegacyObject(), pin, certPin, hosts })
    }
  })

  it('accepts whom Node accepts, and refuses everybody else in Node’s words', () => {
    const counts = { accepted: 0, refused: 0, quoted: 0, addresses: 0, byCommonName: 0 }
    for (const { cert, pin, certPin, hosts } of rows) {
      counts.quoted += cert.subjectaltname?.includes('"') ? 1 : 0
      for (const host of hosts) {
        const expected = /** @type {any} */ (nodeCheck(host, cert))
        counts[expected ? 'refused' : 'accepted'] += 1
        counts.addresses += !expected && net.isIP(host) ? 1 : 0
        counts.byCommonName += expected || cert.subjectaltname?.includes('DNS:') || net.isIP(host) ? 0 : 1
        for (const pins of [pin, certPin]) {
          const actual = /** @type {any} */ (createCheckServerIdentity([pins])(host, cert))
          if (!expected && isNoHost(host)) {
            assert.equal(actual.code, 'ERR_TLS_PIN_UNLISTED')
            continue
          }
          const about = `${host} ${cert.subjectaltname} ${JSON.stringify(cert.subject)} ${actual}`
          for (const name of ['constructor', 'name', 'code', 'reason', 'host', 'message', 'cert']) {
            assert.equal(actual?.[name], expected?.[name], about)
          }
        }
      }
    }
    const least = { accepted: 300, refused: 800, quoted: 20, addresses: 30, byCommonName: 20 }
    for (const [what, number] of Object.entries(least)) {
      const count = /** @type {Record<string, number>} */ (counts)[what] ?? 0
      assert.ok(count >= number, `${what}: ${count} of at least ${number}`)
    }
  })

  it('refuses each of them with the pin of another', () => {
    const other = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
    let named = 0
    for (const { cert, hosts } of rows) {
      for (const host of hosts) {
        const expected = /** @type {any} */ (nodeCheck(host, cert))
        const error = /** @type {any} */ (createCheckServerIdentity(other)(host, cert))
        const code = isNoHost(host) ? 'ERR_TLS_PIN_UNLISTED' : 'ERR_TLS_PIN_MISMATCH'
        assert.equal(error?.code, expected?.code ?? code, `${host} ${cert.subjectaltname}`)
        named += expected ? 0 : 1
      }
    }
    assert.ok(named >= 300)
  })
})

/**
 * What Node takes for a name and no policy can name: an IPv6 address with a dot at its end.
 * @param {string} host
 */
function isNoHost(host) {
  return host.endsWith('.') && net.isIPv6(host.slice(0, -1))
}

/**
 * One entry of a subjectAltName (RFC 5280, 4.2.1.6).
 * @param {Dice} dice
 * @param {string} host
 */
function generalName(dice, host) {
  // The contents of the sequence alone: one name.
  if (net.isIP(host) && dice.chance(0.3)) return generalNames([host]).subarray(2)
  const name = nameFor(dice, host)
  const text = (/** @type {number} */ tag, /** @type {string} */ value) => der(tag, Buffer.from(value, 'latin1'))
  return dice.of([
    () => text(0x82, name),
    () => text(0x82, name),
    () => text(0x82, name),
    () => text(0x82, `${name}, DNS:${host}`),
    () => text(0x82, `"${name}"`),
    () => text(0x82, `${name}\0.evil.example`),
    () => text(0x86, `https://${name}/a,DNS:${host}`),
    () => text(0x81, `someone@${name}`),
    () => generalNames([dice.of(ADDRESSES)]).subarray(2),
    () => der(0x87, Buffer.from([127, 0, 0, 1, 0])),
    () => der(0x88, oid('1.3.9999.12.34').subarray(2)),
    () => der(0xa4, commonNames(name)),
    () => der(0xa0, oid('1.3.9999.1'), der(0xa0, der(0x0c, Buffer.from(name))))
  ])()
}

/**
 * @param {Dice} dice
 * @param {string} host
 */
function subject(dice, host) {
  return commonNames(...dice.of([[nameFor(dice, host)], [nameFor(dice, host), nameFor(dice, host)], [host], []]))
}

/**
 * A Name, in DER, with these common names.
 * @param {...string} names
 */
function commonNames(...names) {
  const attribute = (/** @type {string} */ name) =>
    der(TAG.set, der(TAG.sequence, oid('2.5.4.3'), der(0x0c, Buffer.from(name))))
  return Buffer.from(der(TAG.sequence, ...names.map(attribute)))
}

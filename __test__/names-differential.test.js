'use strict'
// Promise: put in the place of `tls.checkServerIdentity`, ours gives Node's own answer for every name: it hands the question
// on and is no second matcher. What Node throws is returned.

const assert = require('node:assert/strict')
const { describe, it } = require('node:test')
const tls = require('node:tls')
const { inspect } = require('node:util')

/** Taken before the code under test is loaded. */
const nodeCheck = tls.checkServerIdentity

const { checkServerIdentity, createCheckServerIdentity } = require('..')
const { Dice, pair } = require('./helpers/names')

const PAIRS = 30_000
const LIMIT = { timeout: 120_000 }

const dice = new Dice(20_260)
const pairs = Array.from({ length: PAIRS }, () => pair(dice))

describe('30,000 generated hosts and certificates', LIMIT, () => {
  it('has Node’s own answer for each', () => {
    /** @type {Map<string, number>} */
    const counts = new Map()
    const accepted = new Set()
    const count = (/** @type {string} */ what) => counts.set(what, (counts.get(what) ?? 0) + 1)
    for (const { host, cert } of pairs) {
      const expected = outcomeOf(() => nodeCheck(host(), /** @type {any} */ (cert)))
      const actual = outcomeOf(() => checkServerIdentity(host(), /** @type {any} */ (cert)))
      same(actual, expected, host, cert)
      for (const what of kinds(host, expected)) count(what)
      if (expected.kind === 'accepted') accepted.add(inspect([host(), cert]))
    }
    // A generator that has ceased to make a kind of pair would prove nothing about it.
    for (const [what, least] of LEAST) {
      assert.ok((counts.get(what) ?? 0) >= least, `${what}: ${counts.get(what)} of at least ${least}`)
    }
    assert.ok(accepted.size >= 2500, `${accepted.size} different pairs are accepted`)
  })

  it('has the same before any pin is looked at, and with pins accepts nothing that shows no certificate', () => {
    const check = createCheckServerIdentity(`sha256/${Buffer.alloc(32, 7).toString('base64')}`)
    for (const { host, cert } of pairs) {
      const expected = outcomeOf(() => nodeCheck(host(), /** @type {any} */ (cert)))
      const actual = outcomeOf(() => check(host(), /** @type {any} */ (cert)))
      assert.equal(actual.kind, 'refused', inspect([host(), cert]))
      // Where host and certificate both are no use, either may be complained of first.
      if (expected.kind !== 'accepted' && cert) same(actual, expected, host, cert)
      else assert.ok(actual.error instanceof Error)
    }
  })
})

describe('what a host throws', () => {
  const cert = /** @type {any} */ ({ subject: { CN: 'a.com' } })
  for (const thrown of ['text', 0, 1n, null, undefined, false, true, { code: 'X' }, Symbol('x')]) {
    it(`is an error, also ${inspect(thrown)}`, () => {
      const host = /** @type {any} */ ({
        toString() {
          throw thrown
        }
      })
      assert.deepEqual(
        outcomeOf(() => nodeCheck(host, cert)),
        { kind: 'threw', error: thrown }
      )
      assert.ok(checkServerIdentity(host, cert) instanceof Error)
      assert.ok(createCheckServerIdentity(`sha256/${'A'.repeat(43)}=`)(host, cert) instanceof Error)
    })
  }

  it('is the very error, where it is one', () => {
    const error = new RangeError('no text')
    const host = /** @type {any} */ ({
      toString() {
        throw error
      }
    })
    assert.equal(checkServerIdentity(host, cert), error)
  })
})

/** So many pairs of each kind at the least. @type {[what: string, least: number][]} */
const LEAST = [
  ['accepted', 3000],
  ['refused', 15_000],
  ['threw', 4000],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 15_000],
  ['ERR_TLS_CERT_ALTNAME_FORMAT', 1000],
  ['TypeError', 3000],
  ['RangeError', 100],
  ["Host is not in the cert's altnames", 4000],
  ["Host is not cert's CN", 3000],
  ["IP is not in the cert's list", 1500],
  ['Cert does not contain a DNS name', 4000],
  ['host is not text: accepted', 120],
  ['host is not text: refused', 2000],
  ['host is not text: threw', 1000]
]

/**
 * @param {import('./helpers/names').MakeHost} host
 * @param {Outcome} outcome
 */
function kinds(host, { kind, error }) {
  const reason = error?.reason?.replace(/^(IP|Host): .*? is not/s, '$1 is not').replace(/:.*/s, '')
  const text = typeof host() === 'string'
  return [kind, ...(error ? [error.code ?? error.name, reason] : []), ...(text ? [] : [`host is not text: ${kind}`])]
}

/** @typedef {{ kind: 'accepted' | 'refused' | 'threw', error?: any }} Outcome */

/**
 * @param {() => unknown} check
 * @returns {Outcome}
 */
function outcomeOf(check) {
  try {
    const error = check()
    return error === undefined ? { kind: 'accepted' } : { kind: 'refused', error }
  } catch (error) {
    return { kind: 'threw', error }
  }
}

/**
 * Ours may differ from Node's in one thing: it is returned.
 * @param {Outcome} actual
 * @param {Outcome} expected
 * @param {import('./helpers/names').MakeHost} host
 * @param {unknown} cert
 */
function same(actual, expected, host, cert) {
  const about = () => inspect([host(), cert])
  if (actual.kind !== (expected.kind === 'threw' ? 'refused' : expected.kind)) assert.fail(`${actual.kind} ${about()}`)
  if (!expected.error) return
  for (const name of ['constructor', 'name', 'code', 'reason', 'host', 'message', 'cert']) {
    if (actual.error[name] !== expected.error[name]) assert.equal(actual.error[name], expected.error[name], about())
  }
}

'use strict'
// Reads the cases of x509-limbo (https://x509-limbo.com) and says what each asks of `verifyChain`.

const { X509Certificate } = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')

/**
 * @typedef {'SUCCESS' | 'FAILURE'} Verdict
 *
 * @typedef {object} Case
 * @property {string} id
 * @property {'SERVER' | 'CLIENT'} validation_kind
 * @property {string[]} trusted_certs
 * @property {string[]} untrusted_intermediates
 * @property {string} peer_certificate
 * @property {string | null} validation_time
 * @property {Verdict} expected_result
 * @property {{ kind: string, value: string } | null} expected_peer_name
 * @property {number | null} max_chain_depth
 * @property {string[]} crls
 *
 * @typedef {Record<string, { actual: Verdict, expected: Verdict }>} Baseline The cases that rustls-webpki decides otherwise.
 */

/**
 * The cases in a file, and the baseline that lies beside it.
 * @param {string} file
 * @returns {{ cases: Case[], baseline: Baseline }}
 */
function load(file) {
  const { dir, name } = path.parse(file)
  const read = (/** @type {string} */ from) => JSON.parse(fs.readFileSync(from, 'utf8'))
  const cases = read(file).testcases
  const baseline = read(path.join(dir, `${name}.webpki-baseline.json`))
  for (const { id, expected_result } of cases) {
    if (baseline[id] && baseline[id].expected !== expected_result) {
      throw new Error(`${id}: the baseline was made from other cases than these`)
    }
  }
  return { cases, baseline }
}

/**
 * Why a case cannot be put to the verifier of a TLS client.
 * @param {Case} testcase
 * @returns {string | undefined}
 */
function inexpressible(testcase) {
  if (testcase.validation_kind !== 'SERVER') return 'is about the certificate of a TLS client'
  if (!hostname(testcase)) return 'has no name to connect to, neither its own nor in its certificate'
  return undefined
}

/**
 * The case as options of `verifyChain`, without pins.
 * @param {Case} testcase
 */
function options(testcase) {
  const { peer_certificate, untrusted_intermediates, trusted_certs, crls, validation_time, max_chain_depth } = testcase
  return {
    chain: [peer_certificate, ...untrusted_intermediates],
    hostname: hostname(testcase),
    ca: trusted_certs,
    crl: crls.length > 0 ? crls : undefined,
    time: validation_time ? new Date(validation_time) : undefined,
    maxIntermediates: max_chain_depth ?? undefined
  }
}

/**
 * The name the case expects or, if it expects none, the first of its leaf; empty where there is neither.
 * @param {Case} testcase
 */
function hostname({ expected_peer_name, peer_certificate }) {
  if (expected_peer_name) return expected_peer_name.value
  const names = new X509Certificate(peer_certificate).subjectAltName ?? ''
  return /(?:^|, )(?:DNS|IP Address):([^,]+)/.exec(names)?.[1] ?? ''
}

module.exports = { load, inexpressible, options }

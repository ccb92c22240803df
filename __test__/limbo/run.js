'use strict'
// Runs x509-limbo, the suite of certificate chains that TLS libraries are compared by, against this package:
//
//   npm run test:limbo -- x509-limbo.json
//
// first through `verifyChain`, then over real TLS (tests/limbo_tls.rs). Every verdict must be limbo's or, in the cases that
// x509-limbo.webpki-baseline.json beside the file lists, rustls-webpki's own; and what is accepted is refused with a wrong pin.

const { spawnSync } = require('node:child_process')
const path = require('node:path')
const { pinOf, verifyChain } = require('../../index.js')
const { load, inexpressible, options } = require('./cases.js')

/** @typedef {import('./cases.js').Case} Case */

/** With fewer cases than this, the file is not the suite. */
const LEAST = 150
const WRONG = `sha256/${Buffer.alloc(32, 0x5a).toString('base64')}`

function main() {
  const [file] = process.argv.slice(2)
  if (file === undefined) {
    console.error('usage: npm run test:limbo -- x509-limbo.json')
    return 2
  }
  const { cases, baseline } = load(file)
  const skipped = cases.filter(inexpressible)
  const ran = cases.filter(testcase => !inexpressible(testcase))
  const results = ran.map(testcase => ({ testcase, ...judge(testcase), known: baseline[testcase.id]?.actual }))

  const ofLimbo = results.filter(({ testcase, verdict }) => verdict === testcase.expected_result)
  const ofWebpki = results.filter(result => !ofLimbo.includes(result) && result.verdict === result.known)
  const differing = results.filter(result => !ofLimbo.includes(result) && !ofWebpki.includes(result))
  const improved = ofLimbo.filter(({ known }) => known !== undefined)
  const problems = results.filter(({ problem }) => problem !== undefined)
  const count = (/** @type {string} */ verdict) => results.filter(result => result.verdict === verdict).length

  console.log(`verifyChain: ${ran.length} of ${cases.length} cases`)
  console.log(`  accepted ${count('SUCCESS')}, each also refused with a wrong pin; refused ${count('FAILURE')}`)
  console.log(`  as limbo ${ofLimbo.length}, as rustls-webpki in the baseline ${ofWebpki.length}`)
  list('as limbo where rustls-webpki is not', improved, () => '')
  const unasked = skipped.map(testcase => ({ testcase }))
  list('not expressible', unasked, ({ testcase }) => inexpressible(testcase))
  list('DIFFERENT', differing, ({ verdict, why }) => `unexpected ${verdict} ${why}`)
  list('WRONG', problems, ({ problem }) => problem)
  if (ran.length < LEAST) console.log(`  TOO FEW: at least ${LEAST} cases must run`)

  const good = differing.length === 0 && problems.length === 0 && ran.length >= LEAST
  const goodOverTls = runOverTls(path.resolve(file))
  console.log(`limbo: verifyChain ${good ? 'passed' : 'FAILED'}, over TLS ${goodOverTls ? 'passed' : 'FAILED'}`)
  return good && goodOverTls ? 0 : 1
}

/**
 * The verdict on a case with pins that every certificate of it matches, and what is wrong with how it was reached.
 * @param {Case} testcase
 * @returns {{ verdict: 'SUCCESS' | 'FAILURE', why: string, problem?: string }}
 */
function judge(testcase) {
  const { path, code, message } = verify(testcase, pinsOf(testcase))
  const refusal = verify(testcase, [WRONG])
  if (!path) {
    const problem = isVerdict(code, message) && refusal.code === code ? undefined : `refused by ${code}: ${message}`
    return { verdict: 'FAILURE', why: `(${code})`, problem }
  }
  const unmatched = path.find(({ spkiPin }) => verify(testcase, [spkiPin]).matched !== spkiPin)
  const problem =
    refusal.code !== 'ERR_TLS_PIN_MISMATCH'
      ? `with a wrong pin: ${refusal.code ?? 'accepted'}`
      : unmatched && `the pin of ${unmatched.subject} on the path does not match`
  return { verdict: 'SUCCESS', why: '', problem }
}

/**
 * @param {Case} testcase
 * @param {string[]} pins
 * @returns {{ path?: { subject: string, spkiPin: string }[], matched?: string | null, code?: string, message?: string }}
 */
function verify(testcase, pins) {
  try {
    return verifyChain({ ...options(testcase), pins })
  } catch (error) {
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (error)
    return { code: code ?? 'no code', message }
  }
}

/** @param {Case} testcase */
function pinsOf({ peer_certificate, untrusted_intermediates, trusted_certs }) {
  const pins = [peer_certificate, ...untrusted_intermediates, ...trusted_certs].map(pem => String(pinOf(pem)))
  return [...new Set(pins)]
}

/**
 * Whether a refusal is about the chain, not about the pins or about how it was asked. An unusable CRL is a bad argument too.
 * @param {string} [code]
 * @param {string} [message]
 */
function isVerdict(code, message = '') {
  if (code === 'ERR_INVALID_ARG_VALUE') return message.includes('crl[')
  return /^[A-Z]/.test(code ?? '') && !/^ERR_(?:TLS_PIN|INVALID)_/.test(code ?? '')
}

/**
 * @template {{ testcase: Case }} T
 * @param {string} heading
 * @param {T[]} results
 * @param {(result: T) => string | undefined} note
 */
function list(heading, results, note) {
  if (results.length === 0) return
  console.log(`  ${heading}: ${results.length}`)
  for (const result of results) console.log(`    ${result.testcase.id} ${note(result) ?? ''}`.trimEnd())
}

/** @param {string} file */
function runOverTls(file) {
  const args = ['test', '--no-default-features', '--test', 'limbo_tls', '--', '--ignored', '--nocapture']
  const cwd = path.join(__dirname, '..', '..')
  const { status, error } = spawnSync('cargo', args, { cwd, stdio: 'inherit', env: { ...process.env, LIMBO: file } })
  if (error) console.error(`cargo cannot be run: ${error.message}`)
  return status === 0
}

process.exitCode = main()

'use strict'
// `tls-pinning verify`: whether a signed policy is genuine and in date, and what it says.

const fs = require('node:fs')
const { open } = require('../../lib/sources/envelope.js')
const { iso, judge } = require('../../lib/sources/judge.js')
const { CliError, EXIT, usageError } = require('../errors.js')
const { readPublicKeys } = require('../sign/files.js')
const { table } = require('../ui.js')

/** @type {import('../main.js').Command} */
const command = {
  usage: 'FILE --public-key KEY …',
  help: `
tls-pinning verify policy.signed.json --public-key MCowBQYDK2VwAyEA…
tls-pinning verify policy.signed.json --public-key key.pub --public-key backup-key.pub
curl -s https://pins.example.com/policy.signed.json | tls-pinning verify - --public-key key.pub

  --public-key KEY    the line that \`tls-pinning keygen\` has printed, or a file with it or
                      with PEM; one signature by one of them is enough

Exit code 1: not genuine, expired, or not yet valid.`,
  options: { 'public-key': { type: 'string', multiple: true } },
  run({ args, options, ui }) {
    const [file, ...others] = args
    const given = options['public-key']
    if (!file || others.length > 0)
      throw usageError('give one signed policy', 'tls-pinning verify FILE --public-key KEY')
    if (!given) throw usageError('--public-key is missing', 'whose signature is it to be?')
    const keys = readPublicKeys(given)
    const signed = genuine(() => open(fs.readFileSync(file === '-' ? 0 : file), keys))
    const problem = problemOf(signed)
    const { version, keyId } = signed
    const policy = JSON.parse(signed.policy)
    const [notBefore, expires] = [signed.notBefore, signed.expires].map(at => (at === null ? null : iso(at * 1000)))
    ui.result(
      { genuine: true, inDate: !problem, problem: problem ?? null, keyId, version, notBefore, expires, policy },
      () =>
        table([
          ['signature', ui.style('green', 'genuine'), `by ${keyId}`],
          ['version', String(version)],
          ['valid', problem ? ui.style('red', problem) : ui.style('green', 'now'), `${notBefore ?? '…'} to ${expires}`]
        ]).concat(`policy\n${JSON.stringify(policy, null, 2)}\n`)
    )
    return problem ? EXIT.FINDING : EXIT.OK
  }
}

/**
 * @template T
 * @param {() => T} read
 */
function genuine(read) {
  try {
    return read()
  } catch (error) {
    const { code, message } = /** @type {any} */ (error)
    if (!/^ERR_TLS_PIN_/.test(code)) throw error
    const hint =
      code === 'ERR_TLS_PIN_INVALID'
        ? 'it is signed, but programs will refuse it: sign it with `tls-pinning sign`'
        : 'do not use it; get it again from whoever signs the policy'
    throw new CliError(message, { exit: EXIT.FINDING, hint, code, cause: error })
  }
}

/** @param {import('../../lib/sources/envelope.js').Signed} signed */
function problemOf(signed) {
  try {
    judge(signed, undefined, Date.now())
    return undefined
  } catch (error) {
    const { code } = /** @type {any} */ (error)
    return code === 'ERR_TLS_PIN_POLICY_EXPIRED' ? 'expired' : 'not yet'
  }
}

module.exports = command

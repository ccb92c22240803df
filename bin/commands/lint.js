'use strict'
// What is malformed in policies, and what is valid and still unwise.

const { PinInvalidError } = require('../../lib/errors.js')
const { PinSet, PolicyText } = require('../../lib/policy.js')
const { CliError, EXIT, usageError } = require('../errors.js')
const { nameOf, readText } = require('../policies.js')
const { printable } = require('../ui.js')

const usage = 'POLICY…'

const help = `
  tls-pinning lint policy.json
  tls-pinning lint policies/*.json
  kubectl get configmap pins -o 'jsonpath={.data.policy\\.json}' | tls-pinning lint -

Tells what is malformed, and what is valid and still unwise: no backup pin, a leaf as the only pin, a pin twice, a digest
of zeros or of nothing, an entry that has expired or does within 30 days, one that only reports and has no expiry,
\`onExpiry\` without \`expires\`, \`"unlisted": "allow"\`. No connection is made: for that there is \`check\`.

  --json    [{ file, valid, warnings: [{ code, place, message }], error? }]

Exit codes: 0 nothing found, 1 a warning or a malformed policy, 2 a file that cannot be read.
`

/** @typedef {{ code: string, place: string, message: string }} Problem */
/** @typedef {{ file: string, valid: boolean, warnings: Problem[], error?: Problem }} Linted */

/** @param {import('../main.js').Call} call */
function run({ args, ui }) {
  if (args.length === 0) throw usageError('no policy is given', 'tls-pinning lint policy.json')
  if (args.filter(file => file === '-').length > 1) {
    throw usageError('standard input is given twice', 'it can be read once')
  }
  /** @type {InstanceType<typeof CliError>[]} */
  const unread = []
  const linted = args.flatMap(file => {
    try {
      return lint(file)
    } catch (error) {
      if (!(error instanceof CliError)) throw error
      unread.push(error)
      return []
    }
  })
  const [first] = unread
  // Of the files that could be read everything is told all the same; as JSON there can be one document only.
  if (!ui.isJson || !first) ui.result(linted, () => linted.map(text).join(''))
  if (first) throw new CliError(unread.map(({ message }) => message).join('\n'), first)
  return linted.some(({ valid, warnings }) => !valid || warnings.length > 0) ? EXIT.FINDING : EXIT.OK

  /** @param {Linted} file */
  function text({ file, warnings, error }) {
    const name = nameOf(file)
    const lines = warnings.map(warning => line(ui.style('yellow', 'warning'), name, warning))
    if (error) lines.push(line(ui.style('red', 'malformed'), name, error))
    return lines.length > 0 ? lines.join('') : `${name}: ${ui.style('green', 'nothing found')}\n`
  }
}

/**
 * @param {string} label
 * @param {string} name
 * @param {Problem} problem
 */
function line(label, name, { code, place, message }) {
  const where = place && !message.startsWith(place) ? `${place}: ` : ''
  return `${name}: ${label} ${code}: ${printable(where + message)}\n`
}

/**
 * @param {string} file
 * @returns {Linted}
 */
function lint(file) {
  const text = readText(file)
  try {
    return { file, valid: true, warnings: new PinSet(new PolicyText(text)).warnings }
  } catch (error) {
    if (!(error instanceof PinInvalidError)) throw error
    const { code, place, message } = error
    return { file, valid: false, warnings: [], error: { code, place, message } }
  }
}

module.exports = { usage, help, options: {}, run }

'use strict'
// `npx tls-pinning COMMAND …`: finds the command, reads its options, and turns what it throws into an exit code.
//
// A command is a file in `commands/`, loaded when it is asked for: `{ usage, help, options, run }`. `help` is made of
// examples. `run({ args, options, rest, ui })` answers with an exit code; `rest` is what stands behind `--`.

const { parseArgs } = require('node:util')
const { EXIT, explain, usageError } = require('./errors.js')
const { Ui } = require('./ui.js')

/** What each command does, in one line and in the order of a pin's life. @type {Record<string, string>} */
const COMMANDS = {
  inspect: 'what a server presents, and what it accepts',
  pin: 'the pins of certificates, keys and requests in files',
  cert: 'the certificates that a server presents, as PEM',
  init: 'a first policy for hosts that can be reached',
  add: 'a pin more for a host, in a policy file',
  remove: 'a pin or a host less',
  rotate: 'the pins of a host after a change of its key',
  check: 'whether servers still match a policy: for cron and CI',
  lint: 'what is unwise in a policy',
  diff: 'what changes from one policy to another',
  convert: 'policies from and to other formats',
  keygen: 'a key pair to sign policies with',
  sign: 'a signed policy',
  verify: 'whether a signed policy is genuine, and what it says',
  drill: 'a man in the middle for a program: which of its connections are pinned'
}

const HELP = `Pins TLS servers by their keys, and keeps the pins right.

usage: tls-pinning COMMAND …

${Object.entries(COMMANDS)
  .map(([name, line]) => `  ${name.padEnd(9)} ${line}`)
  .join('\n')}

  tls-pinning COMMAND --help    examples
  --json                        one JSON document on standard output, also for an error
  --version

Exit codes: 0 all well, 1 a finding, 2 wrong usage, 3 a host could not be reached.
`

/** For every command. */
const COMMON = /** @type {const} */ ({ json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } })

/** @typedef {{ args: string[], options: Record<string, any>, rest: string[], ui: InstanceType<typeof Ui> }} Call */
/**
 * @typedef {object} Command
 * @property {string} usage The arguments, as in `HOST[:PORT] …`.
 * @property {string} help Examples, and then what else there is to know.
 * @property {import('node:util').ParseArgsOptionsConfig} options
 * @property {(call: Call) => number | Promise<number>} run
 */

/** @param {string[]} argv */
async function main(argv) {
  const own = argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv
  const ui = new Ui({ json: own.includes('--json') })
  try {
    process.exitCode = await dispatch(argv, ui)
  } catch (error) {
    const { exit, ...told } = explain(error)
    ui.fail(told)
    process.exitCode = exit
  } finally {
    ui.end()
  }
}

/**
 * @param {string[]} argv
 * @param {InstanceType<typeof Ui>} ui
 */
async function dispatch([name, ...args], ui) {
  if (name === '--version') return told(ui, `${require('../package.json').version}\n`)
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    if (args[0] && Object.hasOwn(COMMANDS, args[0])) return told(ui, helpOf(args[0], load(args[0])))
    if (name !== undefined) return told(ui, HELP)
    ui.error(HELP)
    return EXIT.USAGE
  }
  if (!Object.hasOwn(COMMANDS, name)) throw usageError(`there is no command ${name}`, 'tls-pinning --help lists them')
  const command = load(name)
  const { values, positionals, rest } = parse(name, command, args)
  if (values.help) return told(ui, helpOf(name, command))
  return await command.run({ args: positionals, options: values, rest, ui })
}

/**
 * @param {InstanceType<typeof Ui>} ui
 * @param {string} text
 */
function told(ui, text) {
  ui.write(text)
  return EXIT.OK
}

/**
 * @param {string} name
 * @returns {Command}
 */
function load(name) {
  return require(`./commands/${name}.js`)
}

/**
 * @param {string} name
 * @param {Command} command
 */
function helpOf(name, { usage, help }) {
  return `usage: tls-pinning ${name} ${usage}\n\n${help.trim()}\n`
}

/**
 * @param {string} name
 * @param {Command} command
 * @param {string[]} argv
 * @returns {{ values: Record<string, any>, positionals: string[], rest: string[] }}
 */
function parse(name, { options }, argv) {
  const at = argv.indexOf('--')
  const [args, rest] = at < 0 ? [argv, []] : [argv.slice(0, at), argv.slice(at + 1)]
  try {
    const { values, positionals } = parseArgs({ args, options: { ...options, ...COMMON }, allowPositionals: true })
    return { values, positionals, rest }
  } catch (error) {
    throw usageError(/** @type {Error} */ (error).message, `tls-pinning ${name} --help shows examples`)
  }
}

module.exports = { main }

'use strict'
// The certificates that a server presents, as PEM.

const fs = require('node:fs')
const { inspect } = require('../../lib/inspect.js')
const { CliError, EXIT, usageError } = require('../errors.js')
const { findings } = require('../inspect/findings.js')
const { HELP, OPTIONS, inspectOptions, targetOf } = require('../inspect/options.js')

module.exports = {
  usage: 'HOST[:PORT] [options]',
  options: { ...OPTIONS, leaf: { type: 'boolean' }, out: { type: 'string' } },
  help: `
Writes the certificates that a server presents, leaf first and as sent, as PEM.

  tls-pinning cert api.example.com > chain.pem
  tls-pinning cert api.example.com --leaf --out server.pem
  tls-pinning cert api.example.com | tls-pinning pin -
  tls-pinning cert mail.example.com --starttls imap

  --leaf               the server's own certificate alone
  --out FILE           to a file instead of standard output; what is there is replaced
${HELP}

They are written whether they verify or not. If they do not, standard error says so and the exit code is 1: then
compare them with another source before you pin anything.`,

  /** @param {import('../main.js').Call} call */
  async run({ args, options, ui }) {
    if (args.length !== 1) {
      throw usageError(`one host is needed, not ${args.length}`, 'tls-pinning cert --help shows examples')
    }
    const { label, target } = targetOf(args[0], options)
    ui.progress(`asking ${label}`)
    const seen = await inspect(target, inspectOptions(options))
    const chain = options.leaf ? seen.chain.slice(0, 1) : seen.chain
    const pem = chain.map((/** @type {any} */ certificate) => certificate.pem).join('')
    if (options.out !== undefined) write(options.out, pem)
    const found = findings(seen, null)
    if (ui.isJson) {
      const certificates = chain.map((/** @type {any} */ { subject, pem }) => ({ subject, pem }))
      ui.result({ target: label, trusted: seen.untrusted === null, chain: certificates, findings: found }, () => '')
    } else {
      if (options.out === undefined) ui.write(pem)
      else ui.note(`${options.out}: ${chain.length} ${chain.length === 1 ? 'certificate' : 'certificates'} of ${label}`)
      for (const { message, hint } of found) ui.note(`not trusted: ${message}\n${hint}`)
    }
    return found.length > 0 ? EXIT.FINDING : EXIT.OK
  }
}

/**
 * @param {string} file
 * @param {string} pem
 */
function write(file, pem) {
  try {
    fs.writeFileSync(file, pem)
  } catch (cause) {
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (cause)
    const hint = 'check the path and its permissions'
    throw new CliError(`${file} cannot be written (${message})`, { exit: EXIT.USAGE, hint, code, cause })
  }
}

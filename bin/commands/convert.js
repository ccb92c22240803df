'use strict'
// Policies from and to the formats of other clients. What the result would accept and the source does not, is a finding.

const fs = require('node:fs')
const { isatty } = require('node:tty')
const { PinInvalidError, unwrap } = require('../../lib/errors.js')
const binding = require('../../lib/native.js')
const { CliError, EXIT, usageError } = require('../errors.js')
const { printable } = require('../ui.js')

const usage = '[FILE|-] --to FORMAT'

const help = `
  tls-pinning convert network_security_config.xml --to policy > policy.json
  tls-pinning convert policy.json --to okhttp --unlisted allow
  tls-pinning convert Info.plist --from trustkit --to apple --role leaf
  tls-pinning convert policy.json --to curl --host api.example.com
  curl -sI https://example.com | tls-pinning convert --from hpkp --to policy --host example.com
  dig TLSA _443._tcp.example.com | tls-pinning convert - --to policy
  tls-pinning convert policy.json --to tlsa --port 443

Formats:
  policy                     this package's own
  okhttp, okhttp-java        CertificatePinner.Builder, in Kotlin and in Java
  trustkit, trustkit-json    TSKConfiguration
  android                    network security configuration
  apple                      NSPinnedDomains
  curl                       --pinnedpubkey
  hpkp                       Public-Key-Pins and -Report-Only
  tlsa                       records of a zone file

Reads standard input where no file is given. What the other format cannot express is told on standard error. Where the
result would accept what the source refuses, nothing is written, unless --lossy allows it.

  --from FORMAT      where the text alone does not say it
  --to FORMAT
  --host HOST        the host of what names none (curl, hpkp, a list of pins), or the one host to write it for
  --role leaf|ca     what the pins are that the source binds to no role; apple has to know it
  --unlisted deny|allow|report
                     what holds for other hosts, instead of what the source says
  --port PORT        for tlsa: the port of entries without one, which are written for every port
  --lossy            write it even if it is looser than the source
  --json             { from, to, text, losses: [{ kind: 'looser' | 'note', place, message }] }

docs/convert.md tells what each format can express, and how its client decides.
`

const options = /** @type {const} */ ({
  from: { type: 'string' },
  to: { type: 'string' },
  host: { type: 'string' },
  role: { type: 'string' },
  unlisted: { type: 'string' },
  port: { type: 'string' },
  lossy: { type: 'boolean' }
})

/** @type {Record<string, string[]>} */
const CHOICES = { role: ['leaf', 'ca'], unlisted: ['deny', 'allow', 'report'] }

/** @typedef {{ kind: 'looser' | 'note', place: string, message: string }} Loss */
/** @typedef {{ from: string, to: string, text: string | null, losses: Loss[] }} Converted */

/** @param {import('../main.js').Call} call */
function run({ args, options, ui }) {
  const { from, to, host, role, unlisted, lossy } = options
  const formats = binding.policyFormats()
  if (to === undefined) throw usageError('--to is missing', `give one of ${formats.join(', ')}`)
  for (const [name, choices] of Object.entries({ from: formats, to: formats, ...CHOICES })) {
    const chosen = options[name]
    if (chosen === undefined || choices.includes(chosen)) continue
    throw usageError(`--${name} ${chosen} is unknown`, `give one of ${choices.join(', ')}`)
  }
  const port = portOf(options.port, to)
  const text = read(args)
  /** @type {Converted} */
  const converted = convert(text, { from, to, host, role, unlisted, port })
  const isLooser = converted.losses.some(({ kind }) => kind === 'looser')
  const isWritten = converted.text !== null && (lossy || !isLooser)
  if (ui.isJson) {
    ui.result({ ...converted, text: isWritten ? converted.text : null }, () => '')
    return isWritten ? EXIT.OK : EXIT.FINDING
  }
  for (const { kind, place, message } of converted.losses) {
    // A text of the file must not begin a line of its own.
    ui.note(printable(`${kind}: ${place ? `${place}: ` : ''}${message}`))
  }
  if (isWritten) {
    ui.write(/** @type {string} */ (converted.text))
    return EXIT.OK
  }
  throw converted.text === null
    ? new CliError(`nothing of it can be said in the format ${to}; nothing is written`, {
        exit: EXIT.FINDING,
        hint: 'docs/convert.md tells what each format can express'
      })
    : new CliError('the result would be looser than the source; nothing is written', {
        exit: EXIT.FINDING,
        hint: 'change the source, or give --lossy if it is meant'
      })
}

/**
 * @param {string} text
 * @param {import('../../binding.js').NativeConversion} conversion
 */
function convert(text, conversion) {
  try {
    return unwrap(binding.convertPolicy(text, conversion))
  } catch (error) {
    if (!(error instanceof PinInvalidError)) throw error
    // The message ends with what to write instead.
    throw new CliError(error.message, {
      exit: EXIT.USAGE,
      hint: 'tls-pinning convert --help shows examples',
      code: error.code
    })
  }
}

/**
 * @param {string | undefined} text
 * @param {string} to
 */
function portOf(text, to) {
  if (text === undefined) return undefined
  if (to !== 'tlsa') throw usageError('--port is for --to tlsa', 'leave it out; the other formats name no port')
  const port = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : 0
  if (port > 0 && port < 65_536) return port
  throw usageError(`${text} is not a port`, 'give a number from 1 to 65535')
}

/** @param {string[]} args */
function read([file = '-', ...more]) {
  if (more.length > 0) throw usageError('there is more than one file', 'convert one at a time')
  if (file !== '-') return fs.readFileSync(file, 'utf8')
  if (isatty(0)) throw usageError('no file is given', 'give its path, or the text on standard input')
  return fs.readFileSync(0, 'utf8')
}

module.exports = { usage, help, options, run }

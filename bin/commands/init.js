'use strict'
// A first policy, of what servers present now.

const fs = require('node:fs')
const path = require('node:path')
const { DEFAULT, writeNew } = require('../edit/file.js')
const { CliError, EXIT, explain, usageError } = require('../errors.js')
const { sideBySide } = require('../hosts.js')
const look = require('../look.js')
const { pinArgument } = require('../pin/argument.js')
const { PASSPHRASE } = require('../pin/material.js')
const { table } = require('../ui.js')

/** @typedef {import('../look.js').Seen} Seen */
/** @typedef {{ label: string, leaf: string[], ca: string[], rows: string[][] }} Entry */

const SCHEMA = 'node_modules/tls-pinning/policy.schema.json'

module.exports = {
  usage: 'HOST[:PORT]…',
  options: { out: { type: 'string' }, backup: { type: 'string' }, ...look.OPTIONS, ...PASSPHRASE },
  help: `
Writes a first policy for servers that can be reached: for each the pin of its own key and, as backup, that of its issuer.
A server whose certificate does not verify is refused, and then nothing is written.

  tls-pinning init api.example.com login.example.com
  tls-pinning init api.example.com --backup backup.pem     a key of your own as backup, and no issuer
  tls-pinning init internal.example.com:8443 --ca private-ca.pem --out etc/policy.json

  --out FILE               default: policy.json. A file that is there is left alone; - writes to standard output
  --backup PIN|FILE        a pin, or the file of a certificate, key or request, in the place of the issuer
  --passphrase-file FILE   for an encrypted private key, of which the public half is pinned
${look.HELP}`,

  /** @param {import('../main.js').Call} call */
  async run({ args, options, ui }) {
    const { out = DEFAULT } = options
    if (args.length === 0) throw usageError('at least one host is needed', 'tls-pinning init api.example.com')
    if (options.servername !== undefined && args.length > 1) {
      throw usageError('--servername is for one host', 'give the command once for each host')
    }
    if (out === '-' && ui.isJson) throw usageError('--out - and --json both write to standard output', 'leave one out')
    if (out !== '-' && fs.existsSync(out)) throw existing(out)
    const backup = options.backup === undefined ? undefined : pinArgument(options.backup, options)
    const seen = await lookAll(args, options, ui)
    const entries = seen.map(server => entryOf(server, backup))
    const text = policyText(out, entries)
    if (out === '-') ui.write(text)
    else {
      writeNew(out, text)
      const told = entries.map(({ label, leaf, ca }) => [label, { leaf, ...(ca.length > 0 && { ca }) }])
      ui.result({ policy: out, hosts: Object.fromEntries(told) }, () => shown(ui, out, entries))
    }
    ui.note(explanation(out, seen, backup !== undefined))
    return EXIT.OK
  }
}

/** @param {string} out */
function existing(out) {
  return usageError(
    `${out} is there already`,
    'add a host to it with: tls-pinning add HOST PIN, or write another file with --out FILE'
  )
}

/**
 * All of them, or an error that says of each what is wrong with it.
 * @param {string[]} targets
 * @param {Record<string, any>} options
 * @param {import('../main.js').Call['ui']} ui
 */
async function lookAll(targets, options, ui) {
  const progress = (/** @type {number} */ done) => ui.progress(`looking at ${targets.length} hosts: ${done} done`)
  progress(0)
  const outcomes = await sideBySide(
    [...new Set(targets)],
    async target => {
      try {
        return { target, seen: await look.look(target, options) }
      } catch (error) {
        return { target, error }
      }
    },
    progress
  )
  const failed = outcomes.filter(({ error }) => error !== undefined)
  if (failed.length === 1) throw failed[0]?.error
  if (failed.length > 1) throw severalFailed(failed, outcomes.length)
  const seen = outcomes.flatMap(outcome => outcome.seen ?? [])
  // Two spellings of one host.
  return [...new Map(seen.map(server => [server.label, server])).values()]
}

/**
 * @param {{ target: string, error?: unknown }[]} failed
 * @param {number} count
 */
function severalFailed(failed, count) {
  const told = failed.map(({ target, error }) => ({ target, ...explain(error) }))
  const lines = told.map(({ target, message }) => `\n  ${target}: ${message.split('\n')[0]}`)
  // What does not verify is a finding, whatever else could not be reached.
  const exits = told.map(({ exit }) => exit)
  const exit = [EXIT.FINDING, EXIT.USAGE].find(code => exits.includes(code)) ?? EXIT.NETWORK
  return new CliError(
    `${failed.length} of ${count} hosts cannot be pinned, and nothing was written:${lines.join('')}`,
    {
      exit,
      hint: 'leave them out, or give the command for each alone to see more'
    }
  )
}

/**
 * @param {Seen} seen
 * @param {string | undefined} backup
 * @returns {Entry}
 */
function entryOf({ label, path: [leaf, issuer] }, backup) {
  if (backup === undefined && !issuer) {
    const hint = 'give a key of your own as backup: --backup FILE'
    throw new CliError(`${label} has no issuer that could be the backup`, { exit: EXIT.FINDING, hint })
  }
  if (backup === leaf?.spkiPin) {
    const hint = 'give a key that is kept elsewhere, and that no server uses yet'
    throw new CliError(`the backup is the key that ${label} uses now`, { exit: EXIT.USAGE, hint })
  }
  const valid = leaf?.validTo ? `, valid until ${leaf.validTo.toISOString().slice(0, 10)}` : ''
  const rows = [['leaf', leaf?.spkiPin ?? '', `${leaf?.subject}${valid}`]]
  rows.push(backup === undefined ? ['ca', issuer.spkiPin, issuer.subject] : ['leaf', backup, 'the backup'])
  return backup === undefined
    ? { label, leaf: [leaf?.spkiPin ?? ''], ca: [issuer.spkiPin], rows }
    : { label, leaf: [leaf?.spkiPin ?? '', backup], ca: [], rows }
}

/**
 * @param {string} out
 * @param {Entry[]} entries
 */
function policyText(out, entries) {
  const entry = (/** @type {Entry} */ { leaf, ca }) => ({ leaf, ...(ca.length > 0 && { ca }) })
  const hosts = Object.fromEntries(entries.map(one => [one.label, entry(one)]))
  // Where npm puts this package, as seen from the file.
  const relative = path.relative(path.dirname(out), SCHEMA).replaceAll(path.sep, '/')
  const $schema = out === '-' || !relative.startsWith('..') ? `./${SCHEMA}` : relative
  return `${JSON.stringify({ $schema, version: 1, hosts }, null, 2)}\n`
}

/**
 * @param {import('../main.js').Call['ui']} ui
 * @param {string} out
 * @param {Entry[]} entries
 */
function shown(ui, out, entries) {
  const hosts = entries.map(({ label, rows }) => `${ui.style('bold', label)}\n${table(rows, '  ')}`)
  return `${hosts.join('\n')}\n${out} is written.\n`
}

/**
 * @param {string} out
 * @param {Seen[]} seen
 * @param {boolean} hasBackup
 */
function explanation(out, seen, hasBackup) {
  const file = out === '-' ? 'policy.json' : out
  const first = seen[0]?.label
  const backup = hasBackup
    ? `The backup is a key of your own. Keep it apart from the server, and move to it when the key in use is lost or stolen.`
    : `The key of its issuer is the backup: when the server gets a new key from the same authority, nobody is locked out.
  The risk: whoever gets that issuer to sign a certificate for the host is accepted; and an authority may sign the next
  certificate with another of its keys. A key of your own that is kept apart has neither: --backup FILE.`
  const next = [
    [`TLS_PINNING_POLICY=${file} node --import tls-pinning/register app.js`, 'pins every connection of a program'],
    [`tls-pinning check ${file}`, 'whether the servers still match, for cron and CI'],
    [`tls-pinning rotate ${first} --policy ${file}`, 'when a key has changed']
  ]
  return `
Why these pins
  The server's own key is the closest pin there is. A renewal may keep it; one that does not needs new pins.
  ${backup}

Before you trust them
  They came over the wire: somebody in between now would have given you his. Compare them with another source: on the
  server itself with 'tls-pinning pin FILE', or from another network with 'tls-pinning inspect ${first}'.

Next
${table(next, '  ').trimEnd()}`
}

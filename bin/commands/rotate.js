'use strict'
// The pins of a host after a change of its key.

const { PinSet, PolicyText } = require('../../lib/policy.js')
const { HELP, OPTIONS, commit, openPolicy } = require('../edit/file.js')
const { addPins, removePins } = require('../edit/native.js')
const { CliError, EXIT, usageError } = require('../errors.js')
const { parseHost } = require('../hosts.js')
const look = require('../look.js')
const { pinArgument } = require('../pin/argument.js')
const { PASSPHRASE } = require('../pin/material.js')
const { compare } = require('../rotate/meet.js')
const { plan } = require('../rotate/plan.js')
const { table } = require('../ui.js')

/** @typedef {import('../rotate/meet.js').Compared} Compared */
/** @typedef {import('../look.js').Seen} Seen */
/** @typedef {import('../../index.js').Match} Match */

module.exports = {
  usage: 'HOST[:PORT]',
  options: {
    ...OPTIONS,
    backup: { type: 'string' },
    accept: { type: 'string' },
    ...PASSPHRASE,
    ...look.OPTIONS
  },
  help: `
Brings the pins of a host up to date after a change of its key. It connects, and the certificate must verify.

  tls-pinning rotate api.example.com                       what the server has now, beside the policy; changes nothing
  tls-pinning rotate api.example.com --backup next.pem     the server has moved to its backup key, and this is the next one
  tls-pinning rotate api.example.com --accept sha256/…     the server has a key that no pin is of

The pin that the server meets becomes the current one, those before it in their list are dropped, and the new backup is
put behind it. Pins behind the current one are backups that wait, and stay.

Where the server meets none of the pins, that is what an attack looks like, so the change is refused unless --accept repeats
the pin of the new key. Get that pin from whoever runs the server, by another way than this connection.

  --backup PIN|FILE        the next backup: a pin, or the file of a certificate, key or request
  --accept PIN|FILE        the server's new key, or its new issuer, as somebody else has told it
${HELP}
  --passphrase-file FILE   for an encrypted private key, of which the public half is pinned
${look.HELP}`,

  /** @param {import('../main.js').Call} call */
  async run(call) {
    const { args, options, ui } = call
    const [target, ...others] = args
    if (target === undefined || others.length > 0) {
      throw usageError('one host is needed', 'tls-pinning rotate --help shows examples')
    }
    parseHost(target)
    const policy = openPolicy(options)
    const [backup, accept] = [options.backup, options.accept].map(pin => pin && pinArgument(pin, options))
    ui.progress(`looking at ${target}`)
    const seen = await look.look(target, options)
    const entry = entryFor(policy, seen)
    const rules = compare(entry, seen, options)
    const isMet = rules.some(rule => rule.isMet)
    if (backup === undefined && accept === undefined) return tell(call, policy.file, seen, entry, rules)
    const accepted = accept === undefined ? undefined : acceptedOf(accept, seen, options)
    if (!isMet && !accepted) throw notMet(seen, rules, again(seen, options))
    if (
      rules.some(({ pin, isMet }) => pin === backup && isMet) ||
      seen.path.some(({ spkiPin }) => spkiPin === backup)
    ) {
      throw usageError('the backup is a key that the server uses now', 'give a key that is kept apart from the server')
    }
    return change(call, policy, seen, entry, plan({ rules, accepted, backup }))
  }
}

/**
 * The entry that decides about the host.
 * @param {{ file: string, pins: InstanceType<typeof import('../../lib/policy.js').PinSet> }} policy
 * @param {Seen} seen
 * @returns {Match & { pattern: string }}
 */
function entryFor({ file, pins }, { host, port, label }) {
  const entry = pins.match(host, port)
  if (!entry) throw usageError(`${file} has no entry for ${label}`, `add one with: tls-pinning add ${label} PIN…`)
  if (entry.pattern === null) {
    throw usageError(`${file} is a bare list of pins`, 'write { "hosts": { "api.example.com": […] } }')
  }
  return entry
}

/**
 * The key on the server's path that a pin is repeated of.
 * @param {string} pin
 * @param {Seen} seen
 * @param {Record<string, any>} options
 */
function acceptedOf(pin, seen, options) {
  const rule = /** @type {const} */ ({ pins: [pin], leaf: [], ca: [] })
  const [met] = compare(/** @type {any} */ (rule), seen, options)
  const [asLeaf] = compare(/** @type {any} */ ({ pins: [], leaf: [pin], ca: [] }), seen, options)
  if (met?.isMet) return { pin, isLeaf: Boolean(asLeaf?.isMet) }
  throw new CliError(`${seen.label} does not have the key of ${pin}:\n${pathTable(seen)}`, {
    exit: EXIT.FINDING,
    hint: 'either it has not been deployed yet, or somebody is in between: nothing was written',
    code: 'ERR_TLS_PIN_MISMATCH'
  })
}

/**
 * The command as it was given, to be completed.
 * @param {Seen} seen
 * @param {Record<string, any>} options
 */
function again({ label }, options) {
  const given = ['policy', 'ca', 'proxy', 'servername', 'starttls'].filter(name => options[name] !== undefined)
  const words = given.flatMap(name => [`--${name}`, quoted(options[name])])
  return ['tls-pinning rotate', label, ...words].join(' ')
}

/** For a shell. @param {string} word */
function quoted(word) {
  return /^[\w.,:/@=+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

/**
 * @param {Seen} seen
 * @param {Compared[]} rules
 * @param {string} command
 */
function notMet(seen, rules, command) {
  const pins = rules.map(({ pin, role }) => `  ${pin}${role === 'any' ? '' : ` (${role})`}\n`).join('')
  return new CliError(
    `${seen.label} meets none of its pins. That is what an attack looks like.\nThe policy has\n${pins}` +
      `and the server\n${pathTable(seen)}`,
    {
      exit: EXIT.FINDING,
      hint:
        'ask whoever runs the server, by another way, for the pin of its new key. Only if it is the same:\n' +
        `${command} --accept PIN --backup FILE`,
      code: 'ERR_TLS_PIN_MISMATCH'
    }
  )
}

/** @param {Seen} seen */
function pathTable({ path }) {
  return table(
    path.map(({ spkiPin, subject }, at) => [spkiPin, `${at === 0 ? 'leaf' : 'ca'}, ${subject}`]),
    '  '
  ).trimEnd()
}

/**
 * What there is, side by side.
 * @param {import('../main.js').Call} call
 * @param {string} file
 * @param {Seen} seen
 * @param {Match & { pattern: string }} entry
 * @param {Compared[]} rules
 */
function tell({ ui, options }, file, seen, entry, rules) {
  const isMet = rules.some(rule => rule.isMet)
  const server = seen.path.map(({ subject, spkiPin, validTo }) => ({ subject, pin: spkiPin, validTo }))
  const pins = rules.map(({ pin, role, by }) => ({ pin, role, met: by }))
  ui.result({ policy: file, host: seen.label, pattern: entry.pattern, satisfied: isMet, pins, server }, () => {
    const rows = rules.map(({ pin, role, by }) => [
      by === null ? ui.style('yellow', 'not met') : ui.style('green', 'met'),
      role === 'any' ? pin : `${pin} (${role})`,
      by === null ? '' : `by ${by}`
    ])
    const policy = `${file} says of ${entry.pattern}\n${table(rows, '  ')}`
    return `${policy}\n${seen.label} has\n${pathTable(seen)}\n`
  })
  ui.note(whatNext(seen, entry, rules, again(seen, options)))
  return isMet ? EXIT.OK : EXIT.FINDING
}

/**
 * @param {Seen} seen
 * @param {Match & { pattern: string }} entry
 * @param {Compared[]} rules
 * @param {string} command
 */
function whatNext({ path: [leaf] }, entry, rules, command) {
  const expired = entry.expired ? `warning: the entry expired at ${entry.expires?.toISOString()}\n` : ''
  const isLeafPinned = rules.some(({ by, role }) => by !== null && (role === 'leaf' || by === leaf?.subject))
  if (!rules.some(rule => rule.isMet)) {
    return (
      `${expired}\nIt meets none of the pins: that is what an attack looks like. Ask whoever runs the server, by another way, ` +
      `for the pin of its new key.\nOnly if it is the same: ${command} --accept PIN --backup FILE`
    )
  }
  if (!isLeafPinned) {
    return (
      `${expired}\nIt passes by its issuer; no pin is of its own key. To pin that, compare it with another source, and then:\n` +
      `${command} --accept PIN`
    )
  }
  return `${expired}\nIt passes. After a move to the backup key, give the next one: ${command} --backup FILE`
}

/**
 * @param {import('../main.js').Call} call
 * @param {{ file: string, text: string }} policy
 * @param {Seen} seen
 * @param {Match & { pattern: string }} entry
 * @param {ReturnType<typeof plan>} planned
 */
function change(call, { file, text: before }, seen, { pattern }, { retired, waiting, accepted, backup }) {
  if (backup && retired.some(({ pin }) => pin === backup.pin)) {
    throw usageError('the backup is the key that is being retired', 'give a key that no server has used yet')
  }
  const at = { file, pattern }
  const roleOf = (/** @type {string} */ role) => (role === 'any' ? undefined : role)
  /** @type {import('../edit/file.js').Rule[]} */
  const added = []
  /** @type {import('../edit/file.js').Rule[]} */
  const removed = []
  let text = before
  for (const [rule, first] of /** @type {const} */ ([
    [accepted, true],
    [backup, false]
  ])) {
    if (!rule) continue
    const edit = addPins({ ...at, text, pins: [rule.pin], role: roleOf(rule.role), first })
    text = edit.text
    added.push(...edit.done)
  }
  for (const { pin, role } of retired) {
    if (removed.some(gone => gone.pin === pin && gone.role === role)) continue // it stood there twice
    const edit = removePins({ ...at, text, pins: [pin], role: roleOf(role) })
    text = edit.text
    removed.push(...edit.done)
  }
  refuseLone(text, seen)
  commit(call, { ...at, before, after: text, added, removed, more: { waiting: waiting.map(({ pin }) => pin) } })
  const { ui } = call
  if (text === before) ui.note(`${pattern} needs no change`)
  for (const { pin } of waiting) ui.note(`${pin} is not in use by the server, and was kept as a backup`)
  if (pattern !== seen.label)
    ui.note(`other hosts of ${pattern} were not asked: make sure that none still has an old key`)
  return EXIT.OK
}

/**
 * One pin is the next lock-out.
 * @param {string} text
 * @param {Seen} seen
 */
function refuseLone(text, { host, port, label }) {
  const { pins, leaf, ca } = /** @type {Match} */ (new PinSet(new PolicyText(text)).match(host, port))
  if (new Set([...pins, ...leaf, ...ca]).size > 1) return
  throw usageError(`${label} would be left with one pin and no backup`, 'give a backup too: --backup FILE')
}

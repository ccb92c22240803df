'use strict'
// A policy file that a command changes: read strictly, written whole or not at all.

const { isUtf8 } = require('node:buffer')
const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { PinSet, PolicyText } = require('../../lib/policy.js')
const { CliError, EXIT } = require('../errors.js')
const { nameOf, parsePolicy } = require('../policies.js')
const { unified } = require('./unified.js')

const DEFAULT = 'policy.json'

/** For every command that changes a policy. */
const OPTIONS = /** @type {const} */ ({ policy: { type: 'string' }, 'dry-run': { type: 'boolean' } })

/** What their help says of them. */
const HELP = `  --policy FILE            the policy to change; policy.json where it is not given
  --dry-run                the change as a unified diff; nothing is written`

/**
 * The file that is meant, its text, and the policy in it.
 * @param {{ policy?: string }} options
 */
function openPolicy({ policy: file = DEFAULT }) {
  const text = readText(file)
  return { file, text, pins: parsePolicy(file, text) }
}

/** @param {string} file */
function readText(file) {
  try {
    return utf8(fs.readFileSync(file))
  } catch (cause) {
    const { code, message } = /** @type {NodeJS.ErrnoException} */ (cause)
    const hint = 'give another file with --policy FILE, or write a first policy with: tls-pinning init HOST'
    throw new CliError(`${nameOf(file)} cannot be read: ${message}`, { exit: EXIT.USAGE, hint, code, cause })
  }
}

/**
 * Not as `toString` reads it: what it replaces would be written back changed.
 * @param {Buffer} bytes
 */
function utf8(bytes) {
  if (isUtf8(bytes)) return bytes.toString('utf8')
  throw new Error('it is not UTF-8')
}

/**
 * Writes a file as a whole: whoever reads it finds the old text or the new one. A link stays a link, and the mode and,
 * where this may be done, the owner stay too.
 * @param {string} file
 * @param {string} text
 * @param {string} [before] What must still be in it: somebody else may have changed it in the meantime.
 */
function writeWhole(file, text, before) {
  const target = fs.realpathSync(file)
  const { mode, uid, gid } = fs.statSync(target)
  const temporary = path.join(
    path.dirname(target),
    `.${path.basename(target)}.${crypto.randomBytes(6).toString('hex')}`
  )
  try {
    const handle = fs.openSync(temporary, 'wx', mode & 0o7777)
    try {
      fs.writeFileSync(handle, text)
      keepOwner(handle, uid, gid)
      fs.fchmodSync(handle, mode & 0o7777) // whatever the umask took away
      fs.fsyncSync(handle)
    } finally {
      fs.closeSync(handle)
    }
    if (before !== undefined && fs.readFileSync(target, 'utf8') !== before) {
      throw new CliError(`${file} has been changed by somebody else in the meantime`, {
        exit: EXIT.USAGE,
        hint: 'nothing was written; give the command again'
      })
    }
    fs.renameSync(temporary, target)
  } catch (error) {
    fs.rmSync(temporary, { force: true })
    throw error
  }
  syncFolder(path.dirname(target))
}

/**
 * Writes a file that is not there yet.
 * @param {string} file
 * @param {string} text
 */
function writeNew(file, text) {
  const handle = fs.openSync(file, 'wx')
  try {
    fs.writeFileSync(handle, text)
    fs.fsyncSync(handle)
  } catch (error) {
    fs.rmSync(file, { force: true })
    throw error
  } finally {
    fs.closeSync(handle)
  }
}

/**
 * @param {number} handle
 * @param {number} uid
 * @param {number} gid
 */
function keepOwner(handle, uid, gid) {
  const { uid: own, gid: ownGroup } = fs.fstatSync(handle)
  if (own === uid && ownGroup === gid) return
  try {
    fs.fchownSync(handle, uid, gid)
  } catch {
    // Only root may. The file is readable to whom its mode says.
  }
}

/**
 * So that the new name is on the disk, where the system has folders that can be opened.
 * @param {string} folder
 */
function syncFolder(folder) {
  try {
    const handle = fs.openSync(folder, 'r')
    try {
      fs.fsyncSync(handle)
    } finally {
      fs.closeSync(handle)
    }
  } catch {}
}

/**
 * @typedef {{ pin: string, role: string }} Rule
 * @typedef {object} Change
 * @property {string} file
 * @property {string} pattern
 * @property {string} before
 * @property {string} after
 * @property {Rule[]} [added]
 * @property {Rule[]} [removed]
 * @property {Record<string, unknown>} [more] What else `--json` tells.
 */

/**
 * Writes a change, or shows it with `--dry-run`, and tells it.
 * @param {import('../main.js').Call} call
 * @param {Change} change
 */
function commit({ ui, options }, { file, pattern, before, after, added = [], removed = [], more = {} }) {
  const isDry = Boolean(options['dry-run'])
  const isChange = after !== before
  const diff = unified(file, before, after)
  if (isChange && !isDry) writeWhole(file, after, before)
  const told = {
    policy: file,
    pattern,
    added,
    removed,
    written: isChange && !isDry,
    ...(isDry && { diff }),
    ...more
  }
  ui.result(told, () => {
    if (isDry) return coloured(ui, diff)
    if (!isChange) return ''
    const line =
      (/** @type {string} */ word) =>
      (/** @type {Rule} */ { pin, role }) =>
        `  ${word.padEnd(8)} ${pin}${role === 'any' ? '' : ` (${role})`}\n`
    return `${file}, ${pattern}:\n${[...removed.map(line('removed')), ...added.map(line('added'))].join('')}`
  })
  if (isDry && isChange) ui.note('nothing was written')
  warn(ui, before, after)
}

/**
 * @param {import('../main.js').Call['ui']} ui
 * @param {string} diff
 */
function coloured(ui, diff) {
  const line = (/** @type {string} */ text) =>
    text.startsWith('+') ? ui.style('green', text) : text.startsWith('-') ? ui.style('red', text) : text
  return diff.replace(/^.+$/gm, line)
}

/**
 * Tells what is unwise since the change.
 * @param {import('../main.js').Call['ui']} ui
 * @param {string} before
 * @param {string} after
 */
function warn(ui, before, after) {
  const key = (/** @type {{ code: string, place: string }} */ { code, place }) => `${place} ${code}`
  const known = new Set(new PinSet(new PolicyText(before)).warnings.map(key))
  for (const warning of new PinSet(new PolicyText(after)).warnings) {
    if (!known.has(key(warning))) ui.note(`warning: ${warning.place}: ${warning.message}`)
  }
}

module.exports = { DEFAULT, HELP, OPTIONS, commit, openPolicy, writeNew, writeWhole }

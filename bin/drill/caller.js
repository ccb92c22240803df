'use strict'
// Who makes a connection, by the stack: the package, or the module of Node, that the program called, and where.

const path = require('node:path')
const { fileURLToPath } = require('node:url')

const FRAMES = 100
/** Places that tell one connection of a program from another: all of it may connect by one function. */
const PLACES = 10
/** Those that are shown. */
const SHOWN = 2
/** This package, wherever it is: the drill's own copy, which in a clone is in no `node_modules`, and the program's. */
const OWN = path.join(__dirname, '..', '..')
const INSIDE = ['bin', 'lib'].map(name => path.join(OWN, name) + path.sep)
const INSTALLED = /[\\/]node_modules[\\/]tls-pinning[\\/](?!.*[\\/]node_modules[\\/])/

/** @typedef {{ client: string, place: string | null, stack: string }} Caller `place` is the beginning of `stack`. */

/** @type {Caller} */
const UNKNOWN = { client: 'unknown', place: null, stack: '' }

/**
 * Nearest to the program: axios rather than the package that connects for it.
 * @param {string} folder Places are told from here.
 * @param {Caller} [before] Whoever has set off what connects later.
 * @returns {Caller}
 */
function callerOf(folder, before) {
  if (before) return before
  let library
  let module
  /** @type {string[]} */
  const places = []
  for (const { file, line } of frames()) {
    const name = packageOf(file)
    if (name === undefined && !file.startsWith('node:')) {
      const place = `${path.relative(folder, file)}:${line}`
      if (place !== places.at(-1)) places.push(place)
      if (places.length === PLACES) break
    } else if (places.length === 0) {
      library = name ?? library
      module = moduleOf(file) ?? module
    }
  }
  if (places.length > 0) {
    const place = places.slice(0, SHOWN).join(' ← ')
    return { client: library ?? module ?? UNKNOWN.client, place, stack: places.join(' ← ') }
  }
  return { ...UNKNOWN, client: library ?? module ?? UNKNOWN.client }
}

/**
 * From where it happens outwards. The program's own way of showing stacks is left alone.
 * @returns {{ file: string, line: number | null }[]}
 */
function frames() {
  const { stackTraceLimit, prepareStackTrace } = Error
  /** @type {{ stack?: any }} */
  const here = {}
  try {
    Error.stackTraceLimit = FRAMES
    Error.prepareStackTrace = (_, sites) => sites
    Error.captureStackTrace(here, frames)
    return /** @type {NodeJS.CallSite[]} */ (here.stack)
      .map(site => ({ file: fileOf(site.getFileName()), line: site.getLineNumber() }))
      .filter(({ file }) => file !== '' && !INSTALLED.test(file) && !INSIDE.some(folder => file.startsWith(folder)))
  } finally {
    Object.assign(Error, { stackTraceLimit, prepareStackTrace })
  }
}

/** @param {string | null | undefined} name */
function fileOf(name) {
  if (!name?.startsWith('file:')) return name ?? ''
  try {
    return fileURLToPath(name)
  } catch {
    return name
  }
}

/** This package is none: what is told of is the client that it pins. @param {string} file */
function packageOf(file) {
  const parts = file.split(/[\\/]/)
  const at = parts.lastIndexOf('node_modules')
  if (at < 0 || at + 1 >= parts.length) return undefined
  return parts[at + 1].startsWith('@') ? `${parts[at + 1]}/${parts[at + 2]}` : parts[at + 1]
}

/** The public module that a frame of Node's belongs to. @param {string} file */
function moduleOf(file) {
  if (file.startsWith('node:internal/deps/undici')) return 'fetch'
  if (/^node:(_tls_wrap|internal\/tls\/wrap)$/.test(file)) return 'node:tls'
  return /^node:(https?|http2|tls|net)$/.exec(file)?.[0]
}

module.exports = { UNKNOWN, callerOf }

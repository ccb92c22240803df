'use strict'
// Notices that a file may have changed, whatever way it was changed: written to, renamed over, or reached by a symbolic link
// that now leads elsewhere, as Kubernetes swaps its ConfigMaps. File systems may tell nothing (NFS, overlays), so there is a
// slow look at it as well.

const fs = require('node:fs')
const path = require('node:path')

/** As Linux does (path_resolution(7)). */
const MOST_LINKS = 40

/**
 * Calls back when there is reason to read the file again, once for events that come close together; no promise that it has
 * changed. Keeps no process alive.
 * @param {string} file
 * @param {{ debounce: number, interval: number }} options Milliseconds; an `interval` of 0 is none.
 * @param {() => void} onEvent
 */
function watch(file, { debounce, interval }, onEvent) {
  /** By folder and its number in the file system, so that another folder of the name is noticed. @type {Map<string, fs.FSWatcher>} */
  let watchers = new Map()
  /** @type {NodeJS.Timeout | undefined} */
  let due
  let closed = false

  const onChange = () => {
    // Not put off by further events: a folder that is never quiet must not keep a new policy from coming into force.
    due ??= setTimeout(() => {
      due = undefined
      arm()
      onEvent()
    }, debounce).unref()
  }

  /** Watches the folders that the way to the file leads through now, and no others. */
  const arm = () => {
    /** @type {typeof watchers} */
    const next = new Map()
    for (const [folder, names] of closed ? [] : waypoints(file)) {
      const key = `${folder}\0${numberOf(folder)}`
      const watcher = watchers.get(key) ?? open(folder, names, onChange, () => watchers.delete(key))
      if (watcher) next.set(key, watcher)
    }
    for (const [key, watcher] of watchers) if (!next.has(key)) watcher.close()
    watchers = next
  }

  arm()
  const net = interval > 0 ? setInterval(onChange, interval).unref() : undefined
  return () => {
    closed = true
    clearTimeout(due)
    due = undefined
    clearInterval(net)
    arm()
  }
}

/**
 * The folders whose entries decide which file a path leads to, and the names of these entries.
 * @param {string} file
 */
function waypoints(file) {
  /** @type {Map<string, Set<string>>} */
  const found = new Map()
  const { root } = path.parse(file)
  let at = root
  let rest = file.slice(root.length).split(path.sep)
  for (let links = 0; rest.length > 0; ) {
    const [name, ...others] = rest
    rest = others
    if (!name || name === '.') continue
    if (name === '..') {
      at = path.dirname(at)
      continue
    }
    const target = links < MOST_LINKS ? linkAt(path.join(at, name)) : undefined
    if (target === undefined && rest.length > 0 && fs.existsSync(path.join(at, name))) {
      at = path.join(at, name)
      continue
    }
    // A link, the file itself, or what is missing on the way to it.
    found.set(at, (found.get(at) ?? new Set()).add(name))
    if (target === undefined) break
    links++
    if (path.isAbsolute(target)) at = path.parse(target).root
    rest = [...target.slice(path.parse(target).root.length).split(path.sep), ...rest]
  }
  return found
}

/** @param {string} name */
function linkAt(name) {
  try {
    return fs.readlinkSync(name)
  } catch {
    return undefined
  }
}

/** @param {string} folder */
function numberOf(folder) {
  try {
    const { dev, ino } = fs.statSync(folder, { bigint: true })
    return `${dev}:${ino}`
  } catch {
    return ''
  }
}

/**
 * @param {string} folder
 * @param {Set<string>} names
 * @param {() => void} onChange
 * @param {() => void} onEnd It watches no more.
 */
function open(folder, names, onChange, onEnd) {
  try {
    const watcher = fs.watch(folder, (_, name) => {
      // The folder's own name stands for itself: it was removed or moved away.
      if (name === null || names.has(name) || name === path.basename(folder)) onChange()
      // Deno waits for the next event as if it had not been told not to.
      setImmediate(() => watcher.unref())
    })
    // Not by `persistent: false`, which Deno ignores.
    return watcher.unref().on('error', () => {
      onEnd()
      watcher.close()
      onChange()
    })
  } catch {
    return undefined // no such folder, no right to read it, no more watches: the slow look remains
  }
}

module.exports = { watch }

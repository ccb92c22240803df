'use strict'
// Why the addon did not load, and what to do about it. Of what is wrong here the system's own message names the least part.

const fs = require('node:fs')
const { createRequire } = require('node:module')
const path = require('node:path')
const { madeFor } = require('./binary.js')

/** Where the code of this package lies, unless a bundler has put it elsewhere. */
const ROOT = path.join(__dirname, '..')
const FORMATS = /** @type {Record<string, string>} */ ({ darwin: 'Mach-O', win32: 'PE' })
const REINSTALL = 'Delete node_modules and install again.'
const BUILD = 'build it from a clone (README, "Install")'
const UNBUNDLE =
  'Keep tls-pinning out of the bundle and ship node_modules beside it: `external: ["tls-pinning"]` in esbuild and ' +
  'Rollup, `externals: { "tls-pinning": "commonjs tls-pinning" }` in webpack (docs/bundlers.md).'

/**
 * @typedef {object} Reason
 * @property {string} why ends the sentence "tls-pinning cannot load its addon: "
 * @property {string} fix
 */

/**
 * @param {string} platform as the platform's package is called
 * @param {string | undefined} built where its build would be, in a clone
 * @param {unknown} cause
 */
function loadError(platform, built, cause) {
  const prebuilt = `@tls-pinning/${platform}`
  const isBuilt = built !== undefined && resolved(built) !== undefined
  const installed = resolved(`${prebuilt}/package.json`)
  const file = isBuilt ? built : resolved(prebuilt)
  const again = isBuilt ? 'Run: npm run build' : REINSTALL
  const { why, fix } =
    refused(cause) ??
    (isBuilt ? undefined : replaced(cause)) ??
    (isBuilt || installed ? undefined : missing(platform, built)) ??
    (isBuilt ? undefined : differs(prebuilt, installed)) ??
    unusable(file, again) ??
    unloadable(file, cause, again)
  const found = installed ? path.dirname(installed) : 'not found'
  const tried = isBuilt
    ? [`${built}, the build in this clone: it is there, so no other was tried`]
    : [...(built ? [`${built}, the build in this clone: not there`] : []), `${prebuilt}: ${found}`]
  const error = new Error(
    `tls-pinning cannot load its addon: ${why}\n` +
      `  On ${platform}, ${runtime()}${glibcIfAny(platform)}\n` +
      `${tried.map(line => `  Tried ${line}\n`).join('')}  ${fix}`,
    { cause }
  )
  return Object.assign(error, { code: 'ERR_DLOPEN_FAILED' })
}

/** What the runtime forbids. @param {any} cause @returns {Reason | undefined} */
function refused(cause) {
  if (cause?.code === 'ERR_DLOPEN_DISABLED') {
    return {
      why: 'Node.js was told to load no addons',
      fix: 'Add --allow-addons beside --permission; take --no-addons away.'
    }
  }
  if (cause?.code === 'ERR_ACCESS_DENIED') {
    return {
      why: `Node.js may not read ${cause.resource ?? 'it'}`,
      fix: 'Add --allow-fs-read for it and --allow-addons beside --permission.'
    }
  }
  // Deno's.
  if (cause?.name === 'NotCapable') return { why: cause.message, fix: 'It needs --allow-read and --allow-ffi.' }
  return undefined
}

/** It loaded, and is none. @param {any} cause @returns {Reason | undefined} */
function replaced(cause) {
  if (cause?.code !== 'ERR_INVALID_MODULE') return undefined
  return { why: 'a bundler has put something else in its place', fix: UNBUNDLE }
}

/** There is neither a build nor a package. @param {string} platform @param {string | undefined} built @returns {Reason} */
function missing(platform, built) {
  if (built) return { why: 'it was not built in this clone', fix: 'Run: npm install && npm run build' }
  const manifest = ownManifest()
  if (!manifest) {
    return { why: `a bundler has put its code into ${__dirname}, where its addon is not found`, fix: UNBUNDLE }
  }
  // They are added when the package is published.
  const prebuilt = Object.keys(manifest.optionalDependencies ?? {})
  const wanted = `@tls-pinning/${platform}`
  if (!prebuilt.includes(wanted)) {
    const bits = process.arch === 'ia32' ? 'This is a 32-bit Node.js: install a 64-bit one, or ' : 'To use it here, '
    return {
      why: `there is no prebuilt one for ${platform}`,
      fix: `There are ${prebuilt.map(name => name.replace('@tls-pinning/', '')).join(', ')}. ${bits}${BUILD}.`
    }
  }
  const others = prebuilt.filter(name => resolved(`${name}/package.json`))
  return others.length > 0 ? installedElsewhere(wanted, others) : notInstalled(wanted)
}

/** @param {string} wanted @param {string[]} others @returns {Reason} */
function installedElsewhere(wanted, others) {
  const rosetta =
    wanted === '@tls-pinning/darwin-x64' && others.includes('@tls-pinning/darwin-arm64')
      ? 'This Node.js is made for Intel and runs under Rosetta: use the one for arm64. '
      : ''
  const { platform, arch } = process
  const libc = platform === 'linux' ? ` --libc=${wanted.endsWith('-musl') ? 'musl' : 'glibc'}` : ''
  return {
    why: `node_modules was installed for another system: it has ${others.join(', ')} and not ${wanted}`,
    fix:
      `${rosetta}Install where the program runs: in the container, not copied into it. To install for this system from ` +
      `another: npm install --os=${platform} --cpu=${arch}${libc}, or \`supportedArchitectures\` in pnpm and Yarn.`
  }
}

/** @param {string} wanted @returns {Reason} */
function notInstalled(wanted) {
  return {
    why: `${wanted} is not installed`,
    fix:
      'It is an optional dependency: install without --omit=optional, --no-optional, or `omit` in an .npmrc. If the lock file ' +
      `does not name it, it was written on another system: delete it and node_modules, and install again. A mirror of the ` +
      'registry has to carry @tls-pinning too.'
  }
}

/** @param {string} prebuilt @param {string | undefined} installed its package.json @returns {Reason | undefined} */
function differs(prebuilt, installed) {
  const own = ownManifest()?.version ?? require('../package.json').version
  const found = installed && manifestIn(path.dirname(installed))?.version
  if (found === own) return undefined
  return {
    why: `${prebuilt} is version ${found ?? 'unknown'}, and tls-pinning ${own}: they have to be the same`,
    fix: `Remove ${prebuilt} from your own dependencies and overrides. ${REINSTALL}`
  }
}

/** What can be seen of the file. @param {string | undefined} file @param {string} again @returns {Reason | undefined} */
function unusable(file, again) {
  if (!file) return { why: 'its package has no addon in it', fix: again }
  try {
    const made = madeFor(file)
    if (!made) return { why: `${file} is damaged: it is no library`, fix: again }
    const format = FORMATS[process.platform] ?? 'ELF'
    if (made.format === format && made.cpu === process.arch) return undefined
    return {
      why: `${file} is made for ${made.cpu} (${made.format}), this process is ${process.arch} (${format})`,
      fix: `Do not copy node_modules or builds from one system to another. ${again}`
    }
  } catch (error) {
    return {
      why: /** @type {Error} */ (error).message,
      fix: 'The user that the program runs as has to be able to read it.'
    }
  }
}

/** What the system said. @param {string | undefined} file @param {any} cause @param {string} again @returns {Reason} */
function unloadable(file, cause, again) {
  const message = String(cause?.message ?? cause)
  const needed = /GLIBC_([\d.]+)' not found/.exec(message)?.[1]
  if (needed) {
    return {
      why: `it needs glibc ${needed}, and here is ${glibc() ?? 'an older one'}`,
      fix: `Use a newer system or base image, or ${BUILD}.`
    }
  }
  if (/failed to map segment|Operation not permitted|Permission denied/i.test(message)) {
    return {
      why: `the system does not let ${file} be executed`,
      fix: 'Its file system is mounted noexec, or a policy such as SELinux forbids it: move node_modules, or change that.'
    }
  }
  return { why: message, fix: again === REINSTALL ? `${again} If that does not help, ${BUILD}.` : again }
}

/** @param {string} request */
function resolved(request) {
  try {
    return createRequire(__filename).resolve(request)
  } catch {
    return undefined
  }
}

/** Of this package; undefined in a bundle, which lies elsewhere. */
function ownManifest() {
  const manifest = manifestIn(ROOT)
  return manifest?.name === 'tls-pinning' ? manifest : undefined
}

/** Read as a file: a bundler would put its text in place of `require`. @param {string} folder */
function manifestIn(folder) {
  try {
    return JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'))
  } catch {
    return undefined
  }
}

function runtime() {
  const { bun, deno, electron } = process.versions
  if (bun) return `Bun ${bun}`
  if (deno) return `Deno ${deno}`
  return electron ? `Electron ${electron}` : `Node.js ${process.version}`
}

/** @param {string} platform */
function glibcIfAny(platform) {
  const version = /-gnu/.test(platform) && glibc()
  return version ? `, glibc ${version}` : ''
}

/** @returns {string | undefined} */
function glibc() {
  const { report } = /** @type {any} */ (process)
  try {
    const { excludeNetwork } = report
    report.excludeNetwork = true // else it looks up the names of all peers
    const { glibcVersionRuntime } = report.getReport().header
    report.excludeNetwork = excludeNetwork
    return glibcVersionRuntime
  } catch {
    return undefined // Deno's report needs a permission.
  }
}

module.exports = { loadError }

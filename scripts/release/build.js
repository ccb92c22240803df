'use strict'
// Cross-builds the addon for the platforms of targets.js, or for those that are named, and verifies each:
//
//   npm run build:all -- [--check] [PLATFORM…]
//
// The addons and `build.json`, which says what was verified, go to `artifacts/`. With `--check` each is built a second time
// in another folder, from nothing, and must be the same to the byte. Runs on Debian (x64) and installs what it needs.

const { spawn } = require('node:child_process')
const { createHash } = require('node:crypto')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { parseArgs } = require('node:util')
const { TARGETS } = require('./targets.js')
const { DEBIAN, ROOT, VENV, install, output } = require('./toolchain.js')
const { verify } = require('./verify.js')

/** @typedef {import('./targets.js').Target} Target */

const ARTIFACTS = path.join(ROOT, 'artifacts')
const CARGO_HOME = process.env.CARGO_HOME ?? path.join(os.homedir(), '.cargo')
/**
 * On macOS zig takes no list of exports: what is not hidden would be exported, and so would stay. It strips, too: LLVM's tool
 * crashes on what zig links, and would break its signature.
 */
const HIDDEN = ['-Zdefault-visibility=hidden', '-Clink-arg=-Wl,-x', '-Clink-arg=-Wl,-S']
/** The file that cargo makes. */
const MADE = {
  linux: 'libtls_pinning.so',
  freebsd: 'libtls_pinning.so',
  darwin: 'libtls_pinning.dylib',
  win32: 'tls_pinning.dll'
}

async function main() {
  const { values, positionals } = parseArgs({ options: { check: { type: 'boolean' } }, allowPositionals: true })
  const unknown = positionals.filter(name => !TARGETS.some(({ platform }) => platform === name))
  if (unknown.length > 0) throw new Error(`no platform is called ${unknown.join(' or ')}`)
  install()
  fs.mkdirSync(ARTIFACTS, { recursive: true })
  const targets = TARGETS.filter(({ platform }) => positionals.length === 0 || positionals.includes(platform))
  /** @type {Record<string, object>} */
  const results = {}
  /** @type {string[]} */
  const problems = []
  const left = [...targets]
  // Two at once: for the most part of its time a build is one thread that links.
  await Promise.all([work(), work()])

  async function work() {
    for (let target = left.shift(); target; target = left.shift()) {
      const started = Date.now()
      try {
        const { problems: found, ...result } = await make(target, values.check === true)
        results[target.platform] = result
        problems.push(...found.map(problem => `${target.platform}: ${problem}`))
        report(target, `${(result.size / 1e6).toFixed(2)} MB`, started)
      } catch (error) {
        problems.push(`${target.platform}: ${/** @type {Error} */ (error).message}`)
        report(target, 'failed', started)
      }
    }
  }

  writeResults(results)
  for (const problem of problems) console.error(problem)
  process.exitCode = problems.length === 0 ? 0 : 1
}

/** @param {Target} target @param {string} result @param {number} started */
function report({ platform }, result, started) {
  console.log(
    `${platform.padEnd(20)} ${result.padStart(8)} ${String(Math.round((Date.now() - started) / 1000)).padStart(6)} s`
  )
}

/** Builds one and verifies it. @param {Target} target @param {boolean} twice */
async function make(target, twice) {
  const artifact = path.join(ARTIFACTS, `tls-pinning.${target.platform}.node`)
  fs.copyFileSync(await build(target, ROOT, path.join(ROOT, 'target', 'cross', target.platform)), artifact)
  const verified = verify(artifact, target)
  const sha256 = hash(artifact)
  if (!twice) return { ...verified, sha256 }
  const again = await buildElsewhere(target)
  if (again !== sha256) verified.problems.push(`a second build in another folder differs: ${again}`)
  return { ...verified, sha256, reproducible: again === sha256 }
}

/** Together with what is there of other platforms. @param {Record<string, object>} results */
function writeResults(results) {
  const file = path.join(ARTIFACTS, 'build.json')
  const before = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : {}
  fs.writeFileSync(file, `${JSON.stringify({ ...before, ...results }, null, 2)}\n`)
}

/**
 * @param {Target} target
 * @param {string} source
 * @param {string} targetFolder
 * @returns {Promise<string>} the addon
 */
async function build(target, source, targetFolder) {
  const { program, args, env } = commandOf(target, source, targetFolder)
  const log = path.join(ARTIFACTS, `${target.platform}.log`)
  const sink = fs.openSync(log, 'w')
  const child = spawn(program, args, {
    cwd: source,
    env: { ...process.env, ...env, CARGO_TARGET_DIR: targetFolder },
    stdio: ['ignore', sink, sink]
  })
  const status = await new Promise((resolve, reject) => child.on('error', reject).on('exit', resolve))
  fs.closeSync(sink)
  if (status !== 0) throw new Error(`cargo ended with ${status}; the log is ${log}`)
  return path.join(targetFolder, target.triple, 'release', MADE[/** @type {keyof typeof MADE} */ (target.os)])
}

/**
 * How cargo is called for a target. All but x64 Linux need the library built for them (`build-std`), which a stable compiler
 * does only with RUSTC_BOOTSTRAP, and which takes the compiler that the sources belong to.
 * @param {Target} target
 * @param {string} source
 * @param {string} targetFolder
 */
function commandOf({ triple, glibc, libc, os: system }, source, targetFolder) {
  const bin = path.join(VENV, 'bin')
  const flags = [...remapped(source, targetFolder)]
  if (libc === 'musl') flags.push('-Ctarget-feature=-crt-static')
  // Else the name of a library in the folder where it was built.
  if (system === 'darwin') flags.push('-Clink-arg=-Wl,-install_name,@rpath/tls-pinning.node', ...HIDDEN)
  if (system === 'win32') flags.push(`-Clink-arg=${listOfExports(source, triple)}`)
  const places = flags.filter(flag => flag.startsWith('--remap'))
  const files = places.map(flag => flag.replace('--remap-path-prefix', '-ffile-prefix-map'))
  const env = {
    CARGO_ENCODED_RUSTFLAGS: flags.join('\x1f'),
    [`CFLAGS_${triple.replaceAll('-', '_')}`]: files.join(' '),
    MACOSX_DEPLOYMENT_TARGET: '11.0',
    // Windows' linker writes a time into what it makes.
    SOURCE_DATE_EPOCH: '1',
    ...(system === 'darwin' && { CARGO_PROFILE_RELEASE_STRIP: 'none' }),
    ...(system === 'win32' && { LIBNODE_PATH: libnode(targetFolder) }),
    RUSTC_BOOTSTRAP: '1',
    RUSTC: `${DEBIAN}/rustc`,
    CARGO: `${DEBIAN}/cargo`
  }
  const name = glibc ? `${triple}.${glibc}` : triple
  return {
    program: path.join(bin, 'cargo-zigbuild'),
    args: ['zigbuild', '--release', '-Zbuild-std', '--target', name],
    env: { ...env, PATH: `${bin}:${DEBIAN}:${process.env.PATH}` }
  }
}

/** No path of this machine stays in the addon. @param {string} source @param {string} targetFolder */
function remapped(source, targetFolder) {
  const registry = path.join(CARGO_HOME, 'registry', 'src')
  const crates = fs.existsSync(registry) ? fs.readdirSync(registry).map(name => path.join(registry, name)) : []
  const places = [
    [CARGO_HOME, '/cargo'],
    ...crates.map(folder => [folder, '/cargo/crates']),
    [source, '/tls-pinning'],
    [targetFolder, '/tls-pinning/target']
  ]
  // The last that fits counts.
  return places.map(([from, to]) => `--remap-path-prefix=${from}=${to}`)
}

/** napi-build links to Node's library by name. Nothing is taken out of it: the addon looks its functions up. @param {string} parent */
function libnode(parent) {
  const folder = path.join(parent, 'libnode')
  fs.mkdirSync(folder, { recursive: true })
  for (const name of ['libnode.dll', 'libnode.dll.a', 'libnode.a']) {
    fs.writeFileSync(path.join(folder, name), '!<arch>\n')
  }
  return folder
}

/**
 * cargo-zigbuild drops the list of exports that Windows needs; an object can carry it, too. Its path is relative, since
 * the names of symbols depend on the compiler's flags, and must not on the folder.
 * @param {string} source
 * @param {string} triple
 */
function listOfExports(source, triple) {
  const object = path.join('target', `exports-${triple}.o`)
  const text = path.join(source, 'target', 'exports.s')
  fs.mkdirSync(path.dirname(text), { recursive: true })
  fs.writeFileSync(text, '.section .drectve,"yn"\n.ascii " -export:napi_register_module_v1"\n')
  const zig = ['-m', 'ziglang', 'cc', '-c', '-target', `${triple.split('-')[0]}-windows-gnu`]
  output(path.join(VENV, 'bin', 'python'), [...zig, text, '-o', path.join(source, object)])
  return object
}

/** The hash of a build of what is committed, in a folder of its own. @param {Target} target */
async function buildElsewhere(target) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-'))
  try {
    const source = path.join(folder, 'clone')
    output('git', ['clone', '--quiet', '--depth=1', `file://${ROOT}`, source])
    return hash(await build(target, source, path.join(folder, 'made')))
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

/** @param {string} file */
function hash(file) {
  return createHash('sha256').update(fs.readFileSync(file)).digest('hex')
}

main().catch(error => {
  console.error(error.message)
  process.exitCode = 1
})

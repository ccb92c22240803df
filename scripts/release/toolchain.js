'use strict'
// What cross builds need, on Debian: its packages of Rust with the sources of the library (for `build-std`) and of LLVM's
// tools, and zig as the C compiler and linker for all systems, from PyPI.

const { execFileSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const ROOT = path.join(__dirname, '..', '..')
/** Where zig and cargo-zigbuild are kept. */
const VENV = path.join(ROOT, 'target', 'zigbuild')
/** Debian's, which has its sources beside it; the toolchain of rustup may have none. */
const DEBIAN = '/usr/bin'
/** A file of each package, and the package. */
const PACKAGES = {
  '/usr/bin/rustc': 'rustc-web',
  '/usr/bin/cargo': 'cargo-web',
  '/usr/lib/rustlib/src/rust/library/std/Cargo.toml': 'rust-web-src',
  '/usr/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-objcopy': 'rust-web-llvm',
  '/usr/bin/llvm-readobj': 'llvm',
  '/usr/bin/python3': 'python3',
  '/usr/share/doc/python3-venv': 'python3-venv'
}
/** The versions that all targets have been built with. */
const WHEELS = ['ziglang==0.17.1', 'cargo-zigbuild==0.24.1']

/** Installs what is missing; as root, since Debian's packages need it. */
function install() {
  const missing = Object.entries(PACKAGES).flatMap(([file, name]) => (fs.existsSync(file) ? [] : [name]))
  if (missing.length > 0) {
    if (process.getuid?.() !== 0) throw new Error(`missing here: apt-get install ${missing.join(' ')}`)
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    run('apt-get', ['update', '-q'], { env })
    run('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...missing], { env })
  }
  const stamp = path.join(VENV, 'wheels')
  if (fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === WHEELS.join('\n')) return
  run('/usr/bin/python3', ['-m', 'venv', '--clear', VENV])
  run(path.join(VENV, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', ...WHEELS])
  fs.writeFileSync(stamp, WHEELS.join('\n'))
}

/** @param {string} program @param {string[]} args @param {import('node:child_process').ExecFileSyncOptions} [options] */
function run(program, args, options) {
  console.error(`${program} ${args.join(' ')}`)
  execFileSync(program, args, { ...options, stdio: ['ignore', 2, 2] })
}

/** What a tool prints. @param {string} program @param {string[]} args */
function output(program, args) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 28 })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr}`)
  return stdout
}

module.exports = { DEBIAN, ROOT, VENV, install, output }

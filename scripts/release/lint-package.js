'use strict'
// Lints what is published, as it is packed: publint what its package.json says, "are the types wrong?" how TypeScript finds
// its declarations. That is `dist/`, where stage.js has filled it, and else what the clone would pack.

const { execFileSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const ROOT = path.join(__dirname, '..', '..')
const DIST = path.join(ROOT, 'dist')
const TOOLS = path.join(__dirname, 'lint')
const shell = process.platform === 'win32'
const npm = shell ? 'npm.cmd' : 'npm'

main()

function main() {
  install()
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-lint-'))
  try {
    const failures = packages().flatMap(source => lint(source, folder))
    for (const failure of failures) console.error(failure)
    process.exitCode = failures.length === 0 ? 0 : 1
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

function install() {
  const changed = (/** @type {string} */ file) =>
    fs.statSync(path.join(TOOLS, file), { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (changed('node_modules/.package-lock.json') >= changed('package-lock.json')) return
  execFileSync(npm, ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: TOOLS,
    stdio: ['ignore', 2, 2],
    shell
  })
}

/** The folders to pack. */
function packages() {
  if (!fs.existsSync(path.join(DIST, 'tls-pinning'))) return [ROOT]
  const platforms = fs.readdirSync(path.join(DIST, '@tls-pinning'))
  return [path.join(DIST, 'tls-pinning'), ...platforms.map(name => path.join(DIST, '@tls-pinning', name))]
}

/**
 * @param {string} source
 * @param {string} folder for the archive
 */
function lint(source, folder) {
  const args = ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder]
  const file = path.join(folder, execFileSync(npm, args, { cwd: source, encoding: 'utf8', shell }).trim())
  const checks = [['publint', 'run', file, '--strict']]
  // The packages of the platforms hold an addon, and no declarations.
  if (!source.includes('@tls-pinning')) checks.push(['attw', file, '--no-definitely-typed', '--no-emoji'])
  return checks.flatMap(([tool, ...rest]) => {
    const { status } = spawnSync(path.join(TOOLS, 'node_modules', '.bin', tool), rest, { stdio: 'inherit', shell })
    return status === 0 ? [] : [`${tool} refuses ${path.relative(ROOT, source) || 'the package'}`]
  })
}

'use strict'
// Runs the suites that depend on the version of Node in each that is supported, or those of them whose names begin with an
// argument, and then the suites in `runtimes/` with Bun and Deno. Each Node is the newest of its line, from npm, in a folder
// of its own.

const { execFileSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const VERSIONS = [20, 22, 24, 26]
/** Each with all whose names begin so. */
const SUITES = [
  'node-facts',
  'names-differential',
  'identity',
  'agent',
  'connector',
  'tls-options',
  'register',
  'assert-pinned',
  'mitm',
  'cli-drill',
  // What follows Node's own fetch, streams and event loop.
  'fetch',
  'redirects',
  'loop',
  'decode',
  'threads'
]

/** What other runtimes are started with. @type {Record<string, string[]>} */
const RUNTIMES = {
  'bun@1': ['--expose-gc'],
  'deno@2': ['run', '-A', '--quiet', '--v8-flags=--expose-gc']
}

const root = path.join(__dirname, '..')
const tests = path.join(root, '__test__')
const nodes = path.join(root, 'target', 'nodes')
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'

const wanted = process.argv.slice(2)
const names = wanted.length === 0 ? SUITES : wanted
const failures = names.filter(name => suitesOf(name).length === 0).map(name => `no suite is called ${name}`)
const files = [...new Set(names.flatMap(suitesOf))].sort()

for (const version of failures.length === 0 ? VERSIONS : []) {
  const node = nodeOf(version)
  const exact = versionOf(node)
  if (!exact.startsWith(`v${version}.`)) {
    failures.push(`Node ${version} is missing${exact && `: ${node} is ${exact}`}`)
    continue
  }
  console.log(`\n# Node ${exact}: ${files.length} suites\n`)
  const { status, signal } = spawnSync(node, ['--test', '--test-concurrency=2', ...files], {
    stdio: 'inherit',
    cwd: root
  })
  if (status !== 0) failures.push(`Node ${exact}: ${signal ?? `exit code ${status}`}`)
}

// On Windows npm's programs are scripts of a shell.
const isAll = failures.length === 0 && wanted.length === 0 && process.platform !== 'win32'
for (const [release, flags] of isAll ? Object.entries(RUNTIMES) : []) {
  const name = release.replace(/@.*/, '')
  const program = installed(release, release, path.join('.bin', name))
  console.log(`\n# ${name}: ${versionOf(program) || 'missing'}\n`)
  // The suites, and their servers, are run by this Node; what they are about, by the runtime.
  const suites = fs.readdirSync(path.join(tests, 'runtimes')).filter(file => file.endsWith('.test.js'))
  // Without a file, Node would look for some by itself.
  if (suites.length === 0) throw new Error('there is no suite in __test__/runtimes')
  const { status, signal } = spawnSync(
    process.execPath,
    ['--test', '--test-concurrency=2', ...suites.map(file => path.join(tests, 'runtimes', file))],
    { stdio: 'inherit', cwd: root, env: { ...process.env, TLS_PINNING_RUNTIME: JSON.stringify([program, ...flags]) } }
  )
  if (status !== 0) failures.push(`${name}: ${signal ?? `exit code ${status}`}`)
}

console.log(
  failures.length === 0 ? `\nAll of Node ${VERSIONS.join(', ')}, Bun and Deno pass` : `\n${failures.join('\n')}`
)
process.exitCode = failures.length === 0 ? 0 : 1

/** @param {string} name */
function suitesOf(name) {
  const found = fs.readdirSync(tests).filter(file => file.startsWith(name) && /\.test\.m?js$/.test(file))
  return found.map(file => path.join(tests, file))
}

/**
 * The program, installed where it is missing.
 * @param {number} version
 */
function nodeOf(version) {
  const program = path.join('node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  return installed(String(version), `node@${version}`, program, `v${version}.`)
}

/**
 * @param {string} name of the folder
 * @param {string} wanted the package
 * @param {string} program its program, in node_modules
 * @param {string} [begins] what the program has to say of its version
 */
function installed(name, wanted, program, begins = '') {
  const folder = path.join(nodes, name)
  const file = path.join(folder, 'node_modules', program)
  // To ask it also finds what an interrupted installation left behind.
  const told = versionOf(file)
  if (told !== '' && told.startsWith(begins)) return file
  console.error(`Installing ${wanted}`)
  fs.rmSync(folder, { recursive: true, force: true })
  fs.mkdirSync(folder, { recursive: true })
  // Without it, npm would look for a package further up, and put this beside this package's own dependencies.
  fs.writeFileSync(path.join(folder, 'package.json'), '{ "private": true }\n')
  try {
    const args = ['install', '--no-audit', '--no-fund', '--no-save', wanted]
    execFileSync(npm, args, { cwd: folder, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' })
  } catch (error) {
    console.error(String(error))
  }
  return file
}

/**
 * What a program says of itself; nothing where there is none.
 * @param {string} node
 */
function versionOf(node) {
  return spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout?.trim() ?? ''
}

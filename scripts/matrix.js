'use strict'
// Runs the suites that depend on the version of Node in each that is supported, or those of them whose names begin with an
// argument. Each Node is the newest of its line, from npm, in a folder of its own.

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

console.log(failures.length === 0 ? `\nAll of Node ${VERSIONS.join(', ')} pass` : `\n${failures.join('\n')}`)
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
  const folder = path.join(nodes, String(version))
  const program = path.join(folder, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
  // To ask it also finds what an interrupted installation left behind.
  if (versionOf(program).startsWith(`v${version}.`)) return program
  console.error(`Installing Node ${version}`)
  fs.rmSync(folder, { recursive: true, force: true })
  fs.mkdirSync(folder, { recursive: true })
  // Without it, npm would look for a package further up, and put this Node beside this package's own dependencies.
  fs.writeFileSync(path.join(folder, 'package.json'), '{ "private": true }\n')
  try {
    const args = ['install', '--no-audit', '--no-fund', '--no-save', `node@${version}`]
    execFileSync(npm, args, { cwd: folder, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' })
  } catch (error) {
    console.error(String(error))
  }
  return program
}

/**
 * What a program says of itself; nothing where there is none.
 * @param {string} node
 */
function versionOf(node) {
  return spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout?.trim() ?? ''
}

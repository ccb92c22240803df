'use strict'
// Installs the peers, and finds out which can be measured and whether they pin.

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { inChild } = require('./children.js')
const { ADAPTERS } = require('./clients')
const { folderOf } = require('./clients/shared.js')
const { buildLimit } = require('./limit.js')
const { OURS } = require('./workloads.js')

/** Without these the result says nothing. */
const NEEDED = [OURS, 'https', 'undici']

/** @typedef {{ version: string, pins: boolean, note?: string }} Peer */

function installPeers() {
  const changed = (/** @type {string} */ file) =>
    fs.statSync(path.join(__dirname, file), { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (changed('node_modules/.package-lock.json') >= changed('package-lock.json')) return
  console.error('Installing the peers: npm install')
  try {
    execFileSync('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: __dirname,
      stdio: ['ignore', 2, 2],
      shell: process.platform === 'win32'
    })
  } catch {
    console.error('They could not be installed: the comparison is with those alone that are there.')
  }
}

/**
 * Each client refuses a wrong pin, or is marked. One that fails otherwise is left out, with a notice.
 * @param {string[]} names
 * @param {any} task
 * @param {import('./server.js').Ports} ports
 */
async function checkPeers(names, task, ports) {
  /** @type {Record<string, Peer>} */
  const peers = {}
  for (const name of names) {
    try {
      peers[name] = await check(name, task, ports)
    } catch (error) {
      if (NEEDED.includes(name)) throw error
      console.error(`${name} is left out: ${error instanceof Error ? error.message : error}`)
    }
  }
  for (const name of NEEDED) {
    if (peers[name] && !peers[name].pins) throw new Error(`${name} took a wrong pin`)
  }
  return peers
}

/**
 * @param {string} name @param {any} task @param {import('./server.js').Ports} ports
 * @returns {Promise<Peer>}
 */
async function check(name, task, ports) {
  if (name === 'limit') {
    if (!buildLimit()) throw new Error('it could not be built')
    const wrong = { ...task, client: name, port: ports.close, check: true, pin: 'sha256/' }
    const { refused } = await inChild(wrong)
    const accepted = await inChild({ ...wrong, pin: task.pin })
    if (accepted.refused) throw new Error(accepted.refused)
    return { version: 'hyper, rustls', pins: refused === 'no pin matches' }
  }
  const version = versionOf(name)
  if (name === 'tls-pinning fetch' && !('createPinnedFetch' in require('..'))) throw new Error('there is none')
  const http2 = name === 'node:http2'
  const port = http2 ? ports.http2 : ports.close
  const { pins } = await inChild({ ...task, client: name, http2, port, check: true })
  return { version, pins, note: ADAPTERS[name].note }
}

/** @param {string} name */
function versionOf(name) {
  if (name.startsWith(OURS)) return require('../package.json').version
  const { package: wanted } = ADAPTERS[name]
  if (!wanted) return `Node.js ${process.versions.node}`
  const folder = folderOf(wanted)
  if (!folder) throw new Error('it is not installed, or not for this Node')
  return JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')).version
}

module.exports = { checkPeers, installPeers }

'use strict'
// A registry on loopback that has this package's packages and no other.

const { fork } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { TOOLS, execute } = require('./tools.js')

/** @typedef {Awaited<ReturnType<typeof startRegistry>>} Registry */

/** @param {string} folder */
async function startRegistry(folder) {
  const storage = path.join(folder, 'registry')
  fs.mkdirSync(storage)
  const execPath = path.join(TOOLS, 'node_modules', 'node', 'bin', 'node')
  const child = fork(path.join(__dirname, 'registry-server.js'), [storage], {
    execPath,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc']
  })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', text => { log += text })
  const ended = once(child, 'exit').then(() => {
    throw new Error(`the registry ended: ${log}`)
  })
  ended.catch(() => {})
  const [{ port }] = await Promise.race([once(child, 'message'), ended])
  const address = `127.0.0.1:${port}`
  return {
    url: `http://${address}/`,
    // npm publishes nothing without a token, even where none is asked for.
    npmrc: `registry=http://${address}/\n//${address}/:_authToken=none\n`,
    log: () => log,
    close: async () => {
      child.kill()
      await ended.catch(() => {})
    }
  }
}

/**
 * @param {string} folder a package of `dist/`
 * @param {string} into
 * @returns {Promise<{ name: string, filename: string, size: number, unpackedSize: number, files: { path: string, mode: number }[] }>}
 */
async function pack(folder, into) {
  const { output } = await execute('npm', ['pack', '--json', '--pack-destination', into], { cwd: folder })
  return /** @type {any} */ (Object.values(JSON.parse(output))[0])
}

/**
 * @param {string} file
 * @param {Registry} registry
 * @param {string} folder for npm's own files
 */
async function publish(file, registry, folder) {
  const userconfig = path.join(folder, 'publisher.npmrc')
  fs.writeFileSync(userconfig, registry.npmrc)
  await execute('npm', ['publish', file, '--access', 'public', '--userconfig', userconfig], { cwd: folder })
}

module.exports = { pack, publish, startRegistry }

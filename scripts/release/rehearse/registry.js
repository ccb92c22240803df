'use strict'
// A package registry on loopback. It has what is published to it; all other packages it passes on from the registry that
// npm is set up with here.

const { execFileSync, spawn } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')

const OURS = ['tls-pinning', '@tls-pinning/*']

/**
 * @param {string} folder where it keeps its files
 * @returns {Promise<{ url: string, publish(folder: string): void, close(): void }>}
 */
async function startRegistry(folder) {
  fs.mkdirSync(folder, { recursive: true })
  const upstream = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const all = { access: '$all', publish: '$all', unpublish: '$all' }
  const config = {
    storage: path.join(folder, 'storage'),
    uplinks: { upstream: { url: upstream, maxage: '1h' } },
    packages: { ...Object.fromEntries(OURS.map(name => [name, all])), '**': { access: '$all', proxy: 'upstream' } },
    max_body_size: '100mb',
    log: { type: 'file', path: path.join(folder, 'log'), level: 'warn', format: 'json' }
  }
  const configFile = path.join(folder, 'config.yaml')
  // JSON is YAML.
  fs.writeFileSync(configFile, JSON.stringify(config))
  const userConfig = path.join(folder, 'npmrc')
  fs.writeFileSync(userConfig, `registry=${url}/\n//127.0.0.1:${port}/:_authToken=rehearsal\n`)

  const program = require.resolve('verdaccio/bin/verdaccio')
  const child = spawn(process.execPath, [program, '--config', configFile, '--listen', url], { stdio: 'ignore' })
  const ended = new Promise((_, reject) =>
    child.on('exit', status => reject(new Error(`verdaccio ended with ${status}`)))
  )
  ended.catch(() => {})
  await Promise.race([ended, reachable(`${url}/-/ping`)])
  return {
    url: `${url}/`,
    publish(published) {
      const args = [
        'publish',
        '--userconfig',
        userConfig,
        '--registry',
        `${url}/`,
        '--access',
        'public',
        '--ignore-scripts'
      ]
      execFileSync('npm', args, { cwd: published, stdio: ['ignore', 'ignore', 'pipe'] })
    },
    close: () => void child.kill()
  }
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {net.AddressInfo} */ (server.address())
      server.close(() => resolve(port))
    })
  })
}

/** @param {string} url */
async function reachable(url) {
  for (;;) {
    const found = await fetch(url).then(
      response => response.ok,
      () => false
    )
    if (found) return
    await new Promise(resolve => setTimeout(resolve, 100))
  }
}

module.exports = { startRegistry }

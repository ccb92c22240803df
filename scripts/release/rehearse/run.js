'use strict'
// Publishes what is staged to a registry on loopback and then does what users do, each in an empty folder:
//
//   npm run release:rehearse -- [--host] [--only WORD] [--keep]
//
// `--host` takes the addon of this clone instead of those in `artifacts/`, and leaves other systems out. `--keep` keeps the
// folders. Ends with the count of the journeys that passed and failed.

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { parseArgs } = require('node:util')
const { stage } = require('../stage.js')
const { startRegistry } = require('./registry.js')
const { startServer } = require('./server.js')
const { User, userPath } = require('./user.js')

const GROUPS = ['contents', 'node', 'typescript', 'bundlers', 'managers', 'foreign']

async function main() {
  const { values } = parseArgs({
    options: { host: { type: 'boolean' }, only: { type: 'string', default: '' }, keep: { type: 'boolean' } }
  })
  if (!fs.existsSync(path.join(__dirname, 'node_modules', '.package-lock.json'))) {
    execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: __dirname, stdio: ['ignore', 2, 2] })
  }
  const { folders, missing } = stage({ host: values.host })
  if (missing.length > 0) console.log(`Not rehearsed, for want of an addon: ${missing.join(', ')}`)

  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'rehearsal-'))
  const registry = await startRegistry(path.join(root, 'registry'))
  const server = await startServer(root)
  const world = { path: userPath(path.join(root, 'bin')), registry: registry.url, place: server.place, folders }
  const count = { passed: 0, failed: 0 }
  try {
    for (const folder of folders) registry.publish(folder)
    for (const [name, run] of journeys(missing, values.host === true)) {
      if (!name.includes(values.only)) continue
      const user = new User(path.join(root, name.replace(/\W+/g, '-')), world)
      const started = Date.now()
      const before = server.refused()
      const error = await run(user).then(
        () => (server.refused() === before ? undefined : new Error('a request arrived that a pin should have stopped')),
        (/** @type {Error} */ reason) => reason
      )
      console.log(`${error ? 'FAILED' : 'ok    '} ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`)
      if (error) console.log(`${error.message}\n`.replace(/^/gm, '       '))
      count[error ? 'failed' : 'passed'] += 1
      if (!error && !values.keep) fs.rmSync(user.folder, { recursive: true, force: true })
    }
  } finally {
    registry.close()
    server.close()
    if (values.keep || count.failed > 0) console.log(`The folders are kept: ${root}`)
    else fs.rmSync(root, { recursive: true, force: true })
  }
  console.log(`${count.passed} passed, ${count.failed} failed`)
  process.exitCode = count.failed === 0 && count.passed > 0 ? 0 : 1
}

/**
 * @param {string[]} missing platforms that are not there; what is about one begins with its name
 * @param {boolean} host
 * @returns {[string, (user: InstanceType<typeof User>) => Promise<void>][]}
 */
function journeys(missing, host) {
  const groups = GROUPS.filter(group => !host || group !== 'foreign')
  const all = groups.flatMap(group => Object.entries(require(`./journeys/${group}.js`).journeys))
  return /** @type {any} */ (all.filter(([name]) => !missing.some(platform => name.startsWith(`${platform}:`))))
}

main().catch(error => {
  console.error(error)
  process.exitCode = 1
})

'use strict'
// The release without the release: stages what is in `artifacts/`, publishes it to a registry on loopback, and does what
// users do, each in an empty folder with no compiler on the PATH.
//
//   npm run release:rehearse                  everything there is an addon for
//   npm run release:rehearse -- --host        only this machine's platform, with the addon that is built in the clone
//   npm run release:rehearse -- --only WORD   the journeys whose names have the word
//
// Installs what it needs: the tools of `rehearse/tools/` from npm and, unless `--host`, emulators from Debian's packages.

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { parseArgs } = require('node:util')
const { installTools } = require('./rehearse/tools.js')
const { makePath, User } = require('./rehearse/user.js')
const { pack, publish, startRegistry } = require('./rehearse/registry.js')
const { startService } = require('./rehearse/service.js')
const { addonOf, stage } = require('./stage.js')
const { TARGETS } = require('./targets.js')

/**
 * @typedef {object} Context
 * @property {User} user in an empty folder
 * @property {import('./rehearse/service.js').Service} service
 * @property {import('./rehearse/registry.js').Packed[]} packed what was published
 * @property {(name: string) => User} another one more user
 */

/**
 * What is done by one user.
 *
 * @typedef {object} Journey
 * @property {string} name
 * @property {string} [platform] of the addon that it runs, default: this machine's
 * @property {(context: Context) => Promise<string | void>} run what it returns is printed
 */

/** @type {Journey[]} */
const JOURNEYS = ['contents', 'npm', 'cli', 'typescript', 'bundlers', 'managers', 'runtimes', 'foreign'].flatMap(file =>
  require(`./rehearse/journeys/${file}.js`)
)

async function main() {
  const { values } = parseArgs({ options: { host: { type: 'boolean', default: false }, only: { type: 'string' } } })
  const { host, only = '' } = values
  const journeys = JOURNEYS.filter(({ name, platform }) => name.includes(only) && !(host && platform))
  if (journeys.length === 0) throw new Error(`no journey has '${only}' in its name`)
  installTools()
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-rehearsal-'))
  process.once('exit', () => fs.rmSync(folder, { recursive: true, force: true }))

  const { folders, missing } = stage({ ...(host && { artifacts: ownAddon(folder) }), dist: path.join(folder, 'dist') })
  if (!host && missing.length > 0) console.log(`without an addon in artifacts/: ${missing.join(', ')}`)
  const registry = await startRegistry(folder)
  const service = await startService()
  try {
    const packed = []
    for (const staged of folders) packed.push(await pack(staged, folder))
    for (const { filename } of packed) await publish(path.join(folder, filename), registry, folder)
    const bin = path.join(folder, 'bin')
    makePath(bin)
    let users = 0
    const another = (/** @type {string} */ name) =>
      new User(path.join(folder, `${++users}-${name.replace(/\W+/g, '-')}`), bin, registry)
    const results = { passed: 0, failed: 0, left: 0 }
    for (const journey of journeys) {
      if (journey.platform && missing.includes(journey.platform)) {
        results.left += 1
        console.log(`-       ${journey.name}: no addon for ${journey.platform}`)
      } else {
        results[await travel(journey, { user: another(journey.name), service, packed, another })] += 1
      }
    }
    if (results.left > 0) console.log(`${results.left} not run`)
    console.log(`${results.passed} passed, ${results.failed} failed`)
    process.exitCode = results.failed > 0 ? 1 : 0
  } finally {
    await service.close()
    await registry.close()
  }
}

/**
 * @param {Journey} journey
 * @param {Context} context
 */
async function travel({ name, run }, context) {
  const started = Date.now()
  const seconds = () => `${((Date.now() - started) / 1000).toFixed(1)} s`.padStart(6)
  try {
    const remark = await run(context)
    console.log(`passed  ${seconds()}  ${name}${remark ? `: ${remark}` : ''}`)
    return 'passed'
  } catch (error) {
    console.log(`FAILED  ${seconds()}  ${name}\n${/** @type {Error} */ (error).message.replace(/^/gm, '    ')}`)
    return 'failed'
  } finally {
    fs.rmSync(context.user.home, { recursive: true, force: true })
  }
}

/**
 * A folder with the addon that was built for this machine.
 * @param {string} folder
 */
function ownAddon(folder) {
  const root = path.join(__dirname, '..', '..')
  const own = TARGETS.find(({ platform }) => fs.existsSync(path.join(root, addonOf(platform))))
  if (!own) throw new Error('there is no addon in the clone: npm run build')
  const artifacts = path.join(folder, 'artifacts')
  fs.mkdirSync(artifacts)
  fs.copyFileSync(path.join(root, addonOf(own.platform)), path.join(artifacts, addonOf(own.platform)))
  return artifacts
}

main().catch(error => {
  console.error(error)
  process.exitCode = 1
})

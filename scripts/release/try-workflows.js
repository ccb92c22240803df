'use strict'
// Runs the commands of the workflows on this machine, each job in a clone of what is committed, as after
// `npm run release`. What belongs to GitHub's machines, or would be seen by others, is left out, and said so.
//
//   npm run test:workflows                    all
//   npm run test:workflows -- release/stage   the jobs that are named, as workflow/job
//
// Takes the Rust and the tools that are installed, the addon of this clone and, for a release, those in `artifacts/`.

const { execFileSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { parse } = require('yaml')

const ROOT = path.join(__dirname, '..', '..')
/** @type {[RegExp, string][]} */
const LEFT_OUT = [
  [/^(rustup|apt-get|pipx|cargo install) /, 'what is installed here is taken'],
  [/^git config --global/, 'this machine has a configuration of its own'],
  [/check advisories/, 'fetches the list of vulnerabilities'],
  [/build:all/, 'takes hours: npm run build:all -- --check'],
  [/publish\.js/, 'publishes; its suite is __test__/release-publish.test.js'],
  [/gh release create/, 'makes a release']
]

main()

function main() {
  const wanted = process.argv.slice(2)
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-workflows-'))
  /** @type {string[]} */
  const failures = []
  try {
    const tagged = path.join(folder, 'tagged')
    const version = release(tagged)
    const store = path.join(folder, 'store')
    if (fs.existsSync(path.join(ROOT, 'artifacts'))) copy(path.join(ROOT, 'artifacts'), path.join(store, 'artifacts'))
    for (const workflow of ['ci', 'release']) {
      const text = fs.readFileSync(path.join(ROOT, '.github', 'workflows', `${workflow}.yml`), 'utf8')
      for (const [name, job] of Object.entries(parse(text).jobs)) {
        const id = `${workflow}/${name}`
        if (wanted.length > 0 && !wanted.includes(id)) continue
        const clone = path.join(folder, id)
        execFileSync('git', ['clone', '--quiet', tagged, clone])
        failures.push(...run(id, job, clone, store, version))
        fs.rmSync(clone, { recursive: true, force: true })
      }
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
  console.log(failures.length === 0 ? '\nAll passed' : `\nFailed:\n${failures.join('\n')}`)
  process.exitCode = failures.length === 0 ? 0 : 1
}

/** A clone in which the version of package.json has been released. @param {string} folder */
function release(folder) {
  execFileSync('git', ['clone', '--quiet', ROOT, folder])
  const { version } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'))
  for (const [key, value] of [
    ['user.name', 'rehearsal'],
    ['user.email', 'rehearsal@example.com']
  ]) {
    execFileSync('git', ['config', key, value], { cwd: folder })
  }
  fs.symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'))
  fs.appendFileSync(path.join(folder, '.git', 'info', 'exclude'), '/node_modules\n')
  execFileSync(process.execPath, ['scripts/release/version.js', version], { cwd: folder, stdio: ['ignore', 2, 2] })
  return version
}

/**
 * @param {string} id
 * @param {any} job
 * @param {string} clone
 * @param {string} store where artifacts of the workflow are
 * @param {string} version
 */
function run(id, job, clone, store, version) {
  for (const file of fs.readdirSync(ROOT).filter(name => name.endsWith('.node')))
    copy(path.join(ROOT, file), path.join(clone, file))
  const env = {
    ...process.env,
    CARGO_TARGET_DIR: path.join(ROOT, 'target'),
    GITHUB_REF_NAME: `v${version}`,
    GITHUB_REPOSITORY: 'owner/tls-pinning',
    GITHUB_SERVER_URL: 'https://github.com',
    GITHUB_WORKSPACE: clone
  }
  /** @type {string[]} */
  const failures = []
  for (const { run: command, uses = '', with: inputs, env: more = {} } of job.steps) {
    if (uses.startsWith('actions/upload-artifact@')) {
      for (const file of inputs.path.trim().split(/\s+/)) {
        // The action leaves out the folders that all paths have in common.
        const place = file.startsWith('artifacts/') ? path.basename(file) : file
        if (!file.includes('*')) copy(path.join(clone, file), path.join(store, inputs.name, place))
      }
    }
    if (uses.startsWith('actions/download-artifact@')) {
      const from = path.join(store, inputs.name)
      if (fs.existsSync(from)) copy(from, path.join(clone, inputs.path ?? '.'))
      else failures.push(`${id}: nothing is called ${inputs.name}`)
    }
    if (!command) continue
    const [, why] = LEFT_OUT.find(([pattern]) => pattern.test(command)) ?? []
    console.log(`\n# ${id}: ${command.trim()}${why ? `\nleft out: ${why}` : ''}`)
    if (why) continue
    const values = Object.fromEntries(Object.keys(more).map(name => [name, matrixValue(job, name)]))
    const { status } = spawnSync('bash', ['-eo', 'pipefail', '-c', command], {
      cwd: clone,
      env: { ...env, ...values },
      stdio: ['ignore', 'inherit', 'inherit']
    })
    if (status !== 0) failures.push(`${id}: ${command.trim()}`)
  }
  return failures
}

/** The first of a job's matrix is this machine's. @param {any} job @param {string} name */
function matrixValue(job, name) {
  return job.strategy?.matrix.include?.[0][name.toLowerCase()]
}

/** @param {string} from @param {string} to */
function copy(from, to) {
  if (fs.existsSync(from)) fs.cpSync(from, to, { recursive: true, preserveTimestamps: false })
}

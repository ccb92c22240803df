'use strict'
// Runs real clients against real servers (`__test__/clients/README.md`) and holds docs/clients.md against what ran.
//
//   node scripts/clients.js              all; fails if the document is another one
//   node scripts/clients.js pg redis     the cases whose names begin so; the document is left alone
//   node scripts/clients.js --write      all, and writes the document
//
// Installs what is missing: the clients and the Node that runs them from npm, the servers from Debian's packages, and, for
// the drill's suite, mitmproxy from PyPI.

const { execFileSync, spawnSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const LEAST = 20
const ROOT = path.join(__dirname, '..')
const FOLDER = path.join(ROOT, '__test__', 'clients')
const NODE = path.join(FOLDER, 'node_modules', 'node', 'bin', 'node')
const DOCUMENT = path.join(ROOT, 'docs', 'clients.md')
const VERSIONS = ['TLSv1.2', 'TLSv1.3']
const MITMPROXY = path.join(ROOT, 'target', 'mitmproxy')

main()

function main() {
  installClients()
  if (fs.realpathSync(process.execPath) !== fs.realpathSync(NODE)) {
    const { status } = spawnSync(NODE, [__filename, ...process.argv.slice(2)], { stdio: 'inherit' })
    process.exit(status ?? 1)
  }
  const words = process.argv.slice(2)
  const names = words.filter(word => !word.startsWith('--'))
  const cases = readCases(names)
  installServers(cases)
  if (names.length === 0) installMitmproxy()
  const results = run(names)
  if (names.length > 0) return
  const document = write(cases, results)
  if (words.includes('--write')) {
    fs.mkdirSync(path.dirname(DOCUMENT), { recursive: true })
    fs.writeFileSync(DOCUMENT, document)
  } else if (!fs.existsSync(DOCUMENT) || fs.readFileSync(DOCUMENT, 'utf8') !== document) {
    const actual = path.join(os.tmpdir(), 'clients.md')
    fs.writeFileSync(actual, document)
    spawnSync('diff', ['-u', DOCUMENT, actual], { stdio: 'inherit' })
    fail('docs/clients.md is not what ran; if this is as it should be: node scripts/clients.js --write')
  }
}

function installClients() {
  const changed = (/** @type {string} */ file) =>
    fs.statSync(path.join(FOLDER, file), { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (changed('node_modules/.package-lock.json') >= changed('package-lock.json') && fs.existsSync(NODE)) return
  console.error('Installing the clients: npm ci')
  execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: FOLDER, stdio: ['ignore', 2, 2] })
}

/** @param {string[]} names */
function readCases(names) {
  // Also makes `require('tls-pinning')` work for the cases.
  require(path.join(FOLDER, 'client.js'))
  const all = fs
    .readdirSync(path.join(FOLDER, 'cases'))
    .filter(file => file.endsWith('.js'))
    .map(file => ({ ...require(path.join(FOLDER, 'cases', file)), file: file.slice(0, -'.js'.length) }))
  const clients = new Set(all.map(({ package: client, name }) => client ?? name))
  if (clients.size < LEAST) fail(`only ${clients.size} clients found in ${FOLDER}`)
  for (const name of names) {
    if (!all.some(({ file }) => file.startsWith(name))) fail(`there is no case that begins with '${name}'`)
  }
  return all.filter(({ file }) => names.length === 0 || names.some(name => file.startsWith(name)))
}

/** @param {any[]} cases */
function installServers(cases) {
  const wanted = new Set(cases.flatMap(({ server }) => serverOf(server).debian))
  installPackages([...wanted])
}

/** @param {string[]} wanted */
function installPackages(wanted) {
  const missing = wanted.filter(name => {
    const { stdout } = spawnSync('dpkg-query', ['-W', '-f', '$' + '{Status}', name], { encoding: 'utf8' })
    return !stdout?.endsWith(' installed')
  })
  if (missing.length === 0) return
  console.error(`Installing: apt-get install ${missing.join(' ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  const options = /** @type {any} */ ({ env, stdio: ['ignore', 'ignore', 2] })
  try {
    execFileSync('apt-get', ['-qq', 'update'], options)
    execFileSync('apt-get', ['-qq', 'install', '-y', '--no-install-recommends', ...missing], options)
  } catch {
    fail(`some packages could not be installed; on Debian, as root: apt-get install ${missing.join(' ')}`)
  }
}

function installMitmproxy() {
  if (fs.existsSync(path.join(MITMPROXY, 'bin', 'mitmdump'))) return
  console.error('Installing mitmproxy: pip install mitmproxy')
  installPackages(['python3-venv'])
  const options = /** @type {any} */ ({ stdio: ['ignore', 2, 2] })
  execFileSync('python3', ['-m', 'venv', MITMPROXY], options)
  const pip = path.join(MITMPROXY, 'bin', 'pip')
  execFileSync(pip, ['install', '--quiet', '--disable-pip-version-check', 'mitmproxy'], options)
}

/** @param {string[]} names */
function run(names) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-clients-'))
  process.once('exit', () => fs.rmSync(folder, { recursive: true, force: true }))
  const file = path.join(folder, 'results.json')
  const env = { ...process.env, CLIENTS_RESULTS: file, ...(names.length > 0 && { CLIENTS: names.join(',') }) }
  const suites = names.length > 0 ? ['suite.js'] : ['suite.js', 'plaintext.js', 'drill.js', 'migrate.js']
  const files = suites.map(suite => path.join(FOLDER, suite))
  const { status } = spawnSync(NODE, ['--test', ...files], { env, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
  return JSON.parse(fs.readFileSync(file, 'utf8'))
}

/**
 * @param {any[]} cases
 * @param {Record<string, { passed: string[], code: string[] }>} results
 */
function write(cases, results) {
  const rows = cases
    .map(subject => ({ name: subject.package, ...subject, ...results[subject.file] }))
    .sort((a, b) => (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1))
  return `# Clients

Written by \`node scripts/clients.js --write\` from what ran, with Node.js ${process.versions.node.split('.')[0]}; do not edit.
[How it runs](../__test__/clients/README.md).

Each client did an operation on the server with the right pins. It was refused, before the server had one byte, with wrong
pins, by a man in the middle with a certificate that the client trusts, and by a rogue intermediate. “Hook”: with the pins
where the table says. “Register”: with \`node --import tls-pinning/register\` and no pins among its options.

\`ca\` is left out of the table: where a client has a \`ca\`, give it to \`tlsOptions\`, \`PinnedAgent\` or \`pinnedConnector\` too.

| client | version | server | where the pins go | hook | register | where \`ERR_TLS_PIN_MISMATCH\` stands |
| --- | --- | --- | --- | --- | --- | --- |
${rows.map(row).join('\n')}

## Traps

In each of these the client sent its first bytes to the man in the middle although it had been given pins. Under
\`register\` each was refused.

${list(rows, ({ traps = [] }) => traps.map((/** @type {{ text: string }} */ { text }) => text))}

## Notes

${list(rows, ({ notes = [] }) => notes)}
`
}

/** @param {any} subject */
function row({ name, package: client, server, where, passed, code }) {
  const { product, version } = serverOf(server)
  const over = (/** @type {string} */ mode) => {
    const versions = VERSIONS.filter(tls => passed.includes(`${mode} ${tls}`)).map(tls => tls.slice('TLSv'.length))
    return versions.length === 0 ? 'none' : `TLS ${versions.join(', ')}`
  }
  const places = code.map((/** @type {string} */ place) => `\`${place}\``).sort()
  const cells = [
    name,
    versionOf(client),
    `${product} ${version()}`.trim(),
    where,
    over('hook'),
    over('register'),
    places.join(', ')
  ]
  return `| ${cells.join(' | ')} |`
}

/**
 * @param {any[]} rows
 * @param {(subject: any) => string[]} textsOf
 */
function list(rows, textsOf) {
  const lines = rows.flatMap(subject => textsOf(subject).map(text => `- ${subject.name}: ${text}.`))
  return lines.join('\n')
}

/** @param {string} name */
function serverOf(name) {
  return require(path.join(FOLDER, 'servers', name))
}

/** @param {string | null} client as package.json here has it, which may be an alias */
function versionOf(client) {
  if (client === null) return `Node.js ${process.versions.node}`
  const { name, version } = JSON.parse(
    fs.readFileSync(path.join(FOLDER, 'node_modules', client, 'package.json'), 'utf8')
  )
  return `${name} ${version}`
}

/** @param {string} message @returns {never} */
function fail(message) {
  console.error(message)
  process.exit(1)
}

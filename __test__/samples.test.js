'use strict'
// Promise: every sample of the README and of docs/ runs as it stands. Only what a reader has to fill in is filled in: the hosts and the
// pins, by the table below. What each prints is looked at, and every block of the documents is either run here or stands
// in the table with the reason why not.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
const { PinSet } = require('..')
const { keyPair, signedFor } = require('./helpers/dsse')
const { ca, crl, leaf } = require('./helpers/pki')
const { connectProxy } = require('./helpers/proxies')
const { httpsServer } = require('./helpers/servers')

const LIMIT = { timeout: 120_000 }
const ROOT = path.join(__dirname, '..')
// Inside of the package, so that its own name leads to it, as in a program that has installed it.
const FOLDER = path.join(ROOT, 'target', 'samples')

/**
 * What the samples print, in the order of the documents. A text is the reason why a block is not run here.
 * @type {Record<string, (RegExp | { exit: number, prints: RegExp } | string)[]>}
 */
const PRINTS = {
  'docs/errors.md': [/^200$/m],
  'docs/api.md': [],
  'docs/api-register.md': ['register.test.js'],
  'docs/api-testing.md': [],
  'docs/drill.md': [/^\[ 'refused 0' \]$/m],
  'README.md': [
    'what a package that has been published is for',
    /ERR_TLS_PIN_MISMATCH: localhost:\d+: no certificate on the verified path.*CN=localhost/s,
    'run by the continuous integration',
    /key\.pem(.|\n)*sha256\/.{44}(.|\n)*CN=localhost(.|\n)*sha256\/.{44}/,
    /^200$/m,
    /^200 null ok$/m,
    /^200\n200\n200$/m,
    /^200$/m,
    'what `npm test` itself has done'
  ],
  'docs/bundlers.md': Array(6).fill('run by the rehearsal of a release'),
  'docs/client.md': [/^200 null ok$/m, /^200$/m, /^200 ok$/m, /^200$/m],
  'docs/fetch.md': [/^200 true ok$/m, /^fetch failed ERR_TLS_PIN_MISMATCH true$/m],
  'docs/cli.md': ['cli-recipes.test.js', 'cli-recipes.test.js'],
  'docs/getting-started.md': Array(17).fill('getting-started.test.js'),
  'docs/migrate-from-node-recipe.md': [
    /^not a pinned key$/m,
    /CN=localhost(.|\n)*sha256\/.{44}(.|\n)*server\.pem/,
    /^200$/m,
    /^200 ok$/m,
    /^200 cert:sha256:[0-9a-f]{64}$/m,
    /^([0-9A-F]{2}:){31}[0-9A-F]{2}\nsha256\/.{44}$/m,
    /^true$/m,
    /^200$/m,
    /^200$/m,
    { exit: 1, prints: /INTERCEPTED/ },
    /TLSv1\.3(.|\n)*X25519/,
    /match +localhost/
  ],
  'docs/migrate-from-okhttp.md': [
    /^pins-from-okhttp\.json: nothing found$/m,
    /^pins-from-android\.json: nothing found$/m,
    /^200$/m
  ],
  'docs/migrate-http-clients.md': [...Array(12).fill('clients/migrate.js'), /^pinned$/m],
  'docs/pins.md': ['external/openssl.test.js', /sha256\/.{44}\n(.|\n)*on a trusted path/],
  'docs/policies.md': [/^200 localhost ok$/m, /^$/],
  'docs/policy-sources.md': [/^200$/m, /^2$/m],
  'docs/signed-policies.md': ['cli-sign.test.js', /^200/m],
  'docs/reports.md': [
    /^200\n\{ sent: 0, failed: 0, dropped: 0, repeated: 0, waiting: 0 \}$/m,
    /^localhost expires at \d{4}-/m
  ],
  'docs/rotation.md': [/^200$/m, /^$/],
  'docs/node-tls.md': [/^200$/m, /^200 ok$/m, /^connected TLSv1.3$/m, /^200$/m, /^200$/m, /^pinned$/m, /^$/]
}

/** @type {{ close: () => Promise<void>, port: number }[]} */
const servers = []
/** What a reader fills in. @type {[RegExp, string][]} */
let filledIn = []

before(async () => {
  fs.rmSync(FOLDER, { recursive: true, force: true })
  fs.mkdirSync(FOLDER, { recursive: true })
  const root = await ca({ name: 'Root' })
  const cert = await leaf({ issuer: root })
  const device = await leaf({ selfSigned: true, names: ['device.example'], keyPair: cert.keyPair })
  const client = await leaf({ issuer: root, clientAuth: true, names: ['client'] })
  const backup = await leaf({ issuer: root })
  const server = await httpsServer({ cert })
  const deviceServer = await httpsServer({ cert: device })
  const proxy = await connectProxy({ auth: { username: 'user', password: 'password' } })
  servers.push(server, deviceServer, proxy)
  const policy = { hosts: { localhost: [cert.pin, backup.pin] } }
  const vault = await httpsServer({ cert, handler: { body: JSON.stringify({ data: { data: { policy } } }) } })
  servers.push(vault)
  const signer = keyPair()
  filledIn = [
    [/proxy\.example\.com:3128/g, `localhost:${proxy.port}`],
    [/https:\/\/(api\.)?example\.com\//g, `https://localhost:${server.port}/`],
    [/inspect\('api\.example\.com'\)/g, `inspect('localhost:${server.port}')`],
    [/host: 'api\.example\.com', port: 443/g, `host: 'localhost', port: ${server.port}`],
    [/https:\/\/192\.0\.2\.7\//g, `https://127.0.0.1:${deviceServer.port}/`],
    [/'api\.example\.com'/g, "'localhost'"],
    [/"api\.example\.com"/g, '"localhost"'],
    [/(tls-pinning \w+) api\.example\.com/g, `$1 localhost:${server.port}`],
    [/https:\/\/vault\.example\.com\//g, `https://localhost:${vault.port}/`],
    [/https:\/\/pins\.example\.com\//g, ''],
    [/\/var\/lib\/app\/pins\//g, 'cache/'],
    [/MCowBQYDK2VwAyEA…current/g, signer.publicKey],
    [/MCowBQYDK2VwAyEA…backup/g, keyPair().publicKey],
    [/https:\/\/reports\.example\.com\/pins/g, `https://localhost:${server.port}/`],
    [/sha256\/current…/g, cert.pin],
    [/sha256\/backup…/g, backup.pin],
    [/current…/g, cert.pin.slice('sha256/'.length)],
    [/backup…/g, backup.pin.slice('sha256/'.length)]
  ]
  fs.mkdirSync(path.join(FOLDER, 'bin'))
  const npx = `#!/bin/sh\nshift\nexec "${process.execPath}" "${path.join(ROOT, 'bin', 'tls-pinning.js')}" "$@"\n`
  fs.writeFileSync(path.join(FOLDER, 'bin', 'npx'), npx, { mode: 0o755 })
  write('cert.pem', cert.pem)
  write('key.pem', cert.key)
  write('ca.pem', root.pem)
  write('root-crl.pem', await crl({ issuer: root }))
  write('ca-crl.pem', await crl({ issuer: root }))
  write('client.pem', client.pem)
  write('client-key.pem', client.key)
  write('backup.pem', backup.pem)
  write('policy.json', JSON.stringify(policy))
  write('policy.signed.json', signedFor(signer, 'x', { policy }))
  write('app.js', `require('https').get('https://localhost:${server.port}/', r => console.log(r.resume().statusCode))`)
})

after(async () => {
  for (const server of servers) await server.close()
  fs.rmSync(FOLDER, { recursive: true, force: true })
})

for (const [file, expected] of Object.entries(PRINTS)) {
  describe(file, LIMIT, () => {
    const blocks = blocksOf(file)
    const samples = blocks.filter(({ language }) => language === 'js' || language === 'sh')

    it('has the samples that are expected', () => assert.equal(samples.length, expected.length))

    for (const [index, { code, line, language }] of samples.entries()) {
      const outcome = expected[index] ?? ''
      const title = `line ${line}: ${code.split('\n').find(text => text && !/^(import|#)/.test(text))}`
      if (typeof outcome === 'string') {
        it(title, { skip: outcome }, () => {})
        continue
      }
      it(title, async () => {
        const { exit, prints } = outcome instanceof RegExp ? { exit: 0, prints: outcome } : outcome
        const { status, output } =
          language === 'js' ? await script(file, line, fillIn(code)) : await shell(fillIn(code))
        assert.match(output, prints)
        assert.equal(status, exit, output)
      })
    }

    for (const { code, line, language } of blocks) {
      if (language !== 'json') continue
      it(`line ${line}: a policy`, () => assert.ok(new PinSet(JSON.parse(fillIn(code)))))
    }
  })
}

it('every document with samples is run', () => {
  const written = fs.readdirSync(path.join(ROOT, 'docs')).filter(name => name.endsWith('.md'))
  const documents = ['README.md', ...written.map(name => `docs/${name}`)]
  const others = ['SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md']
  for (const file of [...documents, ...others]) {
    if (Object.hasOwn(PRINTS, file)) continue
    const code = blocksOf(file).filter(({ language }) => ['js', 'ts', 'sh', 'json'].includes(language))
    assert.deepEqual(code, [], file)
  }
})

/** @param {string} file */
function blocksOf(file) {
  const text = fs.readFileSync(path.join(ROOT, file), 'utf8')
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(match => ({
    language: match[1],
    code: match[2],
    line: text.slice(0, match.index).split('\n').length
  }))
}

/** @param {string} code */
function fillIn(code) {
  return filledIn.reduce((text, [what, by]) => text.replace(what, by), code)
}

/**
 * @param {string} name
 * @param {string} text
 */
function write(name, text) {
  fs.writeFileSync(path.join(FOLDER, name), text)
}

/**
 * @param {string} file
 * @param {number} line
 * @param {string} code
 */
function script(file, line, code) {
  const name = `${path.basename(file, '.md')}-${line}.mjs`
  write(name, code)
  return run(process.execPath, [name])
}

/**
 * As a user types it, with `npx` for a program that is not installed yet.
 * @param {string} code
 */
function shell(code) {
  return run('sh', ['-ec', code])
}

/**
 * @param {string} program
 * @param {string[]} args
 * @returns {Promise<{ status: number, output: string }>}
 */
function run(program, args) {
  const PATH = [path.join(FOLDER, 'bin'), path.dirname(process.execPath), process.env.PATH].join(path.delimiter)
  const env = { PATH, NODE_EXTRA_CA_CERTS: path.join(FOLDER, 'ca.pem') }
  return new Promise(resolve => {
    execFile(program, args, { cwd: FOLDER, timeout: 30_000, env }, (error, stdout, stderr) =>
      resolve({ status: error ? Number(error.code ?? -1) : 0, output: `${stdout.trimEnd()}${stderr.trimEnd()}` })
    )
  })
}

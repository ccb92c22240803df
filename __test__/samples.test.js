'use strict'
// Promise: every sample of the README and of docs/ runs as it stands. Only what a reader has to fill in is filled in: the hosts and the
// pins, by the table below. What each prints is looked at, and every block of the documents is either run here or named
// with the reason why not.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
const { promisify } = require('node:util')
const { PinSet } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { connectProxy } = require('./helpers/proxies')
const { httpsServer } = require('./helpers/servers')

const LIMIT = { timeout: 120_000 }
const ROOT = path.join(__dirname, '..')
// Inside of the package, so that its own name leads to it, as in a program that has installed it.
const FOLDER = path.join(ROOT, 'target', 'samples')

/**
 * What the samples print, in the order of the documents.
 * @type {Record<string, RegExp[]>}
 */
const PRINTS = {
  'docs/drill.md': [/^\[ 'refused 0' \]$/m],
  'README.md': [
    /ERR_TLS_PIN_MISMATCH: localhost:\d+: no certificate on the verified path.*CN=localhost/s,
    /sha256\/.{44}\n(.|\n)*on a trusted path/,
    /^200 localhost ok$/m,
    /^$/,
    /^200 null ok$/m,
    /^200$/m,
    /^200 ok$/m,
    /^200$/m,
    /^200 ok$/m,
    /^200\n200\n200$/m
  ],
  'docs/fetch.md': [/^200 true ok$/m, /^fetch failed ERR_TLS_PIN_MISMATCH true$/m],
  'docs/node-tls.md': [/^200$/m, /^200 ok$/m, /^connected TLSv1.3$/m, /^200$/m, /^pinned$/m, /^$/]
}

/** Blocks that are not run here. */
const ELSEWHERE = [
  { begins: 'npm install && npm run build', why: 'what `npm test` itself has done' },
  { begins: 'npm start', why: 'run by the continuous integration' },
  { begins: '# from a private key or a certificate', why: 'external/openssl.test.js' }
]

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
  filledIn = [
    [/proxy\.example\.com:3128/g, `localhost:${proxy.port}`],
    [/https:\/\/(api\.)?example\.com\//g, `https://localhost:${server.port}/`],
    [/inspect\('api\.example\.com'\)/g, `inspect('localhost:${server.port}')`],
    [/host: 'api\.example\.com', port: 443/g, `host: 'localhost', port: ${server.port}`],
    [/https:\/\/192\.0\.2\.7\//g, `https://127.0.0.1:${deviceServer.port}/`],
    [/'api\.example\.com'/g, "'localhost'"],
    [/sha256\/current…/g, cert.pin],
    [/sha256\/backup…/g, backup.pin]
  ]
  write('cert.pem', cert.pem)
  write('ca.pem', root.pem)
  write('client.pem', client.pem)
  write('client-key.pem', client.key)
  write('policy.json', JSON.stringify({ hosts: { localhost: [cert.pin, backup.pin] } }))
  write('app.js', `require('https').get('https://localhost:${server.port}/', r => console.log(r.resume().statusCode))`)
})

after(async () => {
  for (const server of servers) await server.close()
  fs.rmSync(FOLDER, { recursive: true, force: true })
})

for (const [file, prints] of Object.entries(PRINTS)) {
  const blocks = blocksOf(file)
  describe(file, LIMIT, () => {
    const samples = blocks.filter(({ language }) => language === 'js')

    it('has the samples that are expected', () => assert.equal(samples.length, prints.length))

    for (const [index, { code, line }] of samples.entries()) {
      it(`line ${line}: ${code.split('\n').find(text => text && !text.startsWith('import'))}`, async () => {
        const name = `${path.basename(file, '.md')}-${line}.mjs`
        write(name, fillIn(code))
        const { stdout, stderr } = await node([name])
        assert.match(stdout.trimEnd() + stderr.trimEnd(), prints[index])
      })
    }

    for (const { code, line, language } of blocks) {
      if (language === 'sh') {
        const elsewhere = ELSEWHERE.find(({ begins }) => code.startsWith(begins))
        it(`line ${line}: ${code.split('\n')[0]}${elsewhere ? `: ${elsewhere.why}` : ''}`, async () => {
          if (elsewhere) return
          const { stdout } = await run('sh', ['-ec', code])
          assert.match(stdout, /^200$/m)
        })
      }
      if (language === 'json') {
        it(`line ${line}: a policy`, () => assert.ok(new PinSet(JSON.parse(fillIn(code)))))
      }
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

/** @param {string[]} args */
function node(args) {
  return run(process.execPath, args)
}

/**
 * @param {string} program
 * @param {string[]} args
 */
function run(program, args) {
  return promisify(execFile)(program, args, {
    cwd: FOLDER,
    timeout: 30_000,
    env: {
      PATH: `${path.dirname(process.execPath)}${path.delimiter}${process.env.PATH}`,
      NODE_EXTRA_CA_CERTS: path.join(FOLDER, 'ca.pem')
    }
  })
}

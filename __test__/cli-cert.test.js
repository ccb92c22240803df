'use strict'
// Promise: `tls-pinning cert` writes what a server presents, as PEM that other tools read, and says where it does not verify.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
const { cli } = require('./helpers/cli')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer, rawServer } = require('./helpers/servers')
const { starttlsServer } = require('./helpers/starttls')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const LIMIT = { timeout: 60_000 }
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-'))
const ROOT = path.join(folder, 'root.pem')
/** @type {Certificate} */ let intermediate
/** @type {Certificate} */ let cert
/** @type {any} */ let server

before(async () => {
  const root = await ca({ name: 'Root' })
  intermediate = await ca({ name: 'Issuing', issuer: root })
  cert = await leaf({ issuer: intermediate })
  fs.writeFileSync(ROOT, root.pem)
  server = await httpsServer({ cert, chain: [intermediate] })
})

after(async () => {
  await server.close()
  fs.rmSync(folder, { recursive: true, force: true })
})

const UNTRUSTED =
  "not trusted: no path from the server's certificate to a trusted root; an intermediate may be missing\n" +
  'for a private CA give its root with --ca FILE; what the server leaves out has to be added there; ' +
  'do not pin what is shown here unless another source says the same\n'

describe('cert', LIMIT, () => {
  it('writes the chain as it was sent', async () => {
    const got = await cli(['cert', `localhost:${server.port}`, '--ca', ROOT])
    assert.deepEqual(got, { status: 0, stdout: cert.pem + intermediate.pem, stderr: '' })
    await server.settled()
    assert.equal(server.appBytes, 0)
  })

  it('--leaf: the server’s own alone', async () => {
    const got = await cli(['cert', `localhost:${server.port}`, '--ca', ROOT, '--leaf'])
    assert.deepEqual(got, { status: 0, stdout: cert.pem, stderr: '' })
  })

  it('--out: to a file, and what is there is replaced', async () => {
    const out = path.join(folder, 'chain.pem')
    fs.writeFileSync(out, 'x'.repeat(100_000))
    const got = await cli(['cert', `localhost:${server.port}`, '--ca', ROOT, '--out', out])
    const stderr = `${out}: 2 certificates of localhost:${server.port}\n`
    assert.deepEqual(got, { status: 0, stdout: '', stderr })
    assert.equal(fs.readFileSync(out, 'utf8'), cert.pem + intermediate.pem)
  })

  it('what does not verify: is written, with a note, and exit code 1', async () => {
    const got = await cli(['cert', `localhost:${server.port}`])
    assert.deepEqual(got, { status: 1, stdout: cert.pem + intermediate.pem, stderr: UNTRUSTED })
  })

  it('in a terminal: the same behind the progress', async () => {
    const { status, stdout } = await cli(['cert', `localhost:${server.port}`, '--leaf'], { pty: true })
    const progress = `asking localhost:${server.port}\r\x1b[K`
    assert.equal(stdout.replaceAll('\r\n', '\n'), progress + cert.pem + UNTRUSTED)
    assert.equal(status, 1)
  })

  it('--starttls', async t => {
    const mail = await starttlsServer('imap', { cert, chain: [intermediate] })
    t.after(() => mail.close())
    const got = await cli(['cert', `localhost:${mail.port}`, '--starttls', 'imap', '--ca', ROOT])
    assert.deepEqual(got, { status: 0, stdout: cert.pem + intermediate.pem, stderr: '' })
  })

  it('--json: one document', async () => {
    const { status, stdout, stderr } = await cli(['cert', `localhost:${server.port}`, '--json', '--ca', ROOT])
    assert.deepEqual(JSON.parse(stdout), {
      target: `localhost:${server.port}`,
      trusted: true,
      chain: [cert, intermediate].map(({ pem, x509 }) => ({ subject: x509.subject, pem })),
      findings: []
    })
    assert.deepEqual([status, stderr], [0, ''])
    const untrusted = await cli(['cert', `localhost:${server.port}`, '--json'])
    const { trusted, findings } = JSON.parse(untrusted.stdout)
    assert.deepEqual([trusted, findings[0].code], [false, 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'])
    assert.deepEqual([untrusted.status, untrusted.stderr], [1, ''])
  })

  it('nobody listens: exit code 3', async () => {
    const gone = await rawServer(() => {})
    await gone.close()
    const stderr = `error: localhost:${gone.port}: the connection was refused\ncheck the port; nothing listens there\n`
    assert.deepEqual(await cli(['cert', `localhost:${gone.port}`]), { status: 3, stdout: '', stderr })
    const { status, stdout } = await cli(['cert', `localhost:${gone.port}`, '--json'])
    assert.deepEqual([status, JSON.parse(stdout).error.code], [3, 'ECONNREFUSED'])
  })

  it('no TLS: exit code 3', async t => {
    const plain = await rawServer(socket => void socket.end('220 mail\r\n'))
    t.after(() => plain.close())
    const { status, stdout, stderr } = await cli(['cert', `localhost:${plain.port}`])
    assert.deepEqual([status, stdout], [3, ''])
    assert.match(stderr, /give --starttls\n$/)
  })

  for (const [args, text] of /** @type {[string[], RegExp][]} */ ([
    [[], /^error: one host is needed, not 0\ntls-pinning cert --help shows examples\n$/],
    [['a.example', 'b.example'], /^error: one host is needed, not 2\n/],
    [['*.example'], /is not a host|\*/],
    [['a.example', '--starttls', 'ssh'], /--starttls ssh is not known/],
    [['a.example', '--scan'], /--scan/]
  ])) {
    it(`${args.join(' ') || 'nothing'}: exit code 2`, async () => {
      const { status, stdout, stderr } = await cli(['cert', ...args])
      assert.match(stderr, text)
      assert.deepEqual([status, stdout], [2, ''])
    })
  }

  it('--out that cannot be written: exit code 2, and nothing on standard output', async () => {
    const out = path.join(folder, 'missing', 'chain.pem')
    const { status, stdout, stderr } = await cli(['cert', `localhost:${server.port}`, '--out', out])
    assert.match(stderr, /^error: .*chain\.pem cannot be written \(ENOENT.*\)\ncheck the path and its permissions\n/)
    assert.deepEqual([status, stdout], [2, ''])
  })
})

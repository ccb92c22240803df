'use strict'
// Promise: `tls-pinning inspect` shows what servers present and accept as it is, marks what is wrong with it, and ends with
// the exit code for it.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
const { cli } = require('./helpers/cli')
const { ca, daysFromNow, leaf } = require('./helpers/pki')
const { connectProxy } = require('./helpers/proxies')
const { httpsServer, rawServer, stallingServer, tlsServer } = require('./helpers/servers')
const { starttlsServer } = require('./helpers/starttls')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const LIMIT = { timeout: 60_000 }
/** What OpenSSL 3 of any version accepts, whatever its own defaults. */
const PLAIN = { ecdhCurve: 'X25519:P-256:P-384' }
const OLD = { ...PLAIN, minVersion: /** @type {const} */ ('TLSv1'), ciphers: 'DEFAULT@SECLEVEL=0' }

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-'))
const ROOT = path.join(folder, 'root.pem')
/** @type {Certificate} */ let root
/** @type {Certificate} */ let intermediate
/** @type {Certificate} */ let cert

before(async () => {
  root = await ca({ name: 'Root' })
  intermediate = await ca({ name: 'Issuing', issuer: root, notAfter: daysFromNow(100.5) })
  cert = await leaf({ issuer: intermediate, notAfter: daysFromNow(60.5) })
  fs.writeFileSync(ROOT, root.pem)
})

after(() => fs.rmSync(folder, { recursive: true, force: true }))

const certificates = () => `  presented, as sent
    1 CN=localhost
      issuer    CN=Issuing
      names     localhost, 127.0.0.1, ::1
      valid     DATE to DATE, 60 days left
      key       EC P-256
      serial    <leaf serial>
      key pin   <leaf pin>
                <leaf curl>
                <leaf hpkp>
                <leaf tlsa>
                <leaf sha512>
      cert pin  <leaf cert>
                <leaf cert512>
                <leaf fingerprint>
    2 CN=Issuing
      issuer    CN=Root
      valid     DATE to DATE, 100 days left
      key       EC P-256, of a CA
      serial    <issuing serial>
      key pin   <issuing pin>
                <issuing curl>
                <issuing hpkp>
                <issuing tlsa>
                <issuing sha512>
      cert pin  <issuing cert>
                <issuing cert512>
                <issuing fingerprint>
`

const TRUSTED = () => `localhost:PORT  127.0.0.1
  trusted    yes, the path is verified for localhost
  handshake  TLSv1.3, TLS_AES_256_GCM_SHA384, X25519, ALPN http/1.1

${certificates()}
  verified path
    <leaf pin>  CN=localhost
    <issuing pin>  CN=Issuing
    <root pin>  CN=Root  (trusted here, not sent)
`

const UNTRUSTED = () => `localhost:PORT  127.0.0.1
  trusted    NO, UNABLE_TO_GET_ISSUER_CERT_LOCALLY
  handshake  TLSv1.3, TLS_AES_256_GCM_SHA384, X25519, ALPN http/1.1

  ! no path from the server's certificate to a trusted root; an intermediate may be missing
    for a private CA give its root with --ca FILE; what the server leaves out has to be added there; do not pin what is shown here unless another source says the same

${certificates()}`

const ACCEPTS = `  accepts
    TLSv1.3  yes, the server’s order decides
      cipher suites  TLS_AES_256_GCM_SHA384        yes
                     TLS_AES_128_GCM_SHA256        yes
                     TLS_CHACHA20_POLY1305_SHA256  yes
      groups         X25519MLKEM768                no
                     secp256r1MLKEM768             no
                     X25519                        yes
                     secp256r1                     yes
                     secp384r1                     yes
                     MLKEM768                      no
                     MLKEM1024                     no
    TLSv1.2  yes, the server’s order decides
      cipher suites  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384        yes
                     TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256        yes
                     TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256  yes
                     TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384          no
                     TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256          no
                     TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256    no
      groups         X25519                                         yes
                     secp256r1                                      yes
                     secp384r1                                      unknown: the server prefers secp256r1, the curve of its certificate
`

describe('inspect', LIMIT, () => {
  it('a server that is well: exit code 0', async t => {
    const server = await serve(t, { tls: PLAIN })
    const { status, stdout, stderr } = await cli(['inspect', `localhost:${server.port}`, '--ca', ROOT])
    assert.equal(tidy(stdout, server), `${TRUSTED()}\n${ACCEPTS}    TLSv1.1  no\n    TLSv1    no\n    SSLv3    no\n`)
    assert.deepEqual([status, stderr], [0, ''])
    await silent(server)
  })

  it('--no-scan: one handshake', async t => {
    const server = await serve(t, { tls: PLAIN })
    const args = ['inspect', `https://localhost:${server.port}/x`, '--ca', ROOT, '--no-scan']
    const { status, stdout, stderr } = await cli(args)
    assert.equal(tidy(stdout, server), TRUSTED())
    assert.deepEqual([status, stderr, server.connections], [0, '', 1])
    await silent(server)
  })

  it('in a terminal: the same, with colours and progress', async t => {
    const server = await serve(t, { tls: PLAIN })
    const args = ['inspect', `localhost:${server.port}`, '--ca', ROOT, '--no-scan']
    const { status, stdout } = await cli(args, { pty: true })
    const text = stdout.replaceAll('\r\n', '\n')
    const progress = 'inspected 0 of 1\r\x1b[Kinspected 1 of 1\r\x1b[K'
    assert.equal(text.slice(0, progress.length), progress)
    const shown = text.slice(progress.length)
    assert.match(shown, /trusted {4}\x1b\[32myes, the path is verified for localhost\x1b\[39m\n/)
    assert.equal(tidy(shown.replace(/\x1b\[\d+m/g, ''), server), TRUSTED())
    assert.equal(status, 0)
  })

  it('a chain that is not trusted: is shown and marked, exit code 1', async t => {
    const server = await serve(t, { tls: PLAIN })
    const { status, stdout, stderr } = await cli(['inspect', `localhost:${server.port}`, '--no-scan'])
    assert.equal(tidy(stdout, server), UNTRUSTED())
    assert.deepEqual([status, stderr], [1, ''])
    await silent(server)
  })

  it('old versions that are accepted: are marked, exit code 1', async t => {
    const server = await serve(t, { tls: OLD })
    const { status, stdout } = await cli(['inspect', `localhost:${server.port}`, '--ca', ROOT])
    const [head, rest] = TRUSTED().split('\n\n  presented')
    const marks = ['TLSv1.1', 'TLSv1'].map(
      version => `  ! the server accepts ${version} (TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA)
    switch ${version} off on the server (RFC 8996)
`
    )
    const old = ['TLSv1.1', 'TLSv1  '].map(version => `    ${version}  yes, TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA\n`)
    const expected = `${head}\n\n${marks.join('\n')}\n  presented${rest}\n${ACCEPTS}${old.join('')}    SSLv3    no\n`
    assert.equal(tidy(stdout, server), expected)
    assert.equal(status, 1)
    await silent(server)
  })

  it('old versions alone: are found although no certificate is seen', async t => {
    const tls = { ...OLD, maxVersion: /** @type {const} */ ('TLSv1') }
    const server = await serve(t, { tls })
    const { status, stdout, stderr } = await cli(['inspect', `localhost:${server.port}`])
    assert.match(tidy(stdout, server), /^localhost:PORT {2}127.0.0.1\n {2}handshake {2}failed: localhost:PORT: /)
    assert.match(stdout, /! the server accepts TLSv1 \(TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA\)\n/)
    assert.match(stdout, / TLSv1\.3 {2}no\n {4}TLSv1\.2 {2}no\n {4}TLSv1\.1 {2}no\n {4}TLSv1 {4}yes/)
    assert.match(stderr, /^error: localhost:\d+: .*PROTOCOL_VERSION|alert/i)
    assert.equal(status, 1)
  })

  it('a certificate whose days are over, and one whose days have not come: say so', async t => {
    for (const [dates, text, code] of /** @type {[any, RegExp, string][]} */ ([
      [{ notAfter: daysFromNow(-0.5) }, /valid {5}DATE to DATE, over since 1 day\n/, 'CERT_HAS_EXPIRED'],
      [{ notBefore: daysFromNow(1.5) }, /valid {5}DATE to DATE, not yet\n/, 'CERT_NOT_YET_VALID'],
      [{ notAfter: daysFromNow(1.5) }, /valid {5}DATE to DATE, 1 day left\n/, '']
    ])) {
      const server = await serve(t, { cert: await leaf({ issuer: intermediate, ...dates }) })
      const { status, stdout } = await cli(['inspect', `localhost:${server.port}`, '--ca', ROOT, '--no-scan'])
      assert.match(tidy(stdout, server), text)
      if (code) assert.match(stdout, new RegExp(`trusted {4}NO, ${code}\n`))
      assert.equal(status, code ? 1 : 0)
    }
  })

  it('text of a certificate cannot reach the terminal', async t => {
    const own = await leaf({ issuer: intermediate, names: ['localhost', 'x\x1b[31m\ny'], subject: 'CN="a\x1b[2Jb"' })
    const server = await serve(t, { cert: own })
    const { stdout } = await cli(['inspect', `localhost:${server.port}`, '--ca', ROOT])
    assert.ok(!stdout.includes('\x1b'))
  })

  it('several hosts: each in its place, those not reached at the end', async t => {
    const [server, other] = [await serve(t, { tls: PLAIN }), await serve(t, { tls: PLAIN })]
    const gone = await nobody()
    const hosts = [server.port, gone, other.port].map(port => `localhost:${port}`)
    const { status, stdout, stderr } = await cli(['inspect', ...hosts, '--ca', ROOT, '--no-scan'])
    assert.equal(tidy(tidy(stdout, server), other), `${TRUSTED()}\n${TRUSTED()}`)
    assert.ok(stdout.indexOf(hosts[0]) < stdout.indexOf(hosts[2]))
    assert.equal(
      stderr,
      `error: localhost:${gone}: the connection was refused\ncheck the port; nothing listens there\n`
    )
    assert.equal(status, 3)
    const worse = await cli(['inspect', ...hosts, '--no-scan'])
    assert.equal(worse.status, 1)
  })

  it('--starttls, --servername, --proxy and --timeout are heeded', async t => {
    const named = await leaf({ issuer: intermediate, names: ['mail.example'] })
    const server = await starttlsServer('smtp', { cert: named, chain: [intermediate] })
    const proxy = await connectProxy()
    t.after(() => Promise.all([server.close(), proxy.close()]))
    const more = ['--starttls', 'smtp', '--servername', 'mail.example', '--proxy', proxy.url, '--ca', ROOT]
    const { status, stdout } = await cli(['inspect', `localhost:${server.port}`, ...more])
    assert.match(stdout, /yes, the path is verified for mail\.example\n/)
    assert.match(stdout, / TLSv1\.3 {2}yes/)
    assert.equal(status, 0)
    assert.equal(proxy.heads.length, server.connections)

    const silent = await stallingServer('accept')
    t.after(() => silent.close())
    const late = await cli(['inspect', `localhost:${silent.port}`, '--timeout', '0.1'])
    assert.equal(late.status, 3)
    assert.match(late.stderr, /^error: localhost:\d+: the TLS handshake was not done within `handshakeTimeout`\n/)
  })

  it('a server that refuses STARTTLS, and one that speaks no TLS: exit code 3, and what to do', async t => {
    const server = await rawServer(socket => void socket.end('554 no\r\n'))
    t.after(() => server.close())
    const refused = await cli(['inspect', `localhost:${server.port}`, '--starttls', 'smtp'])
    assert.deepEqual([refused.status, refused.stdout], [3, ''])
    assert.match(refused.stderr, /^error: .*refused to begin TLS by SMTP: 554 no\n.+\n$/)
    const plain = await cli(['inspect', `localhost:${server.port}`])
    assert.deepEqual([plain.status, plain.stdout], [3, ''])
    assert.match(plain.stderr, /give --starttls\n$/)
  })
})

describe('inspect --json', LIMIT, () => {
  it('is one document, of all hosts', async t => {
    const server = await serve(t, { tls: PLAIN })
    const gone = await nobody()
    const hosts = [`localhost:${server.port}`, `localhost:${gone}`]
    const { status, stdout, stderr } = await cli(['inspect', '--json', ...hosts, '--ca', ROOT])
    const [seen, missed, ...others] = JSON.parse(stdout).hosts
    assert.deepEqual([status, stderr, others], [3, '', []])
    const { chain, path, versions, ...rest } = seen
    assert.deepEqual(rest, {
      target: hosts[0],
      host: 'localhost',
      port: server.port,
      remoteAddress: '127.0.0.1',
      trusted: true,
      untrusted: null,
      protocol: 'TLSv1.3',
      cipher: 'TLS_AES_256_GCM_SHA384',
      group: 'X25519',
      alpn: 'http/1.1',
      incomplete: null,
      findings: []
    })
    assert.deepEqual(
      chain.map((/** @type {any} */ { pem, daysLeft, pins }) => [pem, daysLeft, pins.sha256]),
      [
        [cert.pem, 60, cert.pin],
        [intermediate.pem, 100, intermediate.pin]
      ]
    )
    assert.deepEqual(
      path.map((/** @type {any} */ { spkiPin }) => spkiPin),
      [cert.pin, intermediate.pin, root.pin]
    )
    assert.deepEqual(
      versions.map((/** @type {any} */ { version, outcome }) => [version, outcome]),
      [
        ['TLSv1.3', 'accepted'],
        ['TLSv1.2', 'accepted'],
        ['TLSv1.1', 'refused'],
        ['TLSv1', 'refused'],
        ['SSLv3', 'refused']
      ]
    )
    assert.deepEqual(missed, {
      target: hosts[1],
      error: {
        code: 'ECONNREFUSED',
        message: `localhost:${gone}: the connection was refused`,
        hint: 'check the port; nothing listens there'
      },
      findings: []
    })
  })

  it('has the findings', async t => {
    const server = await serve(t, { tls: OLD })
    const { status, stdout } = await cli(['inspect', '--json', `localhost:${server.port}`])
    const [{ findings, untrusted, trusted }] = JSON.parse(stdout).hosts
    assert.deepEqual(
      findings.map((/** @type {any} */ { kind, code }) => [kind, code]),
      [
        ['untrusted', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
        ['old-version', null],
        ['old-version', null]
      ]
    )
    assert.deepEqual([status, trusted, untrusted.code], [1, false, 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'])
  })
})

describe('wrong usage of inspect', LIMIT, () => {
  /** @type {[string[], RegExp][]} */
  const ROWS = [
    [[], /^error: no host is given\ntls-pinning inspect --help shows examples\n$/],
    [['a b'], /^error: a b is not a host\nwrite example\.com/],
    [['http://a.example'], /is not a host/],
    [['a.example', '--starttls', 'http'], /^error: --starttls http is not known\nwrite one of smtp, /],
    [['a.example', '--timeout', 'soon'], /^error: --timeout soon is not a number of seconds\nwrite --timeout 30/],
    [['a.example', '--timeout', '0'], /^error: --timeout 0 /],
    [['a.example', '--scan', '--no-scan'], /^error: --scan and --no-scan are given\n/],
    [
      ['a.example', '--ca', 'nowhere.pem'],
      /^error: nowhere\.pem cannot be read: ENOENT.*\ncheck the path and the permissions of the file\n$/
    ],
    [['a.example', '--ca', __filename], /^error: .*ca.*\n.+\n$/],
    [['a.example', '--servername', 'a b'], /^error: .*\n.+\n$/],
    [['a.example', '--proxy', 'ftp://p'], /^error: .*\n.+\n$/],
    [['a.example', '--pins'], /^error: .*'--pins'.*\ntls-pinning inspect --help shows examples\n$/s]
  ]
  for (const [args, text] of ROWS) {
    it(`${args.join(' ') || 'nothing'}: exit code 2`, async () => {
      const { status, stdout, stderr } = await cli(['inspect', ...args], { cwd: folder })
      assert.match(stderr, text)
      assert.deepEqual([status, stdout], [2, ''])
    })
  }

  it('--help: examples', async () => {
    const { status, stdout } = await cli(['inspect', '--help'])
    assert.match(
      stdout,
      /^usage: tls-pinning inspect HOST\[:PORT\]… \[options\]\n\n(.*\n)*? {2}tls-pinning inspect api\.example\.com\n/
    )
    assert.ok(stdout.split('\n').every(line => line.length <= 120))
    assert.equal(status, 0)
  })
})

/** @param {any} t @param {any} options */
async function serve(t, options) {
  const server = await httpsServer({ cert, chain: [intermediate], ...options })
  t.after(() => server.close())
  return server
}

async function nobody() {
  const server = await tlsServer(() => {}, { cert })
  await server.close()
  return server.port
}

/** @param {any} server */
async function silent(server) {
  await server.settled()
  assert.deepEqual([server.appBytes, server.requests.length], [0, 0])
}

/** What differs from run to run, by names. @param {any} server @returns {[string, string][]} */
function names(server) {
  return [
    [`localhost:${server.port}`, 'localhost:PORT'],
    ...Object.entries({ leaf: cert, issuing: intermediate, root }).flatMap(([name, certificate]) =>
      of(name, certificate)
    )
  ]
}

/** @param {string} name @param {Certificate} certificate @returns {[string, string][]} */
function of(name, { pin, certPin, fingerprint256, spki, der, serialNumber }) {
  const hash = (/** @type {string} */ algorithm, /** @type {any} */ data) =>
    require('node:crypto').hash(algorithm, data)
  return [
    [pin.replace('sha256/', 'sha256//'), `<${name} curl>`],
    [pin, `<${name} pin>`],
    [`pin-sha256="${pin.slice(7)}"`, `<${name} hpkp>`],
    [`3 1 1 ${hash('sha256', spki)}`, `<${name} tlsa>`],
    [`spki:sha512:${hash('sha512', spki)}`, `<${name} sha512>`],
    [certPin, `<${name} cert>`],
    [`cert:sha512:${hash('sha512', der)}`, `<${name} cert512>`],
    [fingerprint256, `<${name} fingerprint>`],
    [serialNumber, `<${name} serial>`]
  ]
}

/** @param {string} text @param {any} server */
function tidy(text, server) {
  const named = names(server).reduce((text, [value, name]) => text.replaceAll(value, name), text)
  return named.replace(/\b\d{4}-\d\d-\d\d\b/g, 'DATE')
}

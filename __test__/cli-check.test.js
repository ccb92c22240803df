'use strict'
// Promise: `check` says of each host of a policy what a client would find, sends it nothing, and ends with a code that a
// script can rely on. Whatever a server calls itself, it is text in every format.

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
const { entryFindings, hostFindings } = require('../bin/check/findings.js')
const { cli } = require('./helpers/cli')
const { ca, daysFromNow, leaf } = require('./helpers/pki')
const { connectProxy } = require('./helpers/proxies')
const { httpsServer, rawServer, stallingServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const LIMIT = { timeout: 120_000 }
const FOLDER = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-check-'))
const MISSING = `sha256/${Buffer.alloc(32, 1).toString('base64')}`
const BACKUP = `sha256/${Buffer.alloc(32, 2).toString('base64')}`
const EVIL = 'evil\u001b[31m\u009b2J\u202e"<&>\'\n]]>\\'

/** @type {Record<string, Certificate>} */ const certs = {}
/** @type {Certificate} */ let root
/** @type {Certificate} */ let issuer
/** @type {any} */ let server
/** @type {any} */ let proxy

before(async () => {
  root = await ca({ name: 'Root', notAfter: daysFromNow(3000) })
  issuer = await ca({ name: 'Issuer', issuer: root, notAfter: daysFromNow(300) })
  const make = (/** @type {string} */ name, /** @type {any} */ options = {}) =>
    leaf({ issuer, names: [`${name}.example`], notAfter: daysFromNow(90.5), ...options })
  for (const name of ['good', 'renewed', 'issued', 'other', 'a.wild']) certs[name] = await make(name)
  certs.soon = await make('soon', { notAfter: daysFromNow(10.5) })
  certs.over = await make('over', { notBefore: daysFromNow(-9), notAfter: daysFromNow(-2.5) })
  certs.self = await make('self', { issuer: undefined, selfSigned: true })
  certs.twin = await make('twin', { keyPair: issuer.keyPair })
  certs.evil = await make('evil', { subject: (await ca({ name: EVIL })).subject })
  const sni = Object.fromEntries(
    Object.entries(certs).map(([name, cert]) => [`${name}.example`, { ...cert, chain: [issuer] }])
  )
  server = await httpsServer({ cert: certs.good, chain: [issuer], sni })
  // Every name is one of the server's, so that hosts can be called what they are; one is out of order.
  proxy = await connectProxy({
    answer: (socket, head) => {
      if (head.startsWith('CONNECT down.')) return socket.end('HTTP/1.1 502 Down\r\nContent-Length: 0\r\n\r\n')
      const target = net.connect(server.port, '127.0.0.1', () => socket.write('HTTP/1.1 200 OK\r\n\r\n'))
      proxy.track(target.on('error', () => socket.destroy()))
      socket.pipe(target).pipe(socket)
    }
  })
  write('ca.pem', root.pem)
})

after(async () => {
  assert.equal(server.appBytes, 0, 'nothing was sent to any server')
  await proxy.close()
  await server.close()
  fs.rmSync(FOLDER, { recursive: true, force: true })
})

/** A policy with something of everything. */
function everything() {
  const { good, renewed, issued, soon, over, self } = certs
  return {
    unlisted: 'report',
    hosts: {
      'good.example': { leaf: good.pin, ca: issuer.pin },
      'renewed.example': { leaf: [MISSING], ca: BACKUP },
      'issued.example': { leaf: [issued.certPin, BACKUP], expires: daysFromNow(20.5), mode: 'report' },
      'soon.example': [MISSING, `spki:sha512:${sha512(soon)}`],
      'over.example': [over.pin, BACKUP],
      'self.example': [self.pin, BACKUP],
      'other.example': { pins: [issuer.pin], expires: '2020-01-01T00:00:00Z' },
      'down.example': [renewed.pin, BACKUP],
      '*.wild.example': [MISSING, BACKUP]
    }
  }
}

const GOLDEN = `unreachable  down.example     ERR_PROXY_TUNNEL: the proxy localhost:PORT: CONNECT down.example:443 was answered with 502 Bad Gateway (docs/errors.md says what each code means)
match        good.example     <pin of good> on CN=good.example
match        issued.example   <certPin of issued> on CN=issued.example
match        other.example    <pin of issuer> on CN=Issuer; refused all the same: ERR_TLS_PIN_EXPIRED
untrusted    over.example     CERT_HAS_EXPIRED: the server's own certificate, CN=over.example (<pin of over>), has expired at TIME; <pin of over> is pinned: renewed with the same key it matches, and the pins stay as they are
mismatch     renewed.example  no pin is on the path
untrusted    self.example     DEPTH_ZERO_SELF_SIGNED_CERT: the server's certificate is self-signed; to trust it by its pin alone, say \`trust: 'pin-only'\`
match        soon.example     <SHA-512> on CN=soon.example
not checked  *.wild.example

renewed.example: - the policy, + the server
  - <MISSING>  on the leaf
  - <BACKUP>  on an issuer
  + <pin of renewed>  CN=renewed.example, until DATE
  + <pin of issuer>  CN=Issuer, until DATE
  + <pin of root>  CN=Root, until DATE
  ask whoever runs the server, by another way, whether the new keys are theirs; if so: tls-pinning rotate --help

finding  over.example          untrusted: CERT_HAS_EXPIRED: the server's own certificate, CN=over.example (<pin of over>), has expired at TIME; <pin of over> is pinned: renewed with the same key it matches, and the pins stay as they are; by this machine's clock it is TIME
finding  renewed.example       mismatch: its 2 pins are not on the verified path
finding  self.example          untrusted: DEPTH_ZERO_SELF_SIGNED_CERT: the server's certificate is self-signed; to trust it by its pin alone, say \`trust: 'pin-only'\`
finding  soon.example          certificate-expires: CN=soon.example expires on TIME, in 10 days
warning  entry *.wild.example  not-checked: no host is named that it decides about: --host api.example.com
finding  entry issued.example  expires: the entry expires on TIME, in 20 days: from then on its hosts are connected to unpinned
warning  entry issued.example  report-only: the entry only reports: a server that does not match is connected to
finding  entry other.example   expired: the entry expired on 2020-01-01T00:00:00Z, DAYS days ago: its hosts are refused
warning  entry other.example   no-backup-pin: it has one pin: if that key is lost or replaced, every user is locked out; add a backup

all.json: 8 hosts, 4 matching, 1 not reached; 6 findings, 3 warnings
`

describe('the table', LIMIT, () => {
  it('is the same in a pipe and, colours and progress aside, on a terminal', async () => {
    const policy = write('all.json', everything())
    const piped = await check(policy)
    assert.deepEqual([piped.status, piped.stderr], [1, ''])
    assert.equal(masked(piped.stdout), GOLDEN)
    const seen = await check({ pty: true }, policy)
    assert.equal(seen.status, 1)
    assert.match(seen.stdout, /^checking 8 hosts: 0 done\r\x1b\[Kchecking 8 hosts: 1 done\r/)
    assert.match(seen.stdout, /\x1b\[32mmatch\x1b\[39m.*\x1b\[31mmismatch\x1b\[39m/s)
    const plain = seen.stdout
      .replace(/^[^\n]*\x1b\[K/, '')
      .replaceAll(/\x1b\[\d+m/g, '')
      .replaceAll('\r\n', '\n')
    assert.equal(masked(plain), GOLDEN)
  })

  it('of hosts that are named: these alone, under the entries that decide about them', async () => {
    const policy = write('all.json', everything())
    const { status, stdout } = await check(policy, 'a.wild.example', 'GOOD.example:443', 'good.example')
    assert.equal(status, 1)
    const [wild, good, ...rest] = masked(stdout).split('\n')
    assert.equal(wild, 'mismatch  a.wild.example  no pin is on the path (entry *.wild.example)')
    assert.equal(good, 'match     good.example    <pin of good> on CN=good.example')
    assert.equal(rest.at(-2), 'all.json: 2 hosts, 1 matching, 0 not reached; 1 finding, 0 warnings')
  })

  it('says nothing that a terminal obeys, whatever a certificate holds', async () => {
    const { evil } = certs
    const policy = write('evil.json', {
      hosts: { 'evil.example': [MISSING, BACKUP], 'good.example': [certs.good.pin, BACKUP] }
    })
    for (const format of ['table', 'json', 'junit', 'prometheus']) {
      const { stdout } = await check(policy, '--format', format, '--days', '100')
      assert.ok(stdout.includes('evil'), format)
      assert.doesNotMatch(stdout, /[^\n\P{C}]/u, format)
      assert.equal(stdout.includes(evil.pin), format !== 'prometheus', format)
    }
  })
})

describe('exit codes', LIMIT, () => {
  /** @type {[name: string, policy: () => any, args: string[], status: number, code?: string][]} */
  const ROWS = [
    ['all match', () => ({ 'good.example': pins('good') }), [], 0],
    ['all match, by an issuer', () => ({ 'good.example': { ca: [issuer.pin, BACKUP] } }), [], 0],
    ['a mismatch', () => ({ 'good.example': [MISSING, BACKUP] }), [], 1, 'mismatch'],
    ['the pin of the leaf, expected of an issuer', () => ({ 'good.example': { ca: pins('good') } }), [], 1, 'mismatch'],
    [
      'a mismatch that is only reported',
      () => ({ 'good.example': entry([MISSING, BACKUP], { mode: 'report' }) }),
      [],
      1,
      'mismatch, report-only'
    ],
    ['not trusted', () => ({ 'self.example': pins('self') }), [], 1, 'untrusted'],
    ['a certificate for another name', () => ({ 'unknown.example': pins('good') }), [], 1, 'untrusted'],
    [
      'an entry that has expired',
      () => ({ 'good.example': entry(pins('good'), { expires: daysFromNow(-1) }) }),
      [],
      1,
      'expired'
    ],
    [
      'an entry that soon expires',
      () => ({ 'good.example': entry(pins('good'), { expires: daysFromNow(29) }) }),
      [],
      1,
      'expires'
    ],
    [
      'an entry that expires later',
      () => ({ 'good.example': entry(pins('good'), { expires: daysFromNow(31) }) }),
      [],
      0
    ],
    [
      'an entry that soon expires, not within --days',
      () => ({ 'good.example': entry(pins('good'), { expires: daysFromNow(29) }) }),
      ['--days', '5'],
      0
    ],
    ['a certificate that soon expires', () => ({ 'soon.example': pins('soon') }), [], 1, 'certificate-expires'],
    [
      'a certificate that soon expires, not within --days',
      () => ({ 'soon.example': pins('soon') }),
      ['--days', '0'],
      0
    ],
    ['an issuer that expires', () => ({ 'good.example': pins('good') }), ['--days', '301'], 1, 'certificate-expires'],
    [
      'a named host without an entry',
      () => ({ 'good.example': pins('good') }),
      ['--host', 'renewed.example'],
      1,
      'unlisted'
    ],
    [
      'the same, and unlisted hosts are allowed',
      () => ({ unlisted: 'allow', hosts: { 'good.example': pins('good') } }),
      ['renewed.example'],
      1,
      'unlisted'
    ],
    ['no backup', () => ({ 'good.example': certs.good.pin }), [], 0, 'no-backup-pin'],
    ['no backup, --strict', () => ({ 'good.example': certs.good.pin }), ['--strict'], 1, 'no-backup-pin'],
    [
      'unlisted hosts are allowed',
      () => ({ unlisted: 'allow', hosts: { 'good.example': pins('good') } }),
      [],
      0,
      'unlisted-allowed'
    ],
    [
      'unlisted hosts are allowed, --strict',
      () => ({ unlisted: 'allow', hosts: { 'good.example': pins('good') } }),
      ['--strict'],
      1,
      'unlisted-allowed'
    ],
    ['it only reports', () => ({ 'good.example': entry(pins('good'), { mode: 'report' }) }), [], 0, 'report-only'],
    [
      'it only reports, --strict',
      () => ({ 'good.example': entry(pins('good'), { mode: 'report' }) }),
      ['--strict'],
      1,
      'report-only'
    ],
    [
      'a wildcard without a host',
      () => ({ 'good.example': pins('good'), '**.wild.example': pins('good') }),
      [],
      0,
      'not-checked'
    ],
    [
      'a wildcard without a host, --strict',
      () => ({ 'good.example': pins('good'), '**.wild.example': pins('good') }),
      ['--strict'],
      1,
      'not-checked'
    ],
    [
      'a wildcard with a host',
      () => ({ '*.wild.example': pins('a.wild') }),
      ['--host', 'a.wild.example', '--strict'],
      0
    ],
    ['a host that cannot be reached', () => ({ 'down.example': pins('good') }), [], 3],
    ['one that cannot be reached, and a warning', () => ({ 'down.example': MISSING }), [], 3, 'no-backup-pin'],
    [
      'one that cannot be reached, and a warning, --strict',
      () => ({ 'down.example': MISSING }),
      ['--strict'],
      1,
      'no-backup-pin'
    ],
    [
      'one that cannot be reached, and a finding',
      () => ({ 'down.example': pins('good'), 'good.example': [MISSING, BACKUP] }),
      [],
      1,
      'mismatch'
    ],
    [
      'one machine of several, by its address',
      () => ({ 'good.example': pins('good') }),
      ['192.0.2.7', '--servername', 'good.example'],
      0
    ],
    [
      'another machine, with another key',
      () => ({ 'good.example': [MISSING, BACKUP] }),
      ['192.0.2.7', '--servername', 'good.example'],
      1,
      'mismatch'
    ],
    ['a bare list, for a host', () => pins('good'), ['good.example'], 0],
    ['pins alone', () => ({ 'self.example': pins('self') }), ['--pin-only'], 0],
    [
      'pins alone, a mismatch',
      () => ({ 'self.example': entry([MISSING, BACKUP], { mode: 'report', expires: daysFromNow(50) }) }),
      ['--pin-only'],
      1,
      'mismatch, report-only'
    ]
  ]
  for (const [name, policy, args, status, code] of ROWS) {
    it(`${name}: ${status}${code ? `, ${code}` : ''}`, async () => {
      const file = write(`row-${ROWS.findIndex(row => row[0] === name)}.json`, policy())
      const trust = args.includes('--pin-only') ? {} : undefined
      const { status: actual, stdout, stderr } = await check({ bare: trust !== undefined }, file, '--json', ...args)
      const { hosts, entries, findings } = JSON.parse(stdout)
      const codes = [...hosts, ...entries, { findings }].flatMap(one =>
        one.findings.map((/** @type {any} */ { code }) => code)
      )
      assert.deepEqual([actual, [...new Set(codes)].join(', '), stderr], [status, code ?? '', ''])
    })
  }

  /** @type {[name: string, args: string[], message: RegExp, hint: RegExp][]} */
  const WRONG = [
    ['no policy', [], /no policy is given/, /tls-pinning check policy\.json/],
    ['no such file', ['nowhere.json'], /nowhere\.json cannot be read: ENOENT/, /check the path/],
    ['a folder', ['.'], /cannot be read: EISDIR/, /not its folder/],
    [
      'a malformed policy',
      ['malformed.json'],
      /malformed\.json: .*hosts\["a\.example"\]\[0\]: "x" is not a pin/,
      /lint malformed\.json/
    ],
    ['no host to ask', ['wild.json'], /names no host/, /name one/],
    ['what is no host', ['one.json', 'a b'], /a b is not a host/, /write example\.com/],
    ['an unknown option', ['one.json', '--day', '3'], /Unknown option '--day'/, /--help/],
    ['an unknown format', ['one.json', '--format', 'xml'], /no format xml/, /table, json, junit, prometheus/],
    [
      'days that are no number',
      ['one.json', '--days', 'ten'],
      /--days ten is not a whole number/,
      /leave it out for 30/
    ],
    ['a CA that is none', ['one.json', '--ca', 'one.json'], /ca\[0\] holds no certificate/, /./],
    ['a CA beside --pin-only', ['one.json', '--ca', 'ca.pem', '--pin-only'], /--ca cannot count/, /one of them/],
    ['a name for no host', ['one.json', '--servername', 'a.example'], /--servername needs the hosts/, /192\.0\.2\.7/],
    ['a proxy that is none', ['one.json', '--proxy', 'ftp://x'], /a proxy is an http:/, /./]
  ]
  for (const [name, args, message, hint] of WRONG) {
    it(`${name}: 2`, async () => {
      write('malformed.json', { hosts: { 'a.example': ['x'] } })
      write('wild.json', { '*.example': BACKUP })
      write('one.json', { 'good.example': BACKUP })
      const { status, stdout, stderr } = await cli(['check', ...args], { cwd: FOLDER })
      assert.deepEqual([status, stdout], [2, ''])
      const [, told, next] = /^error: (.*)\n(.*)\n$/s.exec(stderr) ?? []
      assert.match(told, message)
      assert.match(next, hint)
      const { error } = JSON.parse((await cli(['check', ...args, '--json'], { cwd: FOLDER })).stdout)
      assert.match(error.message, message)
    })
  }

  it('two formats: 2', async () => {
    const { status, stdout } = await cli(['check', 'one.json', '--json', '--format', 'junit'], { cwd: FOLDER })
    assert.equal(status, 2)
    assert.match(JSON.parse(stdout).error.message, /two formats/)
  })

  it('a clock that cannot be right: 2, and nobody is asked', async () => {
    write('clock.js', 'Date.now = () => 86_400_000')
    const before = server.connections
    const file = write('clock.json', { 'good.example': BACKUP })
    const { status, stderr } = await cli(['check', file], {
      cwd: FOLDER,
      env: { NODE_OPTIONS: '--require ./clock.js' }
    })
    assert.equal(status, 2)
    assert.match(
      stderr,
      /^error: by the clock of this machine it is 1970-01-02T00:00:00.000Z, which cannot be\nset the clock/
    )
    assert.equal(server.connections, before)
  })
})

describe('what cannot be reached', LIMIT, () => {
  it('is told with its code: refused, silent, and what is not TLS', async t => {
    const silent = await stallingServer()
    const plain = await rawServer(socket => socket.end('220 smtp.example ESMTP\r\n'))
    const gone = await rawServer(() => {})
    await gone.close()
    t.after(() => Promise.all([silent.close(), plain.close()]))
    const names = {
      silent: `127.0.0.1:${silent.port}`,
      plain: `localhost:${plain.port}`,
      gone: `127.0.0.1:${gone.port}`
    }
    const file = write('reach.json', Object.fromEntries(Object.values(names).map(name => [name, [MISSING, BACKUP]])))
    const { status, stdout } = await cli(['check', file, '--json', '--timeout', '1'], { cwd: FOLDER })
    const { hosts, summary } = JSON.parse(stdout)
    const code = (/** @type {string} */ name) => hosts.find((/** @type {any} */ { label }) => label === name).error.code
    assert.equal(code(names.silent), 'ERR_TLS_HANDSHAKE_TIMEOUT')
    assert.equal(code(names.plain), 'ERR_SSL_WRONG_VERSION_NUMBER')
    assert.equal(code(names.gone), 'ECONNREFUSED')
    assert.deepEqual([status, summary.unreachable], [3, 3])
  })
})

describe('JSON', LIMIT, () => {
  it('has all of it', async () => {
    const { status, stdout } = await check(write('all.json', everything()), '--json')
    const { policy, time, days, hosts, entries, findings, summary } = JSON.parse(stdout)
    assert.deepEqual([status, policy, days, findings], [1, 'all.json', 30, []])
    assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000)
    assert.deepEqual(summary, { hosts: 8, matching: 4, unreachable: 1, findings: 6, warnings: 3 })
    const renewed = hosts.find((/** @type {any} */ { host }) => host === 'renewed.example')
    const path = [certs.renewed, issuer, root].map(({ pin, x509 }) => ({
      subject: x509.subject,
      pin,
      validTo: new Date(x509.validTo).toISOString()
    }))
    const { error, ...rest } = renewed
    assert.deepEqual(rest, {
      label: 'renewed.example',
      host: 'renewed.example',
      port: 443,
      pattern: 'renewed.example',
      status: 'mismatch',
      accepted: false,
      mode: 'enforce',
      matched: null,
      expected: [
        { pin: MISSING, role: 'leaf' },
        { pin: BACKUP, role: 'ca' }
      ],
      certificates: path,
      findings: [{ code: 'mismatch', level: 'finding', message: 'its 2 pins are not on the verified path' }]
    })
    assert.equal(error.code, 'ERR_TLS_PIN_MISMATCH')
    const state = hosts.map((/** @type {any} */ one) => [
      one.host,
      one.status,
      one.accepted,
      one.matched?.position ?? null
    ])
    assert.deepEqual(state, [
      ['down.example', 'unreachable', false, null],
      ['good.example', 'match', true, 0],
      ['issued.example', 'match', true, 0],
      ['other.example', 'match', false, 1],
      ['over.example', 'untrusted', false, null],
      ['renewed.example', 'mismatch', false, null],
      ['self.example', 'untrusted', false, null],
      ['soon.example', 'match', true, 0]
    ])
    const unchecked = entries.filter((/** @type {any} */ { checked }) => !checked)
    assert.deepEqual(
      unchecked.map((/** @type {any} */ { pattern }) => pattern),
      ['*.wild.example']
    )
  })
})

describe('the expiry of the policy as a whole', LIMIT, () => {
  const OVER = '2020-01-01T00:00:00Z'
  const codes = (/** @type {any} */ { findings }) =>
    findings.flatMap((/** @type {any} */ { code, level }) => (level === 'finding' ? code : []))

  it('that has come is a finding of it and of each host, in every format', async () => {
    const hosts = {
      'good.example': pins('good'),
      'issued.example': { pins: pins('issued'), expires: OVER },
      'other.example': { pins: pins('other'), expires: OVER, onExpiry: 'allow' }
    }
    const file = write('over.json', { expires: OVER, hosts })
    const { status, stdout } = await check(file, '--json')
    const told = JSON.parse(stdout)
    assert.deepEqual([status, told.expires, codes(told)], [1, '2020-01-01T00:00:00.000Z', ['expired']])
    assert.match(
      told.findings[0].message,
      /^the policy expired on 2020-01-01T00:00:00Z, \d+ days ago: every host is ref/
    )
    // The second's own entry says it already; that of the third says the opposite.
    assert.deepEqual(told.hosts.map(codes), [['refused'], [], ['refused']])
    assert.ok(told.hosts.every((/** @type {any} */ one) => one.status === 'match' && !one.accepted))
    assert.match(
      told.hosts[0].findings[0].message,
      /^its pins match, and it is refused all the same: ERR_TLS_PIN_EXPIRED/
    )

    const table = await check(file)
    assert.equal(table.status, 1)
    assert.match(table.stdout, /\nfinding {2}policy +expired: the policy expired on/)
    assert.match(table.stdout, /\nfinding {2}good\.example +refused: its pins match/)
    const junit = await check(file, '--format', 'junit')
    assert.match(junit.stdout, /name="policy">\s*<failure type="expired" message="the policy expired/)
    const series = exposition((await check(file, '--format', 'prometheus')).stdout)
    const gauge = series.filter(({ name }) => name === 'tls_pinning_policy_expires_timestamp_seconds')
    assert.deepEqual(gauge, [{ name: gauge[0]?.name, labels: { policy: file }, value: 1_577_836_800 }])

    const named = await check(file, 'good.example', '--json')
    assert.deepEqual([named.status, codes(JSON.parse(named.stdout))], [1, ['expired']])
  })

  it('that comes within --days is one of it alone', async () => {
    const file = write('soon.json', { expires: daysFromNow(20.5), hosts: { 'good.example': pins('good') } })
    const { status, stdout } = await check(file, '--json')
    const told = JSON.parse(stdout)
    assert.deepEqual([status, codes(told), told.hosts.map(codes)], [1, ['expires'], [[]]])
    assert.match(told.findings[0].message, /^the policy expires on .*, in 20 days: from then on every host is refused$/)
    const later = await check(file, '--days', '10', '--json')
    assert.deepEqual([later.status, JSON.parse(later.stdout).findings], [0, []])
  })

  it('is not there where the policy has none', async () => {
    const file = write('never.json', { 'good.example': pins('good') })
    assert.equal(JSON.parse((await check(file, '--json')).stdout).expires, null)
    assert.doesNotMatch((await check(file, '--format', 'prometheus')).stdout, /policy_expires/)
  })
})

describe('what is behind a match', LIMIT, () => {
  it('a key that the server and its issuer share counts where the entry looks for it', async () => {
    for (const [role, position] of /** @type {const} */ ([
      ['ca', 1],
      ['leaf', 0],
      ['pins', 0]
    ])) {
      const file = write('twin.json', { 'twin.example': { [role]: [issuer.pin, BACKUP] } })
      const [host] = JSON.parse((await check(file, '--json')).stdout).hosts
      assert.deepEqual([host.status, host.matched.position], ['match', position], role)
    }
  })

  it('a handshake that is broken off after the certificates is none, and a mismatch is one all the same', async t => {
    const strict = await httpsServer({ cert: certs.good, chain: [issuer], ca: [root], maxVersion: 'TLSv1.2' })
    t.after(() => strict.close())
    const host = `good.example:${strict.port}`
    const through = await connectProxy({ to: strict.port })
    t.after(() => through.close())
    for (const [pin, status, exit] of /** @type {const} */ ([
      [certs.good.pin, 'unreachable', 3],
      [MISSING, 'mismatch', 1]
    ])) {
      const args = ['check', write('strict.json', { [host]: [pin, BACKUP] }), '--ca', 'ca.pem', '--proxy', through.url]
      const outcome = await cli([...args, '--json'], { cwd: FOLDER })
      const [seen] = JSON.parse(outcome.stdout).hosts
      assert.deepEqual([outcome.status, seen.status, seen.accepted, seen.matched], [exit, status, false, null])
      assert.match(seen.error.code, status === 'mismatch' ? /^ERR_TLS_PIN_MISMATCH$/ : /^ERR_SSL_/)
    }
    assert.equal(strict.appBytes, 0)
  })
})

describe('JUnit', LIMIT, () => {
  /** What an XML parser that is not ours reads. @param {string} xml @returns {any} */
  function parsed(xml) {
    const program = `
import json, sys, xml.etree.ElementTree as tree
def plain(e): return {'tag': e.tag, 'text': (e.text or '').strip(), 'of': [plain(c) for c in e], **{'@' + k: v for k, v in e.attrib.items()}}
print(json.dumps(plain(tree.fromstring(sys.stdin.buffer.read()))))`
    return JSON.parse(execFileSync('python3', ['-c', program], { input: xml, encoding: 'utf8' }))
  }

  it('is XML, with a case for each host and entry', async () => {
    const policy = { ...everything().hosts, 'evil.example': [MISSING, BACKUP] }
    const { status, stdout } = await check(write('all.json', policy), '--format', 'junit')
    assert.equal(status, 1)
    const suites = parsed(stdout)
    const [suite] = suites.of
    assert.deepEqual([suites.tag, suite.tag, suite['@name']], ['testsuites', 'testsuite', 'all.json'])
    const count = (/** @type {string} */ tag) =>
      suite.of.filter((/** @type {any} */ one) => one.of.some((/** @type {any} */ inner) => inner.tag === tag)).length
    for (const element of [suites, suite]) {
      assert.deepEqual(
        ['tests', 'failures', 'errors', 'skipped'].map(name => Number(element[`@${name}`])),
        [suite.of.length, count('failure'), count('error'), count('skipped')]
      )
    }
    assert.deepEqual([suite.of.length, count('failure'), count('error'), count('skipped')], [20, 7, 1, 1])
    const evil = suite.of.find((/** @type {any} */ one) => one['@name'] === 'evil.example')
    assert.deepEqual([evil.of[0].tag, evil.of[0]['@type']], ['failure', 'mismatch'])
    const strict = parsed((await check('all.json', '--format', 'junit', '--strict')).stdout)
    assert.equal(strict['@failures'], '8')
  })

  it('escapes whatever stands in a subject', async () => {
    const { stdout } = await check(
      write('evil.json', { 'evil.example': pins('evil') }),
      '--format',
      'junit',
      '--days',
      '100'
    )
    const [suite] = parsed(stdout).of
    const [
      {
        of: [failure]
      }
    ] = suite.of
    assert.equal(failure['@type'], 'certificate-expires')
    assert.ok(failure['@message'].startsWith('CN=evil\\1b[31m'), failure['@message'])
    for (const character of ['"', '<', '&', '>', "'", ']]'])
      assert.ok(failure['@message'].includes(character), character)
  })
})

describe('Prometheus', LIMIT, () => {
  it('is what its parsers take: each metric once, in one piece, with its type, and no series twice', async () => {
    const policy = { ...everything().hosts, 'evil.example': [MISSING, BACKUP] }
    const { stdout } = await check(write('all "\\.json', policy), '--format', 'prometheus')
    const series = exposition(stdout)
    const one = (/** @type {string} */ name, /** @type {Record<string, string>} */ wanted) => {
      const found = series.filter(
        sample =>
          sample.name === `tls_pinning_${name}` &&
          Object.entries(wanted).every(([key, value]) => sample.labels[key] === value)
      )
      assert.equal(found.length, 1, `${name} ${JSON.stringify(wanted)}`)
      return found[0]
    }
    assert.equal(one('up', { host: 'down.example' }).value, 0)
    assert.equal(one('up', { host: 'good.example' }).value, 1)
    assert.equal(one('match', { host: 'good.example' }).value, 1)
    assert.equal(one('match', { host: 'other.example' }).value, 1)
    assert.equal(one('accepted', { host: 'other.example' }).value, 0)
    assert.equal(one('match', { host: 'renewed.example' }).value, 0)
    assert.ok(!series.some(({ name, labels }) => name === 'tls_pinning_match' && labels.host === 'down.example'))
    const leafOf = one('certificate_not_after_timestamp_seconds', { host: 'soon.example', position: '0' })
    assert.equal(leafOf.value, Date.parse(certs.soon.x509.validTo) / 1000)
    assert.equal(one('entry_expires_timestamp_seconds', { pattern: 'other.example' }).value, 1_577_836_800)
    assert.equal(one('entry_checked', { pattern: '*.wild.example' }).value, 0)
    assert.equal(one('findings', {}).value, 7)
    for (const { labels } of series) assert.equal(labels.policy, 'all "\\.json')
    const evil = one('certificate_not_after_timestamp_seconds', { host: 'evil.example', position: '0' })
    assert.ok(evil.labels.subject.includes('"'), evil.labels.subject)
  })
})

/**
 * The samples of a text in the exposition format 0.0.4, or an error about the first line that is not of it.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 * @param {string} text
 */
function exposition(text) {
  assert.ok(text.endsWith('\n'))
  const done = new Set()
  const seen = new Set()
  let current = ''
  /** @type {{ name: string, labels: Record<string, string>, value: number }[]} */
  const samples = []
  for (const [index, line] of text.slice(0, -1).split('\n').entries()) {
    const help = /^# HELP ([a-z_:][a-z0-9_:]*) [^\\]+$/.exec(line)
    const type = /^# TYPE ([a-z_:][a-z0-9_:]*) gauge$/.exec(line)
    const sample = /^([a-z_:][a-z0-9_:]*)\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\} (\d+)$/.exec(line)
    if (help) {
      assert.ok(!done.has(help[1]), line)
      done.add(help[1])
      current = help[1]
    } else if (type) {
      assert.equal(type[1], current, line)
      assert.ok(text.split('\n')[index - 1].startsWith('# HELP'), line)
    } else if (sample) {
      assert.equal(sample[1], current, line)
      const key = line.slice(0, line.lastIndexOf(' '))
      assert.ok(!seen.has(key), line)
      seen.add(key)
      const labels = [...sample[2].matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [
        name,
        value.replace(/\\(.)/g, (_, character) => (character === 'n' ? '\n' : character))
      ])
      samples.push({ name: sample[1], labels: Object.fromEntries(labels), value: Number(sample[3]) })
    } else {
      assert.fail(`line ${index + 1} is neither a comment nor a sample: ${line}`)
    }
  }
  assert.ok(samples.length > 0)
  return samples
}

describe('the decisions', () => {
  const now = Date.UTC(2030, 0, 1)
  const at = (/** @type {number} */ days) => new Date(now + days * 86_400_000)
  /** @param {any} more @returns {any} */
  const host = more => ({
    label: 'a',
    host: 'a',
    port: 443,
    pattern: 'a',
    accepted: true,
    mode: 'enforce',
    matched: null,
    expected: [],
    certificates: [],
    error: null,
    ...more
  })

  /** @type {[name: string, examined: any, expected: string[]][]} */
  const HOSTS = [
    ['a match', host({ status: 'match' }), []],
    [
      'a match that is refused',
      host({ status: 'match', accepted: false, error: { code: 'E', message: 'a:443: over\nmore' } }),
      ['refused: its pins match, and it is refused all the same: E: over']
    ],
    ['unreachable', host({ status: 'unreachable', error: { code: 'ECONNREFUSED', message: 'x', hint: 'y' } }), []],
    [
      'a certificate at the limit',
      host({ status: 'match', certificates: [{ subject: 'CN=a', pin: 'p', validTo: at(30) }] }),
      ['certificate-expires: CN=a expires on 2030-01-31T00:00:00Z, in 30 days']
    ],
    [
      'a certificate beyond it',
      host({ status: 'match', certificates: [{ subject: 'CN=a', pin: 'p', validTo: new Date(at(30).getTime() + 1) }] }),
      []
    ],
    [
      'an anchor without dates',
      host({ status: 'match', certificates: [{ subject: 'CN=a', pin: 'p', validTo: null }] }),
      []
    ],
    [
      'the clock of what is refused for a date',
      host({
        status: 'untrusted',
        error: { code: 'CERT_HAS_EXPIRED', message: 'a:443: over\nmore' },
        certificates: [{ subject: 'CN=a', pin: 'p', validTo: at(-1) }]
      }),
      ["untrusted: CERT_HAS_EXPIRED: over; by this machine's clock it is 2030-01-01T00:00:00Z"]
    ]
  ]
  for (const [name, examined, expected] of HOSTS) {
    it(`about a host: ${name}`, () => {
      assert.deepEqual(hostFindings(examined, { now, days: 30 }).map(said), expected)
    })
  }

  const two = [MISSING, BACKUP]
  /** @type {[name: string, entry: any, expected: string[]][]} */
  const ENTRIES = [
    ['two pins', { pins: two }, []],
    [
      'at the limit',
      { pins: two, expires: at(30) },
      ['expires: the entry expires on 2030-01-31T00:00:00Z, in 30 days: from then on its hosts are refused']
    ],
    ['beyond it', { pins: two, expires: at(31) }, []],
    [
      'now',
      { pins: two, expires: at(0) },
      ['expired: the entry expired on 2030-01-01T00:00:00Z, less than a day ago: its hosts are refused']
    ],
    [
      'and lets through',
      { pins: two, expires: at(-1), onExpiry: 'allow' },
      ['expired: the entry expired on 2029-12-31T00:00:00Z, 1 day ago: its hosts are connected to unpinned']
    ]
  ]
  for (const [name, entry, expected] of ENTRIES) {
    it(`about an entry: ${name}`, () => {
      assert.deepEqual(entryFindings('a.example', entry, { now, days: 30 }).map(said), expected)
    })
  }

  /** @param {import('../bin/check/findings.js').Finding} finding */
  function said({ code, message }) {
    return `${code}: ${message}`
  }
})

it('--help has examples', async () => {
  const { status, stdout } = await cli(['check', '--help'])
  assert.equal(status, 0)
  assert.match(stdout, /^usage: tls-pinning check POLICY/)
  assert.match(stdout, /\n {2}tls-pinning check policy\.json/)
})

/** @param {Certificate} cert */
function sha512(cert) {
  return require('node:crypto').createHash('sha512').update(cert.spki).digest('hex')
}

/** @param {string} name */
function pins(name) {
  return [certs[name].pin, BACKUP]
}

/** @param {string[]} pins @param {object} more */
function entry(pins, more) {
  return { pins, ...more }
}

/**
 * @param {string | { pty?: boolean, bare?: boolean }} first
 * @param {string[]} args
 */
function check(first, ...args) {
  const { pty, bare = false } = typeof first === 'string' ? {} : first
  const given = typeof first === 'string' ? [first, ...args] : args
  const trust = bare ? [] : ['--ca', 'ca.pem']
  return cli(['check', ...given, ...trust, '--proxy', proxy.url], { cwd: FOLDER, pty })
}

/** @param {string} name @param {unknown} content */
function write(name, content) {
  fs.writeFileSync(path.join(FOLDER, name), typeof content === 'string' ? content : JSON.stringify(content))
  return name
}

/** What differs from run to run, by name. @param {string} text */
function masked(text) {
  let shown = text
  for (const [name, cert] of Object.entries({ issuer, root, ...certs })) {
    shown = shown.replaceAll(cert.pin, `<pin of ${name}>`).replaceAll(cert.certPin, `<certPin of ${name}>`)
  }
  return shown
    .replaceAll(MISSING, '<MISSING>')
    .replaceAll(BACKUP, '<BACKUP>')
    .replaceAll(/spki:sha512:[0-9a-f]{128}/g, '<SHA-512>')
    .replaceAll(`:${proxy.port}`, ':PORT')
    .replaceAll(/20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, time => (time.startsWith('2020') ? time : 'TIME'))
    .replaceAll(/\d{4} days/g, 'DAYS days')
    .replaceAll(/until 20\d\d-\d\d-\d\d/g, 'until DATE')
}

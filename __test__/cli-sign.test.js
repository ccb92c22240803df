'use strict'
// Promise: `keygen`, `sign` and `verify` make and check what programs read with PinSet.fromSigned; a key is never overwritten
// and never shown, nothing malformed is signed, and what is not genuine and in date is exit code 1.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { describe, test } = require('node:test')
const { PinSet } = require('..')
const { cli } = require('./helpers/cli')
const { HOUR, iso, keyPair, signedFor } = require('./helpers/dsse')
const { hostsOf, pinned, temporaryFolder } = require('./helpers/sources')

const LIMIT = { timeout: 60_000, concurrency: true }
const RED = '\x1b[31m'

/** @param {import('node:test').TestContext} t */
async function setUp(t) {
  const cwd = temporaryFolder(t)
  const run = (/** @type {string[]} */ args, options = {}) => cli(args, { cwd, ...options })
  fs.writeFileSync(path.join(cwd, 'policy.json'), pinned('api.example.com'))
  const made = JSON.parse((await run(['keygen', '--json', '--out', 'key.pem'])).stdout)
  const sign = (/** @type {string[]} */ ...args) => run(['sign', 'policy.json', '--key', 'key.pem', ...args])
  const verify = (/** @type {string} */ file, ...args) => run(['verify', file, '--public-key', made.publicKey, ...args])
  return {
    cwd,
    run,
    sign,
    verify,
    made,
    read: (/** @type {string} */ file) => fs.readFileSync(path.join(cwd, file), 'utf8')
  }
}

/** What differs from run to run, named. @param {string} text */
function golden(text) {
  return text
    .replaceAll('\r\n', '\n')
    .replace(/MCowBQYDK2VwAyEA[\w+/]{43}=/g, 'KEY')
    .replace(/\b[0-9a-f]{16}\b/g, 'ID')
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, 'WHEN')
    .replace(/version(\s+)\d{10}/g, 'version$1TIME')
}

describe('keygen', LIMIT, () => {
  test('writes a private key for its owner alone, and prints the public one', async t => {
    const { cwd, run } = await setUp(t)
    const { status, stdout, stderr } = await run(['keygen'])
    assert.deepEqual(
      [status, golden(stdout), stderr],
      [
        0,
        'private key  policy-signing-key.pem\npublic key   KEY\nkey id       ID\n',
        'next: tls-pinning sign POLICY --key policy-signing-key.pem --expires 90d --out policy.signed.json\n'
      ]
    )
    const file = path.join(cwd, 'policy-signing-key.pem')
    if (process.platform !== 'win32') assert.equal(fs.statSync(file).mode & 0o777, 0o600)
    const key = crypto.createPrivateKey(fs.readFileSync(file))
    const spki = crypto.createPublicKey(key).export({ type: 'spki', format: 'der' })
    assert.match(stdout, new RegExp(`public key   ${spki.toString('base64').replace(/[+/]/g, '\\$&')}\n`))
    const id = crypto.createHash('sha256').update(spki).digest('hex').slice(0, 16)
    assert.match(stdout, new RegExp(`key id       ${id}\n`))
  })

  test('overwrites nothing', async t => {
    const { run, read } = await setUp(t)
    const before = read('key.pem')
    const { status, stdout, stderr } = await run(['keygen', '--out', 'key.pem'])
    assert.deepEqual(
      [status, stdout, stderr],
      [2, '', 'error: key.pem is there already, and is not overwritten\ngive another --out, or move it away\n']
    )
    assert.equal(read('key.pem'), before)
    assert.equal((await run(['keygen', 'key2.pem'])).status, 2)
    assert.equal((await run(['keygen', '--out', 'none/key.pem'])).status, 2)
  })
})

describe('sign and verify', LIMIT, () => {
  test('a file that is called like the key is not read in its place', async t => {
    const { cwd, run, sign, made } = await setUp(t)
    const other = JSON.parse((await run(['keygen', '--json', '--out', 'other.pem'])).stdout).publicKey
    const decoy = path.join(cwd, made.publicKey)
    fs.mkdirSync(path.dirname(decoy), { recursive: true })
    fs.writeFileSync(decoy, other)
    assert.equal((await sign('--expires', '90d', '--version', '3', '--out', 'p.json')).status, 0)
    const verify = (/** @type {string} */ file) => run(['verify', file, '--public-key', made.publicKey])
    assert.equal((await verify('p.json')).status, 0)
    const forged = ['sign', 'policy.json', '--key', 'other.pem', '--expires', '90d', '--out', 'forged.json']
    assert.equal((await run(forged)).status, 0)
    assert.equal((await verify('forged.json')).status, 1)
    const next = [
      'sign',
      'policy.json',
      '--key',
      'other.pem',
      '--expires',
      '90d',
      '--previous',
      'p.json',
      '--public-key'
    ]
    const { status, stdout } = await run([...next, made.publicKey, '--json'])
    assert.deepEqual([status, JSON.parse(stdout).version], [0, 4])
  })

  test('what is signed is genuine, says what the policy says, and is what programs read', async t => {
    const { cwd, sign, verify, made } = await setUp(t)
    const { status, stdout, stderr } = await sign('--expires', '90d', '--out', 'policy.signed.json')
    assert.deepEqual(
      [status, stdout, golden(stderr)],
      [0, '', 'version TIME, from WHEN to WHEN, signed by ID: policy.signed.json\n']
    )
    const verified = await verify('policy.signed.json')
    assert.deepEqual([verified.status, verified.stderr], [0, ''])
    const pins = JSON.parse(pinned('api.example.com')).hosts['api.example.com']
    assert.equal(
      golden(verified.stdout),
      `signature  genuine     by ID
version    TIME
valid      now         WHEN to WHEN
policy
{
  "expires": "WHEN",
  "hosts": {
    "api.example.com": {
      "pins": [
        "${pins[0]}",
        "${pins[1]}"
      ]
    }
  },
  "unlisted": "deny",
  "version": 1
}
`
    )
    const set = await PinSet.fromSigned({
      source: path.join(cwd, 'policy.signed.json'),
      publicKeys: made.publicKey,
      interval: 0
    })
    assert.equal(hostsOf(set), 'api.example.com')
    const days = (Date.parse(String(set.toJSON().expires)) - Date.now()) / 86_400_000
    assert.ok(days > 89.9 && days <= 90)
  })

  test('as JSON', async t => {
    const { sign, made } = await setUp(t)
    const signed = JSON.parse((await sign('--expires', '2100-01-01T00:00:00Z', '--version', '7', '--json')).stdout)
    const { envelope, notBefore, ...told } = signed
    assert.deepEqual(told, { version: 7, expires: '2100-01-01T00:00:00Z', keyId: made.keyId, warnings: [] })
    const early = Date.now() - Date.parse(notBefore)
    assert.ok(early >= 300_000 && early < 330_000, 'for clocks that are slow')
    assert.equal(envelope.payloadType, 'application/vnd.tls-pinning.policy+json')
    const { stdout: raw } = await sign('--expires', '2100-01-01T00:00:00Z', '--version', '7', '--not-before', notBefore)
    const args = ['verify', '-', '--json', '--public-key', made.publicKey]
    const verified = JSON.parse((await cli(args, { stdin: raw })).stdout)
    assert.deepEqual(verified, {
      genuine: true,
      inDate: true,
      problem: null,
      keyId: made.keyId,
      version: 7,
      notBefore,
      expires: '2100-01-01T00:00:00Z',
      policy: { ...new PinSet(JSON.parse(pinned('api.example.com'))).toJSON(), expires: '2100-01-01T00:00:00Z' }
    })
  })

  test('the version: given, one more than before, or the time', async t => {
    const { cwd, run, sign, verify } = await setUp(t)
    const versionOf = async (/** @type {string[]} */ ...args) => {
      const { status, stderr } = await sign('--expires', '1d', '--out', 'out.json', ...args)
      assert.equal(status, 0, stderr)
      return JSON.parse((await verify('out.json', '--json')).stdout).version
    }
    assert.equal(await versionOf('--version', '41'), 41)
    assert.equal(await versionOf('--previous', 'out.json'), 42)
    const now = Math.floor(Date.now() / 1000)
    const version = await versionOf()
    assert.ok(version >= now && version < now + 60)
    // Another key has signed the one before.
    const other = keyPair()
    fs.writeFileSync(path.join(cwd, 'old.json'), signedFor(other, 'a.example', { version: 5 }))
    const { status, stderr } = await sign('--expires', '1d', '--previous', 'old.json')
    assert.equal(status, 2)
    assert.match(stderr, /ERR_TLS_PIN_POLICY_SIGNATURE/)
    fs.writeFileSync(path.join(cwd, 'other.pub'), `${other.publicKey}\n`)
    assert.equal(await versionOf('--previous', 'old.json', '--public-key', 'other.pub'), 6)
    assert.equal((await run(['verify', 'old.json', '--public-key', 'other.pub'])).status, 0)
  })

  test('warnings of the policy are told, and it is signed all the same', async t => {
    const { cwd, sign } = await setUp(t)
    const hosts = { 'a.example': 'sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' }
    fs.writeFileSync(path.join(cwd, 'policy.json'), JSON.stringify({ hosts }))
    const { status, stderr } = await sign('--expires', '1d')
    assert.equal(status, 0)
    assert.match(stderr, /^warning: hosts\["a.example"\]: it has one pin: /m)
  })

  test('in a terminal with colours', async t => {
    const { cwd, run, sign, made } = await setUp(t)
    const shown = await run(['keygen', '--out', 'key2.pem'], { pty: true })
    assert.equal(
      golden(shown.stdout),
      'private key  key2.pem\npublic key   \x1b[1mKEY\x1b[22m\nkey id       ID\n' +
        'next: tls-pinning sign POLICY --key key2.pem --expires 90d --out policy.signed.json\n'
    )
    await sign('--expires', '1d', '--out', 'out.json')
    const verified = await run(['verify', 'out.json', '--public-key', made.publicKey], { pty: true })
    assert.match(golden(verified.stdout), /^signature {2}\x1b\[32mgenuine\x1b\[39m {5}by ID\nversion {4}TIME\n/)
    const refused = await run(['verify', 'key.pem', '--public-key', made.publicKey], { pty: true })
    assert.equal(refused.status, 1)
    assert.ok(refused.stdout.startsWith(`${RED}error:`), refused.stdout)
    fs.rmSync(path.join(cwd, 'out.json'))
  })
})

describe('verify', LIMIT, () => {
  test('what is not genuine, or not in date, is a finding', async t => {
    const { cwd, verify, made } = await setUp(t)
    const pem = fs.readFileSync(path.join(cwd, 'key.pem'))
    const key = { ...keyPair(), privateKey: crypto.createPrivateKey(pem), keyid: made.keyId }
    const past = { notBefore: iso(0), expires: iso(Date.now() - HOUR) }
    for (const [text, code, message] of /** @type {[string, string | undefined, RegExp][]} */ ([
      [signedFor(key, 'a.example', past), undefined, /^valid {6}expired {2}1970-01-01T00:00:00Z to /m],
      [signedFor(key, 'a.example', { notBefore: iso(Date.now() + HOUR / 2) }), undefined, /^valid {6}not yet/m],
      [signedFor(keyPair(), 'a.example'), 'ERR_TLS_PIN_POLICY_SIGNATURE', /signed by/],
      [signedFor(key, 'a.example').replace('"sig":"', '"sig":"AAAA'), 'ERR_TLS_PIN_POLICY_SIGNATURE', /./],
      [signedFor(key, 'a b'), 'ERR_TLS_PIN_INVALID', /policy\.hosts\["a b"\]/],
      ['', 'ERR_TLS_PIN_POLICY_SIGNATURE', /not JSON/]
    ])) {
      fs.writeFileSync(path.join(cwd, 'x.json'), text)
      const plain = await verify('x.json')
      assert.equal(plain.status, 1)
      assert.match(plain.stdout + plain.stderr, message)
      const { status, stdout } = await verify('x.json', '--json')
      assert.equal(status, 1)
      const told = JSON.parse(stdout)
      if (code) assert.equal(told.error.code, code)
      else assert.deepEqual([told.genuine, told.inDate], [true, false])
    }
  })
})

test('wrong usage is exit code 2, says what to do, and signs nothing', { timeout: 60_000 }, async t => {
  const { cwd, run, read } = await setUp(t)
  fs.writeFileSync(path.join(cwd, 'bad.json'), '{"hosts": {"a.example": ["x"]}}')
  fs.writeFileSync(path.join(cwd, 'list.json'), JSON.stringify([JSON.parse(pinned('a')).hosts.a[0]]))
  fs.writeFileSync(path.join(cwd, 'ec.pem'), ecKey())
  fs.writeFileSync(path.join(cwd, 'out.json'), 'before')
  const key = ['--key', 'key.pem']
  const day = ['--expires', '1d', '--out', 'out.json']
  const cases = /** @type {[string[], RegExp][]} */ ([
    [['sign', 'policy.json', ...day], /--key is missing\n`tls-pinning keygen` makes a key/],
    [['sign', 'policy.json', ...key, '--out', 'out.json'], /--expires is missing/],
    [['sign', ...key, ...day], /give one policy/],
    [['sign', 'policy.json', 'policy.json', ...key, ...day], /give one policy/],
    [['sign', 'none.json', ...key, ...day], /ENOENT.*\ncheck the path/],
    [['sign', 'bad.json', ...key, ...day], /bad\.json: hosts\["a\.example"\]\[0\]: "x" is not a pin/],
    [['sign', 'list.json', ...key, ...day], /list\.json has pins but no hosts/],
    [['sign', 'policy.json', '--key', 'policy.json', ...day], /no private key/],
    [['sign', 'policy.json', '--key', 'ec.pem', ...day], /Ed25519, and this is a key for ec/],
    [['sign', 'policy.json', '--key', 'none.pem', ...day], /ENOENT/],
    [['sign', 'policy.json', ...key, '--expires', 'soon', '--out', 'out.json'], /--expires soon is no date and time/],
    [['sign', 'policy.json', ...key, '--expires', '2020-01-01T00:00:00Z', '--out', 'out.json'], /is in the past/],
    [['sign', 'policy.json', ...key, '--expires', '2099-02-30T00:00:00Z', '--out', 'out.json'], /./],
    [['sign', 'policy.json', ...key, ...day, '--not-before', '2d'], /expires before it begins/],
    [['sign', 'policy.json', ...key, ...day, '--version', '0'], /0 is no version/],
    [['sign', 'policy.json', ...key, ...day, '--version', '1e3'], /1e3 is no version/],
    [['sign', 'policy.json', ...key, ...day, '--version', '9007199254740992'], /is no version/],
    [['sign', 'policy.json', ...key, ...day, '--version', '1', '--previous', 'x'], /exclude each other/],
    [['sign', 'policy.json', ...key, ...day, '--previous', 'policy.json'], /ERR_TLS_PIN_POLICY_SIGNATURE/],
    [['verify', '--public-key', 'x'], /give one signed policy/],
    [['verify', 'policy.json'], /--public-key is missing/],
    [['verify', 'policy.json', '--public-key', 'AAAA'], /no public key/],
    [['verify', 'policy.json', '--public-key', 'key.pem'], /this is a private key/],
    [['verify', 'none.json', '--public-key', 'x'], /./]
  ])
  const outcomes = await Promise.all(cases.map(([args]) => run(args)))
  for (const [at, { status, stdout, stderr }] of outcomes.entries()) {
    const [args, message] = cases[at]
    assert.deepEqual([status, stdout], [2, ''], `${args.join(' ')}: ${stderr}`)
    assert.match(stderr, message)
    assert.match(stderr, /^(warning: .*\n)*error: .*\n.+\n$/, args.join(' '))
    assert.ok(!stderr.includes('please report'), stderr)
  }
  assert.equal(read('out.json'), 'before')
})

function ecKey() {
  const { privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return privateKey.export({ type: 'pkcs8', format: 'pem' })
}

test('--help is made of examples', { timeout: 60_000 }, async () => {
  for (const name of ['keygen', 'sign', 'verify']) {
    const { status, stdout } = await cli([name, '--help'])
    assert.equal(status, 0)
    assert.match(stdout, new RegExp(`^usage: tls-pinning ${name} .*\n\ntls-pinning ${name} `))
  }
})

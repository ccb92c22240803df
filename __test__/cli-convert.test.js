'use strict'
// Promise: `convert` says a policy in the words of other clients so that they decide alike, tells what they cannot, and writes
// nothing that is looser unless asked to. What it writes is read by other parsers (Python's, and regular expressions) and decided about by
// models of those clients, which share no code with it.

const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const crypto = require('node:crypto')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
const { PinSet } = require('..')
const binding = require('../lib/native.js')
const { cli } = require('./helpers/cli.js')
const { models, parsed } = require('./helpers/formats.js')

const LIMIT = { timeout: 120_000 }
const A = pin('a')
const B = pin('b')

let folder = ''
before(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'convert-'))
})
after(() => fs.rmSync(folder, { recursive: true, force: true }))

/** @param {string} name */
function pin(name) {
  return `sha256/${crypto.createHash('sha256').update(name).digest('base64')}`
}

/** @param {string} pin */
const base64 = pin => pin.slice('sha256/'.length)
/** @param {string} pin */
const hex = pin => Buffer.from(base64(pin), 'base64').toString('hex')

/**
 * @param {unknown} hosts
 * @param {string} unlisted
 */
function policy(hosts, unlisted = 'allow') {
  return JSON.stringify({ version: 1, unlisted, hosts })
}

/** What each format makes of `example.com` with two pins. */
const GOLDEN = {
  policy: `{
  "version": 1,
  "unlisted": "allow",
  "hosts": {
    "example.com": {
      "pins": [
        "${A}",
        "${B}"
      ]
    }
  }
}
`,
  okhttp: `val certificatePinner = CertificatePinner.Builder()
    .add(
        "example.com",
        "${A}",
        "${B}"
    )
    .build()
`,
  'okhttp-java': `CertificatePinner certificatePinner = new CertificatePinner.Builder()
    .add(
        "example.com",
        "${A}",
        "${B}"
    )
    .build();
`,
  trustkit: `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>TSKConfiguration</key>
  <dict>
    <key>TSKPinnedDomains</key>
    <dict>
      <key>example.com</key>
      <dict>
        <key>TSKEnforcePinning</key>
        <true/>
        <key>TSKIncludeSubdomains</key>
        <false/>
        <key>TSKPublicKeyHashes</key>
        <array>
          <string>${base64(A)}</string>
          <string>${base64(B)}</string>
        </array>
      </dict>
    </dict>
    <key>TSKSwizzleNetworkDelegates</key>
    <true/>
  </dict>
</dict>
</plist>
`,
  'trustkit-json': `{
  "TSKConfiguration": {
    "TSKPinnedDomains": {
      "example.com": {
        "TSKEnforcePinning": true,
        "TSKIncludeSubdomains": false,
        "TSKPublicKeyHashes": [
          "${base64(A)}",
          "${base64(B)}"
        ]
      }
    },
    "TSKSwizzleNetworkDelegates": true
  }
}
`,
  android: `<?xml version="1.0" encoding="utf-8"?>
<network-security-config>
  <domain-config>
    <domain includeSubdomains="false">example.com</domain>
    <pin-set>
      <pin digest="SHA-256">${base64(A)}</pin>
      <pin digest="SHA-256">${base64(B)}</pin>
    </pin-set>
  </domain-config>
</network-security-config>
`,
  hpkp: `Public-Key-Pins: pin-sha256="${base64(A)}"; pin-sha256="${base64(B)}"; max-age=5184000\n`,
  tlsa: [A, B].flatMap(pin => [3, 2].map(usage => `*._tcp.example.com. IN TLSA ${usage} 1 1 ${hex(pin)}\n`)).join('')
}

describe('what is written', LIMIT, () => {
  for (const [to, expected] of Object.entries(GOLDEN)) {
    it(to, async () => {
      const result = await cli(['convert', '--to', to], { stdin: policy({ 'example.com': [A, B] }) })
      assert.deepEqual(result, { status: 0, stdout: expected, stderr: '' })
    })
  }

  it('apple', async () => {
    const stdin = policy({ 'example.com': { ca: [A] }, '*.example.com': { ca: [A] } })
    const { status, stdout, stderr } = await cli(['convert', '-', '--to', 'apple'], { stdin })
    assert.deepEqual([status, stderr], [0, ''])
    assert.equal(
      stdout.slice(stdout.indexOf('<dict>')),
      `<dict>
  <key>NSAppTransportSecurity</key>
  <dict>
    <key>NSPinnedDomains</key>
    <dict>
      <key>example.com</key>
      <dict>
        <key>NSIncludesSubdomains</key>
        <true/>
        <key>NSPinnedCAIdentities</key>
        <array>
          <dict>
            <key>SPKI-SHA256-BASE64</key>
            <string>${base64(A)}</string>
          </dict>
        </array>
      </dict>
    </dict>
  </dict>
</dict>
</plist>
`
    )
  })

  it('curl', async () => {
    const stdin = policy({ '**.example.com': { leaf: [A, B] } })
    const result = await cli(['convert', '--to', 'curl', '--host', 'api.example.com'], { stdin })
    const stdout = `--pinnedpubkey 'sha256//${base64(A)};sha256//${base64(B)}'\n`
    assert.deepEqual(result, { status: 0, stdout, stderr: '' })
  })

  it('is what is read again', async () => {
    for (const [from, stdin] of Object.entries(GOLDEN)) {
      const named = from === 'hpkp' ? ['--host', 'example.com'] : []
      const more = from === 'hpkp' || from === 'tlsa' ? ['--unlisted', 'allow'] : []
      const { status, stdout } = await cli(['convert', '--to', 'policy', ...named, ...more], { stdin })
      assert.deepEqual([status, stdout], [0, GOLDEN.policy], from)
    }
  })
})

describe('what is lost', LIMIT, () => {
  const source = policy({ 'example.com': { leaf: [A, B], mode: 'report' } }, 'deny')
  const LOOSER = `looser: unlisted: okhttp would not refuse hosts that are not listed; --unlisted allow says that this is meant
looser: hosts["example.com"]: okhttp would accept ${A} as the key of an issuer too
looser: hosts["example.com"]: okhttp would accept ${B} as the key of an issuer too
note: hosts["example.com"]: okhttp would refuse a mismatch instead of reporting it
`
  const ERROR = `error: the result would be looser than the source; nothing is written
change the source, or give --lossy if it is meant
`

  it('is told, and nothing looser is written', async () => {
    const result = await cli(['convert', '--to', 'okhttp'], { stdin: source })
    assert.deepEqual(result, { status: 1, stdout: '', stderr: LOOSER + ERROR })
  })

  it('is told on a line of its own, with nothing in it that a terminal obeys', async () => {
    const keys = [A, B].map(one => `<string>${base64(one)}</string>`).join('')
    const uri = 'https://r.example/&#x9b;2J&#x202e;&#10;looser: forged'
    const stdin = `<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><dict><key>TSKPinnedDomains</key><dict>
<key>a.example</key><dict><key>TSKEnforcePinning</key><true/><key>TSKReportUris</key><array><string>${uri}</string></array>
<key>TSKPublicKeyHashes</key><array>${keys}</array></dict></dict></dict></plist>`
    const { status, stderr } = await cli(['convert', '--from', 'trustkit', '--to', 'policy'], { stdin })
    const told = 'note: hosts["a.example"]: where failures are reported to is not in a policy: '
    const shown = 'https://r.example/\\u{9b}2J\\u{202e}\\u{a}looser: forged\n'
    assert.deepEqual([status, stderr], [0, told + shown])
  })

  it('is told, and written if that is meant', async () => {
    const result = await cli(['convert', '--to', 'okhttp', '--lossy'], { stdin: source })
    assert.deepEqual(result, { status: 0, stdout: GOLDEN.okhttp, stderr: LOOSER })
  })

  it('is no obstacle where the result is stricter', async () => {
    const stdin = policy({ 'example.com': { pins: [A, B], mode: 'report' } })
    const result = await cli(['convert', '--to', 'okhttp'], { stdin })
    const stderr = 'note: hosts["example.com"]: okhttp would refuse a mismatch instead of reporting it\n'
    assert.deepEqual(result, { status: 0, stdout: GOLDEN.okhttp, stderr })
  })

  it('may be everything', async () => {
    const stdin = policy({ '192.0.2.7': [A, B] })
    const result = await cli(['convert', '--to', 'trustkit', '--lossy'], { stdin })
    assert.deepEqual(result, {
      status: 1,
      stdout: '',
      stderr: `looser: hosts["192.0.2.7"]: trustkit would not pin it
error: nothing of it can be said in the format trustkit; nothing is written
docs/convert.md tells what each format can express
`
    })
  })

  it('is in the JSON', async () => {
    for (const lossy of [false, true]) {
      const more = lossy ? ['--lossy'] : []
      const { status, stdout, stderr } = await cli(['convert', '--to', 'okhttp', '--json', ...more], { stdin: source })
      assert.deepEqual([status, stderr], [lossy ? 0 : 1, ''])
      const { losses, ...result } = JSON.parse(stdout)
      assert.deepEqual(result, { from: 'policy', to: 'okhttp', text: lossy ? GOLDEN.okhttp : null })
      assert.deepEqual(
        losses.map((/** @type {any} */ { kind, place }) => `${kind} ${place}`),
        ['looser unlisted', ...Array(2).fill('looser hosts["example.com"]'), 'note hosts["example.com"]']
      )
    }
  })

  it('reads the same in a terminal, without colours in what is written', async () => {
    const file = path.join(folder, 'policy.json')
    fs.writeFileSync(file, source)
    const { status, stdout } = await cli(['convert', file, '--to', 'okhttp', '--lossy'], { pty: true })
    assert.equal(status, 0)
    assert.equal(stdout.replaceAll('\r\n', '\n'), LOOSER + GOLDEN.okhttp)
    const refused = await cli(['convert', file, '--to', 'okhttp'], { pty: true })
    assert.equal(refused.status, 1)
    assert.equal(refused.stdout.replaceAll('\r\n', '\n'), LOOSER + ERROR.replace('error:', '\x1b[31merror:\x1b[39m'))
  })
})

describe('wrong usage', LIMIT, () => {
  const good = policy({ 'example.com': [A, B] })
  const FORMATS = 'policy, okhttp, okhttp-java, trustkit, trustkit-json, android, apple, curl, hpkp, tlsa'
  /** @type {[string[], string, string][]} */
  const rows = [
    [[], '--to is missing', `give one of ${FORMATS}`],
    [['--to', 'nginx'], '--to nginx is unknown', `give one of ${FORMATS}`],
    [['--to', 'apple', '--from', 'x'], '--from x is unknown', `give one of ${FORMATS}`],
    [['--to', 'apple', '--role', 'any'], '--role any is unknown', 'give one of leaf, ca'],
    [['--to', 'android', '--unlisted', 'x'], '--unlisted x is unknown', 'give one of deny, allow, report'],
    [['--to', 'android', '--port', '443'], '--port is for --to tlsa', 'leave it out; the other formats name no port'],
    [['--to', 'tlsa', '--port', '0443'], '0443 is not a port', 'give a number from 1 to 65535'],
    [['a', 'b', '--to', 'tlsa'], 'there is more than one file', 'convert one at a time'],
    [
      ['--to', 'apple'],
      'hosts["example.com"]: apple asks of each pin whether it is the server\'s own or a CA\'s, and some do not say; ' +
        'write them in `leaf` or `ca`, or say with --role which they are',
      'tls-pinning convert --help shows examples'
    ],
    [
      ['--to', 'policy', '--from', 'curl'],
      '"{\\"versio"… (166 characters) does not begin with sha256//; give the digests; of a key in a file, ' +
        'tls-pinning pin FILE makes them',
      'tls-pinning convert --help shows examples'
    ],
    [
      ['--to', 'curl', '--host', 'other.example'],
      'there is no entry for other.example; give a host that it has pins for',
      'tls-pinning convert --help shows examples'
    ]
  ]
  for (const [args, message, hint] of rows) {
    it(args.join(' ') || 'nothing', async () => {
      const result = await cli(['convert', ...args], { stdin: good })
      assert.deepEqual(result, { status: 2, stdout: '', stderr: `error: ${message}\n${hint}\n` })
    })
  }

  it('a file that is not there', async () => {
    const { status, stderr } = await cli(['convert', path.join(folder, 'none'), '--to', 'android'])
    assert.equal(status, 2)
    assert.match(stderr, /^error: ENOENT: .*\ncheck the path\n$/)
  })

  it('a format that cannot be guessed, as JSON', async () => {
    const { status, stdout } = await cli(['convert', '--to', 'android', '--json'], { stdin: 'hello' })
    assert.equal(status, 2)
    assert.deepEqual(JSON.parse(stdout).error.code, 'ERR_TLS_PIN_INVALID')
  })

  it('help names every format', async () => {
    const { status, stdout } = await cli(['convert', '--help'])
    assert.equal(status, 0)
    for (const name of FORMATS.split(', ')) assert.match(stdout, new RegExp(`\\b${name}\\b`))
  })
})

/** A generator with a seed (mulberry32). @param {number} seed */
function random(seed) {
  const next = () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    chance: (/** @type {number} */ of) => next() < of,
    /** @template T @param {T[]} list */
    one: list => /** @type {T} */ (list[Math.floor(next() * list.length)]),
    /** @template T @param {T[]} list */
    some: list => list.filter(() => next() < 0.5)
  }
}

const NAMES = ['a.test', 'x.a.test', 'b.x.a.test', 'c.test']
const HOSTS = [...NAMES.flatMap(name => [name, `y.${name}`, `w.z.${name}`]), 'd.test', 'xa.test', '192.0.2.7']
const PORTS = [443, 8443]
const PINS = ['p', 'q', 'r'].map(pin)
const DAY = '2027-03-01'

/** @param {ReturnType<typeof random>} draw */
function randomPolicy(draw) {
  const wild = draw.chance(0.6)
  const ported = draw.chance(0.2)
  const role = draw.one(['pins', 'leaf', 'ca', 'mixed'])
  /** @type {Record<string, any>} */
  const hosts = {}
  for (const name of [...NAMES, '192.0.2.7']) {
    if (draw.chance(0.5)) continue
    const prefix = wild && name !== '192.0.2.7' ? draw.one(['', '*.', '**.']) : ''
    /** @type {Record<string, any>} */
    const entry = { [role === 'mixed' ? draw.one(['pins', 'leaf', 'ca']) : role]: [...draw.some(PINS), PINS[0]] }
    if (draw.chance(0.2)) Object.assign(entry, { expires: `${DAY}T00:00:00Z`, onExpiry: draw.one(['allow', 'deny']) })
    if (draw.chance(0.2)) entry.mode = 'report'
    hosts[`${prefix}${name}${ported && draw.chance(0.5) ? ':8443' : ''}`] = entry
  }
  return Object.keys(hosts).length > 0 ? policy(hosts) : randomPolicy(draw)
}

/**
 * What an entry of a policy accepts, in the words of the models.
 * @param {any} entry
 */
function ours(entry) {
  if (!entry) return null
  const { pins, leaf, ca, mode, expires, onExpiry } = entry
  const accepts = [...pins, ...leaf].map((/** @type {string} */ pin) => `leaf ${pin}`)
  accepts.push(...[...pins, ...ca].map((/** @type {string} */ pin) => `ca ${pin}`))
  const after = !expires ? 'goes on' : onExpiry === 'allow' || mode === 'report' ? 'not pinned' : 'refused'
  return { accepts: new Set(accepts), enforced: mode === 'enforce', after }
}

const STRICTNESS = ['not pinned', 'goes on', 'refused']

/**
 * @param {any} there
 * @param {any} here
 */
function isLooserThan(there, here) {
  if (!there) return true
  const accepts = [...there.accepts].some(pin => !here.accepts.has(pin))
  const isLessStrict = STRICTNESS.indexOf(there.after) < STRICTNESS.indexOf(here.after)
  return accepts || (here.enforced && !there.enforced) || isLessStrict
}

describe('other clients decide', LIMIT, () => {
  const formats = ['okhttp', 'okhttp-java', 'trustkit', 'trustkit-json', 'android', 'apple', 'curl', 'hpkp', 'tlsa']

  for (const to of formats) {
    it(`alike, or as is told: ${to}`, () => {
      const draw = random(7)
      /** @type {{ source: string, text: string, losses: any[], host: string | undefined }[]} */
      const cases = []
      for (let at = 0; at < 1000; at++) {
        const source = randomPolicy(draw)
        const host = to === 'curl' || to === 'hpkp' ? draw.one(HOSTS) : undefined
        const { ok } = JSON.parse(
          binding.convertPolicy(source, { to, host, role: to === 'apple' ? 'leaf' : undefined })
        )
        if (ok?.text) cases.push({ source, host, ...ok })
      }
      assert.ok(cases.length > 100, `${cases.length} cases`)
      const configurations = parsed(
        to,
        cases.map(({ text }) => text)
      )
      const seen = { alike: 0, stricter: 0, looser: 0 }
      for (const [at, { source, text, losses, host }] of cases.entries()) {
        const set = new PinSet(JSON.parse(to === 'apple' ? roleless(source) : source))
        const isLooser = losses.some(({ kind }) => kind === 'looser')
        // TrustKit would not start, a browser would ignore the header.
        if (losses.some(({ message }) => /fewer than two|is ignored/.test(message))) continue
        seen[isLooser ? 'looser' : losses.length > 0 ? 'stricter' : 'alike']++
        let isFoundLooser = false
        for (const name of host ? [host] : HOSTS) {
          for (const port of PORTS) {
            if (host && port !== 443) continue
            const here = ours(set.match(name, port))
            const there = models[to](configurations[at], name, port)
            const context = `${name}:${port}\n${source}\n${text}\n${JSON.stringify(losses, null, 1)}`
            if (losses.length === 0) assert.deepEqual(there, here, context)
            if (here && isLooserThan(there, here)) isFoundLooser = true
            if (!isLooser) assert.equal(isFoundLooser, false, context)
          }
        }
        assert.equal(isFoundLooser, isLooser, `${source}\n${text}\n${JSON.stringify(losses, null, 1)}`)
      }
      // Of each kind there are enough to mean something.
      assert.ok(seen.alike >= 8 && seen.looser >= 8, JSON.stringify(seen))
    })
  }

  it('as their configuration is read: android, with inheritance', () => {
    const draw = random(11)
    for (let at = 0; at < 300; at++) {
      /** @type {any} */
      const configuration = { domains: [], pins: [] }
      const names = [...NAMES]
      const xml = androidConfig(draw, names, null, configuration.domains)
      const text = `<network-security-config>${xml}</network-security-config>`
      const { ok, error } = JSON.parse(binding.convertPolicy(text, { from: 'android', to: 'policy' }))
      if (error) {
        assert.match(error.message, /no pins/)
        continue
      }
      const set = new PinSet(JSON.parse(ok.text))
      for (const name of HOSTS) {
        const there = models.android(configuration.domains, name, 443)
        const here = ours(set.match(name))
        // What it does not pin and falls under a parent is told.
        if (!there && here) assert.match(JSON.stringify(ok.losses), /it is not pinned there/)
        else assert.deepEqual(here, there, `${name}\n${text}`)
      }
    }
  })

  it('as their configuration is read: trustkit and apple', () => {
    const draw = random(13)
    for (let at = 0; at < 300; at++) {
      /** @type {Record<string, any>} */
      const trustkit = {}
      /** @type {Record<string, any>} */
      const apple = {}
      for (const name of draw.some(NAMES)) {
        trustkit[name] = {
          TSKIncludeSubdomains: draw.chance(0.5),
          TSKEnforcePinning: draw.chance(0.5),
          TSKPublicKeyHashes: [...draw.some(PINS), PINS[0]].map(base64)
        }
        if (draw.chance(0.3)) trustkit[name].TSKExpirationDate = DAY
        apple[name] = {
          NSIncludesSubdomains: draw.chance(0.5),
          [draw.one(['NSPinnedLeafIdentities', 'NSPinnedCAIdentities'])]: [...draw.some(PINS), PINS[0]].map(pin => ({
            'SPKI-SHA256-BASE64': base64(pin)
          }))
        }
      }
      if (Object.keys(apple).length === 0) continue
      const texts = {
        trustkit: { TSKPinnedDomains: trustkit },
        apple: { NSAppTransportSecurity: { NSPinnedDomains: apple } }
      }
      for (const [from, json] of Object.entries(texts)) {
        const text = JSON.stringify(json)
        const { ok } = JSON.parse(binding.convertPolicy(text, { from, to: 'policy' }))
        const set = new PinSet(JSON.parse(ok.text))
        const domains = from === 'apple' ? apple : trustkit
        for (const name of HOSTS) {
          assert.deepEqual(ours(set.match(name)), models[from](domains, name, 443), `${name}\n${text}`)
        }
      }
    }
  })
})

/**
 * The pins without a role as the server's, as `--role leaf` has them.
 * @param {string} source
 */
function roleless(source) {
  return source.replaceAll('"pins":', '"leaf":')
}

/**
 * @param {ReturnType<typeof random>} draw
 * @param {string[]} names Those that are not taken yet.
 * @param {any} inherited
 * @param {any[]} domains What the configuration means.
 * @returns {string}
 */
function androidConfig(draw, names, inherited, domains) {
  const taken = names.splice(0, 1 + Number(draw.chance(0.5)))
  if (taken.length === 0) return ''
  let pins = inherited
  let own = ''
  if (draw.chance(0.6)) {
    const digests = draw.chance(0.8) ? [...draw.some(PINS), PINS[0]].map(base64) : []
    const expiration = draw.chance(0.3) ? DAY : null
    pins = { digests, expiration }
    own = `<pin-set${expiration ? ` expiration="${expiration}"` : ''}>${digests
      .map(digest => `<pin digest="SHA-256">${digest}</pin>`)
      .join('')}</pin-set>`
  }
  const xml = taken.map(name => {
    const includes = draw.chance(0.5)
    domains.push({ name, includes, pins: pins?.digests ?? [], expiration: pins?.expiration ?? null })
    return `<domain includeSubdomains="${includes}">${name}</domain>`
  })
  const nested = androidConfig(draw, names, pins, domains)
  return `<domain-config>${xml.join('')}${nested}${own}</domain-config>`
}

it('the parsers of others are there', () => {
  assert.equal(spawnSync('python3', ['-c', 'import plistlib, xml.etree.ElementTree']).status, 0)
})

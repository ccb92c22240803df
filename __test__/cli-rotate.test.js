'use strict'
// The promise: `tls-pinning init` and `rotate` pin nothing that does not verify, `rotate` accepts no key that the policy does
// not know unless it is named, and both say what they did, why, and what to do next.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { afterEach, before, beforeEach, describe, test } = require('node:test')
const { pinnedRequest, PinSet } = require('..')
const { plan } = require('../bin/rotate/plan.js')
const { cli } = require('./helpers/cli')
const pki = require('./helpers/pki')
const { connectProxy } = require('./helpers/proxies')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

/** @type {string} */
let folder
/** @type {Record<'root' | 'issuer' | 'other' | 'first' | 'second' | 'third' | 'foreign', Certificate>} */
let pkis

before(async () => {
  const root = await pki.ca({ name: 'Root' })
  const issuer = await pki.ca({ name: 'Issuing', issuer: root })
  const other = await pki.ca({ name: 'Other' })
  const [first, second, third] = await Promise.all([1, 2, 3].map(() => pki.leaf({ issuer })))
  if (!first || !second || !third) throw new Error('not made')
  pkis = { root, issuer, other, first, second, third, foreign: await pki.leaf({ issuer: other }) }
})

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-rotate-'))
  write('ca.pem', pkis.root.pem + pkis.other.pem)
  write('second.key', pkis.second.key)
  write('third.pem', pkis.third.pem)
})
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

/** @param {string} name @param {string} text */
const write = (name, text) => fs.writeFileSync(path.join(folder, name), text)
const policy = () => JSON.parse(fs.readFileSync(path.join(folder, 'policy.json'), 'utf8'))

/** @param {string[]} args @param {Parameters<typeof cli>[1]} [options] */
const run = (args, options) => cli(args, { cwd: folder, ...options })

/**
 * Serves a certificate for as long as `work` takes, on a port that is free or the one given.
 * @template T
 * @param {Certificate} cert
 * @param {(server: Awaited<ReturnType<typeof httpsServer>>, host: string) => Promise<T>} work
 * @param {number} [port]
 */
async function serving(cert, work, port) {
  const chain = cert === pkis.foreign ? [] : [pkis.issuer]
  const server = await httpsServer({ cert, chain, ...(port && { port }) })
  try {
    return await work(/** @type {any} */ (server), `localhost:${server.port}`)
  } finally {
    assert.equal(/** @type {any} */ (server).appBytes, 0, 'not one byte was sent to it')
    await server.close()
  }
}

async function closedPort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {net.AddressInfo} */ (server.address())
  server.close()
  await once(server, 'close')
  return port
}

/** Pins, ports and dates by their names. @param {string} text @param {string} host */
function named(text, host) {
  let plain = text
    .replaceAll(host, 'HOST')
    .replace(/20\d\d-\d\d-\d\d/g, 'DATE')
    .replaceAll('\r\n', '\n')
  plain = plain.replace(/(\S) {3,}/g, '$1  ') // how wide a column is depends on the port
  for (const [name, { pin }] of Object.entries(pkis)) plain = plain.replaceAll(pin, `<${name}>`)
  return plain
}

const WHY = `
Why these pins
  The server's own key is the closest pin there is. A renewal may keep it; one that does not needs new pins.
  The key of its issuer is the backup: when the server gets a new key from the same authority, nobody is locked out.
  The risk: whoever gets that issuer to sign a certificate for the host is accepted; and an authority may sign the next
  certificate with another of its keys. A key of your own that is kept apart has neither: --backup FILE.

Before you trust them
  They came over the wire: somebody in between now would have given you his. Compare them with another source: on the
  server itself with 'tls-pinning pin FILE', or from another network with 'tls-pinning inspect HOST'.

Next
  TLS_PINNING_POLICY=policy.json node --import tls-pinning/register app.js  pins every connection of a program
  tls-pinning check policy.json  whether the servers still match, for cron and CI
  tls-pinning rotate HOST --policy policy.json  when a key has changed
`

describe('init', () => {
  test('writes a policy and explains it', async () => {
    await serving(pkis.first, async (_, host) => {
      const { status, stdout, stderr } = await run(['init', host, host.toUpperCase(), '--ca', 'ca.pem'])
      assert.equal(status, 0, stderr)
      assert.equal(
        named(stdout, host),
        'HOST\n  leaf  <first>  CN=localhost, valid until DATE\n  ca  <issuer>  CN=Issuing\n\npolicy.json is written.\n'
      )
      assert.equal(named(stderr, host), WHY)
      assert.deepEqual(policy(), {
        $schema: './node_modules/tls-pinning/policy.schema.json',
        version: 1,
        hosts: { [host]: { leaf: [pkis.first.pin], ca: [pkis.issuer.pin] } }
      })
      assert.deepEqual(new PinSet(policy()).warnings, [])
    })
  })

  test('the client accepts what it writes', async () => {
    const server = await httpsServer({ cert: pkis.first, chain: [pkis.issuer] })
    assert.equal((await run(['init', `localhost:${server.port}`, '--ca', 'ca.pem'])).status, 0)
    const response = await pinnedRequest(server.url, { pins: policy(), ca: pkis.root.pem })
    assert.equal(await response.text(), 'ok')
    await server.close()
  })

  test('in a terminal it shows what it is doing, and the same words', async () => {
    await serving(pkis.first, async (_, host) => {
      const { status, stdout } = await run(['init', host, '--ca', 'ca.pem'], { pty: true })
      assert.equal(status, 0)
      assert.match(stdout, /looking at 1 hosts: 0 done\r\x1b\[K/)
      const plain = stdout.replace(/.*\x1b\[K/g, '').replace(/\x1b\[\d+m/g, '')
      assert.ok(named(plain, host).endsWith(WHY), plain)
    })
  })

  test('a backup of one’s own takes the place of the issuer; --out - and --json', async () => {
    await serving(pkis.first, async (_, host) => {
      const more = ['--ca', 'ca.pem', '--backup', 'second.key']
      const hosts = { [host]: { leaf: [pkis.first.pin, pkis.second.pin] } }
      const { status, stdout, stderr } = await run(['init', host, ...more, '--out', '-'])
      assert.equal(status, 0, stderr)
      assert.deepEqual(JSON.parse(stdout).hosts, hosts)
      assert.match(stderr, /The backup is a key of your own/)
      assert.equal(fs.existsSync(path.join(folder, 'policy.json')), false)
      const json = await run(['init', host, ...more, '--json'])
      assert.deepEqual(JSON.parse(json.stdout), { policy: 'policy.json', hosts })
    })
  })

  test('--servername is the name that is pinned, and $schema is written as seen from the file', async () => {
    const named = await pki.leaf({ issuer: pkis.issuer, names: ['api.example'] })
    fs.mkdirSync(path.join(folder, 'etc'))
    await serving(named, async (_, host) => {
      const args = ['init', host, '--servername', 'api.example', '--ca', 'ca.pem', '--out', 'etc/policy.json']
      assert.equal((await run(args)).status, 0)
      const written = JSON.parse(fs.readFileSync(path.join(folder, 'etc/policy.json'), 'utf8'))
      assert.deepEqual(Object.keys(written.hosts), [host.replace('localhost', 'api.example')])
      assert.equal(written.$schema, '../node_modules/tls-pinning/policy.schema.json')
    })
  })

  test('--proxy is the way to the server', async () => {
    const proxy = await connectProxy()
    await serving(pkis.first, async (_, host) => {
      const { status, stderr } = await run(['init', host, '--ca', 'ca.pem', '--proxy', proxy.url])
      assert.equal(status, 0, stderr)
      assert.deepEqual(Object.keys(policy().hosts), [host])
      assert.equal(proxy.heads.length, 1)
    })
    await proxy.close()
  })

  test('what does not verify is refused, and nothing is written', async () => {
    const expired = await pki.leaf({ issuer: pkis.issuer, notAfter: pki.daysFromNow(-0.5) })
    const misnamed = await pki.leaf({ issuer: pkis.issuer, names: ['b.example'] })
    const selfSigned = await pki.leaf({ selfSigned: true })
    for (const [cert, args, message, code] of /** @type {[Certificate, string[], string, string][]} */ ([
      [pkis.first, [], 'no path', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
      [expired, ['--ca', 'ca.pem'], 'expired', 'CERT_HAS_EXPIRED'],
      [misnamed, ['--ca', 'ca.pem'], 'is not valid for localhost', 'ERR_TLS_CERT_ALTNAME_INVALID'],
      [selfSigned, ['--ca', 'ca.pem'], 'self-signed', 'DEPTH_ZERO_SELF_SIGNED_CERT']
    ])) {
      await serving(cert, async (_, host) => {
        const { status, stdout, stderr } = await run(['init', host, ...args])
        assert.deepEqual({ status, stdout }, { status: 1, stdout: '' })
        assert.ok(stderr.includes(`${host} does not verify: `) && /--ca FILE|--servername NAME/.test(stderr), stderr)
        const { error } = JSON.parse((await run(['init', host, ...args, '--json'])).stdout)
        assert.equal(error.code, code, stderr)
        assert.ok(error.message.includes(message), error.message)
      })
    }
    assert.deepEqual(fs.readdirSync(folder).sort(), ['ca.pem', 'second.key', 'third.pem'])
  })

  test('one of several that fails fails all, and each is named', async () => {
    await serving(pkis.first, async (_, good) => {
      const gone = `localhost:${await closedPort()}`
      const both = await run(['init', good, gone, '--ca', 'ca.pem'])
      assert.equal(both.status, 3, both.stderr)
      assert.equal(
        named(both.stderr, gone),
        'error: HOST: the connection was refused\ncheck the port; nothing listens there\n'
      )
      await serving(pkis.foreign, async (_, foreign) => {
        write('root.pem', pkis.root.pem)
        const { status, stderr } = await run(['init', good, gone, foreign, '--ca', 'root.pem'])
        assert.equal(status, 1)
        assert.match(stderr, /^error: 2 of 3 hosts cannot be pinned, and nothing was written:\n/)
        assert.ok(
          stderr.includes(`\n  ${gone}: `) && stderr.includes(`\n  ${foreign}: ${foreign} does not verify`),
          stderr
        )
      })
    })
    assert.equal(fs.existsSync(path.join(folder, 'policy.json')), false)
  })

  test('a file that is there is left alone, and wrong usage is told', async () => {
    write('policy.json', 'mine')
    for (const [args, message] of /** @type {[string[], string][]} */ ([
      [['localhost'], 'policy.json is there already'],
      [[], 'at least one host is needed'],
      [['http://localhost', '--out', 'x'], 'is not a host'],
      [['a.example', 'b.example', '--servername', 'c.example'], '--servername is for one host'],
      [['localhost', '--out', '-', '--json'], 'both write to standard output'],
      [['localhost', '--out', 'x', '--timeout', 'soon'], '--timeout soon is not a number of seconds'],
      [['localhost', '--out', 'x', '--ca', 'nowhere.pem'], 'no such file'],
      [['localhost', '--out', 'x', '--backup', 'nowhere.pem'], 'neither a pin nor a file']
    ])) {
      const { status, stderr, stdout } = await run(['init', ...args])
      assert.equal(status, 2, `${args}: ${stderr}`)
      assert.ok((stderr + stdout).includes(message), `${args}: ${stderr}`)
    }
    assert.equal(fs.readFileSync(path.join(folder, 'policy.json'), 'utf8'), 'mine')
    assert.equal(fs.existsSync(path.join(folder, 'x')), false)
  })

  test('a host that cannot be reached, and one that does not answer', async () => {
    const silent = net.createServer(() => {}).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = /** @type {net.AddressInfo} */ (silent.address())
    const { status, stderr } = await run(['init', `127.0.0.1:${port}`, '--timeout', '0.2'])
    silent.close()
    assert.equal(status, 3)
    assert.match(stderr, /handshakeTimeout/)
  })
})

describe('rotate', () => {
  /** @param {object} hosts */
  const writePolicy = hosts => write('policy.json', `${JSON.stringify({ version: 1, hosts }, null, 2)}\n`)
  /** @param {string} host @param {string[]} more */
  const rotate = (host, ...more) => run(['rotate', host, '--ca', 'ca.pem', ...more])

  test('a server that has moved to its backup key: the old pin goes, the next backup comes', async () => {
    await serving(pkis.second, async (_, host) => {
      writePolicy({ [host]: [pkis.first.pin, pkis.second.pin] })
      const text = fs.readFileSync(path.join(folder, 'policy.json'), 'utf8')
      const look = await rotate(host)
      assert.equal(look.status, 0)
      assert.equal(
        named(look.stdout, host),
        'policy.json says of HOST\n  not met  <first>\n  met  <second>  by CN=localhost\n\n' +
          'HOST has\n  <second>  leaf, CN=localhost\n  <issuer>  ca, CN=Issuing\n  <root>  ca, CN=Root\n'
      )
      assert.equal(
        named(look.stderr, host),
        '\nIt passes. After a move to the backup key, give the next one: tls-pinning rotate HOST --ca ca.pem --backup FILE\n'
      )
      const dry = await rotate(host, '--backup', 'third.pem', '--dry-run')
      assert.match(dry.stdout, /^--- policy\.json\n/)
      assert.equal(fs.readFileSync(path.join(folder, 'policy.json'), 'utf8'), text)

      const { status, stdout, stderr } = await rotate(host, '--backup', 'third.pem')
      assert.deepEqual({ status, stderr }, { status: 0, stderr: '' })
      assert.equal(named(stdout, host), 'policy.json, HOST:\n  removed  <first>\n  added  <third>\n')
      assert.equal(
        fs.readFileSync(path.join(folder, 'policy.json'), 'utf8'),
        text.replace(
          `"${pkis.first.pin}",\n      "${pkis.second.pin}"`,
          `"${pkis.second.pin}",\n      "${pkis.third.pin}"`
        )
      )
    })
  })

  test('a server that has not moved yet: its backup stays', async () => {
    await serving(pkis.first, async (_, host) => {
      writePolicy({ [host]: [pkis.first.pin, pkis.second.pin] })
      const { status, stderr } = await rotate(host, '--backup', 'third.pem')
      assert.equal(status, 0)
      assert.equal(named(stderr, host), '<second> is not in use by the server, and was kept as a backup\n')
      assert.deepEqual(policy().hosts[host], [pkis.first.pin, pkis.second.pin, pkis.third.pin])
    })
  })

  test('a new key under the pinned issuer is pinned only when it is named', async () => {
    await serving(pkis.second, async (_, host) => {
      writePolicy({ [host]: { leaf: [pkis.first.pin], ca: [pkis.issuer.pin] } })
      const look = await rotate(host)
      assert.equal(look.status, 0)
      assert.match(
        named(look.stderr, host),
        /^\nIt passes by its issuer; .*\ntls-pinning rotate HOST --ca ca.pem --accept PIN\n$/
      )
      const { status, stdout } = await rotate(host, '--accept', 'second.key')
      assert.equal(status, 0)
      assert.equal(named(stdout, host), 'policy.json, HOST:\n  removed  <first> (leaf)\n  added  <second> (leaf)\n')
      assert.deepEqual(policy().hosts[host], { leaf: [pkis.second.pin], ca: [pkis.issuer.pin] })
    })
  })

  test('a server that meets none of the pins is refused, unless its key is named', async () => {
    await serving(pkis.foreign, async (_, host) => {
      writePolicy({ [host]: { leaf: [pkis.first.pin, pkis.second.pin], ca: [pkis.issuer.pin] } })
      const text = fs.readFileSync(path.join(folder, 'policy.json'), 'utf8')
      const look = await rotate(host)
      assert.equal(look.status, 1)
      assert.match(look.stderr, /that is what an attack looks like/)
      const { status, stdout, stderr } = await rotate(host, '--backup', 'third.pem')
      assert.deepEqual({ status, stdout }, { status: 1, stdout: '' })
      assert.equal(
        named(stderr, host),
        'error: HOST meets none of its pins. That is what an attack looks like.\n' +
          'The policy has\n  <first> (leaf)\n  <second> (leaf)\n  <issuer> (ca)\n' +
          'and the server\n  <foreign>  leaf, CN=localhost\n  <other>  ca, CN=Other\n' +
          'ask whoever runs the server, by another way, for the pin of its new key. Only if it is the same:\n' +
          'tls-pinning rotate HOST --ca ca.pem --accept PIN --backup FILE\n'
      )
      const { error } = JSON.parse((await rotate(host, '--backup', 'third.pem', '--json')).stdout)
      assert.equal(error.code, 'ERR_TLS_PIN_MISMATCH')

      const wrong = await rotate(host, '--accept', pkis.third.pin)
      assert.equal(wrong.status, 1)
      assert.match(named(wrong.stderr, host), /^error: HOST does not have the key of <third>:\n/)
      assert.equal(fs.readFileSync(path.join(folder, 'policy.json'), 'utf8'), text)

      const accepted = await rotate(host, '--accept', pkis.foreign.pin, '--json')
      assert.equal(accepted.status, 0, accepted.stderr)
      assert.deepEqual(JSON.parse(accepted.stdout), {
        policy: 'policy.json',
        pattern: host,
        added: [{ pin: pkis.foreign.pin, role: 'leaf' }],
        removed: [
          { pin: pkis.first.pin, role: 'leaf' },
          { pin: pkis.issuer.pin, role: 'ca' }
        ],
        written: true,
        waiting: [pkis.second.pin]
      })
      assert.deepEqual(policy().hosts[host], { leaf: [pkis.foreign.pin, pkis.second.pin] })
    })
  })

  test('a server that does not verify is refused, whatever is accepted', async () => {
    await serving(pkis.foreign, async (_, host) => {
      write('root.pem', pkis.root.pem)
      writePolicy({ [host]: [pkis.foreign.pin, pkis.second.pin] })
      const text = fs.readFileSync(path.join(folder, 'policy.json'), 'utf8')
      for (const more of [[], ['--backup', 'third.pem'], ['--accept', pkis.foreign.pin]]) {
        const { status, stderr } = await run(['rotate', host, '--ca', 'root.pem', ...more])
        assert.equal(status, 1)
        assert.match(named(stderr, host), /^error: HOST does not verify: /)
      }
      assert.equal(fs.readFileSync(path.join(folder, 'policy.json'), 'utf8'), text)
    })
  })

  test('the entry that decides about the host is changed, be it a wildcard', async () => {
    const leaf = await pki.leaf({ issuer: pkis.issuer, names: ['api.example'] })
    await serving(leaf, async (_, host) => {
      writePolicy({ '**.example': [pkis.first.pin, leaf.pin], 'b.example': [pkis.first.pin] })
      const { status, stdout, stderr } = await rotate(host, '--servername', 'api.example', '--backup', 'third.pem')
      assert.equal(status, 0, stderr)
      assert.match(stdout, /^policy\.json, \*\*\.example:\n/)
      assert.match(stderr, /^other hosts of \*\*\.example were not asked/)
      assert.deepEqual(policy().hosts, { '**.example': [leaf.pin, pkis.third.pin], 'b.example': [pkis.first.pin] })
    })
  })

  test('no host is left with one pin, and no key in use is a backup', async () => {
    await serving(pkis.second, async (_, host) => {
      for (const [pins, more, message] of /** @type {[string[], string[], string][]} */ ([
        [[pkis.first.pin], ['--accept', pkis.second.pin], 'one pin and no backup'],
        [[pkis.first.pin, pkis.second.pin], ['--backup', 'second.key'], 'a key that the server uses now'],
        [[pkis.first.pin, pkis.second.pin], ['--backup', pkis.first.pin], 'being retired'],
        [[pkis.first.pin, pkis.second.pin], ['--backup', pkis.issuer.pin], 'a key that the server uses now']
      ])) {
        writePolicy({ [host]: pins })
        const { status, stderr } = await rotate(host, ...more)
        assert.equal(status, 2, stderr)
        assert.ok(stderr.includes(message), stderr)
        assert.deepEqual(policy().hosts[host], pins)
      }
      writePolicy({ [host]: [pkis.second.pin, pkis.third.pin] })
      const { status, stdout, stderr } = await rotate(host, '--accept', pkis.second.pin)
      assert.deepEqual({ status, stdout }, { status: 0, stdout: '' })
      assert.match(named(stderr, host), /^HOST needs no change\n/)
    })
  })

  test('wrong usage, and a host that is not there', async () => {
    writePolicy({ 'a.example': [pkis.first.pin, pkis.second.pin] })
    write('bare.json', JSON.stringify([pkis.first.pin]))
    await serving(pkis.first, async (_, host) => {
      for (const [args, message] of /** @type {[string[], string][]} */ ([
        [[], 'one host is needed'],
        [[host, host], 'one host is needed'],
        [['*.example'], 'is not a host'],
        [[host, '--policy', 'nowhere.json'], 'nowhere.json cannot be read'],
        [[host, '--ca', 'ca.pem'], `policy.json has no entry for ${host}`],
        [[host, '--ca', 'ca.pem', '--policy', 'bare.json'], 'bare list of pins']
      ])) {
        const { status, stderr } = await run(['rotate', ...args])
        assert.equal(status, 2, `${args}: ${stderr}`)
        assert.ok(stderr.includes(message), `${args}: ${stderr}`)
      }
    })
    for (const name of ['init', 'rotate']) {
      const { status, stdout } = await run([name, '--help'])
      assert.equal(status, 0)
      assert.ok(stdout.includes(`\n  tls-pinning ${name} api.example.com`))
    }
  })
})

describe('which pins go', () => {
  /** `leaf:A+` is the pin A for leaves, met by the server. @param {string} text */
  const rulesOf = text =>
    text.split(' ').map(word => {
      const [, role, pin, met] = /** @type {RegExpExecArray} */ (/^(any|leaf|ca):(\w+)(\+?)$/.exec(word))
      return { role: /** @type {'any'} */ (role), pin: pin ?? '', isMet: met === '+' }
    })

  for (const [rules, given, expected] of /** @type {[string, Parameters<typeof plan>[0] | object, string[]]} */ ([
    // In use, old, waiting; then what --accept and --backup add.
    ['any:A+ any:B', { backup: 'N' }, ['', 'B', '', 'any:N']],
    ['any:A any:B+', { backup: 'N' }, ['A', '', '', 'any:N']],
    ['any:A any:B any:C+ any:D', { backup: 'N' }, ['A B', 'D', '', 'any:N']],
    ['any:A any:I+', { backup: 'N' }, ['A', '', '', 'any:N']],
    ['any:A any:B', { accepted: { pin: 'X', isLeaf: true }, backup: 'N' }, ['A', 'B', 'any:X', 'any:N']],
    ['leaf:A leaf:B+ ca:I+', { backup: 'N' }, ['A', '', '', 'leaf:N']],
    ['leaf:A+ ca:I', { backup: 'N' }, ['', 'I', '', 'leaf:N']],
    ['any:I leaf:A+', { backup: 'N' }, ['', 'I', '', 'leaf:N']],
    ['any:I+ leaf:A leaf:B', { backup: 'N' }, ['A', 'B', '', 'leaf:N']],
    ['any:I leaf:A+', { accepted: { pin: 'X', isLeaf: true } }, ['', 'I', 'leaf:X', '']],
    ['leaf:A+ ca:I', { accepted: { pin: 'J', isLeaf: false } }, ['I', '', 'ca:J', '']],
    ['leaf:A ca:I+', { accepted: { pin: 'X', isLeaf: true } }, ['A', '', 'leaf:X', '']],
    ['leaf:A leaf:B ca:I+', { accepted: { pin: 'X', isLeaf: true } }, ['A', 'B', 'leaf:X', '']],
    ['leaf:A leaf:B ca:I', { accepted: { pin: 'X', isLeaf: true } }, ['A I', 'B', 'leaf:X', '']],
    ['leaf:A ca:I', { accepted: { pin: 'J', isLeaf: false }, backup: 'N' }, ['A I', '', 'ca:J', 'leaf:N']],
    // Issuers are alternatives.
    ['ca:I ca:J+ ca:K', { backup: 'N' }, ['', 'I K', '', 'leaf:N']],
    ['ca:I', { accepted: { pin: 'X', isLeaf: true } }, ['I', '', 'leaf:X', '']],
    ['any:A', { accepted: { pin: 'J', isLeaf: false } }, ['A', '', 'any:J', '']],
    // What is named and known already is not added again.
    ['any:A any:B+', { accepted: { pin: 'B', isLeaf: true } }, ['A', '', '', '']]
  ])) {
    test(`${rules}, ${JSON.stringify(given)}`, () => {
      const { retired, waiting, accepted, backup } = plan({ rules: rulesOf(String(rules)), ...given })
      const pins = (/** @type {{ pin: string }[]} */ list) => list.map(({ pin }) => pin).join(' ')
      const one = (/** @type {{ pin: string, role: string } | null} */ rule) => (rule ? `${rule.role}:${rule.pin}` : '')
      assert.deepEqual([pins(retired), pins(waiting), one(accepted), one(backup)], expected)
    })
  }
})

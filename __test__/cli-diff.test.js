'use strict'
// Promise: `diff` tells what a connection would notice of another policy, all of it and nothing else, and whether it is
// looser or stricter for it.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, describe, it } = require('node:test')
const { PinSet } = require('..')
const { changes } = require('../bin/diff/changes.js')
const { differences } = require('../bin/diff/differences.js')
const { cli } = require('./helpers/cli')

const [A, B, C] = ['a', 'b', 'c'].map(pin)
const FOLDER = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-diff-'))
after(() => fs.rmSync(FOLDER, { recursive: true, force: true }))

/** @param {string} name */
function pin(name) {
  return `sha256/${crypto.createHash('sha256').update(name).digest('base64')}`
}

describe('a change', () => {
  const EARLY = '2030-01-01T00:00:00Z'
  const LATE = '2031-01-01T00:00:00Z'
  const report = { pins: [A], mode: 'report' }

  /** One host, from an entry (or `unlisted` alone) to another. @type {[name: string, from: any, to: any, expected: string[]][]} */
  const ROWS = [
    ['none', { pins: [A, B] }, { pins: [B, A] }, []],
    ['a pin more', { pins: [A] }, { pins: [A, B] }, ['looser pin B: null → any']],
    ['a pin less', { pins: [A, B] }, { pins: [A] }, ['stricter pin B: any → null']],
    ['another pin', { pins: [A] }, { pins: [B] }, ['stricter pin A: any → null', 'looser pin B: null → any']],
    ['a pin twice', { pins: [A, A], leaf: [A] }, { pins: [A] }, []],
    ['a pin for the leaf alone', { pins: [A] }, { leaf: [A] }, ['stricter pin A: any → leaf']],
    ['a pin for more than issuers', { ca: [A] }, { pins: [A] }, ['looser pin A: ca → any']],
    ['leaf and ca are any', { leaf: [A], ca: [A] }, { pins: [A] }, []],
    [
      'from the leaf to issuers',
      { leaf: [A] },
      { ca: [A] },
      ['stricter pin A: leaf → null', 'looser pin A: null → ca']
    ],
    ['only reported', { pins: [A] }, report, ['looser mode: enforce → report']],
    ['enforced', report, { pins: [A] }, ['stricter mode: report → enforce']],
    [
      'only reported, with other pins',
      { pins: [B] },
      report,
      ['looser mode: enforce → report', 'neutral pin B: any → null', 'neutral pin A: null → any']
    ],
    [
      'other pins that are only reported',
      { ...report, pins: [B] },
      report,
      ['neutral pin B: any → null', 'neutral pin A: null → any']
    ],
    ['an expiry', { pins: [A] }, { pins: [A], expires: EARLY }, ['stricter expiry: never → EARLY, then refused']],
    [
      'an expiry that lets through',
      { pins: [A] },
      { pins: [A], expires: EARLY, onExpiry: 'allow' },
      ['looser expiry: never → EARLY, then not pinned']
    ],
    [
      'a later one',
      { pins: [A], expires: EARLY },
      { pins: [A], expires: LATE },
      ['looser expiry: EARLY, then refused → LATE, then refused']
    ],
    [
      'an earlier one',
      { pins: [A], expires: LATE },
      { pins: [A], expires: EARLY },
      ['stricter expiry: LATE, then refused → EARLY, then refused']
    ],
    [
      'a later one that lets through',
      { pins: [A], expires: EARLY, onExpiry: 'allow' },
      { pins: [A], expires: LATE, onExpiry: 'allow' },
      ['stricter expiry: EARLY, then not pinned → LATE, then not pinned']
    ],
    [
      'no expiry any more',
      { pins: [A], expires: EARLY, onExpiry: 'allow' },
      { pins: [A] },
      ['stricter expiry: EARLY, then not pinned → never']
    ],
    [
      'lets through when it expires, earlier',
      { pins: [A], expires: LATE },
      { pins: [A], expires: EARLY, onExpiry: 'allow' },
      ['looser expiry: LATE, then refused → EARLY, then not pinned']
    ],
    [
      'refuses when it expires, later',
      { pins: [A], expires: EARLY, onExpiry: 'allow' },
      { pins: [A], expires: LATE },
      ['stricter expiry: EARLY, then not pinned → LATE, then refused']
    ],
    ['onExpiry without an expiry', { pins: [A] }, { pins: [A], onExpiry: 'allow' }, []],
    [
      'the same moment in another zone',
      { pins: [A], expires: EARLY },
      { pins: [A], expires: '2030-01-01T01:00:00+01:00' },
      []
    ],
    [
      'an expiry of what is only reported',
      report,
      { ...report, expires: EARLY },
      ['neutral expiry: never → EARLY, then refused']
    ],
    ['a host more', 'deny', { pins: [A] }, ['looser host: refused → pinned', 'neutral pin A: null → any']],
    [
      'a host that was not pinned',
      'allow',
      { pins: [A] },
      ['stricter host: not pinned → pinned', 'neutral pin A: null → any']
    ],
    [
      'a host that was reported',
      'report',
      { pins: [A] },
      ['stricter host: not pinned, reported → pinned', 'neutral pin A: null → any']
    ],
    [
      'a host that is reported on',
      'allow',
      report,
      ['neutral host: not pinned → not pinned, reported', 'neutral pin A: null → any']
    ],
    [
      'a refused host that is let through',
      'deny',
      report,
      ['looser host: refused → not pinned, reported', 'neutral pin A: null → any']
    ],
    ['a host less', { pins: [A] }, 'deny', ['stricter host: pinned → refused', 'neutral pin A: any → null']],
    [
      'a host that is not pinned any more',
      { pins: [A] },
      'allow',
      ['looser host: pinned → not pinned', 'neutral pin A: any → null']
    ],
    ['unlisted hosts, allowed', 'deny', 'allow', ['looser unlisted: deny → allow']],
    ['unlisted hosts, told of', 'allow', 'report', ['neutral unlisted: allow → report']],
    ['unlisted hosts, refused', 'report', 'deny', ['stricter unlisted: report → deny']],
    ['unlisted hosts, as before', 'report', 'report', []]
  ]
  for (const [name, from, to, expected] of ROWS) {
    it(`${name}: ${expected.join('; ') || 'nothing'}`, () => {
      const [before, now] = [from, to].map(decision)
      const told = changes(before, now).map(({ what, direction, from, to, pin }) => {
        const about = pin ? `${what} ${['A', 'B'][[A, B].indexOf(pin)]}` : what
        return `${direction} ${about}: ${from} → ${to}`.replaceAll(EARLY, 'EARLY').replaceAll(LATE, 'LATE')
      })
      assert.deepEqual(told, expected)
      // What is looser one way is stricter the other.
      const opposite = { looser: 'stricter', stricter: 'looser', neutral: 'neutral' }
      const back = changes(now, before).map(({ direction }) => direction)
      assert.deepEqual(
        back.sort(),
        changes(before, now)
          .map(({ direction }) => opposite[direction])
          .sort()
      )
    })
  }

  /** @param {any} given @returns {any} */
  function decision(given) {
    if (typeof given === 'string') return { unlisted: given }
    return { entry: new PinSet({ hosts: { 'a.example': given } }).match('a.example') }
  }
})

describe('hosts', () => {
  /** @type {[name: string, a: any, b: any, expected: [hosts: string, from: string | null, to: string | null][]][]} */
  const ROWS = [
    ['the same in another form', { 'A.example.': hex('a') }, { hosts: { 'a.example': { pins: [A] } }, version: 1 }, []],
    [
      'one more that a wildcard was for alike',
      { '*.example': [A, B] },
      { '*.example': [A, B], 'a.example': [B, A] },
      []
    ],
    [
      'one more that a wildcard was for',
      { '*.example': A },
      { '*.example': A, 'a.example': B },
      [['a.example', '*.example', 'a.example']]
    ],
    [
      'one less, which falls to the wildcard',
      { '**.example': A, 'b.a.example': B },
      { '**.example': A },
      [['b.a.example', 'b.a.example', '**.example']]
    ],
    [
      'a wildcard in the place of another',
      { '*.example': A },
      { '**.example': A },
      [['**.example', null, '**.example']]
    ],
    [
      'a port of its own',
      { 'a.example': A },
      { 'a.example': A, 'a.example:8443': B },
      [['a.example:8443', 'a.example', 'a.example:8443']]
    ],
    ['a port of its own with the same pin', { 'a.example': A }, { 'a.example': A, 'a.example:8443': A }, []],
    [
      'one port in the place of all',
      { 'a.example': A },
      { 'a.example:443': A },
      [['a.example except :443', 'a.example', null]]
    ],
    [
      'a wildcard with a port, under one without',
      { '**.example': A, 'a.example': B },
      { '**.example': A, '**.example:9': C, 'a.example': B },
      [['**.example:9', '**.example', '**.example:9']]
    ],
    [
      'addresses',
      { '192.0.2.7': A, '[2001:DB8::1]:443': A },
      { '192.0.2.7': B, '[2001:db8::1]': A },
      [
        ['192.0.2.7', '192.0.2.7', '192.0.2.7'],
        ['[2001:db8::1] except :443', null, '[2001:db8::1]']
      ]
    ],
    ['a bare list', [A], [A, B], [['hosts that no other entry is for', 'pins', 'pins']]],
    ['from a bare list to one host', [A], { 'a.example': A }, [['hosts that no other entry is for', 'pins', null]]],
    [
      'unlisted hosts',
      { hosts: { 'a.example': A } },
      { unlisted: 'allow', hosts: { 'a.example': A } },
      [['hosts that no other entry is for', null, null]]
    ]
  ]
  for (const [name, a, b, expected] of ROWS) {
    it(name, () => {
      const told = differences(new PinSet(a), new PinSet(b))
      assert.deepEqual(
        told.map(({ hosts, from, to }) => [hosts, from, to]),
        expected
      )
    })
  }

  it('of random policies: the changes that are told for a host are those that a connection to it would notice', () => {
    const random = generator(20_261_124)
    const pick = (/** @type {any[]} */ list) => list[random(list.length)]
    const names = ['x', 'a.x', 'b.x', 'a.b.x', 'c.a.b.x', 'y', 'a.y', '0.x', 'x0.x']
    const patterns = names
      .flatMap(name => [name, `*.${name}`, `**.${name}`])
      .flatMap(name => [name, `${name}:443`, `${name}:8443`])
    const entries = [
      [A],
      [B],
      [A, B],
      { leaf: [A] },
      { pins: [A], mode: 'report' },
      { pins: [A], expires: '2030-01-01T00:00:00Z' }
    ]
    const policy = () => ({
      unlisted: pick(['deny', 'allow', 'report']),
      hosts: Object.fromEntries(Array.from({ length: 1 + random(5) }, () => [pick(patterns), pick(entries)]))
    })
    const hosts = names
      .flatMap(name => [name, `a.${name}`, `q.${name}`, `q.r.${name}`, `a.q.${name}`])
      .concat('z', '192.0.2.1')
    let seen = 0
    for (let round = 0; round < 400; round++) {
      const [a, b] = [policy(), policy()]
      const sets = [new PinSet(a), new PinSet(b)]
      const told = differences(sets[0], sets[1])
      // Which of the patterns of both decides: the library's own lookup says.
      const union = { ...a.hosts, ...b.hosts }
      const is = (/** @type {string} */ hosts) =>
        Object.keys(union).some(pattern => pattern.replace(/:\d+$/, '') === hosts)
      const apexes = names.filter(name => name.includes('.') && is(`**.${name}`) && is(name.replace(/^[^.]+/, '*')))
      const both = new PinSet({ ...union, ...Object.fromEntries(apexes.map(name => [name, A])) })
      const ports = [443, 8443, 9]
      for (const host of hosts) {
        for (const port of ports) {
          const [from, to] = sets.map((set, index) => {
            const entry = set.match(host, port)
            return entry ? { entry } : { unlisted: [a, b][index].unlisted }
          })
          const expected = changes(/** @type {any} */ (from), /** @type {any} */ (to))
          const region = both.match(host, port)?.pattern?.replace(/:\d+$/, '')
          const found = told.find(({ hosts }) => {
            const [name, ports = ''] = hosts.split(' except ')
            if (region === undefined) return hosts.startsWith('hosts that')
            return name === `${region}:${port}` || (name === region && !ports.split(', ').includes(`:${port}`))
          })
          const where = `${host}:${port} ${JSON.stringify([a, b])}`
          assert.deepEqual(found?.changes ?? [], expected, where)
          seen += expected.length
        }
      }
    }
    assert.ok(seen > 10_000, `${seen}`)
  })
})

describe('the expiry of a policy as a whole', () => {
  const T = '2030-01-01T00:00:00Z'
  const LATER = '2031-01-01T00:00:00Z'
  const host = { 'a.example': [A] }
  const loose = (/** @type {string} */ expires) => ({ 'a.example': { pins: [A], expires, onExpiry: 'allow' } })
  const whole = (/** @type {string} */ from, /** @type {string} */ to) => `every host: looser ${from} → ${to}`
  const REFUSED = `${T}, then refused`
  const gone = whole(REFUSED, 'never')

  /** From one that is stricter to one that is looser. @type {[name: string, a: any, b: any, expected: string[]][]} */
  const ROWS = [
    ['gone', { expires: T, hosts: host }, { hosts: host }, [gone]],
    ['later', { expires: T, hosts: host }, { expires: LATER, hosts: host }, [whole(REFUSED, `${LATER}, then refused`)]],
    [
      'gone, where unlisted hosts are allowed',
      { expires: T, unlisted: 'allow', hosts: host },
      { unlisted: 'allow', hosts: host },
      [gone]
    ],
    [
      'gone, from an entry that lets through at the same moment',
      { expires: T, hosts: loose(T) },
      { hosts: loose(T) },
      [gone, `a.example: looser ${REFUSED} → ${T}, then not pinned`]
    ],
    [
      'gone, from an entry that lets through later',
      { expires: T, hosts: loose(LATER) },
      { hosts: loose(T) },
      [gone, `a.example: looser ${REFUSED} → ${T}, then not pinned`]
    ],
    [
      'later than that of an entry that lets through',
      { expires: T, hosts: loose('2029-01-01T00:00:00Z') },
      { expires: LATER, hosts: loose('2029-01-01T00:00:00Z') },
      [whole(REFUSED, `${LATER}, then refused`)]
    ],
    ['the same', { expires: T, hosts: loose(LATER) }, { expires: T, hosts: host }, []],
    ['the same moment', { expires: T, hosts: host }, { expires: '2030-01-01T01:00:00+01:00', hosts: host }, []]
  ]
  for (const [name, a, b, expected] of ROWS) {
    it(name, () => {
      const said = (/** @type {any} */ one, /** @type {any} */ other) =>
        differences(new PinSet(one), new PinSet(other)).flatMap(({ hosts, changes }) =>
          changes.map(({ what, direction, from, to }) => {
            assert.equal(what, 'expiry')
            return `${hosts}: ${direction} ${from} → ${to}`
          })
        )
      assert.deepEqual(said(a, b), expected)
      const back = expected.map(line => line.replace(/looser (.*) → (.*)$/, 'stricter $2 → $1'))
      assert.deepEqual(said(b, a), back)
    })
  }
})

describe('the command', () => {
  const before = {
    hosts: {
      'api.example.com': [A, B],
      '*.example.com': [A, C],
      'pay.example.com': { pins: [A], expires: '2030-01-01T00:00:00Z' }
    }
  }
  const now = {
    unlisted: 'report',
    hosts: {
      '*.example.com': [A, C],
      'pay.example.com': { pins: [A], expires: '2031-01-01T00:00:00Z' },
      'new.example.com': { leaf: A, mode: 'report' }
    }
  }
  const GOLDEN = `hosts that no other entry is for
  unlisted: deny → report                                                                 looser
api.example.com (entry api.example.com, now *.example.com)
  - ${B} on any certificate                stricter
  + ${C} on any certificate                looser
new.example.com (entry *.example.com, now new.example.com)
  mode: enforce → report                                                                  looser
  ~ ${A} on any certificate → on the leaf  neutral
  - ${C} on any certificate                neutral
pay.example.com
  expiry: 2030-01-01T00:00:00Z, then refused → 2031-01-01T00:00:00Z, then refused         looser

4 looser, 1 stricter, 2 neutral
`

  it('tells each change, in a pipe and on a terminal: 1', async () => {
    write('a.json', before)
    write('b.json', now)
    const piped = await diff(['a.json', 'b.json'])
    assert.deepEqual(piped, { status: 1, stdout: GOLDEN, stderr: '' })
    const seen = await cli(['diff', 'a.json', 'b.json'], { cwd: FOLDER, pty: true })
    assert.equal(seen.status, 1)
    assert.match(seen.stdout, /\x1b\[31mlooser\x1b\[39m/)
    assert.match(seen.stdout, /\x1b\[32mstricter\x1b\[39m/)
    assert.equal(seen.stdout.replaceAll(/\x1b\[\d+m/g, '').replaceAll('\r\n', '\n'), GOLDEN)
  })

  it('--json has the same', async () => {
    write('a.json', before)
    write('b.json', now)
    const { status, stdout } = await diff(['a.json', 'b.json', '--json'])
    assert.equal(status, 1)
    const hosts = differences(new PinSet(/** @type {any} */ (before)), new PinSet(/** @type {any} */ (now)))
    assert.deepEqual(JSON.parse(stdout), {
      same: false,
      looser: 4,
      stricter: 1,
      neutral: 2,
      hosts: JSON.parse(JSON.stringify(hosts))
    })
  })

  it('what means the same: 0, also from standard input', async () => {
    write('a.json', { hosts: { 'A.example': hex('a') } })
    const stdin = JSON.stringify({ 'a.example': [A] })
    for (const args of [
      ['a.json', '-'],
      ['-', 'a.json']
    ]) {
      assert.deepEqual(await diff(args, { stdin }), { status: 0, stdout: 'both policies mean the same\n', stderr: '' })
    }
    const { stdout } = await diff(['a.json', '-', '--json'], { stdin })
    assert.deepEqual(JSON.parse(stdout), { same: true, looser: 0, stricter: 0, neutral: 0, hosts: [] })
  })

  /** @type {[name: string, args: string[], message: RegExp][]} */
  const WRONG = [
    ['one policy', ['a.json'], /1 policies are given/],
    ['three', ['a.json', 'a.json', 'a.json'], /3 policies are given/],
    ['standard input twice', ['-', '-'], /standard input is given twice/],
    ['no such file', ['a.json', 'nowhere.json'], /nowhere\.json cannot be read: ENOENT/],
    [
      'a malformed policy',
      ['a.json', 'malformed.json'],
      /malformed\.json: .*hosts\["a\.example"\]: the list of pins is empty/
    ]
  ]
  for (const [name, args, message] of WRONG) {
    it(`${name}: 2`, async () => {
      write('a.json', before)
      write('malformed.json', { hosts: { 'a.example': [] } })
      const { status, stdout, stderr } = await diff(args)
      assert.deepEqual([status, stdout], [2, ''])
      assert.match(stderr, message)
    })
  }

  /** @param {string} name @param {unknown} content */
  function write(name, content) {
    fs.writeFileSync(path.join(FOLDER, name), JSON.stringify(content))
  }

  /** @param {string[]} args @param {object} [options] */
  function diff(args, options) {
    return cli(['diff', ...args], { cwd: FOLDER, ...options })
  }
})

it('10,000 hosts with ports of their own are compared in a bearable time', () => {
  const policy = (/** @type {string} */ pin) =>
    Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`h${index}.example:${index + 1}`, pin]))
  const begun = performance.now()
  assert.equal(differences(new PinSet(policy(A)), new PinSet(policy(B))).length, 10_000)
  assert.ok(performance.now() - begun < 20_000)
})

/** @param {string} name */
function hex(name) {
  return `spki:sha256:${crypto.createHash('sha256').update(name).digest('hex')}`
}

/** Numbers below a limit, always the same ones (mulberry32). @param {number} seed */
function generator(seed) {
  let state = seed
  return (/** @type {number} */ limit) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit
  }
}

'use strict'
// The promise: an entry that is about to expire is told of ahead, once for each policy: at the start, when the policy changes
// and when its time comes, however far that is.

const assert = require('node:assert/strict')
const { describe, test, mock, afterEach } = require('node:test')
const { PinSet } = require('..')
const { withPolicy } = require('./helpers/ours')
const { REGISTER, inProcess } = require('./helpers/node-tls')

const PIN = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const DAY = 86_400_000
/** With whole seconds, which is all that a policy has. */
const NOW = Date.parse('2030-01-01T00:00:00Z')

afterEach(() => mock.timers.reset())

/** @param {Record<string, number>} hosts Days until each expires. */
function policy(hosts) {
  const entries = Object.entries(hosts).map(([host, days]) => [host, { pins: PIN, expires: at(days) }])
  return Object.fromEntries(entries)
}

/** @param {number} days */
function at(days) {
  return new Date(NOW + days * DAY).toISOString()
}

/** @param {InstanceType<typeof PinSet>} pins */
function listen(pins) {
  /** @type {any[]} */
  const told = []
  pins.on('expiring', entry => told.push(entry))
  return told
}

function clock() {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: NOW })
}

/** What is told in the next tick, and in the one after, has been told. */
function turn() {
  return new Promise(resolve => setImmediate(resolve))
}

describe('at the start', () => {
  test('entries within 30 days are told, each once, with what happens then', async () => {
    clock()
    const pins = new PinSet({
      hosts: {
        'soon.example': { pins: PIN, expires: at(30), onExpiry: 'allow', mode: 'report' },
        'later.example': { pins: PIN, expires: at(30.1) },
        'past.example': { pins: PIN, expires: at(-1) },
        'never.example': PIN
      }
    })
    const told = listen(pins)
    assert.deepEqual(told, [], 'not before its listener has been added')
    await turn()
    assert.deepEqual(told, [
      { pattern: 'past.example', expires: new Date(at(-1)), expired: true, mode: 'enforce', onExpiry: 'deny' },
      { pattern: 'soon.example', expires: new Date(at(30)), expired: false, mode: 'report', onExpiry: 'allow' }
    ])
    await turn()
    assert.equal(told.length, 2)
  })

  test('a bare list never expires', async () => {
    const told = listen(new PinSet([PIN]))
    await turn()
    assert.deepEqual(told, [])
  })

  test('a listener that throws costs the others nothing', async () => {
    const program = `
      const { PinSet } = require(ROOT)
      const pins = new PinSet(DATA)
      process.on('uncaughtException', error => tell(error.message))
      pins.on('expiring', ({ pattern }) => { throw new Error(pattern) })`
    const expires = new Date(Date.now() + DAY).toISOString()
    const hosts = { 'a.example': { pins: PIN, expires }, 'b.example': { pins: PIN, expires } }
    const { told } = await inProcess(program, hosts)
    assert.deepEqual(told, ['a.example', 'b.example'])
  })
})

describe('later', () => {
  test('another policy tells of its own entries', async () => {
    clock()
    const pins = new PinSet(policy({ 'a.example': 10 }))
    const told = listen(pins)
    await turn()
    pins.replace(policy({ 'a.example': 10, 'b.example': 20, 'c.example': 300 }))
    await turn()
    assert.deepEqual(
      told.map(({ pattern }) => pattern),
      ['a.example', 'a.example', 'b.example']
    )
    assert.throws(() => pins.replace('nonsense'))
    await turn()
    assert.equal(told.length, 3)
  })

  test('an entry is told of when its time comes, months from now, to the second', async () => {
    clock()
    const pins = new PinSet(policy({ 'a.example': 100, 'b.example': 200 }))
    const told = listen(pins)
    await turn()
    assert.equal(told.length, 0)
    // A timer waits for 2^31 - 1 ms at most, which is less than 25 days.
    for (let days = 10; days <= 60; days += 10) {
      mock.timers.tick(10 * DAY)
      await turn()
    }
    mock.timers.tick(10 * DAY - 1_000)
    await turn()
    assert.equal(told.length, 0)
    mock.timers.tick(1_000)
    await turn()
    assert.deepEqual(
      told.map(({ pattern, expired }) => [pattern, expired]),
      [['a.example', false]]
    )
    for (let days = 0; days < 100; days += 10) {
      mock.timers.tick(10 * DAY)
      await turn()
    }
    assert.deepEqual(
      told.map(({ pattern }) => pattern),
      ['a.example', 'b.example']
    )
  })

  test('warnBefore says how long ahead', async () => {
    clock()
    const pins = new PinSet(policy({ 'a.example': 5 }))
    assert.equal(pins.warnBefore, 30 * DAY)
    pins.warnBefore = 2 * DAY
    const told = listen(pins)
    await turn()
    assert.equal(told.length, 0)
    mock.timers.tick(3 * DAY)
    await turn()
    assert.equal(told.length, 1)
    pins.warnBefore = 10 * DAY
    await turn()
    assert.equal(told.length, 1)
    for (const value of [-1, Number.NaN, '1', null, undefined]) {
      assert.throws(() => Object.assign(pins, { warnBefore: value }), { code: 'ERR_INVALID_ARG_VALUE' })
    }
    assert.equal(pins.warnBefore, 10 * DAY)
  })
})

test('no process is kept alive, and no timer overflows', { timeout: 20_000 }, async () => {
  const program = `
    const { PinSet } = require(ROOT)
    new PinSet(DATA).on('expiring', tell)`
  const expires = new Date(Date.now() + 300 * DAY).toISOString()
  const { told, stderr, status } = await inProcess(program, { 'a.example': { pins: PIN, expires } })
  assert.deepEqual([told, stderr, status], [[], '', 0])
})

test('register warns, in the main thread alone', { timeout: 20_000 }, async () => {
  const expires = new Date(Math.floor(Date.now() / 1000) * 1000 + DAY).toISOString()
  const hosts = { 'a.example': { pins: [PIN, `sha256/${'A'.repeat(43)}=`], expires } }
  const program = `
    const { Worker } = require('node:worker_threads')
    new Worker('setImmediate(() => {})', { eval: true }).on('exit', () => setImmediate(() => tell('done')))`
  const { told, stderr } = await withPolicy({ hosts }, env =>
    inProcess(program, null, { flags: ['--import', REGISTER], env })
  )
  assert.deepEqual(told, ['done'])
  const warnings = stderr.split('\n').filter(line => line.includes('the entry for a.example expires at'))
  assert.equal(warnings.length, 1, stderr)
  assert.match(warnings[0], new RegExp(`${expires}, from when on it is refused`))
})

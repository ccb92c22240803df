'use strict'
// Promise: what a loader brings is in force before anything can ask it, and loaded again in time; loads never run side by
// side; one that fails, hangs or brings no policy changes nothing, is told, and is tried again ever more rarely.

const assert = require('node:assert/strict')
const { describe, test } = require('node:test')
const { setImmediate } = require('node:timers/promises')
const { PinMismatchError, PinSet } = require('..')
const { hostsOf, pinned } = require('./helpers/sources')

const LIMIT = { timeout: 30_000 }
const INTERVAL = 60_000

/**
 * A loader whose loads end when the test says so, under a clock that the test moves.
 * @param {import('node:test').TestContext} t
 * @param {Record<string, unknown>} [options]
 */
async function set(t, options = {}) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  /** @type {{ signal: AbortSignal, resolve: (policy: any) => void, reject: (error: any) => void }[]} */
  const loads = []
  const loader = (/** @type {any} */ { signal }) =>
    new Promise((resolve, reject) => loads.push({ signal, resolve, reject }))
  const loading = PinSet.fromLoader(loader, { interval: INTERVAL, jitter: 0, ...options })
  await setImmediate()
  loads[0].resolve(JSON.parse(pinned('one.example')))
  const pins = await loading
  t.after(() => pins.close())
  /** @type {any[]} */
  const errors = []
  pins.on('loadError', error => errors.push(error))
  let changes = 0
  pins.on('change', () => changes++)
  /** @param {number} milliseconds */
  const pass = async milliseconds => {
    t.mock.timers.tick(milliseconds)
    await settled()
  }
  return { pins, loads, errors, pass, changes: () => changes }
}

/** Until what was resolved has been acted on. */
async function settled() {
  for (let turn = 0; turn < 5; turn++) await setImmediate()
}

describe('a loader', LIMIT, () => {
  test('is asked again after each interval, counted from the end of a load', async t => {
    const { pins, loads, pass, changes } = await set(t)
    await pass(INTERVAL - 1)
    assert.equal(loads.length, 1)
    await pass(1)
    assert.equal(loads.length, 2)

    await pass(9000)
    assert.equal(loads.length, 2, 'one load at a time')
    loads[1].resolve(pinned('two.example'))
    await settled()
    assert.equal(hostsOf(pins), 'two.example')
    await pass(INTERVAL - 1)
    assert.equal(loads.length, 2)
    await pass(1)
    assert.equal(loads.length, 3)
    // The same as bytes: nothing changes.
    loads[2].resolve(Buffer.from(pinned('two.example')))
    await settled()
    assert.equal(changes(), 1)
  })

  test('that fails changes nothing, is told, and is asked again at growing distances', async t => {
    const { pins, loads, errors, pass } = await set(t)
    await pass(INTERVAL)
    const distances = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    const vault = Object.assign(new Error('the vault is sealed'), { code: 'EVAULT' })
    for (const [at, seconds] of distances.entries()) {
      loads[at + 1].reject(at % 2 === 0 ? vault : new Error('no code'))
      await settled()
      assert.equal(errors.length, at + 1)
      await pass(seconds * 1000 - 1)
      assert.equal(loads.length, at + 2, `not before ${seconds} s`)
      await pass(1)
      assert.equal(loads.length, at + 3)
    }
    assert.equal(errors[0], vault)
    assert.deepEqual([errors[0].code, errors[0].source], ['EVAULT', 'the loader'])
    assert.equal(errors[1].code, 'ERR_OPERATION_FAILED')
    assert.match(errors[1].message, /^the loader: no code$/)
    assert.equal(errors[1].cause.message, 'no code')
    assert.equal(hostsOf(pins), 'one.example')

    // What an error of this package knows is kept.
    const mismatch = new PinMismatchError({
      code: 'ERR_TLS_PIN_MISMATCH',
      message: 'no',
      expected: ['x'],
      host: 'vault.example'
    })
    const frozen = Object.freeze(new Error('frozen'))
    loads.at(-1)?.reject(mismatch)
    await settled()
    assert.equal(errors.at(-1), mismatch)
    assert.deepEqual([mismatch.expected, mismatch.host, errors.at(-1).source], [['x'], 'vault.example', 'the loader'])
    await pass(300_000)
    loads.at(-1)?.reject(frozen)
    await settled()
    assert.deepEqual([errors.at(-1).message, errors.at(-1).cause], ['the loader: frozen', frozen])
    await pass(300_000)

    // A success ends it.
    loads.at(-1)?.resolve(pinned('two.example'))
    await settled()
    const count = loads.length
    await pass(INTERVAL - 1)
    assert.equal(loads.length, count)
    await pass(1)
    assert.equal(loads.length, count + 1)
    loads.at(-1)?.reject('text')
    await settled()
    assert.match(errors.at(-1).message, /the loader: text/)
    await pass(1000)
    assert.equal(loads.length, count + 2)
  })

  test('with a long interval is never asked more rarely than that', async t => {
    const hour = 3_600_000
    const { loads, errors, pass } = await set(t, { interval: hour })
    await pass(hour)
    for (let failure = 0; failure < 14; failure++) {
      loads.at(-1)?.reject(new Error('no'))
      await settled()
      await pass(Math.min(1000 * 2 ** failure, hour))
      assert.equal(loads.length, failure + 3)
    }
    assert.equal(errors.length, 14)
  })

  test('that brings no policy changes nothing, and is told', async t => {
    const { pins, loads, errors, pass } = await set(t)
    const given = [
      undefined,
      null,
      '',
      'sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=',
      {},
      7,
      Buffer.from([0x22, 0xff, 0x22]),
      '{"hosts": {"a.example": ["x"]}}'
    ]
    await pass(INTERVAL)
    for (const value of given) {
      loads.at(-1)?.resolve(value)
      await settled()
      assert.equal(errors.at(-1).code, 'ERR_TLS_PIN_INVALID', String(value))
      await pass(INTERVAL * 5)
    }
    assert.equal(errors.length, given.length)
    assert.equal(errors.at(-1).place, 'hosts["a.example"][0]')
    assert.match(errors.at(-1).message, /^the loader: hosts\["a.example"\]\[0\]: "x" is not a pin/)
    assert.equal(hostsOf(pins), 'one.example')
  })

  test('that hangs is aborted, and what it brings later is dropped', async t => {
    const { pins, loads, errors, pass } = await set(t, { timeout: 5000 })
    await pass(INTERVAL)
    await pass(4999)
    assert.equal(loads[1].signal.aborted, false)
    await pass(1)
    assert.equal(loads[1].signal.aborted, true)
    assert.deepEqual([errors.length, errors[0].code], [1, 'ETIMEDOUT'])
    assert.equal(loads[1].signal.reason, errors[0])

    await pass(1000)
    assert.equal(loads.length, 3)
    loads[2].resolve(pinned('three.example'))
    loads[1].resolve(pinned('two.example'))
    await settled()
    assert.equal(hostsOf(pins), 'three.example')
  })

  test('varies its distances by the jitter, and no more', async t => {
    const random = t.mock.method(Math, 'random', () => 0)
    const { loads, pass } = await set(t, { jitter: 0.2 })
    await pass(INTERVAL * 0.8 - 1)
    assert.equal(loads.length, 1)
    await pass(1)
    assert.equal(loads.length, 2)
    random.mock.mockImplementation(() => 1 - 2 ** -53)
    loads[1].resolve(pinned('one.example'))
    await settled()
    await pass(INTERVAL * 1.2 - 1)
    assert.equal(loads.length, 2)
    await pass(1)
    assert.equal(loads.length, 3)
  })

  test('is asked no more once the pin set is closed, and its load is aborted', async t => {
    const { pins, loads, errors, pass } = await set(t)
    await pass(INTERVAL)
    pins.close()
    assert.equal(loads[1].signal.aborted, true)
    loads[1].resolve(pinned('two.example'))
    await settled()
    await pass(INTERVAL * 10)
    assert.deepEqual([loads.length, errors.length, hostsOf(pins)], [2, 0, 'one.example'])
  })

  test('is asked once without an interval', async t => {
    const { loads, pass } = await set(t, { interval: 0 })
    await pass(2 ** 31)
    assert.equal(loads.length, 1)
  })
})

describe('the first load', LIMIT, () => {
  test('must succeed: without a policy there is no pin set', async () => {
    const cases = /** @type {[() => any, any][]} */ ([
      [
        () => Promise.reject(Object.assign(new Error('no'), { code: 'EVAULT' })),
        { code: 'EVAULT', source: 'the loader' }
      ],
      [
        () => {
          throw new Error('at once')
        },
        { code: 'ERR_OPERATION_FAILED', message: 'the loader: at once' }
      ],
      [() => undefined, { code: 'ERR_TLS_PIN_INVALID' }],
      [() => '{"hosts": {}}', { code: 'ERR_TLS_PIN_INVALID', place: 'hosts' }],
      [() => new Promise(() => {}), { code: 'ETIMEDOUT', message: 'the loader: no policy after 20 milliseconds' }]
    ])
    for (const [loader, error] of cases) await assert.rejects(PinSet.fromLoader(loader, { timeout: 20 }), error)
  })

  test('takes whatever pins are, beside the text of a policy', async () => {
    const policy = JSON.parse(pinned('one.example'))
    for (const given of [
      policy,
      policy.hosts,
      new PinSet(policy),
      JSON.stringify(policy),
      Buffer.from(pinned('one.example'))
    ]) {
      const pins = await PinSet.fromLoader(async () => given, { interval: 0 })
      assert.equal(hostsOf(pins), 'one.example')
    }
  })

  test('refuses wrong arguments', async () => {
    const loader = () => JSON.parse(pinned('one.example'))
    await assert.rejects(PinSet.fromLoader(/** @type {any} */ ('path')), TypeError)
    for (const options of [
      null,
      5,
      { intervall: 1 },
      { interval: -1 },
      { interval: '60' },
      { interval: Number.POSITIVE_INFINITY },
      { jitter: 1.1 },
      { jitter: -0.1 },
      { jitter: '0' },
      { timeout: 0 },
      { timeout: Number.NaN }
    ]) {
      await assert.rejects(PinSet.fromLoader(loader, /** @type {any} */ (options)), TypeError, JSON.stringify(options))
    }
  })
})

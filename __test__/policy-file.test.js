'use strict'
// Promise: the policy of a file is in force before anything can ask it, follows the file whatever way that is changed, and
// stays as it is where the file is broken, which is told.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const diagnostics = require('node:diagnostics_channel')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { describe, test } = require('node:test')
const { setImmediate } = require('node:timers/promises')
const { pathToFileURL } = require('node:url')
const { promisify } = require('node:util')
const { PinSet } = require('..')
const { hostsOf, next, pinned, pipe, replaceFile, temporaryFolder } = require('./helpers/sources')

const LIMIT = { timeout: 30_000 }
const ROOT = path.join(__dirname, '..')
const IS_WINDOWS = process.platform === 'win32'

/** How a change is noticed, each way by itself. @type {Record<string, { interval: number, isBlind?: boolean }>} */
const WAYS = {
  'told by the system': { interval: 0 },
  'seen by looking, where the system tells nothing': { interval: 5, isBlind: true }
}

/**
 * A policy file that is watched.
 * @param {import('node:test').TestContext} t
 * @param {{ interval: number, isBlind?: boolean }} way
 * @param {(folder: string) => string} [prepare] Makes the file, and answers with its path.
 */
function watched(t, { interval, isBlind }, prepare = plainFile) {
  if (isBlind) {
    t.mock.method(fs, 'watch', () => {
      throw Object.assign(new Error('no watches'), { code: 'ENOSPC' })
    })
  }
  const folder = temporaryFolder(t)
  const file = prepare(folder)
  const pins = PinSet.fromFile(file, { watch: { debounce: 0, interval } })
  t.after(() => pins.close())
  assert.equal(hostsOf(pins), 'one.example')
  return { folder, file, pins }
}

/** @param {string} folder */
function plainFile(folder) {
  const file = path.join(folder, 'policy.json')
  fs.writeFileSync(file, pinned('one.example'))
  return file
}

/**
 * A volume as Kubernetes mounts a ConfigMap: the file is a link to `..data/policy.json`, and `..data` one to a folder.
 * @param {string} folder
 */
function configMap(folder) {
  project(folder, pinned('one.example'))
  fs.symlinkSync('..data/policy.json', path.join(folder, 'policy.json'))
  return path.join(folder, 'policy.json')
}

/**
 * What the kubelet's AtomicWriter does: a new folder, a link to it put into the place of the old one, the old folder removed.
 * @param {string} folder
 * @param {string} text
 */
function project(folder, text) {
  const link = path.join(folder, '..data')
  const before = fs.existsSync(link) ? fs.readlinkSync(link) : undefined
  const name = path.basename(fs.mkdtempSync(path.join(folder, '..2026_11_24_')))
  fs.writeFileSync(path.join(folder, name, 'policy.json'), text)
  fs.symlinkSync(name, path.join(folder, '..data_tmp'))
  fs.renameSync(path.join(folder, '..data_tmp'), link)
  if (before) fs.rmSync(path.join(folder, before), { recursive: true })
}

/**
 * When the file has been read with this content, and that been acted on.
 * @param {import('node:test').TestContext} t
 * @param {string} text
 * @returns {Promise<unknown>}
 */
function nextRead(t, text) {
  const { open } = fs.promises
  const held = setInterval(() => {}, 1000)
  t.after(() => clearInterval(held))
  return new Promise(resolve => {
    t.mock.method(fs.promises, 'open', async (/** @type {any} */ file, /** @type {any} */ flags) => {
      const handle = await open(file, flags)
      const read = t.mock.method(handle, 'read')
      const { close } = handle
      t.mock.method(handle, 'close', async () => {
        await close.call(handle)
        const pieces = await Promise.all(read.mock.calls.map(({ result }) => /** @type {any} */ (result)))
        const bytes = Buffer.concat(pieces.map(({ buffer, bytesRead }) => buffer.subarray(0, bytesRead)))
        if (String(bytes) === text) globalThis.setImmediate(resolve)
      })
      return handle
    })
  })
}

for (const [name, way] of Object.entries(WAYS)) {
  describe(`a change of the file, ${name}`, LIMIT, () => {
    test('written in place', async t => {
      const { file, pins } = watched(t, way)
      for (const host of ['two.example', 'three.example']) {
        const change = next(pins, 'change')
        // Truncates first: what is seen meanwhile is no policy, and told.
        pins.on('loadError', () => {})
        fs.writeFileSync(file, pinned(host))
        await change
        assert.equal(hostsOf(pins), host)
      }
    })

    test('renamed over', async t => {
      const { file, pins } = watched(t, way)
      for (const host of ['two.example', 'three.example']) {
        const change = next(pins, 'change')
        replaceFile(file, pinned(host))
        await change
        assert.equal(hostsOf(pins), host)
      }
    })

    test('swapped as Kubernetes does, time and again', async t => {
      const { folder, pins } = watched(t, way, configMap)
      for (const host of ['two.example', 'three.example', 'four.example']) {
        const change = next(pins, 'change')
        project(folder, pinned(host))
        await change
        assert.equal(hostsOf(pins), host)
      }
    })

    test('a folder above is a link, which is swapped', async t => {
      const { folder, pins } = watched(t, way, folder => {
        for (const host of ['one.example', 'two.example']) {
          fs.mkdirSync(path.join(folder, host, 'etc'), { recursive: true })
          fs.writeFileSync(path.join(folder, host, 'etc', 'policy.json'), pinned(host))
        }
        fs.symlinkSync(path.join(folder, 'one.example'), path.join(folder, 'current'))
        return path.join(folder, 'current', 'etc', 'policy.json')
      })
      const change = next(pins, 'change')
      fs.symlinkSync('two.example', path.join(folder, 'current.new'))
      fs.renameSync(path.join(folder, 'current.new'), path.join(folder, 'current'))
      await change
      assert.equal(hostsOf(pins), 'two.example')

      // The folder that it leads to now is watched, too.
      const again = next(pins, 'change')
      replaceFile(path.join(folder, 'two.example', 'etc', 'policy.json'), pinned('three.example'))
      await again
      assert.equal(hostsOf(pins), 'three.example')
    })

    test('removed, which is told, and made anew', async t => {
      const { file, pins } = watched(t, way)
      const failure = next(pins, 'loadError')
      fs.rmSync(file)
      const error = await failure
      assert.deepEqual([error.code, error.source], ['ENOENT', file])
      assert.equal(hostsOf(pins), 'one.example')

      const change = next(pins, 'change')
      replaceFile(file, pinned('two.example'))
      await change
      assert.equal(hostsOf(pins), 'two.example')
    })

    test('broken: told, with its place, and the policy stays', async t => {
      const { file, pins } = watched(t, way)
      for (const [text, code, place, message] of /** @type {[string, string, string, RegExp][]} */ ([
        ['', 'ERR_TLS_PIN_INVALID', '', /policy.json: the policy is not JSON: EOF/],
        [pinned('two.example').slice(0, -5), 'ERR_TLS_PIN_INVALID', '', /not JSON/],
        ['{"hosts": {"a.example": []}}', 'ERR_TLS_PIN_INVALID', 'hosts["a.example"]', /hosts\["a.example"\]: the list/],
        ['{"hosts": {}, "hosts": {}}', 'ERR_TLS_PIN_INVALID', '', /repeated/]
      ])) {
        const failure = next(pins, 'loadError')
        replaceFile(file, text)
        const error = await failure
        assert.deepEqual([error.code, error.place, error.source], [code, place, file])
        assert.match(error.message, message)
        assert.equal(hostsOf(pins), 'one.example')
      }
      const change = next(pins, 'change')
      replaceFile(file, pinned('two.example'))
      await change
      assert.equal(hostsOf(pins), 'two.example')
    })

    test('saved without a change of what it says: no event', async t => {
      const { file, pins } = watched(t, way)
      let changes = 0
      pins.on('change', () => changes++)
      const same = JSON.stringify(JSON.parse(pinned('one.example', { version: 1, unlisted: 'deny' })), null, 2)
      const seen = nextRead(t, same)
      replaceFile(file, same)
      await seen
      const change = next(pins, 'change')
      replaceFile(file, pinned('two.example'))
      await change
      assert.equal(changes, 1)
    })
  })
}

test('a half-written file is not put into force, and the whole one is', LIMIT, async t => {
  const { file, pins } = watched(t, WAYS['told by the system'])
  const text = pinned('two.example')
  const failure = next(pins, 'loadError')
  const change = next(pins, 'change')
  const handle = fs.openSync(file, 'w')
  fs.writeSync(handle, text.slice(0, 40))
  await failure
  assert.equal(hostsOf(pins), 'one.example')
  fs.writeSync(handle, text.slice(40))
  fs.closeSync(handle)
  await change
  assert.equal(hostsOf(pins), 'two.example')
})

test('a folder that is replaced by another of its name is noticed', LIMIT, async t => {
  // Nothing tells of it: the folder above is not watched.
  const { folder, pins } = watched(t, { interval: 5 }, folder => {
    fs.mkdirSync(path.join(folder, 'etc'))
    return plainFile(path.join(folder, 'etc'))
  })
  const change = next(pins, 'change')
  fs.mkdirSync(path.join(folder, 'etc.new'))
  fs.writeFileSync(path.join(folder, 'etc.new', 'policy.json'), pinned('two.example'))
  fs.renameSync(path.join(folder, 'etc'), path.join(folder, 'etc.old'))
  fs.renameSync(path.join(folder, 'etc.new'), path.join(folder, 'etc'))
  pins.on('loadError', () => {})
  await change
  assert.equal(hostsOf(pins), 'two.example')
})

test('a file that is too large is told, whatever its size, and does not end the watch', LIMIT, async t => {
  const { file, pins } = watched(t, WAYS['told by the system'])
  // Of the last size no text in base64 can be made.
  for (const size of [4 * 1024 * 1024 + 1, 600 * 1024 * 1024]) {
    const failure = next(pins, 'loadError')
    fs.writeFileSync(`${file}.new`, '')
    fs.truncateSync(`${file}.new`, size)
    fs.renameSync(`${file}.new`, file)
    const error = await failure
    assert.deepEqual([error.code, error.source], ['ERR_TLS_PIN_INVALID', file])
    assert.match(error.message, /policy\.json: the policy is larger than 4194304 bytes/)
    assert.throws(() => PinSet.fromFile(file), { code: 'ERR_TLS_PIN_INVALID', message: /is larger than/ })
    const change = next(pins, 'change')
    replaceFile(file, pinned(`${size}.example`))
    await change
    assert.equal(hostsOf(pins), `${size}.example`)
  }
  const change = next(pins, 'change')
  replaceFile(file, pinned('full.example').padEnd(4 * 1024 * 1024))
  await change
  assert.equal(hostsOf(pins), 'full.example')
})

test('a pipe is not waited for, and does not end the watch', { ...LIMIT, skip: IS_WINDOWS }, async t => {
  const { file, pins } = watched(t, WAYS['told by the system'])
  const failure = next(pins, 'loadError')
  fs.symlinkSync(pipe(t), `${file}.new`)
  fs.renameSync(`${file}.new`, file)
  const error = await failure
  assert.deepEqual([error.code, error.source], ['ERR_INVALID_ARG_VALUE', file])
  assert.match(error.message, /policy\.json is not a regular file$/)
  const change = next(pins, 'change')
  replaceFile(file, pinned('two.example'))
  await change
  assert.equal(hostsOf(pins), 'two.example')
  assert.throws(() => PinSet.fromFile('/dev/null'), { code: 'ERR_INVALID_ARG_VALUE', source: '/dev/null' })
})

test('links that lead in a circle are an error, and no endless way', LIMIT, async t => {
  const { file, pins } = watched(t, WAYS['told by the system'])
  const failure = next(pins, 'loadError')
  fs.symlinkSync('policy.json', `${file}.new`)
  fs.renameSync(`${file}.new`, file)
  assert.equal((await failure).code, 'ELOOP')
  assert.equal(hostsOf(pins), 'one.example')
  const change = next(pins, 'change')
  replaceFile(file, pinned('two.example'))
  await change
})

test('a failure goes to the channel, and to a warning where nobody listens, once', LIMIT, async t => {
  const { file, pins } = watched(t, WAYS['told by the system'])
  /** @type {any[]} */
  const messages = []
  const listen = (/** @type {any} */ message) => messages.push(message)
  diagnostics.subscribe('tls-pinning:load-error', listen)
  t.after(() => diagnostics.unsubscribe('tls-pinning:load-error', listen))

  /** @type {any[]} */
  const warnings = []
  const warn = (/** @type {any} */ warning) => warnings.push(warning)
  process.on('warning', warn)
  t.after(() => process.off('warning', warn))
  const held = setInterval(() => {}, 1000)
  t.after(() => clearInterval(held))

  // The same message for different texts.
  for (const text of ['{a', '{b', '{c']) {
    const told = new Promise(resolve => diagnostics.subscribe('tls-pinning:load-error', resolve))
    replaceFile(file, text)
    await told
  }
  await setImmediate()
  assert.equal(messages.length, 3)
  assert.deepEqual([messages[0].source, messages[0].error.code], [file, 'ERR_TLS_PIN_INVALID'])
  assert.equal(warnings.length, 1)
  assert.equal(warnings[0].code, 'TLS_PINNING_LOAD')
  assert.match(warnings[0].message, /failed: ERR_TLS_PIN_INVALID: .*policy\.json: the policy is not JSON/)

  // After a success it is news again.
  const change = next(pins, 'change')
  replaceFile(file, pinned('two.example'))
  await change
  const warned = once(process, 'warning')
  replaceFile(file, '{a')
  await warned
  const failure = next(pins, 'loadError')
  replaceFile(file, '[')
  await failure
  await setImmediate()
  assert.equal(warnings.length, 2, 'none where somebody listens')
})

test('a listener that throws does not end the watch', LIMIT, async t => {
  const { file, pins } = watched(t, WAYS['told by the system'])
  // The test runner has handlers of its own for what is not caught.
  const heard = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  const thrown = once(process, 'uncaughtException')
  t.after(() => {
    process.removeAllListeners('uncaughtException')
    for (const listener of heard) process.on('uncaughtException', listener)
  })
  pins.once('change', () => {
    throw new Error('of the listener')
  })
  const held = setInterval(() => {}, 1000)
  replaceFile(file, pinned('two.example'))
  const [error] = await thrown
  clearInterval(held)
  assert.equal(error.message, 'of the listener')
  const change = next(pins, 'change')
  replaceFile(file, pinned('three.example'))
  await change
  assert.equal(hostsOf(pins), 'three.example')
})

describe('close', LIMIT, () => {
  test('ends the watch, and leaves the policy in force', async t => {
    const { folder, file, pins } = watched(t, WAYS['told by the system'])
    pins.on('change', () => assert.fail('it is closed'))
    pins.close()
    pins[Symbol.dispose]()
    replaceFile(file, pinned('two.example'))
    // Another one that watches the same has heard of it.
    const other = path.join(folder, 'other.json')
    replaceFile(other, pinned('one.example'))
    const witness = PinSet.fromFile(other, { watch: { debounce: 0, interval: 0 } })
    const change = next(witness, 'change')
    replaceFile(other, pinned('two.example'))
    await change
    witness.close()
    assert.equal(hostsOf(pins), 'one.example')
    new PinSet('sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=').close()
  })

  test('is not needed for a process to end', async t => {
    const file = plainFile(temporaryFolder(t))
    const program = `
      const { PinSet } = require(${JSON.stringify(ROOT)})
      PinSet.fromFile(${JSON.stringify(file)}, { watch: true })
      PinSet.fromLoader(() => ({ 'a.example': 'sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' }), { interval: 1000 })
        .then(() => console.log('loaded'))`
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], { timeout: 20_000 })
    assert.equal(stdout, 'loaded\n')
  })
})

describe('fromFile', LIMIT, () => {
  test('takes a path or a URL, and the file as it is', t => {
    const file = plainFile(temporaryFolder(t))
    for (const given of [file, pathToFileURL(file), path.relative(process.cwd(), file)]) {
      assert.equal(hostsOf(PinSet.fromFile(given)), 'one.example')
    }
    for (const watch of [false, undefined, true, {}]) PinSet.fromFile(file, { watch }).close()
  })

  test('without a policy there is no pin set', t => {
    const folder = temporaryFolder(t)
    const file = path.join(folder, 'policy.json')
    for (const watch of [false, true]) {
      assert.throws(() => PinSet.fromFile(file, { watch }), { code: 'ENOENT', source: file })
      assert.throws(() => PinSet.fromFile(folder, { watch }), { code: 'EISDIR', source: folder })
      for (const text of ['{"a.example": ["x"]}', '\ufeff{}', Buffer.from([0x22, 0xff, 0x22])]) {
        fs.writeFileSync(file, text)
        assert.throws(() => PinSet.fromFile(file, { watch }), {
          code: 'ERR_TLS_PIN_INVALID',
          name: 'PinInvalidError',
          source: file,
          message: /policy\.json: /
        })
      }
      fs.rmSync(file)
    }
  })

  test('refuses wrong arguments', t => {
    const file = plainFile(temporaryFolder(t))
    for (const given of [undefined, null, 5, '', 'a\0b', {}, new URL('https://a.example/')]) {
      assert.throws(() => PinSet.fromFile(/** @type {any} */ (given)), TypeError)
    }
    for (const options of [
      null,
      5,
      { wach: true },
      { watch: 1 },
      { watch: null },
      { watch: { debounce: -1 } },
      { watch: { debounce: '1' } },
      { watch: { interval: Number.NaN } },
      { watch: { interval: 2 ** 31 } },
      { watch: { delay: 1 } }
    ]) {
      assert.throws(() => PinSet.fromFile(file, /** @type {any} */ (options)), TypeError, JSON.stringify(options))
    }
  })
})

describe('fromEnv', LIMIT, () => {
  const NAME = 'TLS_PINNING_TEST_POLICY'

  test('takes a policy or the path of one', async t => {
    t.after(() => delete process.env[NAME])
    const file = plainFile(temporaryFolder(t))
    for (const value of [
      pinned('one.example'),
      ` ${pinned('one.example')}\n`,
      file,
      path.relative(process.cwd(), file)
    ]) {
      process.env[NAME] = value
      assert.equal(hostsOf(PinSet.fromEnv(NAME)), 'one.example')
    }
    process.env[NAME] = file
    const pins = PinSet.fromEnv(NAME, { watch: { debounce: 0, interval: 0 } })
    const change = next(pins, 'change')
    replaceFile(file, pinned('two.example'))
    await change
    pins.close()
  })

  test('names the variable, or the file that it leads to', t => {
    t.after(() => delete process.env[NAME])
    const source = `the environment variable ${NAME}`
    for (const [value, error] of /** @type {[string | undefined, any][]} */ ([
      [undefined, { code: 'ERR_TLS_PIN_INVALID', source, message: /TEST_POLICY is not set; give it/ }],
      ['', { code: 'ERR_TLS_PIN_INVALID', source, message: /is empty/ }],
      [' ', { code: 'ERR_TLS_PIN_INVALID', source, message: /is empty/ }],
      ['{', { code: 'ERR_TLS_PIN_INVALID', source, message: /TEST_POLICY: the policy is not JSON/ }],
      ['{"a.example": []}', { code: 'ERR_TLS_PIN_INVALID', source, place: 'pins["a.example"]' }],
      ['/nowhere/policy.json', { code: 'ENOENT', source: '/nowhere/policy.json' }]
    ])) {
      if (value === undefined) delete process.env[NAME]
      else process.env[NAME] = value
      assert.throws(() => PinSet.fromEnv(NAME), error, String(value))
    }
    assert.throws(() => PinSet.fromEnv('constructor'), { code: 'ERR_TLS_PIN_INVALID' })
    assert.throws(() => PinSet.fromEnv(/** @type {any} */ (5)), TypeError)
  })
})

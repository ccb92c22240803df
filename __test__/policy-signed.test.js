'use strict'
// Promise: a signed policy comes into force only if a known key has signed exactly these bytes, in their time, and never
// behind a newer one, whoever sends them; and when it has expired nothing is connected to.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const { EventEmitter, once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { before, describe, test } = require('node:test')
const { setImmediate } = require('node:timers/promises')
const { Agent, fetch: undiciFetch } = require('undici')
const { PinSet } = require('..')
const binding = require('../lib/native.js')
const { HOUR, TYPE, envelope, iso, keyPair, pae, payloadFor, signedFor } = require('./helpers/dsse')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')
const { hostsOf, next, pipe, replaceFile, temporaryFolder } = require('./helpers/sources')

const LIMIT = { timeout: 30_000 }
const INTERVAL = 60_000
const SIGNATURE = 'ERR_TLS_PIN_POLICY_SIGNATURE'
const ROLLBACK = 'ERR_TLS_PIN_POLICY_ROLLBACK'
const EXPIRED = 'ERR_TLS_PIN_POLICY_EXPIRED'
const NOT_YET_VALID = 'ERR_TLS_PIN_POLICY_NOT_YET_VALID'
const INVALID = 'ERR_TLS_PIN_INVALID'

const key = keyPair()
const other = keyPair()
const good = JSON.parse(signedFor(key, 'one.example'))

/** @param {any} source @param {Record<string, any>} [more] */
function fromSigned(source, more) {
  return PinSet.fromSigned({ source, publicKeys: key.publicKey, interval: 0, ...more })
}

/** @param {string} text @param {number} at */
function flipped(text, at) {
  const bytes = Buffer.from(text, 'base64')
  bytes[at] ^= 1
  return bytes.toString('base64')
}

/** @param {string} name @param {unknown} value */
function signatureWith(name, value) {
  return { ...good, signatures: [{ ...good.signatures[0], [name]: value }] }
}

const payload = payloadFor('one.example')
const bytes = Buffer.from(payload)

/** @type {[name: string, envelope: any, code: string, message: RegExp][]} */
const REFUSED = [
  ['a payload that was changed', { ...good, payload: flipped(good.payload, 30) }, SIGNATURE, /signature is wrong/],
  ['a signature that was changed', signatureWith('sig', flipped(good.signatures[0].sig, 5)), SIGNATURE, /is wrong/],
  ['a signature that is too short', signatureWith('sig', 'AAAA'), SIGNATURE, /is wrong/],
  ['a signature that is empty', signatureWith('sig', ''), SIGNATURE, /is wrong/],
  ['a signature of zeros', signatureWith('sig', Buffer.alloc(64).toString('base64')), SIGNATURE, /is wrong/],
  ['the signature of another key', envelope(other, payload), SIGNATURE, /signed by "[0-9a-f]{16}", and the keys known/],
  ['another key under a known key’s name', envelope(other, payload, { keyid: key.keyid }), SIGNATURE, /is wrong/],
  ['another key without a name', envelope(other, payload, { keyid: undefined }), SIGNATURE, /is wrong/],
  [
    'another type, well signed',
    envelope(key, payload, { type: 'application/vnd.in-toto+json' }),
    SIGNATURE,
    /payloadType/
  ],
  ['another type, passed off', { ...envelope(key, payload, { type: 'x' }), payloadType: TYPE }, SIGNATURE, /is wrong/],
  ['the bare payload signed', envelope(key, payload, { message: bytes }), SIGNATURE, /is wrong/],
  [
    'the digest signed',
    envelope(key, payload, { message: crypto.hash?.('sha256', pae(TYPE, bytes), 'buffer') ?? bytes }),
    SIGNATURE,
    /wrong/
  ],
  ['no signature', { ...good, signatures: [] }, SIGNATURE, /signatures/],
  ['signatures: an object', { ...good, signatures: {} }, SIGNATURE, /signatures/],
  ['signatures: of null', { ...good, signatures: [null] }, SIGNATURE, /sig is not base64/],
  ['signatures: too many', { ...good, signatures: Array(17).fill(good.signatures[0]) }, SIGNATURE, /signatures/],
  ['a keyid that is a number', signatureWith('keyid', 5), SIGNATURE, /keyid/],
  [
    'a payload that is not base64',
    { ...good, payload: `${good.payload.slice(0, -1)}!` },
    SIGNATURE,
    /payload is not base64/
  ],
  ['a payload with blanks', { ...good, payload: ` ${good.payload}` }, SIGNATURE, /payload is not base64/],
  ['a payload that is an object', { ...good, payload: {} }, SIGNATURE, /payload is not base64/],
  ['null', null, SIGNATURE, /payloadType/],
  ['a policy without an envelope', JSON.parse(payload).policy, SIGNATURE, /payloadType/],
  ['a payload without an envelope', JSON.parse(payload), SIGNATURE, /payloadType/],
  ['no JSON', 'broken', SIGNATURE, /not JSON/],
  ['nothing', '', SIGNATURE, /not JSON/],
  ['too much', Buffer.alloc(4 * 1024 * 1024 + 1, 0x20), SIGNATURE, /larger than 4194304 bytes/],
  [
    'expired',
    envelope(key, payloadFor('a.example', { expires: iso(Date.now() - 1000), notBefore: undefined })),
    EXPIRED,
    /version 1 expired at/
  ],
  [
    'not yet valid',
    envelope(key, payloadFor('a.example', { notBefore: iso(Date.now() + HOUR / 2) })),
    NOT_YET_VALID,
    /valid from .* on, and here it is/
  ],
  ['signed, but no JSON', envelope(key, '{'), INVALID, /payload is not JSON/],
  ['signed, but not UTF-8', envelope(key, Buffer.from([0xff])), 'ERR_ENCODING_INVALID_ENCODED_DATA', /./],
  [
    'signed, with an unknown key',
    envelope(key, payloadFor('a.example', { threshold: 2 })),
    INVALID,
    /"threshold" is unknown/
  ],
  [
    'signed, without an expiry',
    envelope(key, payloadFor('a.example', { expires: undefined })),
    INVALID,
    /no `expires`/
  ],
  [
    'signed, without a version',
    envelope(key, payloadFor('a.example', { version: undefined })),
    INVALID,
    /no `version`/
  ],
  ['signed, with version 0', envelope(key, payloadFor('a.example', { version: 0 })), INVALID, /version: a number/],
  ['signed, with two versions', envelope(key, payload.replace('{', '{"version":2,')), INVALID, /`version` is repeated/],
  [
    'signed, with a bare list',
    envelope(key, payloadFor('a').replace(/"policy":.*/, '"policy":["x"]}')),
    INVALID,
    /policy: an array/
  ],
  ['signed, with a malformed policy', envelope(key, payloadFor('a b')), INVALID, /policy\.hosts\["a b"\]/]
]

/** @param {any} given */
function asBytes(given) {
  return typeof given === 'string' || Buffer.isBuffer(given) ? given : JSON.stringify(given)
}

describe('what is refused', LIMIT, () => {
  for (const [name, given, code, message] of REFUSED) {
    test(name, async t => {
      const file = path.join(temporaryFolder(t), 'policy.signed.json')
      const text = asBytes(given)
      fs.writeFileSync(file, text)
      const parsed = t.mock.method(binding, 'signedPayload')
      await assert.rejects(
        fromSigned(() => text),
        { code, message, source: 'the loader' }
      )
      await assert.rejects(fromSigned(file), { code, message, source: file })
      const isGenuine = code !== SIGNATURE
      const isText = code !== 'ERR_ENCODING_INVALID_ENCODED_DATA'
      assert.equal(parsed.mock.callCount(), isGenuine && isText ? 2 : 0, 'only what is genuine is parsed')
    })
  }
})

describe('what is accepted', LIMIT, () => {
  test('a genuine envelope, and the policy ends with it', async () => {
    const expires = iso(Date.now() + HOUR)
    const pins = await fromSigned(() => signedFor(key, 'one.example', { expires }))
    assert.deepEqual([hostsOf(pins), new Date(pins.toJSON().expires ?? 0).toISOString()], ['one.example', expires])
    assert.equal(pins.match('one.example')?.expires?.toISOString(), expires)
    assert.equal(new PinSet(pins).toJSON().expires, pins.toJSON().expires, 'so does every copy')
  })

  test('as DSSE allows: without keyid, in the alphabet of URLs, with further members and signatures', async () => {
    const { payloadType, payload: text, signatures } = good
    const [{ sig }] = signatures
    const url = (/** @type {string} */ base64) => base64.replaceAll('+', '-').replaceAll('/', '_')
    for (const form of [
      { payloadType, payload: text, signatures: [{ sig }] },
      { payloadType, payload: text, signatures: [{ keyid: '', sig }] },
      { payloadType, payload: url(text), signatures: [{ keyid: key.keyid, sig: url(sig) }] },
      { payloadType, payload: text.replace(/=+$/, ''), signatures: [{ sig: sig.replace(/=+$/, '') }] },
      { ...good, more: 1, signatures: [...envelope(other, payload).signatures, { sig: 'AAAA' }, ...signatures] }
    ]) {
      assert.equal(hostsOf(await fromSigned(async () => JSON.stringify(form))), 'one.example')
    }
    assert.equal(hostsOf(await fromSigned(() => Buffer.from(JSON.stringify(good)))), 'one.example')
  })

  test('by any of several keys, in every form of a key', async () => {
    const spki = Buffer.from(key.publicKey, 'base64')
    const object = crypto.createPublicKey({ key: spki, format: 'der', type: 'spki' })
    const forms = [
      key.publicKey,
      ` ${key.publicKey}\n`,
      spki,
      new Uint8Array(spki),
      object,
      object.export({ type: 'spki', format: 'pem' }),
      object.export({ format: 'jwk' })
    ]
    for (const form of forms) {
      for (const publicKeys of [form, [other.publicKey, form]]) {
        assert.equal(hostsOf(await fromSigned(() => JSON.stringify(good), { publicKeys })), 'one.example')
      }
    }
    await assert.rejects(
      fromSigned(() => JSON.stringify(good), { publicKeys: [other.publicKey] }),
      { code: SIGNATURE }
    )
  })

  test('the clock decides, where one is given', async () => {
    const at = Date.parse('2030-06-01T00:00:00Z')
    const text = signedFor(key, 'one.example', { notBefore: iso(at), expires: iso(at + 1000) })
    for (const [clock, code] of /** @type {[() => any, string | undefined][]} */ ([
      [() => at, undefined],
      [() => new Date(at + 999), undefined],
      [() => at - 1, NOT_YET_VALID],
      [() => at + 1000, EXPIRED],
      [() => 0, NOT_YET_VALID],
      [() => 1e15, EXPIRED],
      [() => Number.NaN, 'ERR_INVALID_ARG_VALUE'],
      [() => undefined, 'ERR_INVALID_ARG_VALUE']
    ])) {
      const loading = fromSigned(() => text, { clock })
      if (code) await assert.rejects(loading, { code })
      else assert.equal(hostsOf(await loading), 'one.example')
    }
  })

  test('nothing with wrong options', async () => {
    const source = () => JSON.stringify(good)
    const rsa = crypto.generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey
    for (const options of /** @type {any[]} */ ([
      undefined,
      {},
      { source },
      { source, publicKeys: [] },
      { source, publicKeys: 'AAAA' },
      { source, publicKeys: rsa },
      { source, publicKeys: key.privateKey },
      { source, publicKeys: key.privateKey.export({ type: 'pkcs8', format: 'pem' }) },
      { source, publicKeys: key.privateKey.export({ format: 'jwk' }) },
      { source, publicKeys: [key.publicKey, null] },
      { source, publicKeys: key.publicKey, cachefile: '/x' },
      { source, publicKeys: key.publicKey, cacheFile: 5 },
      { source, publicKeys: key.publicKey, clock: 5 },
      { source, publicKeys: key.publicKey, interval: -1 },
      { source: 5, publicKeys: key.publicKey },
      { source: 'http://a.example/x', publicKeys: key.publicKey },
      { source: 'https://u:p@a.example/x', publicKeys: key.publicKey },
      { source: 'ftp://a.example/x', publicKeys: key.publicKey }
    ])) {
      await assert.rejects(PinSet.fromSigned(options), TypeError, JSON.stringify(Object.keys(options ?? {})))
    }
    await assert.rejects(
      fromSigned(() => 5),
      { code: 'ERR_INVALID_ARG_TYPE', source: 'the loader' }
    )
  })
})

/**
 * A pin set whose source brings what the test says, under timers that the test moves.
 * @param {import('node:test').TestContext} t
 * @param {string} first
 * @param {Record<string, any>} [more]
 */
async function following(t, first, more) {
  let brings = () => first
  const pins = await fromSigned(async () => brings(), { interval: INTERVAL, jitter: 0, ...more })
  t.after(() => pins.close())
  /** @type {any[]} */
  const errors = []
  pins.on('loadError', error => errors.push(error))
  let changes = 0
  pins.on('change', () => changes++)
  /** @param {string | (() => string)} next */
  const load = async next => {
    brings = typeof next === 'string' ? () => next : next
    t.mock.timers.tick(INTERVAL * 10)
    for (let turn = 0; turn < 20; turn++) await setImmediate()
    return errors.splice(0).map(({ code }) => code)
  }
  return { pins, load, errors, changes: () => changes }
}

describe('one after the other', LIMIT, () => {
  test('a newer one comes into force; an older one, or the same version with other content, never', async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const [v5, v6, v7] = [5, 6, 7].map(version => signedFor(key, `v${version}.example`, { version }))
    const { pins, load, changes } = await following(t, v5)
    for (const [text, errors, host] of /** @type {[string, string[], string][]} */ ([
      [v5, [], 'v5.example'],
      [v7, [], 'v7.example'],
      [v6, [ROLLBACK], 'v7.example'],
      [v5, [ROLLBACK], 'v7.example'],
      [signedFor(key, 'other.example', { version: 7 }), [ROLLBACK], 'v7.example'],
      [v7, [], 'v7.example'],
      // What is not accepted raises no bar.
      [
        signedFor(key, 'late.example', { version: 9, notBefore: iso(Date.now() + HOUR / 2) }),
        [NOT_YET_VALID],
        'v7.example'
      ],
      [signedFor(key, 'gone.example', { version: 9, expires: iso(Date.now() - 2000) }), [EXPIRED], 'v7.example'],
      [signedFor(other, 'evil.example', { version: 9 }), [SIGNATURE], 'v7.example'],
      [signedFor(key, 'v8.example', { version: 8 }), [], 'v8.example'],
      [v7, [ROLLBACK], 'v8.example']
    ])) {
      assert.deepEqual([await load(text), hostsOf(pins)], [errors, host])
    }
    assert.equal(changes(), 2)
  })

  test('only a later expiry is a change, too', async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const { pins, load, changes } = await following(t, signedFor(key, 'one.example'))
    const expires = iso(Date.now() + 3 * HOUR)
    assert.deepEqual(await load(signedFor(key, 'one.example', { version: 2, expires })), [])
    assert.equal(changes(), 1)
    assert.equal(pins.match('one.example')?.expires?.toISOString(), expires)
  })
})

describe('the cache', LIMIT, () => {
  const from = iso(Date.now() - HOUR)
  const v = (/** @type {number} */ version, more = {}) =>
    signedFor(key, `v${version}.example`, {
      version,
      notBefore: from,
      expires: iso(Date.parse(from) + 3 * HOUR),
      ...more
    })
  const down = () => {
    throw Object.assign(new Error('unreachable'), { code: 'ECONNREFUSED' })
  }

  /** @param {import('node:test').TestContext} t */
  function cacheIn(t) {
    return path.join(temporaryFolder(t), 'cache', 'policy.json')
  }

  /**
   * What is put into the place of a cache from now on, one after the other.
   * @param {import('node:test').TestContext} t
   * @param {string} cacheFile
   */
  function keptIn(t, cacheFile) {
    /** @type {string[]} */
    const texts = []
    const renamed = new EventEmitter()
    const { rename } = fs.promises
    t.mock.method(fs.promises, 'rename', async (/** @type {any} */ from, /** @type {any} */ to) => {
      await rename(from, to)
      if (to !== cacheFile) return
      texts.push(fs.readFileSync(to, 'utf8'))
      renamed.emit('renamed')
    })
    return async (/** @type {number} */ index) => {
      while (texts.length <= index) await once(renamed, 'renamed', { signal: AbortSignal.timeout(20_000) })
      return texts[index]
    }
  }

  /** @param {any} pins */
  async function told(pins) {
    /** @type {any[]} */
    const errors = []
    pins.on('loadError', (/** @type {any} */ error) => errors.push(error))
    for (let turn = 0; turn < 3; turn++) await setImmediate()
    return errors.map(({ code, source }) => `${code} ${path.basename(source)}`)
  }

  test('is made for this user alone; that there was none is told', async t => {
    const cacheFile = cacheIn(t)
    const pins = await fromSigned(() => v(5), { cacheFile })
    assert.deepEqual(await told(pins), ['ENOENT policy.json'])
    assert.equal(fs.readFileSync(cacheFile, 'utf8').trim(), v(5).trim())
    if (process.getuid) {
      assert.equal(fs.statSync(cacheFile).mode & 0o777, 0o600)
      assert.equal(fs.statSync(path.dirname(cacheFile)).mode & 0o777, 0o700)
    }
    assert.deepEqual(fs.readdirSync(path.dirname(cacheFile)), ['policy.json'])
    assert.deepEqual(await told(await fromSigned(() => v(5), { cacheFile })), [])
  })

  test('stands in for a source that fails, which is told', async t => {
    const cacheFile = cacheIn(t)
    await fromSigned(() => v(5), { cacheFile })
    const pins = await fromSigned(down, { cacheFile })
    assert.equal(hostsOf(pins), 'v5.example')
    assert.deepEqual(await told(pins), ['ECONNREFUSED the loader'])
    const forged = await fromSigned(() => signedFor(other, 'evil.example', { version: 6 }), { cacheFile })
    assert.equal(hostsOf(forged), 'v5.example')
    assert.deepEqual(await told(forged), [`${SIGNATURE} the loader`])
  })

  test('is the version not to go behind after a restart', async t => {
    const cacheFile = cacheIn(t)
    await fromSigned(() => v(5), { cacheFile })
    const pins = await fromSigned(() => v(4), { cacheFile })
    assert.equal(hostsOf(pins), 'v5.example')
    assert.deepEqual(await told(pins), [`${ROLLBACK} the loader`])
    assert.equal(hostsOf(await fromSigned(() => v(6), { cacheFile })), 'v6.example')
    assert.equal(hostsOf(await fromSigned(() => v(5), { cacheFile })), 'v6.example')
  })

  test('that has expired opens nothing, and is not gone behind', async t => {
    const cacheFile = cacheIn(t)
    const past = Date.now() - 10 * HOUR
    const old = v(5, { notBefore: iso(past), expires: iso(past + HOUR) })
    await fromSigned(() => old, { cacheFile, clock: () => past + 1000 })
    await assert.rejects(fromSigned(down, { cacheFile }), { code: 'ECONNREFUSED' })
    await assert.rejects(
      fromSigned(() => v(4), { cacheFile }),
      { code: ROLLBACK }
    )
    assert.equal(hostsOf(await fromSigned(() => v(6), { cacheFile })), 'v6.example')
  })

  /** What no policy can be read from. @type {[name: string, text: string, code: string][]} */
  const UNUSABLE = [
    ['signed by an unknown key', signedFor(other, 'evil.example', { version: 99 }), SIGNATURE],
    ['cut off', v(9).slice(0, 99), SIGNATURE],
    ['empty', '', SIGNATURE],
    ['too large', ' '.repeat(4 * 1024 * 1024 + 1), SIGNATURE],
    ['genuine and malformed', JSON.stringify(envelope(key, payloadFor('a b'))), INVALID]
  ]

  for (const [name, text, code] of UNUSABLE) {
    test(`that is ${name}: there is no start, and it is not written over`, async t => {
      const cacheFile = cacheIn(t)
      await fromSigned(() => v(9), { cacheFile })
      fs.writeFileSync(cacheFile, text)
      const error = {
        code,
        source: cacheFile,
        message: /cannot be used, .*; find out why, and remove the file only if/
      }
      for (const source of [down, () => v(5), () => v(9), () => v(10)]) {
        await assert.rejects(fromSigned(source, { cacheFile }), error)
      }
      assert.equal(fs.readFileSync(cacheFile, 'utf8'), text)
      fs.rmSync(cacheFile)
      assert.equal(hostsOf(await fromSigned(() => v(5), { cacheFile })), 'v5.example')
    })
  }

  test('that cannot be read: there is no start', async t => {
    const folder = temporaryFolder(t)
    const file = path.join(folder, 'file')
    fs.writeFileSync(file, '')
    /** @type {[string, string][]} */
    const given = [
      [folder, 'EISDIR'],
      [path.join(file, 'policy.json'), process.platform === 'win32' ? 'ENOENT' : 'ENOTDIR']
    ]
    if (process.getuid) given.push([pipe(t), 'ERR_INVALID_ARG_VALUE'])
    for (const [cacheFile, code] of given) {
      if (code === 'ENOENT') continue // told as missing
      await assert.rejects(
        fromSigned(() => v(5), { cacheFile }),
        { code, source: cacheFile, message: /cannot be used/ }
      )
    }
  })

  test('that becomes unusable is told once for each policy, and not written over', async t => {
    const cacheFile = cacheIn(t)
    await fromSigned(() => v(5), { cacheFile })
    let brings = v(5)
    const loads = new EventEmitter()
    const source = () => {
      loads.emit('load')
      return brings
    }
    const pins = await fromSigned(source, { cacheFile, interval: 1 })
    t.after(() => pins.close())
    const held = setInterval(() => {}, 1000)
    t.after(() => clearInterval(held))
    /** @type {any[]} */
    const errors = []
    pins.on('loadError', error => errors.push(error))
    fs.writeFileSync(cacheFile, 'broken')
    for (const version of [5, 6]) {
      const failure = next(pins, 'loadError')
      brings = v(version)
      await failure
      // One follows the other: two more loads end one whole.
      for (let load = 0; load < 3; load++) await once(loads, 'load')
      assert.equal(hostsOf(pins), `v${version}.example`)
    }
    assert.deepEqual(
      errors.map(({ code, source }) => [code, source]),
      [5, 6].map(() => [SIGNATURE, cacheFile])
    )
    assert.equal(fs.readFileSync(cacheFile, 'utf8'), 'broken')
  })

  test('of a newer version, which another process has seen, is not written over', async t => {
    const cacheFile = cacheIn(t)
    await fromSigned(() => v(5), { cacheFile })
    let brings = v(5)
    const pins = await fromSigned(() => brings, { cacheFile, interval: 1 })
    t.after(() => pins.close())
    fs.writeFileSync(cacheFile, v(9))
    const texts = keptIn(t, cacheFile)
    for (const version of [6, 10, 11]) {
      const change = next(pins, 'change')
      brings = v(version)
      await change
    }
    assert.equal(await texts(0), v(10))
    assert.equal(await texts(1), v(11))
  })

  test('that another process writes an older version to at the same time has the newer one in the end', async t => {
    const cacheFile = cacheIn(t)
    await fromSigned(() => v(5), { cacheFile })
    const { rename } = fs.promises
    const renames = t.mock.method(fs.promises, 'rename', rename)
    renames.mock.mockImplementationOnce(async (/** @type {any} */ from, /** @type {any} */ to) => {
      await rename(from, to)
      replaceFile(to, v(6))
    })
    const pins = await fromSigned(() => v(9), { cacheFile, interval: 5 })
    t.after(() => pins.close())
    assert.equal(fs.readFileSync(cacheFile, 'utf8'), v(9))
    assert.equal(renames.mock.callCount(), 2)

    // Later, too, at the next look.
    const texts = keptIn(t, cacheFile)
    replaceFile(cacheFile, v(6))
    const held = setInterval(() => {}, 1000)
    t.after(() => clearInterval(held))
    assert.equal(await texts(0), v(9))
  })

  test('follows what comes into force', async t => {
    const cacheFile = cacheIn(t)
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const { load, pins } = await following(t, v(5), { cacheFile })
    pins.on('change', () => {})
    const texts = keptIn(t, cacheFile)
    await load(v(6))
    assert.equal(await texts(0), v(6))
    assert.deepEqual(fs.readdirSync(path.dirname(cacheFile)), ['policy.json'])
  })

  test('is not kept where others can write, which is told', { skip: !process.getuid }, async t => {
    const folder = temporaryFolder(t)
    for (const [name, mode, inside] of /** @type {[string, number, string][]} */ ([
      ['group', 0o770, ''],
      ['world', 0o707, ''],
      ['sticky', 0o1777, ''],
      ['above', 0o777, 'own']
    ])) {
      const open = path.join(folder, name)
      fs.mkdirSync(path.join(open, inside), { recursive: true, mode: 0o700 })
      fs.chmodSync(open, mode)
      const cacheFile = path.join(open, inside, 'policy.json')
      const pins = await fromSigned(() => v(5), { cacheFile })
      assert.deepEqual(await told(pins), ['ERR_TLS_PIN_UNSAFE policy.json', 'ENOENT policy.json'], name)
      assert.equal(fs.existsSync(cacheFile), false)
    }
  })

  test('is not gone behind where others can write either, but stands in for nothing', {
    skip: !process.getuid
  }, async t => {
    const cacheFile = cacheIn(t)
    await fromSigned(() => v(9), { cacheFile })
    fs.chmodSync(path.dirname(cacheFile), 0o777)
    for (const [source, code] of /** @type {[() => string, string][]} */ ([
      [() => v(5), ROLLBACK],
      [() => signedFor(key, 'other.example', { version: 9 }), ROLLBACK],
      [down, 'ECONNREFUSED']
    ])) {
      await assert.rejects(fromSigned(source, { cacheFile }), { code, source: 'the loader' })
    }
    const unsafe = 'ERR_TLS_PIN_UNSAFE policy.json'
    for (const [version, errors] of /** @type {[number, string[]][]} */ ([
      [9, [unsafe]],
      [10, [unsafe, unsafe]]
    ])) {
      const pins = await fromSigned(() => v(version), { cacheFile })
      assert.deepEqual([hostsOf(pins), await told(pins)], [`v${version}.example`, errors])
      assert.equal(fs.readFileSync(cacheFile, 'utf8'), v(9), 'nothing is written there')
    }
  })

  test('that cannot be written is told, and the policy is in force all the same', async t => {
    const cacheFile = cacheIn(t)
    t.mock.method(fs.promises, 'rename', async () => {
      throw Object.assign(new Error('full'), { code: 'ENOSPC' })
    })
    const pins = await fromSigned(() => v(5), { cacheFile })
    assert.equal(hostsOf(pins), 'v5.example')
    assert.deepEqual(await told(pins), ['ENOSPC policy.json', 'ENOENT policy.json'])
    assert.deepEqual(fs.readdirSync(path.dirname(cacheFile)), [])
  })
})

describe('a URL', LIMIT, () => {
  /** @type {Awaited<ReturnType<typeof ca>>} */
  let root
  /** @type {Awaited<ReturnType<typeof leaf>>} */
  let cert
  before(async () => {
    root = await ca({ name: 'Root' })
    cert = await leaf({ issuer: root })
  })

  /**
   * Node's fetch with the test's own root.
   * @param {import('node:test').TestContext} t
   * @param {import('node:http').RequestListener} handler
   */
  async function serve(t, handler) {
    const server = await httpsServer({ cert, handler })
    const dispatcher = new Agent({ connect: { ca: root.pem } })
    t.mock.method(globalThis, 'fetch', (/** @type {any} */ url, /** @type {any} */ init) =>
      undiciFetch(url, { ...init, dispatcher })
    )
    t.after(async () => {
      await dispatcher.destroy()
      await server.close()
    })
    return server
  }

  test('is asked for what is new only, and its failures are told', async t => {
    let current = { tag: '"1"', body: signedFor(key, 'v1.example') }
    let status = 200
    const server = await serve(t, (request, response) => {
      if (status !== 200) return response.writeHead(status).end('no')
      const isKnown = request.headers['if-none-match'] === current.tag
      response.writeHead(isKnown ? 304 : 200, { etag: current.tag }).end(isKnown ? undefined : current.body)
    })
    const pins = await fromSigned(`${server.url}/policy.json?token=secret`, { interval: 5 })
    t.after(() => pins.close())
    assert.equal(hostsOf(pins), 'v1.example')
    assert.equal(server.requests[0].headers['if-none-match'], undefined)

    const change = next(pins, 'change')
    current = { tag: '"2"', body: signedFor(key, 'v2.example', { version: 2 }) }
    await change
    assert.equal(hostsOf(pins), 'v2.example')
    assert.ok(server.requests.slice(1).every(({ headers }) => headers['if-none-match']?.match(/^"[12]"$/)))

    // What is refused is asked for again as a whole.
    const refused = next(pins, 'loadError')
    current = { tag: '"3"', body: signedFor(other, 'evil.example', { version: 3 }) }
    assert.equal((await refused).code, SIGNATURE)
    const failed = next(pins, 'loadError')
    status = 503
    const error = await failed
    if (error.code !== SIGNATURE) assert.match(error.message, /policy.json answered with status 503$/)
    assert.equal(error.source, `${server.url}/policy.json`)
    assert.equal(hostsOf(pins), 'v2.example')
    assert.ok(server.requests.every(({ headers }) => headers['if-none-match'] !== '"3"'))
  })

  test('of whose answers one was refused is not asked with the tag of that one', async t => {
    const [v1, v2] = [1, 2].map(version => signedFor(key, `v${version}.example`, { version }))
    const evil = signedFor(other, 'evil.example', { version: 9 })
    const answers = [
      { tag: '"1"', body: v1 },
      { tag: '"2"', body: evil },
      { tag: '"1"', body: undefined }
    ]
    const server = await serve(t, (_, response) => {
      const { tag, body } = answers[server.requests.length - 1] ?? { tag: '"2"', body: v2 }
      response.writeHead(body === undefined ? 304 : 200, { etag: tag }).end(body)
    })
    const pins = await fromSigned(server.url, { interval: 5 })
    t.after(() => pins.close())
    const change = next(pins, 'change')
    assert.equal((await next(pins, 'loadError')).code, SIGNATURE)
    await change
    assert.equal(hostsOf(pins), 'v2.example')
    const tags = server.requests.slice(0, 4).map(({ headers }) => headers['if-none-match'])
    assert.deepEqual(tags, [undefined, '"1"', '"1"', '"1"'])
  })

  for (const [name, handler, code] of /** @type {[string, import('node:http').RequestListener, string][]} */ ([
    ['that is not there', (_, response) => response.writeHead(404).end(), 'ERR_OPERATION_FAILED'],
    ['that answers 304 without being asked to', (_, response) => response.writeHead(304).end(), 'ERR_OPERATION_FAILED'],
    ['that sends without end', (_, response) => endless(response), SIGNATURE],
    ['that hangs', () => {}, 'ETIMEDOUT'],
    ['that breaks off', (_, response) => response.socket?.destroy(), 'UND_ERR_SOCKET']
  ])) {
    test(name, async t => {
      const server = await serve(t, handler)
      await assert.rejects(fromSigned(server.url, { timeout: code === 'ETIMEDOUT' ? 100 : 10_000 }), { code })
    })
  }

  /** @param {import('node:http').ServerResponse} response */
  function endless(response) {
    const piece = Buffer.alloc(1 << 20, 0x20)
    const more = () => {
      while (response.write(piece)) {}
      response.once('drain', more)
    }
    response.on('error', () => {})
    more()
  }

  test('through which somebody else answers: the signature decides, not the transport', async t => {
    const server = await serve(t, (_, response) => response.end(signedFor(other, 'evil.example', { version: 99 })))
    await assert.rejects(fromSigned(server.url), { code: SIGNATURE, source: `${server.url}/` })
  })
})

test('a pipe is no source, and not waited for', { ...LIMIT, skip: !process.getuid }, async t => {
  const source = pipe(t)
  await assert.rejects(fromSigned(source), { code: 'ERR_INVALID_ARG_VALUE', source, message: /is not a regular file$/ })
})

test('a file that is signed anew is noticed at the next look', LIMIT, async t => {
  const file = path.join(temporaryFolder(t), 'policy.signed.json')
  fs.writeFileSync(file, signedFor(key, 'v1.example'))
  const pins = await fromSigned(file, { interval: 5 })
  t.after(() => pins.close())
  const change = next(pins, 'change')
  replaceFile(file, signedFor(key, 'v2.example', { version: 2 }))
  await change
  assert.equal(hostsOf(pins), 'v2.example')
})

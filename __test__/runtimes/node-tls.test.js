'use strict'
// The promise: a pin that goes to Node's own TLS is never ignored without a word. Where a runtime's own client would ignore it,
// it cannot be given to it, and nothing arrives at the server. Run by Node, and by `npm run test:matrix` in Bun and Deno.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { describe, test } = require('node:test')
const { REGISTER } = require('../helpers/node-tls')
const { name, run, serve } = require('../helpers/runtime')

const WRONG = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const BOUNDED = { timeout: 60_000 }
const MISMATCH = 'ERR_TLS_PIN_MISMATCH'
const UNSAFE = 'ERR_TLS_PIN_UNSAFE'
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])
const isNode = name === 'node'

/** How the pins get to Node's modules: the same everywhere. */
const WAYS = [
  'PinnedAgent',
  'PinnedAgent, pin-only',
  'PinnedAgent, default trust',
  'tlsOptions in https',
  'tlsOptions in an https.Agent',
  'tlsOptions in tls.connect',
  'tlsOptions in http2.connect',
  'createCheckServerIdentity in https',
  // Of Bun, whose fetch takes the options of TLS.
  ...(name === 'bun' ? ['tlsOptions in fetch', 'tlsOptions in WebSocket'] : [])
]

for (const maxVersion of VERSIONS) {
  describe(`${name}, ${maxVersion}`, () => {
    for (const way of WAYS) {
      test(way, BOUNDED, async t => {
        const { server, data, env } = await trusted(t, { maxVersion, http2: way.includes('http2') })
        // Bun's WebSocket has one code for all that a check says.
        const code = way.includes('WebSocket') ? 'ERR_TLS_CERT_ALTNAME_INVALID' : MISMATCH
        assert.deepEqual(await outcome(way, { ...data, pins: WRONG }, env), [code, 0])
        await server.settled()
        assert.equal(server.appBytes, 0)
        const [accepted, status] = await outcome(way, data, env)
        assert.deepEqual(
          [accepted, status, server.requests.length],
          [way.includes('WebSocket') ? 'refused' : 200, 0, 1]
        )
      })
    }

    for (const [way, arrived] of /** @type {const} */ ([
      ['one https.Agent, other pins', 1],
      ['PinnedAgent, replaced', 1],
      ...(name === 'bun' ? [/** @type {const} */ (['one fetch, other pins', 1])] : [])
    ])) {
      test(way, BOUNDED, async t => {
        const { server, data, env } = await trusted(t, { maxVersion })
        const more = { pins: data.pins }
        assert.deepEqual(await outcome(way, { ...data, pins: WRONG, more }, env), [[200, MISMATCH], 0])
        await server.settled()
        assert.equal(server.requests.length, arrived)
      })
    }
  })
}

describe(name, () => {
  for (const way of [
    'pinnedConnector in undici',
    'pinnedConnector in fetch',
    'pinnedConnector as the global dispatcher'
  ]) {
    test(way, BOUNDED, async t => {
      const { server, data, env } = await trusted(t)
      assert.deepEqual(await outcome(way, { ...data, pins: WRONG }, env), [isNode ? MISMATCH : UNSAFE, 0])
      assert.deepEqual(await outcome(way, data, env), [isNode ? 200 : UNSAFE, 0])
      await server.settled()
      assert.equal(server.requests.length, isNode ? 1 : 0)
    })
  }

  for (const flag of ['--require', ...(name === 'bun' ? ['--preload', '--import'] : [])]) {
    test(`register by ${flag}`, BOUNDED, async t => {
      const { server, data, env } = await trusted(t)
      const file = path.join(folder(t), 'policy.json')
      fs.writeFileSync(file, JSON.stringify({ version: 1, hosts: { localhost: WRONG } }))
      const { told, status, stderr } = await started([flag, REGISTER], data, { ...env, TLS_PINNING_POLICY: file })
      // What does not pin the whole process lets none of it run.
      assert.deepEqual([told, status], isNode ? [{ code: MISMATCH }, 0] : [undefined, 1], stderr)
      if (!isNode) assert.match(stderr, /^tls-pinning\/register: only Node\.js can be pinned as a whole/m)
      await server.settled()
      assert.equal(server.appBytes, 0)
    })
  }

  test('register that is loaded by a program', BOUNDED, async t => {
    const { server, data, env } = await trusted(t)
    const file = path.join(folder(t), 'policy.json')
    fs.writeFileSync(file, JSON.stringify({ version: 1, hosts: { localhost: WRONG } }))
    const ended = await run('register and fetch', data, { env: { ...env, TLS_PINNING_POLICY: file } })
    assert.deepEqual([ended.code, ended.status], isNode ? [MISMATCH, 0] : [undefined, 1], ended.stderr)
    await server.settled()
    assert.equal(server.appBytes, 0)
  })
})

/** What docs/runtimes.md says is ignored, by runtime: nothing of this package is asked, so nothing can refuse. */
const IGNORED = {
  'PinnedAgent in fetch': ['node', 'bun', 'deno'],
  'tlsOptions as options of fetch': ['node', 'bun', 'deno'],
  'tlsOptions as tls of fetch': ['node', 'deno'],
  'tlsOptions in undici': ['bun'],
  'tlsOptions in undici, for fetch': ['bun', 'deno']
}

describe(`${name}: where a client takes no pins`, () => {
  for (const [way, runtimes] of Object.entries(IGNORED)) {
    test(`${way}: ${runtimes.includes(name) ? 'ignored, as documented' : 'refused'}`, BOUNDED, async t => {
      const { server, data, env } = await trusted(t)
      const ignored = runtimes.includes(name)
      assert.deepEqual(await outcome(way, { ...data, pins: WRONG }, env), [ignored ? 200 : MISMATCH, 0])
      assert.equal(server.requests.length, ignored ? 1 : 0)
    })
  }
})

/**
 * A server that the whole process trusts.
 * @param {import('node:test').TestContext} t
 * @param {Partial<import('../helpers/servers').HttpsOptions>} [options]
 */
async function trusted(t, options) {
  const { server, root, data } = await serve(t, options)
  const file = path.join(folder(t), 'ca.pem')
  fs.writeFileSync(file, root.pem)
  return { server, data, env: { NODE_EXTRA_CA_CERTS: file } }
}

/**
 * @param {string} way
 * @param {object} data
 * @param {Record<string, string>} env
 */
async function outcome(way, data, env) {
  const { result, code, status, stderr } = await run(way, data, { env })
  return [result ?? code ?? stderr, status]
}

/**
 * @param {string[]} flags
 * @param {object} data
 * @param {Record<string, string>} env
 */
async function started(flags, data, env) {
  const { result, code, status, stderr } = await run('fetch of the runtime', data, { flags, env })
  return { told: code || result ? { ...(result && { result }), ...(code && { code }) } : undefined, status, stderr }
}

/** @param {import('node:test').TestContext} t */
function folder(t) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'runtimes-'))
  t.after(() => fs.rmSync(made, { recursive: true }))
  return made
}

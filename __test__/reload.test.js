'use strict'
// Promise: a policy file that is replaced under load costs no request that the policies before and after both accept, and lets
// none through that the one in force refuses.
//
// In force is the policy of the last `change`. For a request under way this means: from then on nothing more is written to
// a server that the policy refuses, nothing more is read from it, and its connection is closed; the request fails, also if
// its response has begun. What had been written before may still arrive.

const assert = require('node:assert/strict')
const { EventEmitter, once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { before, describe, test } = require('node:test')
const { PinnedClient, PinSet } = require('..')
const { ca, leaf } = require('./helpers/pki')
const { pinFor } = require('./helpers/policies')
const { httpsServer } = require('./helpers/servers')
const { next, replaceFile, temporaryFolder } = require('./helpers/sources')

const IN_FLIGHT = 1000
const SWAPS = 100
const LIMIT = { timeout: 180_000 }
const MISMATCH = 'ERR_TLS_PIN_MISMATCH'
/** Of the server that only one of the policies accepts. */
const ORDER = /** @type {const} */ (['refusing', 'broken', 'accepting', 'refusing', 'accepting', 'broken'])

/** @type {Awaited<ReturnType<typeof ca>>} */
let root
/** @type {Record<'always' | 'sometimes', Awaited<ReturnType<typeof leaf>>>} */
let certs

before(async () => {
  root = await ca({ name: 'Root' })
  certs = { always: await leaf({ issuer: root }), sometimes: await leaf({ issuer: root }) }
})

/**
 * A server whose responses begin at once and end when the test says so, but for `/now`.
 * @param {import('node:test').TestContext} t
 * @param {{ cert: Awaited<ReturnType<typeof leaf>>, http2: boolean }} options
 */
async function holding(t, options) {
  /** @type {Set<import('node:http').ServerResponse>} */
  const held = new Set()
  const arrivals = new EventEmitter()
  /** The pieces of all uploads. @type {Set<string>} */
  const uploaded = new Set()
  const server = await httpsServer({
    ...options,
    handler(request, response) {
      request.on('data', piece => uploaded.add(String(piece)))
      request.on('error', () => {})
      response.on('error', () => {})
      if (request.url === '/now') return request.once('end', () => response.end('now'))
      held.add(response)
      response.once('close', () => held.delete(response))
      response.writeHead(200)
      response.write('begun ')
      arrivals.emit('held')
    }
  })
  t.after(() => server.close())
  return Object.assign(server, {
    held,
    uploaded,
    /** @param {number} count */
    async untilHeld(count) {
      while (held.size < count) await once(arrivals, 'held', { signal: AbortSignal.timeout(60_000) })
    },
    /** @param {string} text */
    write(text) {
      for (const response of held) response.write(text)
    },
    /** @param {string} text */
    end(text) {
      for (const response of held) response.end(text)
    }
  })
}

for (const http2 of [false, true]) {
  describe(`HTTP/${http2 ? 2 : 1.1}`, LIMIT, () => {
    test(`${IN_FLIGHT} requests in flight, ${SWAPS} swaps of the file`, LIMIT, async t => {
      const always = await holding(t, { cert: certs.always, http2 })
      const sometimes = await holding(t, { cert: certs.sometimes, http2 })
      const file = path.join(temporaryFolder(t), 'policy.json')
      /** @param {string} name @param {string} pin */
      const policy = (name, pin) =>
        JSON.stringify({
          hosts: {
            [`localhost:${always.port}`]: [certs.always.pin, pinFor(name)],
            [`localhost:${sometimes.port}`]: pin
          }
        })
      const texts = {
        accepting: policy('accepting', certs.sometimes.pin),
        refusing: policy('refusing', pinFor('nobody'))
      }
      fs.writeFileSync(file, texts.accepting)
      const pins = PinSet.fromFile(file, { watch: { debounce: 0, interval: 0 } })
      const client = new PinnedClient({ pins, ca: root.pem, keepAliveTimeout: 0, headersTimeout: 0, bodyTimeout: 0 })
      t.after(async () => {
        pins.close()
        await client.close()
      })
      /** What the last `change` has put into force. @type {'accepting' | 'refusing'} */
      let inForce = 'accepting'
      let changes = 0
      pins.on('change', () => {
        changes++
        inForce = JSON.stringify(pins).includes(pinFor('nobody')) ? 'refusing' : 'accepting'
      })

      /** @param {{ url: string }} server @param {string} what @param {any} [options] */
      const ask = async (server, what, options) => (await client.request(`${server.url}/${what}`, options)).text()
      /** @param {{ url: string }} server @param {number} count */
      const askNow = (server, count) => Promise.allSettled(Array.from({ length: count }, () => ask(server, 'now')))
      /** @param {PromiseSettledResult<string>[]} outcomes */
      const results = outcomes => [
        ...new Set(outcomes.map(outcome => (outcome.status === 'fulfilled' ? outcome.value : outcome.reason.code)))
      ]

      const inFlight = Promise.allSettled(Array.from({ length: IN_FLIGHT }, () => ask(always, 'hold')))
      await always.untilHeld(IN_FLIGHT)

      /** Bytes and requests at the server that is refused, when all its connections had closed. */
      let closed = [0, 0]
      const refusedWhole = async () => {
        assert.deepEqual(results(await askNow(sometimes, 10)), [MISMATCH])
        await sometimes.settled()
        assert.deepEqual([sometimes.appBytes, sometimes.requests.length], closed)
      }

      let broken = 0
      for (let swap = 0; swap < SWAPS; swap++) {
        assert.equal(always.held.size, IN_FLIGHT)
        const turn = ORDER[swap % ORDER.length]
        // These are at whatever stage when the policy changes: in a handshake, being sent, being answered.
        const beside = askNow(always, 10)

        if (turn === 'broken') {
          const failure = next(pins, 'loadError')
          replaceFile(file, texts.accepting.slice(0, 10 + swap))
          assert.equal((await failure).code, 'ERR_TLS_PIN_INVALID')
          broken++
          if (inForce === 'refusing') await refusedWhole()
          else assert.deepEqual(results(await askNow(sometimes, 10)), ['now'])
        } else if (turn === 'refusing') {
          const change = next(pins, 'change')
          const held = Array.from({ length: 5 }, () => ask(sometimes, 'hold'))
          const uploads = Array.from({ length: 5 }, () =>
            ask(sometimes, 'upload', {
              method: 'POST',
              body: (async function* () {
                yield 'accepted'
                await change
                while (true) yield inForce
              })()
            })
          )
          const cut = Promise.allSettled([...held, ...uploads])
          await sometimes.untilHeld(10)
          const between = askNow(sometimes, 10)
          replaceFile(file, texts.refusing)
          await change
          assert.equal(inForce, 'refusing')
          assert.deepEqual(results(await cut), [MISMATCH], 'under way when it was refused')
          for (const result of results(await between)) assert.ok(['now', MISMATCH].includes(result), result)
          await sometimes.settled()
          closed = [sometimes.appBytes, sometimes.requests.length]
          await refusedWhole()
        } else {
          const change = next(pins, 'change')
          replaceFile(file, texts.accepting)
          await change
          assert.equal(inForce, 'accepting')
          assert.deepEqual(results(await askNow(sometimes, 10)), ['now'])
        }
        assert.deepEqual(results(await beside), ['now'])
        if (swap % 25 === 0) always.write('more ')
      }

      assert.deepEqual([changes, broken], [67, 33])
      assert.deepEqual([...sometimes.uploaded], ['accepted'], 'no byte that was written under the policy that refuses')
      always.end('ended')
      assert.deepEqual(results(await inFlight), ['begun more more more more ended'])
      assert.equal(always.requests.length, IN_FLIGHT + SWAPS * 10)
    })
  })
}

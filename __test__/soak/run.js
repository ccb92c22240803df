'use strict'
// Many requests of PinnedClient over connections that are new, resumed and pooled, with faults of every kind. The promise: each
// has one outcome, and one that its plan allows; each body is intact; memory stays flat; nothing is left over.
//
// node --expose-gc run.js --requests 200000 --seed 1

const assert = require('node:assert/strict')
const { fork } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { parseArgs } = require('node:util')
const { PinnedClient, PinSet } = require('../..')
const { ca, leaf } = require('../helpers/pki')
const { planOf, bytesOf, sha256 } = require('./plan')

const ROUNDS = 40
const AT_ONCE = 64
/** No request of any plan takes as long. */
const STUCK = 90_000
const OTHER = { localhost: `sha256/${Buffer.alloc(32, 1).toString('base64')}` }

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '200000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    memory: { type: 'boolean', default: true }
  },
  allowNegative: true
})
const total = Number(values.requests)
const seed = Number(values.seed)

/** How often each thing happened. */
const tally = new Map()
const faults = []
/** Requests under way, with when they began. */
const open = new Map()
let sources = 0
let replacements = 0

main()

async function main() {
  console.log(`soak: ${total} requests, seed ${seed}, driver ${process.env.TLS_PINNING_DRIVER ?? 'default'}`)
  const root = await ca({ name: 'Root' })
  const cert = await leaf({ issuer: root })
  const before = { sockets: sockets(), resources: resources() }
  const server = fork(path.join(__dirname, 'server.js'), { execArgv: [] })
  server.send({ key: cert.key, cert: cert.pem })
  const [{ port }] = await once(server, 'message')
  const watchdog = setInterval(stuck, 5_000)

  const lanes = makeLanes(root, `https://localhost:${port}`)
  const started = Date.now()
  const samples = []
  let index = 0
  for (let round = 0; round < ROUNDS; round++) {
    const end = Math.floor((total * (round + 1)) / ROUNDS)
    const middle = index + Math.floor((end - index) * 0.3)
    while (index < middle) await one(lanes, planOf(seed, index++))
    const worker = async () => {
      while (index < end) await one(lanes, planOf(seed, index++))
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    // Connections of an idle client end by themselves; a long-lived one is part of what is measured.
    if (round % 4 === 3) await lanes.renew()
    samples.push(await memory())
    if (faults.length > 0) break
  }
  const seconds = (Date.now() - started) / 1000
  await lanes.close()

  server.send('counts')
  const [{ counts }] = await once(server, 'message')
  let left
  await until(
    async () => {
      server.send('counts')
      ;[{ open: left }] = await once(server, 'message')
      return left.length === 0
    },
    () => `the server still has connections open: ${left.join(', ')}`
  )
  server.send('exit')
  await once(server, 'exit')
  clearInterval(watchdog)
  await until(
    () => sockets() === before.sockets,
    () => `${sockets()} sockets are open, not ${before.sockets}`
  )
  // A process that has ended is a handle for one more turn.
  await until(
    () => same(resources(), before.resources),
    () => `handles are left: ${resources()}`
  )
  summary(counts, samples, seconds)
  check(counts, samples)
}

/** What each kind of request goes over. */
function makeLanes(root, origin) {
  const pins = new PinSet({ localhost: root.pin })
  const made = new Map()
  let denying = false
  const options = (http2, more) => ({ pins: { localhost: root.pin }, ca: root.pem, allowH2: http2, ...more })
  const timeouts = { headersTimeout: 250, bodyTimeout: 250 }
  const clientOf = ({ lane, http2 }) => {
    const name = `${lane} ${http2}`
    const more = lane === 'replaced' ? { pins } : lane === 'stalled' ? timeouts : {}
    if (!made.has(name)) made.set(name, new PinnedClient(options(http2, more)))
    return made.get(name)
  }
  return {
    origin,
    pins,
    clientOf,
    fresh: http2 => new PinnedClient(options(http2, {})),
    /** For the time of an action the pins are others, which no other request does meanwhile. */
    async whileDenied(act) {
      if (denying) return false
      denying = true
      replacements += 1
      pins.replace(OTHER)
      await act()
      replacements += 1
      pins.replace({ localhost: root.pin })
      denying = false
      return true
    },
    /** A change of policy that changes nothing for anybody. */
    same: () => {
      if (!denying) pins.replace({ localhost: root.pin })
    },
    async renew() {
      for (const client of made.values()) await client.close()
      made.clear()
    },
    async close() {
      for (const client of made.values()) await client.close()
    }
  }
}

/** One request from its plan to its outcome. */
async function one(lanes, plan) {
  open.set(plan, Date.now())
  try {
    await exchangeOf(lanes, plan)
  } catch (error) {
    fault(plan, error)
  }
  open.delete(plan)
}

async function exchangeOf(lanes, plan) {
  if (plan.lane === 'fresh') {
    const client = lanes.fresh(plan.http2)
    const exchange = judged(lanes, plan, client)
    if (plan.reset) await client.close()
    await exchange
    return client.close()
  }
  const client = lanes.clientOf(plan)
  if (plan.lane !== 'replaced') return judged(lanes, plan, client)
  if (plan.index % 8 === 0) {
    const denied = { ...plan, denied: true, allowed: ['ERR_TLS_PIN_MISMATCH'] }
    if (await lanes.whileDenied(() => judged(lanes, denied, client))) return
  }
  if (plan.index % 8 === 1) lanes.same()
  const began = replacements
  const outcome = await outcomeOf(lanes, plan, client)
  const undisturbed = began === replacements && began % 2 === 0
  judge(undisturbed ? plan : { ...plan, allowed: ['ok', 'ERR_TLS_PIN_MISMATCH', 'ECONNRESET'] }, outcome)
}

async function judged(lanes, plan, client) {
  judge(plan, await outcomeOf(lanes, plan, client))
}

function judge(plan, outcome) {
  count(`${plan.lane}: ${outcome.name}`)
  if (!plan.allowed.includes(outcome.name)) fault(plan, outcome.error ?? new Error(`the outcome is ${outcome.name}`))
}

/** Sends the request and reads its answer; what is wrong with a body is thrown. */
async function outcomeOf(lanes, plan, client) {
  const controller = new AbortController()
  const { abort } = plan
  const reason = new Error('the soak aborts this one')
  if (abort === 'before') controller.abort(reason)
  try {
    const request = client.request(lanes.origin + targetOf(plan), {
      method: plan.method,
      ...(plan.method === 'POST' && { body: bodyOf(plan) }),
      ...(abort && { signal: controller.signal })
    })
    if (abort === 'atOnce') controller.abort(reason)
    if (abort === 'later') setTimeout(() => controller.abort(reason), plan.delay)
    const response = await request
    if (abort === 'before') throw new assert.AssertionError({ message: 'answered although it was aborted before' })
    assert.equal(response.status, 200)
    if (plan.lane === 'dropped') return { name: 'dropped' }
    if (abort === 'head') controller.abort(reason)
    return await read(response, plan, () => controller.abort(reason))
  } catch (error) {
    if (error === reason) return { name: 'aborted' }
    if (!error.code || error instanceof assert.AssertionError) throw error
    return { name: error.code, error }
  }
}

async function read(response, plan, abort) {
  const chunks = []
  if (plan.stream || plan.abort === 'body' || plan.abort === 'cancel') {
    const reader = response.body?.getReader()
    for (let next = await reader?.read(); next && !next.done; next = await reader.read()) {
      chunks.push(next.value)
      if (plan.abort === 'body') abort()
      if (plan.abort === 'cancel') {
        await reader.cancel()
        return { name: 'cancelled' }
      }
    }
  } else {
    chunks.push(await response.bytes())
  }
  const body = Buffer.concat(chunks)
  assert.equal(body.length, plan.down, 'the length of the body')
  assert.equal(sha256(body), response.headers.get('x-down'), 'what arrived is not what was sent')
  assert.equal(response.headers.get('x-up'), sha256(bytesOf(plan.offset, plan.up)), 'the server got another body')
  if (plan.lane === 'resumed') count(`resumed: ${response.tls.resumed ? 'a session' : 'a full handshake'}`)
  return { name: 'ok' }
}

function targetOf({ index, fault, down, offset, chunked, reset, delay, denied }) {
  const flags = `${chunked ? '&chunked' : ''}${reset ? '&reset' : ''}${denied ? '&denied' : ''}`
  return `/${index}?fault=${fault}&down=${down}&offset=${offset}&delay=${delay}${flags}`
}

function bodyOf({ streamed, offset, up }) {
  const bytes = bytesOf(offset, up)
  return streamed ? pieces(bytes) : bytes
}

/** However a request ends, the source of its body is closed. */
async function* pieces(bytes) {
  sources += 1
  try {
    for (let at = 0; at < bytes.length; at += 40_000) {
      yield bytes.subarray(at, at + 40_000)
      await null
    }
  } finally {
    sources -= 1
  }
}

async function memory() {
  // Twice, with a turn between: what the first finalises lets go of more.
  for (let turn = 0; turn < 2; turn++) {
    globalThis.gc()
    await new Promise(resolve => setImmediate(resolve))
  }
  return process.memoryUsage().rss
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[sorted.length >> 1]
}

function count(name) {
  tally.set(name, (tally.get(name) ?? 0) + 1)
}

function fault(plan, error) {
  faults.push(plan)
  if (faults.length <= 10) console.error(plan, error)
}

function stuck() {
  for (const [plan, began] of open) {
    if (Date.now() - began < STUCK) continue
    console.error('no outcome after', STUCK, 'ms:', plan)
    process.exit(1)
  }
}

/** Sockets that are open, by their descriptors; the addon's own wake-up descriptors are of other kinds. */
function sockets() {
  try {
    const links = fs.readdirSync('/proc/self/fd').map(descriptor => {
      try {
        return fs.readlinkSync(`/proc/self/fd/${descriptor}`)
      } catch {
        // The one that the folder was read with.
        return ''
      }
    })
    return links.filter(link => link.startsWith('socket:')).length
  } catch {
    // Only Linux tells.
    return 0
  }
}

function resources() {
  return process.getActiveResourcesInfo().sort()
}

function same(one, other) {
  return one.join() === other.join()
}

/** Waits for what comes by itself, but not for ever. */
async function until(condition, message) {
  const end = Date.now() + 30_000
  for (globalThis.gc(); !(await condition()); globalThis.gc()) {
    if (Date.now() > end) return fault('the end', new Error(message()))
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

function quarters(samples) {
  const quarter = samples.length >> 2
  return { second: median(samples.slice(quarter, 2 * quarter)), last: median(samples.slice(-quarter)) }
}

function summary(counts, samples, seconds) {
  const mib = bytes => (bytes / 2 ** 20).toFixed(0)
  console.log(`${seconds.toFixed(0)} s; server: ${JSON.stringify(counts)}; pin sets replaced ${replacements} times`)
  for (const [name, number] of [...tally].sort()) console.log(`${String(number).padStart(8)}  ${name}`)
  console.log(`RSS after each round, MiB: ${samples.map(mib).join(' ')}`)
  const { second, last } = quarters(samples)
  console.log(`median of the second quarter ${mib(second)} MiB, of the last ${mib(last)} MiB`)
}

function check(counts, samples) {
  assert.equal(faults.length, 0, `${faults.length} requests had an outcome that their plan does not allow`)
  assert.equal(open.size, 0, 'requests without an outcome')
  assert.equal(counts.denied, 0, 'requests arrived that the pins forbid')
  assert.equal(sources, 0, 'bodies whose source was not closed')
  const { second, last } = quarters(samples)
  if (values.memory) assert.ok(last < second * 1.1, `memory grows: ${second} to ${last} bytes`)
  console.log('soak: ok')
}

'use strict'
// One client in a process of its own: `run.js` sends a task, and gets back what was measured.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const fs = require('node:fs')
const { monitorEventLoopDelay, performance } = require('node:perf_hooks')
const { LARGE_BYTES, MEDIUM_BYTES, SMALL_BODY } = require('./bodies.js')
const { ADAPTERS } = require('./clients')

/** Of the sessions of the workload that resumes them. */
const RESUMED_LEAST = 0.9

/**
 * @typedef {object} Task
 * @property {string} client
 * @property {number} port
 * @property {string} ca
 * @property {string} pin
 * @property {boolean} resume
 * @property {boolean} http2
 * @property {boolean} [check] Only find out whether the comparison is a fair one.
 * @property {keyof typeof ACTIONS} action
 * @property {number} inFlight
 * @property {number} warmUp Seconds.
 * @property {number} seconds
 */

/**
 * @typedef {object} Action
 * @property {(client: any, url: (path: string) => string) => Promise<unknown>} run
 * @property {unknown} [result] What `run` must give.
 * @property {number} bytes Of the body that is carried.
 */

/** @type {Action} */
const SMALL = { run: (client, url) => client.text(url('/small')), result: SMALL_BODY, bytes: SMALL_BODY.length }

/** @type {Record<'keepAlive' | 'handshake' | 'resumed' | 'download' | 'upload' | 'medium', Action>} */
const ACTIONS = {
  keepAlive: SMALL,
  handshake: SMALL,
  resumed: { run: (client, url) => client.text(url('/session')), bytes: 1 },
  download: { run: (client, url) => client.download(url('/large')), result: LARGE_BYTES, bytes: LARGE_BYTES },
  upload: {
    run: (client, url) => client.upload(url('/upload'), pieces(LARGE_BYTES), LARGE_BYTES),
    result: SMALL_BODY,
    bytes: LARGE_BYTES
  },
  medium: {
    run: async (client, url) => (await client.bytes(url('/medium'))).length,
    result: MEDIUM_BYTES,
    bytes: MEDIUM_BYTES
  }
}

/** @param {Task} task */
async function measure(task) {
  const { inFlight, warmUp, seconds } = task
  const action = ACTIONS[task.action]
  const client = await ADAPTERS[task.client].make(task)
  const url = urls(task.port)
  const first = await action.run(client, url)
  if (action.result !== undefined) assert.deepEqual(first, action.result)
  let resumed = 0
  const once = async () => {
    if ((await action.run(client, url)) === 'r') resumed++
  }
  await load(once, inFlight, warmUp)

  // Only where it is of interest: it wakes the loop every millisecond.
  const delay = task.action === 'medium' ? monitorEventLoopDelay({ resolution: 1 }) : undefined
  resumed = 0
  delay?.enable()
  const before = usage()
  const latencies = await load(once, inFlight, seconds)
  const after = usage()
  delay?.disable()
  await client.close()

  const requests = latencies.length
  const elapsed = after.time - before.time
  if (task.resume) assert.ok(resumed / requests >= RESUMED_LEAST, `only ${resumed} of ${requests} sessions resumed`)
  latencies.sort((a, b) => a - b)
  return {
    requests,
    rate: requests / elapsed,
    throughput: (requests * action.bytes) / elapsed,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    cpu: (after.cpu - before.cpu) / requests,
    main: (after.main - before.main) / requests,
    mainMeasure: mainThread.measure,
    delay: delay && delay.percentile(99) / 1e9,
    resumed: task.resume ? resumed / requests : undefined,
    memory: process.resourceUsage().maxRSS * 1024
  }
}

/**
 * In seconds, of sorted milliseconds.
 * @param {number[]} sorted @param {number} share
 */
function quantile(sorted, share) {
  return sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] / 1000
}

/**
 * Keeps `inFlight` requests under way for so many seconds.
 * @param {() => Promise<unknown>} once
 * @param {number} inFlight
 * @param {number} seconds
 * @returns {Promise<number[]>} How long each request took, in milliseconds.
 */
async function load(once, inFlight, seconds) {
  /** @type {number[]} */
  const latencies = []
  const end = performance.now() + seconds * 1000
  const worker = async () => {
    // One look at the clock a request: the end of one is the start of the next.
    for (let start = performance.now(); start < end; ) {
      await once()
      const now = performance.now()
      latencies.push(now - start)
      start = now
    }
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  return latencies
}

/** What was used so far, in seconds. */
function usage() {
  const { user, system } = process.cpuUsage()
  return { time: performance.now() / 1000, cpu: (user + system) / 1e6, main: mainThread.used() }
}

/** The best measure of the main thread's work that this Node and this system have. */
const mainThread = chooseMainThread()

function chooseMainThread() {
  const threadCpuUsage = /** @type {any} */ (process).threadCpuUsage?.bind(process)
  if (threadCpuUsage) {
    const used = () => {
      const { user, system } = threadCpuUsage()
      return (user + system) / 1e6
    }
    return { measure: "the main thread's CPU time (process.threadCpuUsage)", used }
  }
  const statistics = `/proc/self/task/${process.pid}/schedstat`
  if (fs.existsSync(statistics)) {
    const used = () => Number(fs.readFileSync(statistics, 'latin1').split(' ')[0]) / 1e9
    return { measure: "the main thread's CPU time (schedstat)", used }
  }
  const used = () => performance.eventLoopUtilization().active / 1000
  return { measure: 'the time that the event loop was busy (eventLoopUtilization)', used }
}

/**
 * Whether a wrong pin is refused, and the right one is not.
 * @param {Task} task
 */
async function check(task) {
  const { make } = ADAPTERS[task.client]
  const pin = `sha256/${crypto.createHash('sha256').update('another key').digest('base64')}`
  const url = urls(task.port)
  const refusing = await make({ ...task, pin })
  const refusal = await refusing.text(url('/small')).then(
    () => undefined,
    error => error
  )
  await refusing.close()
  const codes = [refusal?.code, refusal?.cause?.code]
  if (refusal && !codes.includes('ERR_TLS_PIN_MISMATCH')) throw refusal

  const client = await make(task)
  assert.equal(await client.text(url('/small')), SMALL_BODY)
  if (!task.http2) {
    for (let times = 0; times < 3; times++) {
      assert.equal(await client.text(url('/session')), '.', 'the server resumed a session')
    }
  }
  await client.close()
  return { pins: refusal !== undefined }
}

/** @param {number} port */
function urls(port) {
  return (/** @type {string} */ path) => `https://127.0.0.1:${port}${path}`
}

const PIECE = Buffer.alloc(64 * 1024)

/** @param {number} bytes */
async function* pieces(bytes) {
  for (let sent = 0; sent < bytes; sent += PIECE.length) yield PIECE
}

process.once('disconnect', () => process.exit(1))
process.once('message', async (/** @type {Task} */ task) => {
  try {
    process.send?.(await (task.check ? check(task) : measure(task)), () => process.exit(0))
  } catch (error) {
    console.error(error)
    process.exit(1)
  }
})

'use strict'
// One client in a process of its own: `run.js` sends a task, and gets back what was measured.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const fs = require('node:fs')
const { monitorEventLoopDelay, performance } = require('node:perf_hooks')
const { clients } = require('./clients.js')
const { LARGE_BYTES, MEDIUM_BYTES, SMALL_BODY } = require('./server.js')

/**
 * @typedef {object} Task
 * @property {keyof typeof clients} client
 * @property {{ keepAlive: number, close: number }} ports The server closes the connections of the second after each response.
 * @property {string} ca
 * @property {string} pin
 * @property {boolean} [check] Only find out whether the comparison is a fair one.
 * @property {keyof typeof ACTIONS} action
 * @property {number} inFlight
 * @property {number} warmUp Seconds.
 * @property {number} seconds
 */

/**
 * @typedef {object} Action
 * @property {(client: import('./clients.js').Client, ports: Task['ports']) => Promise<unknown>} run
 * @property {unknown} result What `run` must give.
 * @property {number} bytes Of the body that is carried.
 */

/** @type {Record<'keepAlive' | 'handshake' | 'download' | 'upload' | 'medium', Action>} */
const ACTIONS = {
  keepAlive: {
    run: (client, { keepAlive }) => client.text(url(keepAlive, '/small')),
    result: SMALL_BODY,
    bytes: SMALL_BODY.length
  },
  handshake: {
    run: (client, { close }) => client.text(url(close, '/small')),
    result: SMALL_BODY,
    bytes: SMALL_BODY.length
  },
  download: {
    run: (client, { keepAlive }) => client.download(url(keepAlive, '/large')),
    result: LARGE_BYTES,
    bytes: LARGE_BYTES
  },
  upload: {
    run: (client, { keepAlive }) => client.upload(url(keepAlive, '/upload'), pieces(LARGE_BYTES), LARGE_BYTES),
    result: SMALL_BODY,
    bytes: LARGE_BYTES
  },
  medium: {
    run: async (client, { keepAlive }) => (await client.bytes(url(keepAlive, '/medium'))).length,
    result: MEDIUM_BYTES,
    bytes: MEDIUM_BYTES
  }
}

/** @param {Task} task */
async function measure({ client: name, ports, ca, pin, action: actionName, inFlight, warmUp, seconds }) {
  const action = ACTIONS[actionName]
  const client = clients[name]({ ca, pin })
  assert.deepEqual(await action.run(client, ports), action.result)
  const once = () => action.run(client, ports)
  await load(once, inFlight, warmUp)

  // Only where it is of interest: it wakes the loop every millisecond.
  const delay = action.bytes >= MEDIUM_BYTES ? monitorEventLoopDelay({ resolution: 1 }) : undefined
  delay?.enable()
  const before = usage()
  const latencies = await load(once, inFlight, seconds)
  const after = usage()
  delay?.disable()
  await client.close()

  const requests = latencies.length
  const elapsed = after.time - before.time
  return {
    requests,
    rate: requests / elapsed,
    throughput: (requests * action.bytes) / 2 ** 20 / elapsed,
    p50: latencies.sort((a, b) => a - b)[Math.floor(requests / 2)] / 1000,
    cpu: (after.cpu - before.cpu) / requests,
    main: (after.main - before.main) / requests,
    mainMeasure: mainThread.measure,
    delay: delay && delay.percentile(99) / 1e9,
    memory: process.resourceUsage().maxRSS * 1024
  }
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

/** @param {Task} task */
async function check({ client: name, ports, ca, pin }) {
  const wrong = `sha256/${crypto.createHash('sha256').update('another key').digest('base64')}`
  const refusing = clients[name]({ ca, pin: wrong })
  await assert.rejects(refusing.text(url(ports.close, '/small')), { code: 'ERR_TLS_PIN_MISMATCH' })
  await refusing.close()

  const client = clients[name]({ ca, pin })
  for (let times = 0; times < 3; times++) {
    assert.equal(await client.text(url(ports.close, '/session')), '.', 'the server resumed a session')
  }
  await client.close()
  return {}
}

/**
 * @param {number} port
 * @param {string} path
 */
function url(port, path) {
  return `https://127.0.0.1:${port}${path}`
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

'use strict'
// Compares the native client with `https` and undici, all pinned alike, against one server. See README.md.
//
//   node benchmark/run.js [--quick] [--only WORD] [--json FILE]

const { fork } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { parseArgs } = require('node:util')
const { ca, leaf } = require('../__test__/helpers/pki.js')
const { startServer } = require('./server.js')

const OURS = 'tls-pinning'
const CLIENTS = [OURS, 'https', 'undici']

/**
 * `action` is what each client does again and again, `inFlight` times at once. `columns` are those of METRICS to show.
 *
 * @typedef {object} Workload
 * @property {string} name
 * @property {'keepAlive' | 'handshake' | 'download' | 'upload' | 'medium'} action
 * @property {number} inFlight
 * @property {string[]} columns
 */

const SMALL = ['rate', 'p50', 'cpu', 'main']
const LARGE = ['throughput', 'cpu', 'main', 'delay', 'memory']

/** @type {Workload[]} */
const QUICK = [
  { name: 'keep-alive GET, 1 in flight', action: 'keepAlive', inFlight: 1, columns: SMALL },
  { name: 'keep-alive GET, 64 in flight', action: 'keepAlive', inFlight: 64, columns: SMALL },
  { name: 'full handshake per request, 1 in flight', action: 'handshake', inFlight: 1, columns: SMALL },
  { name: 'full handshake per request, 16 in flight', action: 'handshake', inFlight: 16, columns: SMALL }
]

/** @type {Workload[]} */
const FULL = [
  ...QUICK,
  { name: 'download of 100 MiB', action: 'download', inFlight: 1, columns: LARGE },
  { name: 'upload of 100 MiB', action: 'upload', inFlight: 1, columns: LARGE },
  { name: 'download of 1 MiB, 64 in flight', action: 'medium', inFlight: 64, columns: LARGE }
]

/**
 * What `measure.js` reports: how it is headed and printed. Of all but the rates less is better.
 * @type {Record<string, { title: string, print: (value: number) => string, moreIsBetter?: true }>}
 */
const METRICS = {
  rate: { title: 'requests/s', print: value => value.toFixed(0), moreIsBetter: true },
  throughput: { title: 'MiB/s', print: value => value.toFixed(0), moreIsBetter: true },
  p50: { title: 'p50', print: time },
  cpu: { title: 'CPU/request', print: time },
  main: { title: 'main/request', print: time },
  delay: { title: 'loop delay p99', print: time },
  memory: { title: 'peak MiB', print: value => (value / 2 ** 20).toFixed(0) }
}

async function main() {
  const { values } = parseArgs({
    options: { quick: { type: 'boolean' }, only: { type: 'string' }, json: { type: 'string' } }
  })
  const plan = values.quick
    ? { workloads: QUICK, rounds: 3, warmUp: 1, seconds: 1.5 }
    : { workloads: FULL, rounds: 7, warmUp: 1.5, seconds: 3 }
  const only = values.only ?? ''
  const workloads = plan.workloads.filter(({ name }) => name.includes(only))
  if (workloads.length === 0) throw new Error(`no workload has ${only} in its name`)

  const root = await ca({ name: 'Benchmark Root' })
  const certificate = await leaf({ issuer: root })
  const server = await startServer({ cert: certificate.pem, key: certificate.key })
  try {
    console.log(
      `${CLIENTS.join(', ')}; Node ${process.versions.node}; ${os.availableParallelism()} CPUs; ${server.name}`
    )
    if (server.notice) console.log(`\nNOTE: ${server.notice}`)
    const task = { ports: server.ports, ca: root.pem, pin: certificate.pin, warmUp: plan.warmUp, seconds: plan.seconds }
    for (const client of CLIENTS) await inChild({ ...task, client, check: true })
    console.log('Each client refused a wrong pin; each handshake in the handshake workloads is a full one.')

    const results = []
    for (const workload of workloads) {
      const rounds = []
      for (let round = 0; round < plan.rounds; round++) rounds.push(await runRound(round, { ...task, ...workload }))
      results.push({ workload, rounds })
      print(workload, rounds)
    }
    console.log(
      `\nRatios are medians of ${plan.rounds} rounds; over 1 is in favour of ${OURS}. The other figures, medians too, are for` +
        '\norientation: they depend on the machine and on what else it does. main/request is ' +
        `${mainThreadMeasures(results)}.`
    )
    if (values.json) {
      const machine = {
        node: process.versions.node,
        cpu: os.cpus()[0]?.model,
        cpus: os.cpus().length,
        server: server.name
      }
      fs.writeFileSync(values.json, `${JSON.stringify({ machine, results }, null, 2)}\n`)
    }
  } finally {
    server.stop()
  }
}

/**
 * All clients once, each in a process of its own, each round in another order.
 * @param {number} round
 * @param {any} task
 * @returns {Promise<Record<string, any>>}
 */
async function runRound(round, task) {
  /** @type {Record<string, any>} */
  const measured = {}
  for (let turn = 0; turn < CLIENTS.length; turn++) {
    const client = CLIENTS[(round + turn) % CLIENTS.length]
    measured[client] = await inChild({ ...task, client })
  }
  return measured
}

/** @param {any} task */
function inChild(task) {
  return new Promise((resolve, reject) => {
    const child = fork(path.join(__dirname, 'measure.js'), { stdio: 'inherit' })
    /** @type {any} */
    let answer
    child.once('message', message => {
      answer = message
    })
    child.once('error', reject)
    child.once('exit', code => {
      if (code === 0 && answer) resolve(answer)
      else reject(new Error(`${task.client} failed: ${task.name ?? 'the checks before the measurement'}`))
    })
    child.send(task)
  })
}

/**
 * @param {Workload} workload
 * @param {Record<string, any>[]} rounds
 */
function print({ name, columns }, rounds) {
  const rows = [[name, ...columns.map(column => METRICS[column].title)]]
  for (const client of CLIENTS) {
    const values = columns.map(column => METRICS[column].print(median(rounds.map(round => round[client][column]))))
    rows.push([`  ${client}`, ...values])
  }
  for (const peer of CLIENTS.filter(client => client !== OURS)) {
    const ratios = columns.map(column => median(rounds.map(round => ratio(column, round[peer], round[OURS]))))
    rows.push([`  vs ${peer}`, ...ratios.map(value => `${value.toFixed(2)} x`)])
  }
  console.log()
  for (const [label, ...cells] of rows) console.log(label.padEnd(42) + cells.map(cell => cell.padStart(15)).join(''))
}

/**
 * How much better we are.
 * @param {string} column
 * @param {any} peer
 * @param {any} ours
 */
function ratio(column, peer, ours) {
  return METRICS[column].moreIsBetter ? ours[column] / peer[column] : peer[column] / ours[column]
}

/** @param {number[]} values */
function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const half = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
}

/** @param {{ rounds: Record<string, any>[] }[]} results */
function mainThreadMeasures(results) {
  return [...new Set(results.flatMap(({ rounds }) => rounds.map(round => round[OURS].mainMeasure)))].join(', ')
}

/** @param {number} seconds */
function time(seconds) {
  return seconds < 0.001 ? `${(seconds * 1e6).toFixed(1)} µs` : `${(seconds * 1e3).toFixed(2)} ms`
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})

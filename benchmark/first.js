'use strict'
// From loading a client's package to its first response, in this fresh process. The task is in the environment.

const { performance } = require('node:perf_hooks')
const { ADAPTERS } = require('./clients')

const task = JSON.parse(String(process.env.BENCHMARK_TASK))
const start = performance.now()
const before = process.cpuUsage()
first()

async function first() {
  const client = await ADAPTERS[task.client].make(task)
  await client.text(`https://127.0.0.1:${task.port}/small`)
  const time = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(before)
  process.stdout.write(JSON.stringify({ time, cpu: (user + system) / 1e6 }), () => process.exit(0))
}

'use strict'
// Each measurement in a process of its own.

const { execFile, fork } = require('node:child_process')
const path = require('node:path')
const { promisify } = require('node:util')
const { ADAPTERS } = require('./clients')
const { median } = require('./figures.js')
const { runLimit } = require('./limit.js')
const { installedSize } = require('./size.js')

const execute = promisify(execFile)

/** Fresh processes for one figure of the time to the first response. */
const STARTS = 5

/**
 * @param {any} task
 * @returns {Promise<any>} The figures, or undefined where this client has none.
 */
async function inChild(task) {
  if (task.action === 'size') {
    const size = installedSize(task.client)
    return size && { size }
  }
  if (task.action === 'first') return firstResponse(task)
  if (task.client === 'limit') return runLimit(task)
  return inNode(task)
}

/** @param {any} task */
function inNode(task) {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, ...ADAPTERS[task.client].env }
    const child = fork(path.join(__dirname, 'measure.js'), { stdio: 'inherit', env })
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

/** @param {any} task */
async function firstResponse(task) {
  const { env } = ADAPTERS[task.client]
  const options = { env: { ...process.env, ...env, BENCHMARK_TASK: JSON.stringify(task) } }
  const starts = []
  for (let start = 0; start < STARTS; start++) {
    const { stdout } = await execute(process.execPath, [path.join(__dirname, 'first.js')], options)
    starts.push(JSON.parse(stdout))
  }
  return { time: median(starts.map(({ time }) => time)), cpu: median(starts.map(({ cpu }) => cpu)) }
}

module.exports = { inChild }

'use strict'
// Compares the native client with others, all pinned alike, against one server. See README.md.
//
//   node benchmark/run.js [--quick] [--only WORD] [--peers NAME,NAME] [--drivers] [--json FILE]

const fs = require('node:fs')
const os = require('node:os')
const { parseArgs } = require('node:util')
const { ca, leaf } = require('../__test__/helpers/pki.js')
const { inChild } = require('./children.js')
const { ADAPTERS } = require('./clients')
const { checkPeers, installPeers } = require('./peers.js')
const { print } = require('./report.js')
const { startServer } = require('./server.js')
const { WORKLOADS } = require('./workloads.js')

/** Seconds of a measurement; `bulk` instead of `warmUp` for large bodies, which need less. Others run in `otherRounds`. */
const QUICK = { rounds: 3, otherRounds: 0, warmUp: 1, bulk: 0.5, seconds: 1.2 }
const FULL = { rounds: 5, otherRounds: 2, warmUp: 2, bulk: 0.7, seconds: 1.2 }

/** @typedef {import('./workloads.js').Workload} Workload */

async function main() {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean' },
      only: { type: 'string', default: '' },
      peers: { type: 'string' },
      drivers: { type: 'boolean' },
      json: { type: 'string' }
    }
  })
  const plan = values.quick ? QUICK : FULL
  const workloads = WORKLOADS.filter(({ id, name, quick }) => {
    return (quick || !values.quick) && (name.includes(values.only) || id.includes(values.only))
  }).map(workload => choosePeers(workload, plan, values))
  if (workloads.length === 0) throw new Error(`no workload has ${values.only} in its name`)

  installPeers()
  const root = await ca({ name: 'Benchmark Root' })
  const p256 = await leaf({ issuer: root })
  const rsa = await leaf({ issuer: root, key: 'rsa2048' })
  const identity = (/** @type {typeof p256} */ { pem, key }) => ({ cert: pem, key })
  const server = await startServer({ p256: identity(p256), rsa: identity(rsa) })
  try {
    const machine = describeMachine(server.name)
    console.log(`Node ${machine.node}; ${machine.cpus} x ${machine.cpu}; ${server.name}`)
    if (server.notice) console.log(`\nNOTE: ${server.notice}`)
    const task = { ca: root.pem, pin: p256.pin, resume: false, http2: false }
    const names = [...new Set(workloads.flatMap(clientsIn))].filter(name => name === 'limit' || name in ADAPTERS)
    const peers = await checkPeers(names, task, server.ports)
    for (const [name, { version, pins, note }] of Object.entries(peers)) {
      const refused = pins ? 'refused a wrong pin' : 'does not pin'
      console.log(`  ${name.padEnd(28)}${version.padEnd(18)}${refused}${note ? `; ${note}` : ''}`)
    }

    const results = []
    for (const workload of workloads) {
      if (!peers[workload.ours] || !peers[workload.base]) continue
      const large = ['download', 'upload', 'medium'].includes(workload.action)
      const rounds = await runRounds(plan, workload, Object.keys(peers), {
        ...task,
        port: server.ports[workload.port],
        pin: workload.port === 'closeRsa' ? rsa.pin : p256.pin,
        resume: workload.port === 'resume',
        http2: workload.port === 'http2',
        warmUp: large ? plan.bulk : plan.warmUp,
        seconds: plan.seconds
      }).catch(error => {
        // The others are worth having; but who runs it must see that one is missing.
        console.error(`\nNOT MEASURED: ${workload.name}: ${error.message}`)
        process.exitCode = 1
      })
      if (!rounds) continue
      results.push({ workload, rounds })
      print({ workload, rounds }, peers)
      // After each: an interrupted run leaves what it has.
      if (values.json) fs.writeFileSync(values.json, `${JSON.stringify({ machine, plan, peers, results }, null, 1)}\n`)
    }
    console.log(
      `\nRatios are medians over the rounds (${plan.rounds}; ${plan.otherRounds} for those that are for orientation); over 1` +
        '\nis in favour of tls-pinning. The other figures, medians too, depend on the machine and on what else it does.' +
        `\nmain/request is ${mainThreadMeasures(results)}.`
    )
  } finally {
    server.stop()
  }
}

/**
 * Those named run in each round, as the other driver does.
 * @param {Workload} workload
 * @param {typeof FULL} plan
 * @param {{ peers?: string, drivers?: boolean }} options
 * @returns {Workload}
 */
function choosePeers(workload, { otherRounds }, { peers, drivers }) {
  const named = peers?.split(',').map(name => name.trim())
  for (const name of named ?? []) {
    if (name !== 'limit' && !(name in ADAPTERS)) throw new Error(`there is no peer ${name}`)
  }
  const possible = [...workload.peers, ...workload.others]
  const chosen = named
    ? { peers: possible.filter(name => name === workload.base || named.includes(name)), others: [] }
    : { peers: workload.peers, others: otherRounds > 0 ? workload.others : [] }
  const threads = `${workload.ours} (threads)`
  if (!drivers || workload.action === 'size') return { ...workload, ...chosen }
  return { ...workload, peers: [threads, ...chosen.peers], others: chosen.others }
}

/** @param {Workload} workload */
function clientsIn({ ours, peers, others }) {
  return [ours, ...peers, ...others]
}

/**
 * All clients once a round, each in a process of its own, each round in another order.
 * @param {typeof FULL} plan @param {Workload} workload @param {string[]} available @param {any} task
 */
async function runRounds({ rounds, otherRounds }, workload, available, task) {
  const { ours, peers, others, action, inFlight, name } = workload
  const failed = new Set()
  const measured = []
  for (let round = 0; round < (action === 'size' ? 1 : rounds); round++) {
    const wanted = [ours, ...peers, ...(round < otherRounds ? others : [])]
    const clients = wanted.filter(client => available.includes(client) && !failed.has(client))
    /** @type {Record<string, any>} */
    const figures = {}
    for (let turn = 0; turn < clients.length; turn++) {
      const client = clients[(round + turn) % clients.length]
      try {
        figures[client] = await inChild({ ...task, client, action, inFlight, name })
      } catch (error) {
        // undici 7, for one, resumes no session of a server that is named by its address.
        if (client === ours) throw error
        console.error(`\nNOT MEASURED: ${client}, which is left out of: ${name}`)
        failed.add(client)
      }
    }
    measured.push(figures)
  }
  return measured
}

/** @param {string} server */
function describeMachine(server) {
  const cpus = os.cpus()
  const { node } = process.versions
  return { node, cpu: cpus[0]?.model ?? 'CPU', cpus: cpus.length, platform: `${os.type()} ${os.arch()}`, server }
}

/** @param {{ rounds: Record<string, any>[] }[]} results */
function mainThreadMeasures(results) {
  const measures = results.flatMap(({ rounds }) => rounds.flatMap(round => Object.values(round)))
  return [...new Set(measures.map(figures => figures?.mainMeasure))].filter(Boolean).join(', ') || 'not measured'
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})

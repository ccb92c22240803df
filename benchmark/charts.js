'use strict'
// Writes docs/performance.md and a chart for each workload into docs/charts/, from the figures of a run.
//
//   node benchmark/run.js --json figures.json && node benchmark/charts.js figures.json

const fs = require('node:fs')
const path = require('node:path')
const { clientsOf, figure, verdicts } = require('./figures.js')
const { shown } = require('./report.js')
const { chart } = require('./svg.js')
const { METRICS } = require('./workloads.js')

const DOCS = path.join(__dirname, '..', 'docs')
const CHARTS = path.join(DOCS, 'charts')

/** @typedef {import('./figures.js').Result} Result */
/** @typedef {import('./peers.js').Peer} Peer */
/** @typedef {{ machine: any, plan: any, peers: Record<string, Peer>, results: Result[] }} Figures */

function main() {
  const [file] = process.argv.slice(2)
  if (!file) throw new Error('which figures? node benchmark/charts.js FILE, of run.js --json FILE')
  /** @type {Figures} */
  const figures = JSON.parse(fs.readFileSync(file, 'utf8'))
  fs.rmSync(CHARTS, { recursive: true, force: true })
  fs.mkdirSync(CHARTS, { recursive: true })
  for (const result of figures.results) {
    const svg = chart(result, clientsOf(result), chartedColumns(result), client => labelOf(client, figures.peers))
    fs.writeFileSync(path.join(CHARTS, `${result.workload.id}.svg`), svg)
  }
  fs.writeFileSync(path.join(DOCS, 'performance.md'), document(figures))
}

/**
 * Those that something is promised of.
 * @param {Result} result
 */
function chartedColumns(result) {
  const columns = new Set(verdicts(result).map(({ column }) => column))
  return columns.size > 0 ? [...columns] : result.workload.columns.slice(0, 1)
}

/** @param {string} client @param {Record<string, Peer>} peers */
function labelOf(client, peers) {
  return peers[client]?.pins === false ? `${client} (does not pin)` : client
}

/** @param {Figures} figures */
function document({ machine, plan, peers, results }) {
  return `# Performance

Written by \`npm run bench:charts\` from the figures of a run; do not edit. [How to run and read
it](../benchmark/README.md).

Node.js ${machine.node}, ${machine.platform}, ${machine.cpus} × ${machine.cpu}, ${machine.server} with one worker on loopback.

A ratio is how many times better \`tls-pinning\` does than the peer: over 1 is in its favour. It is the median of the ratios
within ${plan.rounds} interleaved rounds. The absolute figures depend on the machine; CPU is that of the whole process with its
native threads, and “main” the share of the thread that runs JavaScript.

## Targets

| workload | figure | here | vs | ratio | must | good |
| --- | --- | --- | --- | --- | --- | --- |
${results.flatMap(targetRows).join('\n')}

## Workloads

${results.map(result => section(result, peers)).join('\n\n')}

## How it was measured

Each client ran in a fresh process for each round of each workload, after ${plan.warmUp} s of warm-up (${plan.bulk} s for large
bodies) and for ${plan.seconds} s, the order changing from round to round. Before anything was measured each was given a wrong
pin; those that took it are marked. All but those verify the path to the same CA, the host's name and the same pin. The
server resumes no session but in the workload that asks for it, where at least 90 % must be resumed. “limit” is one thread
of hyper and rustls with a pin check and without Node.

| client | version | a wrong pin | |
| --- | --- | --- | --- |
${Object.entries(peers)
  .map(([name, { version, pins, note = '' }]) => `| ${name} | ${version} | ${pins ? 'refused' : 'taken'} | ${note} |`)
  .join('\n')}
`
}

/** @param {Result} result */
function targetRows(result) {
  const { workload, rounds } = result
  return verdicts(result).map(({ column, peer, reached, must, good }) => {
    const value = (/** @type {number} */ of) => (peer ? of.toFixed(2) : METRICS[column].print(of))
    const aim = (/** @type {{ aim: number, met: boolean } | undefined} */ of) =>
      of ? `${value(of.aim)} ${of.met ? '✓' : '✗'}` : ''
    const ours = shown(column, figure(rounds, workload.ours, column))
    const cells = [workload.name, METRICS[column].title, ours, peer ?? '', peer ? value(reached) : '']
    return `| ${[...cells, aim(must), aim(good)].join(' | ')} |`
  })
}

/** @param {Result} result @param {Record<string, Peer>} peers */
function section(result, peers) {
  const { id, name, columns, base } = result.workload
  const rows = clientsOf(result).map(client => {
    const cells = columns.map(column => shown(column, figure(result.rounds, client, column)))
    return `| ${[labelOf(client, peers), ...cells].join(' | ')} |`
  })
  return `### ${name}

![${name}: times better than ${base}](charts/${id}.svg)

| client | ${columns.map(column => METRICS[column].title).join(' | ')} |
| ---${' | ---:'.repeat(columns.length)} |
${rows.join('\n')}`
}

main()

'use strict'
// The promise: what the benchmark says of its figures is what they say.

const assert = require('node:assert/strict')
const { test } = require('node:test')
const { clientsOf, figure, median, ratio, verdicts } = require('../benchmark/figures.js')
const { chart } = require('../benchmark/svg.js')
const { TARGETS } = require('../benchmark/targets.js')
const { METRICS, WORKLOADS } = require('../benchmark/workloads.js')

const workload = workloadOf('keep-alive-64')
const rounds = [
  { 'tls-pinning': { rate: 300, cpu: 10, main: 1 }, undici: { rate: 100, cpu: 30, main: 9 }, limit: { cpu: 5 } },
  { 'tls-pinning': { rate: 400, cpu: 10, main: 1 }, undici: { rate: 100, cpu: 40, main: 3 } },
  { 'tls-pinning': { rate: 100, cpu: 10, main: 1 }, undici: { rate: 100, cpu: 20, main: 3 } }
]

test('a ratio over 1 is in favour of the first, whether more or less is better', () => {
  assert.equal(ratio(rounds, 'rate', 'tls-pinning', 'undici'), 3)
  assert.equal(ratio(rounds, 'cpu', 'tls-pinning', 'undici'), 3)
  assert.equal(ratio(rounds, 'cpu', 'undici', 'tls-pinning'), 1 / 3)
})

test('a ratio is the median within rounds, of those alone in which both ran', () => {
  assert.equal(ratio(rounds, 'main', 'tls-pinning', 'undici'), 3)
  assert.equal(ratio(rounds, 'cpu', 'tls-pinning', 'limit'), 0.5)
  assert.equal(ratio(rounds, 'main', 'tls-pinning', 'limit'), undefined)
  assert.equal(ratio(rounds, 'cpu', 'tls-pinning', 'got'), undefined)
})

test('medians', () => {
  assert.equal(median([3, 1, 2]), 2)
  assert.equal(median([10, 9, 1, undefined, 2]), 5.5)
  assert.equal(median([undefined]), undefined)
  assert.equal(figure(rounds, 'limit', 'cpu'), 5)
})

test('ours is first, then the peers as the workload lists them', () => {
  assert.deepEqual(clientsOf({ workload, rounds }), ['tls-pinning', 'undici', 'limit'])
})

test('a target is met or missed; one against a peer that did not run is left out', () => {
  const found = verdicts({ workload, rounds }).map(({ column, peer, must, good }) => [
    column,
    peer,
    must.met,
    good?.met
  ])
  assert.deepEqual(found, [
    ['cpu', 'undici', true, false],
    ['main', 'undici', false, false],
    ['rate', 'undici', true, true]
  ])
})

test('a target without a peer is a limit', () => {
  const sizes = (/** @type {number} */ size) =>
    verdicts({ workload: workloadOf('size'), rounds: [{ 'tls-pinning': { size } }] })[0]
  assert.equal(sizes(5.5 * 2 ** 20).must.met, true)
  assert.equal(sizes(6.5 * 2 ** 20).must.met, false)
})

test('each target is of a workload, a column and a peer that are measured', () => {
  assert.deepEqual(Object.keys(TARGETS).sort(), WORKLOADS.map(({ id }) => id).sort())
  for (const [id, targets] of Object.entries(TARGETS)) {
    const { columns, peers } = workloadOf(id)
    for (const { column, peer } of targets) {
      assert.ok(columns.includes(column) && column in METRICS, `${id} ${column}`)
      if (peer) assert.ok(peers.includes(peer), `${id} ${peer}`)
    }
  }
})

test('a chart has a bar for each client and figure, and is a document without markup from outside', () => {
  const named = { ...workload, name: '<b> & "c"' }
  const svg = chart({ workload: named, rounds }, ['tls-pinning', 'undici', 'limit'], ['cpu', 'rate'], name => name)
  assert.equal(svg.match(/<rect /g)?.length, 5)
  assert.ok(svg.includes('3.00×') && svg.includes('6.00×'))
  assert.ok(svg.includes('&lt;b> &amp; ') && !svg.includes('<b>'))
})

/** @param {string} id */
function workloadOf(id) {
  const workload = WORKLOADS.find(workload => workload.id === id)
  assert.ok(workload, id)
  return workload
}

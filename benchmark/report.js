'use strict'
// The tables that the runner prints.

const { clientsOf, figure, ratio, verdicts } = require('./figures.js')
const { METRICS } = require('./workloads.js')

/** @typedef {import('./figures.js').Result} Result */

/**
 * Medians, ratios and targets of one workload.
 * @param {Result} result
 * @param {Record<string, { pins: boolean }>} peers
 */
function print(result, peers) {
  const { workload, rounds } = result
  const { columns, ours } = workload
  const clients = clientsOf(result)
  const rows = [[workload.name, ...columns.map(column => METRICS[column].title)]]
  for (const client of clients) {
    const values = columns.map(column => shown(column, figure(rounds, client, column)))
    rows.push([`  ${client}${peers[client]?.pins === false ? ' (does not pin)' : ''}`, ...values])
  }
  for (const peer of clients.filter(client => client !== ours)) {
    const ratios = columns.map(column => {
      const value = METRICS[column].shown ? undefined : ratio(rounds, column, ours, peer)
      return value === undefined ? '' : `${value.toFixed(2)} x`
    })
    rows.push([`  vs ${peer}`, ...ratios])
  }
  console.log()
  for (const [label, ...cells] of rows) {
    console.log(label.padEnd(50) + cells.map(cell => cell.padStart(15)).join(''))
  }
  for (const target of targets(result)) console.log(`  target: ${target}`)
}

/**
 * @param {Result} result
 * @returns {string[]}
 */
function targets(result) {
  return verdicts(result).map(({ column, peer, reached, must, good }) => {
    const value = (/** @type {number} */ of) => (peer ? `${of.toFixed(2)} x` : METRICS[column].print(of))
    const aim = (/** @type {string} */ word, /** @type {{ aim: number, met: boolean }} */ of) =>
      `${word} ${value(of.aim)} ${of.met ? 'met' : 'MISSED'}`
    const aims = [aim('must', must), ...(good ? [aim('good', good)] : [])]
    return `${METRICS[column].title}${peer ? ` vs ${peer}` : ''}: ${value(reached)} (${aims.join(', ')})`
  })
}

/** @param {string} column @param {number | undefined} value */
function shown(column, value) {
  return value === undefined ? '–' : METRICS[column].print(value)
}

module.exports = { print, shown, targets }

'use strict'
// From the figures of the rounds to medians, ratios and whether a target is met.

const { TARGETS } = require('./targets.js')
const { METRICS } = require('./workloads.js')

/** @typedef {import('./workloads.js').Workload} Workload */
/** @typedef {Record<string, Record<string, any>>} Round Figures by client. A client may be missing. */
/** @typedef {{ workload: Workload, rounds: Round[] }} Result */

/**
 * The clients that were measured, ours first.
 * @param {Result} result
 */
function clientsOf({ workload, rounds }) {
  const measured = [...new Set(rounds.flatMap(round => Object.keys(round)))]
  const rank = (/** @type {string} */ name) =>
    [workload.ours, `${workload.ours} (threads)`, ...workload.peers, ...workload.others].indexOf(name)
  return measured.sort((a, b) => rank(a) - rank(b))
}

/**
 * The median of a figure, or undefined where there is none, as of the main thread of a client without one.
 * @param {Round[]} rounds @param {string} client @param {string} column
 */
function figure(rounds, client, column) {
  return median(rounds.map(round => round[client]?.[column]))
}

/**
 * How many times better `client` is than `peer`: the median of the ratios within the rounds in which both ran.
 * @param {Round[]} rounds @param {string} column @param {string} client @param {string} peer
 */
function ratio(rounds, column, client, peer) {
  return median(
    rounds.map(round => {
      const [ours, theirs] = [round[client]?.[column], round[peer]?.[column]]
      // Less than the clock can tell is no cost that can be divided by.
      if (!(ours > 0) || !(theirs > 0)) return undefined
      return METRICS[column].moreIsBetter ? ours / theirs : theirs / ours
    })
  )
}

/**
 * The targets of a workload with what was reached. Those against a peer that did not run are left out.
 * @param {Result} result
 */
function verdicts({ workload, rounds }) {
  return (TARGETS[workload.id] ?? []).flatMap(target => {
    const { column, peer, must, good } = target
    const reached = peer ? ratio(rounds, column, workload.ours, peer) : figure(rounds, workload.ours, column)
    if (reached === undefined) return []
    const met = (/** @type {number} */ aim) => (peer ? reached >= aim : reached <= aim)
    return [
      {
        ...target,
        reached,
        must: { aim: must, met: met(must) },
        good: good ? { aim: good, met: met(good) } : undefined
      }
    ]
  })
}

/** @param {(number | undefined)[]} values */
function median(values) {
  const sorted = values.filter(value => value !== undefined && value !== null).sort((a, b) => Number(a) - Number(b))
  if (sorted.length === 0) return undefined
  const half = Math.floor(sorted.length / 2)
  const middle = sorted.length % 2 === 1 ? [sorted[half]] : [sorted[half - 1], sorted[half]]
  return middle.reduce((sum, value) => Number(sum) + Number(value), 0) / middle.length
}

module.exports = { clientsOf, figure, median, ratio, verdicts }

'use strict'
// One chart: how many times better than the base each client is, as bars from 1 to the right (better) or left (worse).

const { figure, ratio } = require('./figures.js')
const { METRICS } = require('./workloads.js')

const WIDTH = 760
const LEFT = 230
const RIGHT = 30
const ROW = 22
const BAR = 14
const GROUP = 34
const TOP = 58
const BOTTOM = 30
/** For the figure beyond the end of a bar. */
const LABEL = 56

/** Legible on light and on dark, whichever the reader's page is. */
const STYLE = `
    text { font: 12px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328 }
    .title { font-size: 15px; font-weight: 600 }
    .group { font-weight: 600 }
    .faint { fill: #59636e }
    .ours { fill: #1f6feb } .base { fill: #8c959f } .peer { fill: #afb8c1 }
    line { stroke: #d1d9e0 } line.one { stroke: #59636e }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc } .faint { fill: #9198a1 }
      .ours { fill: #388bfd } .base { fill: #6e7681 } .peer { fill: #484f58 }
      line { stroke: #30363d } line.one { stroke: #9198a1 }
    }`

/** @typedef {{ label: string, ratio: number, figure: string, kind: 'ours' | 'base' | 'peer' }} Bar */

/**
 * @param {import('./figures.js').Result} result
 * @param {string[]} clients
 * @param {string[]} columns
 * @param {(client: string) => string} label
 * @returns {string}
 */
function chart({ workload, rounds }, clients, columns, label) {
  const { base, ours, name } = workload
  const groups = columns.map(column => ({ column, bars: bars(workload, rounds, clients, column, label) }))
  const values = groups.flatMap(({ bars }) => bars.map(bar => bar.ratio))
  const scale = logarithmic(Math.min(1, ...values), Math.max(1, ...values))
  const body = []
  let y = TOP
  for (const { column, bars } of groups) {
    y += GROUP
    body.push(text(LEFT - 8, y - 12, METRICS[column].title, 'group', 'end'))
    for (const bar of bars) {
      body.push(...drawn(bar, y, scale))
      y += ROW
    }
  }
  const grid = scale.ticks.map(tick => {
    const x = scale.at(tick).toFixed(1)
    const kind = tick === 1 ? ' class="one"' : ''
    return `<line x1="${x}" x2="${x}" y1="${TOP}" y2="${y}"${kind}/>${text(x, y + 18, `${tick}×`, 'faint', 'middle')}`
  })
  const height = y + BOTTOM
  const described = `${name}: how many times better than ${base} (log scale)`
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(described)}">
  <style>${STYLE}
  </style>
  ${text(16, 26, name, 'title')}
  ${text(16, 45, `Times better than ${base}: longer to the right is better. Logarithmic. ${ours} in blue.`, 'faint')}
  ${[...grid, ...body].join('\n  ')}
</svg>
`
}

/**
 * The best first.
 * @param {import('./workloads.js').Workload} workload
 * @param {import('./figures.js').Round[]} rounds
 * @param {string[]} clients
 * @param {string} column
 * @param {(client: string) => string} label
 * @returns {Bar[]}
 */
function bars({ ours, base }, rounds, clients, column, label) {
  const all = clients.flatMap(client => {
    const times = client === base ? 1 : ratio(rounds, column, client, base)
    const absolute = figure(rounds, client, column)
    if (times === undefined || absolute === undefined) return []
    const kind = /** @type {Bar['kind']} */ (client.startsWith(ours) ? 'ours' : client === base ? 'base' : 'peer')
    return [{ label: label(client), ratio: times, figure: METRICS[column].print(absolute), kind }]
  })
  return all.sort((a, b) => b.ratio - a.ratio)
}

/** @param {Bar} bar @param {number} y @param {ReturnType<typeof logarithmic>} scale */
function drawn({ label, ratio, figure, kind }, y, scale) {
  const [one, end] = [scale.at(1), scale.at(ratio)]
  const [x, width] = [Math.min(one, end), Math.max(Math.abs(end - one), 1)]
  const times = text(Math.max(one, end) + 6, y + 11, `${ratio.toFixed(ratio < 10 ? 2 : 1)}×`)
  return [
    text(LEFT - 8, y + 11, `${label}  ${figure}`, '', 'end'),
    `<rect class="${kind}" x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2"/>`,
    times
  ]
}

/**
 * From the least to the greatest value, with 1 in it.
 * @param {number} least @param {number} greatest
 */
function logarithmic(least, greatest) {
  const steps = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200]
  const [low, high] = [Math.min(least, 0.5), Math.max(greatest, 2)]
  const length = WIDTH - LEFT - RIGHT - LABEL
  const at = (/** @type {number} */ value) =>
    LEFT + 8 + ((Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low))) * length
  return { at, ticks: steps.filter(step => step >= low && step <= high) }
}

/** @param {number | string} x @param {number} y @param {string} words @param {string} [kind] @param {string} [anchor] */
function text(x, y, words, kind, anchor) {
  const attributes = `${kind ? ` class="${kind}"` : ''}${anchor ? ` text-anchor="${anchor}"` : ''}`
  return `<text x="${x}" y="${y}"${attributes}>${escaped(words)}</text>`
}

/** @param {string} words */
function escaped(words) {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}

module.exports = { chart }

'use strict'
// What changes from one policy to another, in meaning.

const { differences } = require('../diff/differences.js')
const { EXIT, usageError } = require('../errors.js')
const { readPolicy } = require('../policies.js')
const { table } = require('../ui.js')

const usage = 'A B'

const help = `
  tls-pinning diff policy.json new-policy.json
  git show main:policy.json | tls-pinning diff - policy.json

Tells by host what a connection would notice: hosts, pins, the mode, the expiry, and what holds for unlisted hosts. The same
pin in another form, another order and another layout are no change. Each change is marked: looser (a server is accepted that
was not), stricter (one no longer is) or neutral. A host that loses its entry is compared with the wildcard that it falls to.

  -        standard input, in the place of A or B
  --json   { same, looser, stricter, neutral, hosts: [{ hosts, from, to, changes: [{ what, direction, from, to }] }] }

Exit codes: 0 both mean the same, 1 they differ, 2 a policy that cannot be used.
`

/** @typedef {import('../diff/changes.js').Change} Change */
/** @typedef {import('../diff/differences.js').Difference} Difference */

/** @param {import('../main.js').Call} call */
function run({ args, ui }) {
  const [a, b] = args
  if (a === undefined || b === undefined || args.length > 2) {
    throw usageError(`${args.length} policies are given`, 'give two: tls-pinning diff policy.json new-policy.json')
  }
  if (a === '-' && b === '-') throw usageError('standard input is given twice', 'it can be read once')
  const hosts = differences(readPolicy(a), readPolicy(b))
  const all = hosts.flatMap(({ changes }) => changes)
  const count = (/** @type {Change['direction']} */ wanted) =>
    all.filter(({ direction }) => direction === wanted).length
  const counts = { looser: count('looser'), stricter: count('stricter'), neutral: count('neutral') }
  ui.result({ same: hosts.length === 0, ...counts, hosts }, () => {
    if (hosts.length === 0) return 'both policies mean the same\n'
    const summary = Object.entries(counts).map(([direction, number]) => `${number} ${direction}`)
    return `${table(hosts.flatMap(rows))}\n${summary.join(', ')}\n`
  })
  return hosts.length === 0 ? EXIT.OK : EXIT.FINDING

  /** @param {Difference} difference */
  function rows({ hosts, from, to, changes }) {
    const sides = [from ?? 'no entry', to ?? 'no entry']
    const by = from !== null && to !== null && from !== to ? ` (entry ${sides.join(', now ')})` : ''
    return [[`${hosts}${by}`], ...changes.map(change => [`  ${said(change)}`, mark(change)])]
  }

  /** @param {Change} change */
  function mark({ direction }) {
    if (direction === 'neutral') return direction
    return ui.style(direction === 'looser' ? 'red' : 'green', direction)
  }
}

const WHERE = { any: 'on any certificate', leaf: 'on the leaf', ca: 'on an issuer' }

/** @param {Change} change */
function said({ what, from, to, pin }) {
  if (what !== 'pin') return `${what}: ${from} → ${to}`
  const place = (/** @type {string | null} */ role) => WHERE[/** @type {keyof typeof WHERE} */ (role)]
  if (from === null) return `+ ${pin} ${place(to)}`
  return to === null ? `- ${pin} ${place(from)}` : `~ ${pin} ${place(from)} → ${place(to)}`
}

module.exports = { usage, help, options: {}, run }

'use strict'
// The difference of two texts in the unified format of diff -u.

const CONTEXT = 3

/**
 * @param {string} file
 * @param {string} before
 * @param {string} after
 * @returns {string} Empty where they are the same.
 */
function unified(file, before, after) {
  const [from, to] = [before, after].map(lines)
  const hunks = hunksOf(edits(from, to))
  if (hunks.length === 0) return ''
  return `--- ${file}\n+++ ${file}\n${hunks.map(shown).join('')}`
}

/** @typedef {{ sign: ' ' | '-' | '+', line: string, old: number, new: number }} Edit With the numbers of lines before it. */

/** @param {string} text */
function lines(text) {
  const all = text.split(/(?<=\n)/)
  return text === '' ? [] : all
}

/**
 * By the longest common subsequence of what lies between the lines that begin and end both.
 * @param {string[]} from
 * @param {string[]} to
 * @returns {Edit[]}
 */
function edits(from, to) {
  let head = 0
  while (head < from.length && head < to.length && from[head] === to[head]) head++
  let tail = 0
  while (tail < Math.min(from.length, to.length) - head && from.at(-1 - tail) === to.at(-1 - tail)) tail++
  const [a, b] = [from.slice(head, from.length - tail), to.slice(head, to.length - tail)]
  const common = lengths(a, b)
  /** @type {Edit[]} */
  const all = []
  let [old, fresh] = [0, 0]
  /** @param {Edit['sign']} sign @param {string} line */
  const put = (sign, line) => {
    all.push({ sign, line, old, new: fresh })
    if (sign !== '+') old++
    if (sign !== '-') fresh++
  }
  for (const line of from.slice(0, head)) put(' ', line)
  let [i, j] = [0, 0]
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      put(' ', a[i++])
      j++
    } else if (j >= b.length || (i < a.length && common[i + 1][j] >= common[i][j + 1])) put('-', a[i++])
    else put('+', b[j++])
  }
  for (const line of from.slice(from.length - tail)) put(' ', line)
  return all
}

/**
 * Of the common subsequences of what is left behind each pair of places.
 * @param {string[]} a
 * @param {string[]} b
 */
function lengths(a, b) {
  const table = Array.from({ length: a.length + 1 }, () => new Array(b.length + 1).fill(0))
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      table[i][j] = a[i] === b[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1])
    }
  }
  return table
}

/**
 * Changes with the lines around them; those whose contexts touch are one hunk.
 * @param {Edit[]} all
 */
function hunksOf(all) {
  /** @type {Edit[][]} */
  const hunks = []
  let end = 0
  all.forEach(({ sign }, at) => {
    if (sign === ' ') return
    const start = Math.max(at - CONTEXT, end)
    const until = Math.min(at + CONTEXT + 1, all.length)
    const more = all.slice(start, until)
    const last = hunks.at(-1)
    if (last && at - CONTEXT <= end) last.push(...more)
    else hunks.push(more)
    end = until
  })
  return hunks
}

/** @param {Edit[]} hunk */
function shown(hunk) {
  const count = (/** @type {string} */ sign) => hunk.filter(edit => edit.sign !== sign).length
  const range = (/** @type {number} */ before, /** @type {number} */ length) =>
    `${length === 0 ? before : before + 1},${length}`
  const header = `@@ -${range(hunk[0].old, count('+'))} +${range(hunk[0].new, count('-'))} @@\n`
  const text = hunk.map(({ sign, line }) =>
    line.endsWith('\n') ? sign + line : `${sign}${line}\n\\ No newline at end of file\n`
  )
  return header + text.join('')
}

module.exports = { unified }

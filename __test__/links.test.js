'use strict'
// Promise: every relative link of the documents leads to a file that is there, and every anchor to a heading of it.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { describe, it } = require('node:test')

const ROOT = path.join(__dirname, '..')
const DOCS = fs.readdirSync(path.join(ROOT, 'docs')).filter(name => name.endsWith('.md'))
const DOCUMENTS = [
  ...['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'benchmark/README.md', 'examples/README.md'],
  ...DOCS.map(name => `docs/${name}`)
]
const LINK = /\]\(([^()\s]+)\)/g
const ELSEWHERE = /^[a-z]+:/

describe('the links of', () => {
  for (const file of DOCUMENTS) {
    it(file, () => {
      for (const [, link = ''] of proseOf(file).matchAll(LINK)) {
        if (!ELSEWHERE.test(link)) leadsSomewhere(file, link)
      }
    })
  }

  it('the README reach every document', () => {
    const links = [...proseOf('README.md').matchAll(LINK)].map(([, link = '']) => link.split('#')[0])
    for (const name of DOCS) assert.ok(links.includes(`docs/${name}`), name)
  })
})

/**
 * @param {string} file
 * @param {string} link
 */
function leadsSomewhere(file, link) {
  const [to, anchor] = link.split('#')
  const target = to ? path.posix.join(path.posix.dirname(file), to) : file
  assert.ok(fs.existsSync(path.join(ROOT, target)), `${link}: there is no ${target}`)
  if (anchor !== undefined) assert.ok(anchorsOf(target).has(anchor), `${link}: ${target} has no such heading`)
}

/**
 * As the places make them where Markdown is read.
 * @param {string} file
 */
function anchorsOf(file) {
  /** @type {Set<string>} */
  const anchors = new Set()
  for (const [, heading = ''] of proseOf(file).matchAll(/^#+ (.*)$/gm)) {
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const base = plain.replace(/[^\p{L}\p{N}\p{M} _-]/gu, '').replaceAll(' ', '-')
    let anchor = base
    for (let n = 1; anchors.has(anchor); n++) anchor = `${base}-${n}`
    anchors.add(anchor)
  }
  return anchors
}

/**
 * The text without its blocks of code.
 * @param {string} file
 */
function proseOf(file) {
  return fs.readFileSync(path.join(ROOT, file), 'utf8').replace(/^```.*?^```$/gms, '')
}

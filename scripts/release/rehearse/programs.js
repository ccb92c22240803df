'use strict'
// What users write: a request that succeeds with the right pin, and one that is refused with another.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')

const README = path.join(__dirname, '..', '..', '..', 'README.md')

const BODY = `
async function main() {
  const { PINNED_URL: url, PINNED_CA, PINNED_PIN, PINNED_WRONG } = process.env
  const ca = fs.readFileSync(PINNED_CA)
  const response = await pinnedRequest(url, { pins: [PINNED_PIN], ca })
  console.log(response.status, await response.text())
  try {
    await pinnedRequest(url + 'refused', { pins: [PINNED_WRONG], ca })
    console.log('accepted')
  } catch (error) {
    console.log(error.code)
  }
}
`
const ESM = `import fs from 'node:fs'\nimport { pinnedRequest } from 'tls-pinning'\n${BODY}\nawait main()\n`
const CJS = `const fs = require('node:fs')\nconst { pinnedRequest } = require('tls-pinning')\n${BODY}\nmain()\n`
/** What both print. */
const PRINTED = '200 pinned\nERR_TLS_PIN_MISMATCH\n'

/** @param {string} text what a program of these printed, perhaps after warnings of its runtime */
function assertPrinted(text) {
  assert.ok(text.endsWith(PRINTED), `it printed ${JSON.stringify(text)}`)
}

/**
 * The first sample of the README as it stands, and with the reader's own pin; both with the reader's own host.
 * @param {import('./user.js').Place} place
 */
function firstSample({ PINNED_URL, PINNED_PIN }) {
  const sample = String(/```js\n([^`]*pinnedRequest[^`]*)```/.exec(fs.readFileSync(README, 'utf8'))?.[1])
  const [, url] = /'(https:\/\/[^']*)'/.exec(sample) ?? []
  const [, pin] = /'(sha256\/[^']*)'/.exec(sample) ?? []
  assert.ok(url && pin, sample)
  const placeholder = sample.replaceAll(url, PINNED_URL)
  return { placeholder, pinned: placeholder.replaceAll(pin, PINNED_PIN) }
}

module.exports = { CJS, ESM, PRINTED, assertPrinted, firstSample }

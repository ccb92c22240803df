'use strict'
// What users write: a request that succeeds with the right pin, and one that is refused with another.

const assert = require('node:assert/strict')

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

module.exports = { CJS, ESM, PRINTED, assertPrinted }

'use strict'
// What several journeys have in common.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')

/** @typedef {import('./user.js').User} User @typedef {import('./service.js').Service} Service */

const ROOT = path.join(__dirname, '..', '..', '..')

/**
 * Runs the README's first sample with what a reader fills in: first the address alone, then the pin too.
 * @param {User} user
 * @param {Service} service
 * @param {(file: string) => Promise<{ output: string, errors: string }>} run
 */
async function readme(user, service, run) {
  const text = fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8')
  const sample = /^```js\n(.*?)^```$/ms.exec(text)?.[1]
  assert.ok(sample, 'the README has no sample')
  const asWritten = sample.replaceAll('https://example.com/', service.url)
  assert.notEqual(asWritten, sample, 'the sample asks for another address than https://example.com/')
  user.write('sample.mjs', asWritten)
  const first = await run('sample.mjs')
  assert.match(first.output + first.errors, /ERR_TLS_PIN_MISMATCH/)
  const offered = /sha256\/\S{44}(?= +CN=localhost)/.exec(first.output + first.errors)?.[0]
  assert.equal(offered, service.cert.pin, 'the pin that the message shows')
  user.write('sample.mjs', asWritten.replace(/sha256\/A{43}=/, offered))
  const second = await run('sample.mjs')
  assert.match(second.output, new RegExp(`^200 ${RegExp.escape?.(offered) ?? offered.replace(/[+/.]/g, '\\$&')} ok`, 'm'))
}

/**
 * A program that does not start.
 * @param {User} user
 * @param {RegExp} says
 */
async function refusal(user, says) {
  user.write('load.cjs', "try { require('tls-pinning') } catch (error) { console.log(`${error.code} ${error.message}`) }\n")
  const { output } = await user.run('node', ['load.cjs'])
  assert.match(output, /^ERR_\w+ tls-pinning/)
  assert.match(output, says)
  return output.split('\n')[0]
}

/** @param {User} user */
function platformPackages(user) {
  const folder = user.path('node_modules/@tls-pinning')
  return fs.existsSync(folder) ? fs.readdirSync(folder) : []
}

/**
 * @param {User} user
 * @param {Service} service
 */
function caOf(user, service) {
  return { NODE_EXTRA_CA_CERTS: user.write('ca.pem', service.root.pem) }
}

module.exports = { caOf, platformPackages, readme, refusal }

'use strict'
// The command line through npx, and the module that pins a whole process.

const assert = require('node:assert/strict')
const { caOf } = require('../steps.js')

/** @type {import('../../rehearse.js').Journey[]} */
module.exports = [
  {
    name: 'npx tls-pinning pin, inspect, init, check',
    async run({ user, service }) {
      await user.npm(['install', 'tls-pinning'])
      const { host } = new URL(service.url)
      const env = caOf(user, service)
      const npx = (/** @type {string[]} */ ...args) => user.run('npx', ['tls-pinning', ...args], { env })
      user.write('cert.pem', service.cert.pem)
      user.write('backup.pem', service.backup.pem)
      assert.match((await npx('pin', 'cert.pem')).output, RegExp(escaped(service.cert.pin)))
      assert.match((await npx('inspect', host)).output, RegExp(escaped(service.cert.pin)))
      await npx('init', host, '--backup', 'backup.pem', '--out', 'policy.json')
      await npx('check', 'policy.json')
      // And with pins that the server does not have.
      user.write('wrong.json', JSON.stringify({ hosts: { [host]: [service.backup.pin] } }))
      const args = ['tls-pinning', 'check', 'wrong.json']
      const { status, output } = await user.run('npx', args, { env, fails: true })
      assert.equal(status, 1)
      assert.match(output, /ERR_TLS_PIN_MISMATCH|mismatch/i)
    }
  },
  {
    name: 'npx --package tls-pinning in a folder without it',
    async run({ user, service }) {
      user.write('cert.pem', service.cert.pem)
      const { output } = await user.run('npx', ['--yes', 'tls-pinning', 'pin', 'cert.pem'])
      assert.match(output, RegExp(escaped(service.cert.pin)))
    }
  },
  {
    name: 'node --import tls-pinning/register',
    async run({ user, service }) {
      await user.npm(['install', 'tls-pinning'])
      const { host } = new URL(service.url)
      user.write(
        'app.mjs',
        `import https from 'node:https'
https
  .get(${JSON.stringify(service.url)}, response => console.log('accepted', response.resume().statusCode))
  .on('error', error => console.log('refused', error.code))
`
      )
      const run = async (/** @type {string} */ pin) => {
        user.write('policy.json', JSON.stringify({ hosts: { [host]: [pin] } }))
        const env = { ...caOf(user, service), TLS_PINNING_POLICY: 'policy.json' }
        return (await user.run('node', ['--import', 'tls-pinning/register', 'app.mjs'], { env })).output
      }
      assert.equal(await run(service.cert.pin), 'accepted 200\n')
      assert.equal(await run(service.backup.pin), 'refused ERR_TLS_PIN_MISMATCH\n')
    }
  }
]

/** @param {string} text */
function escaped(text) {
  return text.replace(/[+/.*]/g, '\\$&')
}

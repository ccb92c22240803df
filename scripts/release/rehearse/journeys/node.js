'use strict'
// npm and Node alone.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { pinOf } = require('../../../../index.js')
const { CJS, ESM, assertPrinted, firstSample } = require('../programs.js')

/** @typedef {InstanceType<typeof import('../user.js').User>} User */

/** @type {Record<string, (user: User) => Promise<void>>} */
const journeys = {
  'npm i, then import': async user => {
    await user.npm(['install', 'tls-pinning'])
    user.write({ 'app.mjs': ESM })
    assertPrinted(await user.run('node', ['app.mjs']))
  },

  'npm i, then require': async user => {
    await user.npm(['install', 'tls-pinning'])
    user.write({ 'app.cjs': CJS })
    assertPrinted(await user.run('node', ['app.cjs']))
  },

  'one platform package is installed, and nothing else': async user => {
    await user.npm(['install', 'tls-pinning'])
    const lock = JSON.parse(user.read('node_modules/.package-lock.json'))
    const names = Object.keys(lock.packages).sort()
    assert.equal(names.length, 2, names.join(', '))
    assert.match(String(names[0]), /^node_modules\/@tls-pinning\//)
    assert.equal(names[1], 'node_modules/tls-pinning')
    // No script of ours runs at an installation, so none has to be allowed.
    for (const name of names) {
      const { scripts } = JSON.parse(user.read(`${name}/package.json`))
      assert.equal(scripts, undefined, name)
    }
  },

  'the first sample of the README': async user => {
    await user.npm(['install', 'tls-pinning'])
    const { PINNED_CA, PINNED_PIN } = user.world.place
    const env = { NODE_EXTRA_CA_CERTS: PINNED_CA }
    const { placeholder, pinned } = firstSample(user.world.place)
    user.write({ 'placeholder.mjs': placeholder, 'app.mjs': pinned })
    // As it stands it prints the server's pins, which is how one gets them.
    const told = await user.run('node', ['placeholder.mjs'], { env })
    assert.ok(told.includes('ERR_TLS_PIN_MISMATCH') && told.includes(PINNED_PIN), told)
    const printed = await user.run('node', ['app.mjs'], { env })
    assert.match(printed, /200 [\s\S]*pinned/)
  },

  'the command line by npx': async user => {
    await user.npm(['install', 'tls-pinning'])
    const { PINNED_URL, PINNED_CA, PINNED_PIN, PINNED_WRONG } = user.world.place
    const { host } = new URL(PINNED_URL)
    const cli = (/** @type {string[]} */ ...args) =>
      user.run('npx', ['tls-pinning', ...args], { env: { NODE_EXTRA_CA_CERTS: PINNED_CA } })
    assert.ok((await cli('--version')).includes(JSON.parse(user.read('node_modules/tls-pinning/package.json')).version))
    assert.ok((await cli('inspect', host)).includes(PINNED_PIN))
    await cli('init', host, '--out', 'policy.json')
    assert.ok(user.read('policy.json').includes('sha256/'))
    await cli('check', 'policy.json')
    user.write({ 'wrong.json': { version: 1, hosts: { [host]: [PINNED_WRONG] } } })
    const told = await user.run('npx', ['tls-pinning', 'check', 'wrong.json'], {
      env: { NODE_EXTRA_CA_CERTS: PINNED_CA },
      fails: true
    })
    assert.match(told, /mismatch/i)
    const ca = fs.readFileSync(PINNED_CA, 'utf8')
    user.write({ 'ca.pem': ca })
    assert.ok((await cli('pin', 'ca.pem')).includes(String(pinOf(ca))))
  },

  'the command line by npx, which installs it': async user => {
    user.write({ 'ca.pem': fs.readFileSync(user.world.place.PINNED_CA, 'utf8') })
    assert.match(await user.run('npx', ['--yes', 'tls-pinning', 'pin', 'ca.pem']), /sha256\/.{44}/)
  },

  'node --import tls-pinning/register': async user => {
    await user.npm(['install', 'tls-pinning'])
    const { PINNED_URL, PINNED_CA, PINNED_PIN, PINNED_WRONG } = user.world.place
    const { host } = new URL(PINNED_URL)
    user.write({
      'right.json': { version: 1, hosts: { [host]: [PINNED_PIN] } },
      'wrong.json': { version: 1, hosts: { [host]: [PINNED_WRONG] } },
      'app.mjs': `fetch(process.env.PINNED_URL).then(async r => console.log(r.status, await r.text()), e => console.log(String(e.cause)))\n`
    })
    const run = (/** @type {string} */ policy, /** @type {string} */ url) =>
      user.run('node', ['--import', 'tls-pinning/register', 'app.mjs'], {
        env: { NODE_EXTRA_CA_CERTS: PINNED_CA, TLS_PINNING_POLICY: policy, PINNED_URL: url }
      })
    assert.match(await run('right.json', PINNED_URL), /^200 pinned$/m)
    assert.match(await run('wrong.json', `${PINNED_URL}refused`), /ERR_TLS_PIN_MISMATCH/)
  },

  'npm i --ignore-scripts': async user => {
    await user.npm(['install', '--ignore-scripts', 'tls-pinning'])
    user.write({ 'app.cjs': CJS })
    assertPrinted(await user.run('node', ['app.cjs']))
  },

  'npm i --omit=optional: the error says what is missing': async user => {
    await user.npm(['install', '--omit=optional', 'tls-pinning'])
    const told = await user.run('node', ['-e', "require('tls-pinning')"], { fails: true })
    assert.match(told, /@tls-pinning\/[\w-]+ is not installed/)
    assert.match(told, /without --omit=optional/)
  },

  'darwin-arm64: node_modules of another system, the error says so': async user => {
    await user.npm(['install', '--os=darwin', '--cpu=arm64', 'tls-pinning'])
    const told = await user.run('node', ['-e', "require('tls-pinning')"], { fails: true })
    assert.match(told, /installed for another system: it has @tls-pinning\/darwin-arm64/)
    assert.match(told, /npm install --os=/)
  },

  'npm ci from the lock file': async user => {
    await user.npm(['install', 'tls-pinning'])
    await user.npm(['ci'])
    user.write({ 'app.cjs': CJS })
    assertPrinted(await user.run('node', ['app.cjs']))
  },

  'a lock file written for Windows: an error, and npm ci with it mends that': async user => {
    await user.npm(['install', '--os=win32', '--cpu=x64', 'tls-pinning'])
    user.write({ 'app.cjs': CJS })
    assert.match(await user.run('node', ['app.cjs'], { fails: true }), /tls-pinning cannot load its addon: /)
    await user.npm(['ci'])
    assertPrinted(await user.run('node', ['app.cjs']))
  },

  'npm i --install-strategy=linked': async user => {
    await user.npm(['install', '--install-strategy=linked', 'tls-pinning'])
    user.write({ 'app.mjs': ESM })
    assertPrinted(await user.run('node', ['app.mjs']))
  },

  'npm i -g': async user => {
    const prefix = path.join(user.folder, 'global')
    await user.npm(['install', '--global', '--prefix', prefix, 'tls-pinning'])
    const told = await user.run(path.join(prefix, 'bin', 'tls-pinning'), ['--version'])
    assert.match(told, /\d+\.\d+\.\d+/)
  },

  'a workspace that hoists it': async user => {
    user.write({
      'package.json': { private: true, workspaces: ['packages/*'] },
      'packages/app/package.json': { name: 'app', version: '1.0.0', dependencies: { 'tls-pinning': '*' } },
      'packages/app/app.mjs': ESM
    })
    await user.npm(['install'])
    assertPrinted(await user.run('node', ['app.mjs'], { cwd: 'packages/app' }))
  }
}

module.exports = { journeys }

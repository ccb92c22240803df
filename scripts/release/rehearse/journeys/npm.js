'use strict'
// Installs by npm: the plain one, and those that leave something out.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { caOf, platformPackages, readme, refusal } = require('../steps.js')

/** @type {import('../../rehearse.js').Journey[]} */
module.exports = [
  {
    name: 'npm i, ES modules',
    async run({ user, service }) {
      await user.npm(['install', 'tls-pinning'])
      user.write('app.mjs', service.esm)
      await service.talk(() => user.run('node', ['app.mjs']))
      const { output } = await user.npm(['ls', '--all'])
      return output.match(/@tls-pinning\/\S+/g)?.join(', ')
    }
  },
  {
    name: 'npm i, CommonJS',
    async run({ user, service }) {
      await user.npm(['install', 'tls-pinning'])
      user.write('app.cjs', service.cjs)
      await service.talk(() => user.run('node', ['app.cjs']))
    }
  },
  {
    name: "npm i, the README's first sample",
    async run({ user, service }) {
      await user.npm(['install', 'tls-pinning'])
      await readme(user, service, file => user.run('node', [file], { env: caOf(user, service) }))
    }
  },
  {
    name: 'npm i --ignore-scripts; no package has a script for its installation',
    async run({ user, service }) {
      await user.npm(['install', '--ignore-scripts', 'tls-pinning'])
      user.write('app.mjs', service.esm)
      await service.talk(() => user.run('node', ['app.mjs']))
      const lock = JSON.parse(fs.readFileSync(user.path('package-lock.json'), 'utf8'))
      for (const [place, entry] of Object.entries(lock.packages)) assert.equal(entry.hasInstallScript, undefined, place)
      for (const folder of ['tls-pinning', ...platformPackages(user).map(name => `@tls-pinning/${name}`)]) {
        const files = fs.readdirSync(user.path(`node_modules/${folder}`))
        const { scripts = {} } = JSON.parse(fs.readFileSync(user.path(`node_modules/${folder}/package.json`), 'utf8'))
        assert.deepEqual([Object.keys(scripts), files.includes('binding.gyp')], [[], false], folder)
      }
    }
  },
  {
    name: 'npm i --omit=optional: an error that says what to do',
    async run({ user }) {
      await user.npm(['install', '--omit=optional', 'tls-pinning'])
      assert.deepEqual(platformPackages(user), [])
      return refusal(user, /optional/)
    }
  },
  {
    name: 'npm i for Windows, then started here: an error that says what to do',
    async run({ user, service }) {
      await user.npm(['install', '--os=win32', '--cpu=x64', 'tls-pinning'])
      const message = await refusal(user, /npm|install/)
      // The lock file is good on every system: only what was installed is not.
      await user.npm(['ci'])
      user.write('app.mjs', service.esm)
      await service.talk(() => user.run('node', ['app.mjs']))
      return `${message}; npm ci with that lock file mends it`
    }
  },
  {
    name: 'npm i -g',
    async run({ user, service }) {
      const prefix = user.path('global')
      await user.npm(['install', '--global', '--prefix', prefix, 'tls-pinning'])
      const cert = user.write('cert.pem', service.cert.pem)
      const { output } = await user.run(path.join(prefix, 'bin', 'tls-pinning'), ['pin', cert, '--form', 'sha256'])
      assert.ok(output.includes(service.cert.pin), output)
      const { url, cert: server } = service
      const inspected = await user.run(
        path.join(prefix, 'bin', 'tls-pinning'),
        ['inspect', new URL(url).host, '--json'],
        { env: caOf(user, service) }
      )
      assert.ok(inspected.output.includes(server.pin), inspected.output)
    }
  },
  {
    name: 'npm workspaces',
    async run({ user, service }) {
      user.write('package.json', JSON.stringify({ name: 'mono', private: true, workspaces: ['packages/*'] }))
      for (const name of ['one', 'two']) {
        const dependencies = { 'tls-pinning': '*' }
        user.write(`packages/${name}/package.json`, JSON.stringify({ name, version: '1.0.0', dependencies }))
        user.write(`packages/${name}/app.mjs`, service.esm)
      }
      await user.npm(['install'])
      for (const name of ['one', 'two']) {
        await service.talk(() => user.run('node', ['app.mjs'], { cwd: user.path(`packages/${name}`) }))
      }
    }
  },
  {
    name: 'npm i --install-strategy=linked',
    async run({ user, service }) {
      await user.npm(['install', '--install-strategy=linked', 'tls-pinning'])
      user.write('app.mjs', service.esm)
      await service.talk(() => user.run('node', ['app.mjs']))
    }
  }
]

'use strict'
// Other systems, as far as this one can run their Node. The packages are installed by this system's npm, which is told for
// which one.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { arm, muslRoot, windows } = require('../foreign-tools.js')
const { CJS, assertPrinted } = require('../programs.js')

/** @typedef {InstanceType<typeof import('../user.js').User>} User */

/** @param {User} user @param {string} system @param {string} cpu @param {string} [libc] */
async function install(user, system, cpu, libc) {
  await user.npm(['install', `--os=${system}`, `--cpu=${cpu}`, ...(libc ? [`--libc=${libc}`] : []), 'tls-pinning'])
  const installed = fs.readdirSync(path.join(user.folder, 'node_modules', '@tls-pinning'))
  assert.equal(installed.length, 1, installed.join(', '))
  user.write({ 'app.cjs': CJS })
}

/** @type {Record<string, (user: User) => Promise<void>>} */
const journeys = {
  'linux-arm64-gnu: by qemu': async user => {
    await install(user, 'linux', 'arm64', 'glibc')
    const { program, args } = arm('arm64')
    assertPrinted(await user.run(program, [...args, 'app.cjs']))
  },

  'linux-arm-gnueabihf: by qemu': async user => {
    await install(user, 'linux', 'arm', 'glibc')
    const { program, args } = arm('arm')
    assertPrinted(await user.run(program, [...args, 'app.cjs']))
  },

  'linux-x64-musl: in a root with musl alone': async user => {
    await install(user, 'linux', 'x64', 'musl')
    const root = path.join(muslRoot(), 'root')
    const home = path.join(root, 'home')
    fs.rmSync(home, { recursive: true, force: true })
    fs.cpSync(user.folder, home, { recursive: true })
    fs.copyFileSync(user.world.place.PINNED_CA, path.join(home, 'ca.pem'))
    const env = { PINNED_CA: '/home/ca.pem', PINNED_URL: user.world.place.PINNED_URL.replace('localhost', '127.0.0.1') }
    assertPrinted(await user.run('/usr/sbin/chroot', [root, '/usr/bin/node', '/home/app.cjs'], { env }))
  },

  'win32-x64-msvc: by wine': async user => {
    await install(user, 'win32', 'x64')
    const { program, args, env } = windows()
    // To a file: what is written to a pipe gets lost.
    const text =
      "const fs = require('node:fs')\nconsole.log = (...all) => fs.appendFileSync('out.txt', all.join(' ') + '\\n')\n"
    user.write({ 'app.cjs': text + CJS.replace("const fs = require('node:fs')\n", '') })
    await user.run(program, [...args, 'app.cjs'], { env })
    assertPrinted(user.read('out.txt'))
  }
}

module.exports = { journeys }

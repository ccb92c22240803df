'use strict'
// Other systems, as far as this one can run their Node. The packages are installed by this system's npm, which is told for
// which one.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { arm, muslRoot, windows } = require('../foreign-tools.js')
const { CJS, assertPrinted, firstSample } = require('../programs.js')

/** @typedef {InstanceType<typeof import('../user.js').User>} User */

/** @param {User} user @param {string} system @param {string} cpu @param {string} [libc] */
async function install(user, system, cpu, libc) {
  await user.npm(['install', `--os=${system}`, `--cpu=${cpu}`, ...(libc ? [`--libc=${libc}`] : []), 'tls-pinning'])
  const installed = fs.readdirSync(path.join(user.folder, 'node_modules', '@tls-pinning'))
  assert.equal(installed.length, 1, installed.join(', '))
  user.write({ 'app.cjs': CJS, 'app.mjs': firstSample(user.world.place).pinned })
}

/**
 * Both programs: one that is refused as well, and the README's.
 * @param {User} user
 * @param {{ program: string, args: string[] }} node
 * @param {string} [folder] as the program sees it
 * @param {Record<string, string>} [place]
 */
async function run(user, { program, args }, folder = '.', place = {}) {
  const all = { ...user.world.place, ...place }
  assertPrinted(await user.run(program, [...args, `${folder}/app.cjs`], { env: place }))
  const env = { NODE_EXTRA_CA_CERTS: all.PINNED_CA }
  assert.match(await user.run(program, [...args, `${folder}/app.mjs`], { env }), /200 [\s\S]*pinned/)
}

/** @type {Record<string, (user: User) => Promise<void>>} */
const journeys = {
  'linux-arm64-gnu: by qemu': async user => {
    await install(user, 'linux', 'arm64', 'glibc')
    await run(user, arm('arm64'))
  },

  'linux-arm-gnueabihf: by qemu': async user => {
    await install(user, 'linux', 'arm', 'glibc')
    await run(user, arm('arm'))
  },

  'linux-x64-musl: in a root with musl alone': async user => {
    await install(user, 'linux', 'x64', 'musl')
    const root = path.join(muslRoot(), 'root')
    const home = path.join(root, 'home')
    fs.rmSync(home, { recursive: true, force: true })
    fs.cpSync(user.folder, home, { recursive: true })
    fs.copyFileSync(user.world.place.PINNED_CA, path.join(home, 'ca.pem'))
    fs.mkdirSync(path.join(root, 'etc'), { recursive: true })
    fs.writeFileSync(path.join(root, 'etc', 'hosts'), '127.0.0.1 localhost\n')
    const node = { program: '/usr/sbin/chroot', args: [root, '/usr/bin/node'] }
    await run(user, node, '/home', { PINNED_CA: '/home/ca.pem' })
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

'use strict'
// Bundles, made as docs/bundlers.md says: the samples are taken out of it. And what happens without its advice.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { CJS, ESM, assertPrinted } = require('../programs.js')

/** @typedef {InstanceType<typeof import('../user.js').User>} User */

const DOCUMENT = path.join(__dirname, '..', '..', '..', '..', 'docs', 'bundlers.md')
const NODE_MODULES = path.join(__dirname, '..', 'node_modules')
const BIN = path.join(NODE_MODULES, '.bin')
const WEBPACK = `
const webpack = require(${JSON.stringify(path.join(NODE_MODULES, 'webpack'))})
const config = require('./webpack.config.cjs')
const output = { path: __dirname + '/out', filename: 'app.cjs' }
webpack({ mode: 'production', entry: './app.mjs', output, ...config }, (error, stats) => {
  if (error || stats.hasErrors()) throw error ?? new Error(stats.toString())
})
`

/** The text of the sample that begins so. @param {string} beginning */
function sample(beginning) {
  const blocks = [...fs.readFileSync(DOCUMENT, 'utf8').matchAll(/^```(?:js|sh)\n(.*?)^```$/gms)].map(([, code]) => code)
  const found = blocks.filter(code => code.startsWith(beginning))
  assert.equal(found.length, 1, `the samples of docs/bundlers.md that begin with '${beginning}'`)
  return String(found[0])
}

/** A shell that has the bundlers on its PATH. @param {User} user @param {string} command */
function shell(user, command) {
  return user.run('sh', ['-ec', command], { env: { PATH: [user.world.path, BIN].join(path.delimiter) } })
}

/** @param {User} user */
async function install(user) {
  await user.npm(['install', 'tls-pinning'])
  user.write({ 'app.mjs': ESM, 'app.cjs': CJS })
}

/** @type {Record<string, (user: User) => Promise<void>>} */
const journeys = {
  'esbuild with --external': async user => {
    await install(user)
    await shell(user, sample('esbuild app.mjs'))
    assertPrinted(await user.run('node', ['out/app.mjs']))
  },

  'esbuild with the addon copied beside the bundle': async user => {
    await install(user)
    await shell(user, sample('esbuild app.cjs'))
    // As it is deployed: without node_modules.
    const deployed = fs.mkdtempSync(path.join(path.dirname(user.folder), 'deployed-'))
    fs.cpSync(path.join(user.folder, 'out'), deployed, { recursive: true })
    assertPrinted(await user.run('node', [path.join(deployed, 'app.js')]))
  },

  'esbuild without either: it names the addon': async user => {
    await install(user)
    const args = ['app.cjs', '--bundle', '--platform=node', '--outfile=out.cjs']
    const told = await user.run(path.join(BIN, 'esbuild'), args, { fails: true })
    assert.match(told, /No loader is configured for "\.node" files.*tls-pinning/)
  },

  'webpack with externals': async user => {
    await install(user)
    user.write({ 'build.cjs': WEBPACK, 'webpack.config.cjs': sample('// webpack.config.cjs') })
    await user.run('node', ['build.cjs'])
    assertPrinted(await user.run('node', ['out/app.cjs']))
  },

  'webpack without: it names the addon': async user => {
    await install(user)
    user.write({ 'build.cjs': WEBPACK, 'webpack.config.cjs': "module.exports = { target: 'node' }\n" })
    const told = await user.run('node', ['build.cjs'], { fails: true })
    assert.match(told, /tls-pinning[^\n]*\.node/)
  },

  'rollup with external': async user => {
    await install(user)
    user.write({ 'rollup.config.mjs': sample('// rollup.config.mjs') })
    await shell(user, 'rollup --config rollup.config.mjs')
    assertPrinted(await user.run('node', ['out/app.mjs']))
  },

  'vite, a build for a server': async user => {
    await install(user)
    user.write({ 'vite.config.mjs': sample('// vite.config.mjs') })
    await shell(user, 'vite build')
    assertPrinted(await user.run('node', ['dist/app.mjs']))
  },

  'the bundle without node_modules: the error says what a bundle needs': async user => {
    await install(user)
    await shell(user, sample('esbuild app.mjs'))
    const deployed = fs.mkdtempSync(path.join(path.dirname(user.folder), 'deployed-'))
    fs.copyFileSync(path.join(user.folder, 'out', 'app.mjs'), path.join(deployed, 'app.mjs'))
    const told = await user.run('node', [path.join(deployed, 'app.mjs')], { fails: true })
    assert.match(told, /Cannot find package 'tls-pinning'/)
  }
}

module.exports = { journeys }

'use strict'
// Bundles. A bundler cannot take an addon in: `tls-pinning` stays outside, as docs/bundlers.md says, and what happens without
// that is an error which says so.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { CJS, ESM, assertPrinted } = require('../programs.js')

const NODE_MODULES = path.join(__dirname, '..', 'node_modules')
const ESBUILD = path.join(NODE_MODULES, '.bin', 'esbuild')
const WEBPACK = `
const webpack = require(${JSON.stringify(path.join(NODE_MODULES, 'webpack'))})
webpack(require('./webpack.config.js'), (error, stats) => {
  if (error || stats.hasErrors()) throw error ?? new Error(stats.toString())
})
`

/** @typedef {import('../user.js').User} User */

/** @type {Record<string, (user: User) => Promise<void>>} */
const journeys = {
  'esbuild with --external': async user => {
    await user.npm(['install', 'tls-pinning'])
    user.write({ 'app.mjs': ESM, 'app.cjs': CJS })
    for (const [file, format] of [
      ['app.mjs', 'esm'],
      ['app.cjs', 'cjs']
    ]) {
      const out = `out/${file}`
      await user.run(ESBUILD, [
        String(file),
        '--bundle',
        '--platform=node',
        `--format=${format}`,
        `--outfile=${out}`,
        '--external:tls-pinning'
      ])
      assertPrinted(await user.run('node', [out]))
    }
  },

  'esbuild with the addon copied beside the bundle': async user => {
    await user.npm(['install', 'tls-pinning'])
    user.write({ 'app.cjs': CJS })
    // As it is deployed: without node_modules.
    const deployed = fs.mkdtempSync(path.join(path.dirname(user.folder), 'deployed-'))
    await user.run(ESBUILD, ['app.cjs', '--bundle', '--platform=node', `--outdir=${deployed}`, '--loader:.node=copy'])
    assertPrinted(await user.run('node', [path.join(deployed, 'app.js')]))
  },

  'esbuild without either: it names the addon': async user => {
    await user.npm(['install', 'tls-pinning'])
    user.write({ 'app.cjs': CJS })
    const told = await user.run(ESBUILD, ['app.cjs', '--bundle', '--platform=node', '--outfile=out.cjs'], {
      fails: true
    })
    assert.match(told, /No loader is configured for "\.node" files.*tls-pinning/)
  },

  'webpack with externals': async user => {
    await user.npm(['install', 'tls-pinning'])
    user.write({
      'app.cjs': CJS,
      'build.cjs': WEBPACK,
      'webpack.config.js': config("externals: { 'tls-pinning': 'commonjs tls-pinning' },")
    })
    await user.run('node', ['build.cjs'])
    assertPrinted(await user.run('node', ['out/app.cjs']))
  },

  'webpack without: it names the addon': async user => {
    await user.npm(['install', 'tls-pinning'])
    user.write({ 'app.cjs': CJS, 'build.cjs': WEBPACK, 'webpack.config.js': config('') })
    const told = await user.run('node', ['build.cjs'], { fails: true })
    assert.match(told, /tls-pinning[^\n]*\.node/)
  }
}

/** @param {string} externals */
function config(externals) {
  return `module.exports = {
  mode: 'production',
  target: 'node',
  entry: './app.cjs',
  ${externals}
  output: { path: __dirname + '/out', filename: 'app.cjs' }
}
`
}

module.exports = { journeys }

'use strict'
// Bundles. A bundler cannot take an addon in: `tls-pinning` stays outside, as docs/bundlers.md says, and what happens without
// that is an error which says so.

const assert = require('node:assert/strict')
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

  'esbuild without: the error names the bundler': async user => {
    await user.npm(['install', 'tls-pinning'])
    user.write({ 'app.cjs': CJS })
    const told = await user.run(ESBUILD, [
      'app.cjs',
      '--bundle',
      '--platform=node',
      '--outfile=out/app.cjs',
      '--loader:.node=empty'
    ])
    const failed = await user.run('node', ['app.cjs'], { cwd: 'out', fails: true })
    assert.match(failed, /bundle/, `${told}\n${failed}`)
    assert.match(failed, /external/)
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

  'webpack without: the error names the bundler': async user => {
    await user.npm(['install', 'tls-pinning'])
    user.write({ 'app.cjs': CJS, 'build.cjs': WEBPACK, 'webpack.config.js': config('') })
    await user.run('node', ['build.cjs'])
    const failed = await user.run('node', ['out/app.cjs'], { fails: true })
    assert.match(failed, /bundle/)
    assert.match(failed, /external/)
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

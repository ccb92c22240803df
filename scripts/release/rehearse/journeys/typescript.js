'use strict'
// TypeScript in each way of finding the types, by the newest compiler and by the last one that is written in JavaScript: no
// error with strict checks, also of the declarations themselves; then what was compiled runs.

const fs = require('node:fs')
const path = require('node:path')
const { TOOLS } = require('../tools.js')

const COMPILERS = ['typescript', 'typescript-5']

/**
 * `import = require` is for modules that become CommonJS.
 * @type {{ resolution: string, module: string, files: Record<string, 'ts' | 'cts'>, run: string[] }[]}
 */
const WAYS = [
  { resolution: 'node16', module: 'node16', files: { 'app.mts': 'ts', 'old.cts': 'cts' }, run: ['app.mjs', 'old.cjs'] },
  {
    resolution: 'nodenext',
    module: 'nodenext',
    files: { 'app.mts': 'ts', 'old.cts': 'cts' },
    run: ['app.mjs', 'old.cjs']
  },
  { resolution: 'bundler', module: 'esnext', files: { 'app.mts': 'ts' }, run: ['app.mjs'] },
  {
    resolution: 'bundler',
    module: 'preserve',
    files: { 'app.mts': 'ts', 'old.cts': 'cts' },
    run: ['app.mjs', 'old.cjs']
  }
]

/** Uses of everything that has types, and one that has to be an error: `any` would let it through. */
const SUBPATHS = `
import type { PinSet } from 'tls-pinning'
import { pins } from 'tls-pinning/register'
import { assertPinned } from 'tls-pinning/testing'
export const set: PinSet = pins
export const assertion: (...args: any) => unknown = assertPinned
// @ts-expect-error
export const wrong: number = pins
// @ts-expect-error
export const wrong2: number = assertPinned
`
/** Node 16 had no import attributes, and what has come since has no import of JSON without. */
const SCHEMA = `
import schema from 'tls-pinning/policy.schema.json' with { type: 'json' }
export const title: string = schema.title
`
const SUBPATHS_CTS = `
import registered = require('tls-pinning/register')
import testing = require('tls-pinning/testing')
import tlsPinning = require('tls-pinning')
import schema = require('tls-pinning/policy.schema.json')
export const title: string = schema.title
export const set: tlsPinning.PinSet = registered.pins
export const assertion: (...args: any) => unknown = testing.assertPinned
// @ts-expect-error
export const wrong: number = registered.pins
// @ts-expect-error
tlsPinning.pinnedRequest('https://localhost/', { pins: 5 })
`

/** @type {import('../../rehearse.js').Journey[]} */
module.exports = COMPILERS.flatMap(compiler =>
  WAYS.map(({ resolution, module, files, run }) => ({
    name: `${compiler} ${versionOf(compiler)}, moduleResolution ${resolution}, module ${module}`,
    async run({ user, service }) {
      await user.npm(['install', 'tls-pinning'])
      link(user.path('node_modules/@types/node'), '@types/node')
      link(user.path('node_modules/undici-types'), 'undici-types')
      const wrong = "\n// @ts-expect-error\npinnedRequest('https://localhost/', { pins: 5 }).catch(() => {})\n"
      for (const [file, kind] of Object.entries(files)) user.write(file, service[kind])
      user.write('subpaths.mts', SUBPATHS)
      if (module !== 'node16') user.write('schema.mts', SCHEMA)
      user.write('wrong.mts', `import { pinnedRequest } from 'tls-pinning'${wrong}`)
      if ('old.cts' in files) user.write('subpaths-old.cts', SUBPATHS_CTS)
      user.write(
        'tsconfig.json',
        JSON.stringify({
          compilerOptions: {
            module,
            moduleResolution: resolution,
            target: 'es2022',
            lib: ['es2024', 'esnext.disposable'],
            strict: true,
            skipLibCheck: false,
            resolveJsonModule: true,
            types: ['node']
          },
          include: ['*.mts', '*.cts']
        })
      )
      await user.run('node', [path.join(TOOLS, 'node_modules', compiler, 'bin', 'tsc'), '-p', '.'])
      for (const file of run) await service.talk(() => user.run('node', [file]))
    }
  }))
)

/** @param {string} name */
function versionOf(name) {
  const file = path.join(TOOLS, 'node_modules', name, 'package.json')
  return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')).version : ''
}

/**
 * A package of the tools, as if it had been installed.
 * @param {string} place
 * @param {string} name
 */
function link(place, name) {
  fs.mkdirSync(path.dirname(place), { recursive: true })
  fs.symlinkSync(path.join(TOOLS, 'node_modules', name), place)
}

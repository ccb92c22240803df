'use strict'
// TypeScript, old and new, in the three ways in which it finds a package; what it makes is run.

const path = require('node:path')
const { assertPrinted } = require('../programs.js')

const NODE_MODULES = path.join(__dirname, '..', 'node_modules')
const COMPILERS = { 5: 'typescript-5', 7: 'typescript' }
/** Each with the module format that goes with it: a module of `esnext` has no `import = require`. */
const WAYS = [
  { moduleResolution: 'node16', module: 'node16', requires: true },
  { moduleResolution: 'nodenext', module: 'nodenext', requires: true },
  { moduleResolution: 'bundler', module: 'esnext', requires: false },
  { moduleResolution: 'bundler', module: 'preserve', requires: true }
]

const BODY = `
const { PINNED_URL: url = '', PINNED_CA = '', PINNED_PIN = '', PINNED_WRONG = '' } = process.env
const pins: PinSet = new PinSet({ [new URL(url).host]: [PINNED_PIN] })

async function main(): Promise<void> {
  const ca: Buffer = fs.readFileSync(PINNED_CA)
  const response: PinnedResponse = await pinnedRequest(url, { pins, ca })
  const text: string = await response.text()
  console.log(response.status, text)
  try {
    await pinnedRequest(url + 'refused', { pins: [PINNED_WRONG], ca })
    console.log('accepted')
  } catch (error) {
    if (error instanceof PinMismatchError) console.log(error.code)
  }
  // @ts-expect-error an option that does not exist
  const none = (): unknown => pinnedRequest(url, { pins, pinz: [] })
  void [none, assertPinned]
}

void main()
`
/** Every entry of the package has types, and none is `any`. */
const SUBPATHS = `import { pins } from 'tls-pinning/register'
import { assertPinned } from 'tls-pinning/testing'
// @ts-expect-error
export const notPins: number = pins
// @ts-expect-error
export const notAssertPinned: number = assertPinned
`
const SUBPATHS_REQUIRE = `import registered = require('tls-pinning/register')
import schema = require('tls-pinning/policy.schema.json')
export const title: string = schema.title
// @ts-expect-error
export const notPins: number = registered.pins
`
const IMPORT = `import fs from 'node:fs'
import { PinMismatchError, PinSet, type PinnedResponse, pinnedRequest } from 'tls-pinning'
import { assertPinned } from 'tls-pinning/testing'
${BODY}`
const REQUIRE = `import fs = require('node:fs')
import pinning = require('tls-pinning')
import testing = require('tls-pinning/testing')
import type { PinnedResponse } from 'tls-pinning'
const { PinMismatchError, pinnedRequest } = pinning
const { assertPinned } = testing
type PinSet = pinning.PinSet
const PinSet = pinning.PinSet
${BODY}`

/** @type {Record<string, (user: InstanceType<typeof import('../user.js').User>) => Promise<void>>} */
const journeys = {}
for (const [version, name] of Object.entries(COMPILERS)) {
  for (const { moduleResolution, module, requires } of WAYS) {
    journeys[`TypeScript ${version}, moduleResolution ${moduleResolution}, module ${module}`] = async user => {
      await user.npm(['install', 'tls-pinning', '@types/node'])
      user.write({
        'tsconfig.json': {
          compilerOptions: {
            strict: true,
            exactOptionalPropertyTypes: true,
            // The declarations of the package are checked as well.
            skipLibCheck: false,
            types: ['node'],
            target: 'es2022',
            module,
            moduleResolution,
            resolveJsonModule: true,
            outDir: 'out',
            rootDir: '.'
          },
          include: ['*.mts', '*.cts']
        },
        'app.mts': IMPORT,
        'subpaths.mts': SUBPATHS,
        ...(requires && { 'app.cts': REQUIRE, 'subpaths-require.cts': SUBPATHS_REQUIRE })
      })
      const tsc = path.join(NODE_MODULES, name, 'bin', 'tsc')
      await user.run('node', [tsc, '-p', '.'])
      assertPrinted(await user.run('node', ['out/app.mjs']))
      if (requires) assertPrinted(await user.run('node', ['out/app.cjs']))
    }
  }
}

module.exports = { journeys }

'use strict'
// TypeScript, old and new, in the three ways in which it finds a package; what it makes is run.

const path = require('node:path')
const { assertPrinted } = require('../programs.js')

const NODE_MODULES = path.join(__dirname, '..', 'node_modules')
const COMPILERS = { 5: 'typescript-5', 7: 'typescript' }
/** Each with the module format that goes with it. */
const RESOLUTIONS = { node16: 'node16', nodenext: 'nodenext', bundler: 'esnext' }

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

/** @type {Record<string, (user: import('../user.js').User) => Promise<void>>} */
const journeys = {}
for (const [version, name] of Object.entries(COMPILERS)) {
  for (const [moduleResolution, module] of Object.entries(RESOLUTIONS)) {
    journeys[`TypeScript ${version}, moduleResolution ${moduleResolution}`] = async user => {
      await user.npm(['install', 'tls-pinning', '@types/node'])
      const isBundler = moduleResolution === 'bundler'
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
            outDir: 'out',
            rootDir: '.'
          },
          // With `bundler` there is no `import = require`.
          files: isBundler ? ['app.mts'] : ['app.mts', 'app.cts']
        },
        'app.mts': IMPORT,
        ...(!isBundler && { 'app.cts': REQUIRE })
      })
      const tsc = path.join(NODE_MODULES, name, 'bin', 'tsc')
      await user.run('node', [tsc, '-p', '.'])
      assertPrinted(await user.run('node', ['out/app.mjs']))
      if (!isBundler) assertPrinted(await user.run('node', ['out/app.cjs']))
    }
  }
}

module.exports = { journeys }

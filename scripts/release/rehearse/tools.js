'use strict'
// What the rehearsal itself needs: the programs in `tools/`, and a way to run programs.

const { execFile, execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const TOOLS = path.join(__dirname, 'tools')
const LIMIT = 120_000

/** @typedef {{ status: number, output: string, errors: string }} Result */

/** By the ordinary npm: users' installs have only the packages of this project to choose from. */
function installTools() {
  const changed = (/** @type {string} */ file) =>
    fs.statSync(path.join(TOOLS, file), { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (changed('node_modules/.package-lock.json') >= changed('package-lock.json')) return
  console.error('Installing the tools: npm ci')
  execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: TOOLS, stdio: ['ignore', 2, 2] })
}

/**
 * @param {string} program
 * @param {string[]} args
 * @param {import('node:child_process').ExecFileOptions & { fails?: boolean }} options `fails`: it is meant to fail
 * @returns {Promise<Result>}
 */
function execute(program, args, { fails = false, ...options }) {
  return new Promise((resolve, reject) => {
    const settings = { timeout: LIMIT, maxBuffer: 64 * 1024 * 1024, ...options }
    const child = execFile(program, args, settings, (error, stdout, stderr) => {
      const result = { status: error ? Number(error.code ?? -1) : 0, output: `${stdout}`, errors: `${stderr}` }
      if ((result.status !== 0) === fails) return resolve(result)
      const said = [`${stdout}`.trim(), `${stderr}`.trim()].filter(Boolean).join('\n')
      const what = fails ? 'did not fail' : `failed (${error?.killed ? 'out of time' : (error?.code ?? error?.signal)})`
      reject(new Error(`${path.basename(program)} ${args.join(' ')} ${what}:\n${said.slice(-3000)}`))
    })
    child.stdin?.end()
  })
}

module.exports = { TOOLS, execute, installTools }

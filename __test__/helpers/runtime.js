'use strict'
// The runtime that the suites in `runtimes/` are about: Node, or what TLS_PINNING_RUNTIME names as a JSON list of words. The
// servers are Node's, in the process of the suite: what other runtimes make of them is not what is tested.

const { execFile } = require('node:child_process')
const path = require('node:path')
const { handler } = require('../runtimes/handler')
const { ca, leaf } = require('./pki')
const { httpsServer } = require('./servers')

const PROGRAM = path.join(__dirname, '..', 'runtimes', 'program.js')

/** @type {string[]} */
const command = JSON.parse(process.env.TLS_PINNING_RUNTIME ?? 'null') ?? [process.execPath, '--expose-gc']
const name = path.basename(command[0] ?? '', '.exe')

/**
 * What came of one of the functions in program.js, in a process that has ended by itself.
 * @param {string} what
 * @param {object} data
 * @param {{ flags?: string[], env?: Record<string, string> }} [options]
 * @returns {Promise<any>}
 */
async function run(what, data, { flags = [], env = {} } = {}) {
  const [program = '', ...words] = command
  const { NODE_TEST_CONTEXT: _, NODE_EXTRA_CA_CERTS: __, ...inherited } = process.env
  const all = { ...inherited, NO_COLOR: '1', TEST_DATA: JSON.stringify(data), ...env }
  return new Promise(resolve => {
    const args = [...words, ...flags, PROGRAM, what]
    const limits = /** @type {const} */ ({ timeout: 30_000, killSignal: 'SIGKILL' })
    execFile(program, args, { env: all, ...limits }, (error, stdout, stderr) => {
      const told = /^told:(.*)$/m.exec(stdout)?.[1]
      const { killed = false, code, signal } = /** @type {any} */ (error ?? { code: 0 })
      resolve({ ...JSON.parse(told ?? '{}'), status: killed ? 'hung' : (signal ?? code), stderr })
    })
  })
}

/**
 * A server for `localhost` below an authority and an intermediate, with what a program has to know of it.
 * @param {import('node:test').TestContext} t
 * @param {Partial<import('./servers').HttpsOptions>} [options]
 */
async function serve(t, options) {
  const { root, intermediate, cert } = await identity()
  const server = await httpsServer({ cert, chain: [intermediate], handler, ...options, isolated: undefined })
  t.after(() => server.close())
  const chain = [cert.pem, intermediate.pem]
  return { server, root, intermediate, cert, data: { url: server.url, ca: root.pem, pins: cert.pin, chain } }
}

/** @type {Promise<Record<'root' | 'intermediate' | 'cert', import('./pki').Certificate>> | undefined} */
let made

function identity() {
  made ??= (async () => {
    const root = await ca({ name: 'Root' })
    const intermediate = await ca({ name: 'Intermediate', issuer: root })
    return { root, intermediate, cert: await leaf({ issuer: intermediate }) }
  })()
  return made
}

module.exports = { name, run, serve }

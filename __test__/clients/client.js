'use strict'
// Runs a case in a process of its own.

const { fork } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const LIMIT = 30_000
const ROOT = path.join(__dirname, '..', '..')
const VERSION_FLAGS = { 'TLSv1.2': '--tls-max-v1.2', 'TLSv1.3': '--tls-min-v1.3' }

linkPackage()

/** @typedef {'TLSv1.2' | 'TLSv1.3'} Version */
/** @typedef {{ accepted: boolean, errors?: { where: string, code: string, message: string }[] }} Outcome */

/** A process with one case of `cases/`; with `policy` under `tls-pinning/register`. */
class Client {
  /**
   * @param {string} file the case's file name
   * @param {Version} version
   * @param {object} [policy]
   */
  static async start(file, version, policy) {
    const client = new Client()
    client.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-client-'))
    const env = { ...process.env, NODE_OPTIONS: '', TLS_PINNING_POLICY: path.join(client.folder, 'pins.json') }
    if (policy) fs.writeFileSync(env.TLS_PINNING_POLICY, JSON.stringify(policy))
    client.process = fork(path.join(__dirname, 'child.js'), [file], {
      cwd: __dirname,
      env,
      execArgv: [VERSION_FLAGS[version], '--no-warnings', ...(policy ? ['--import', 'tls-pinning/register'] : [])],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc']
    })
    client.stderr = ''
    client.process.stderr?.on('data', text => {
      client.stderr += text
    })
    client.exited = once(client.process, 'exit').then(([code, signal]) => {
      throw new Error(`the client's process ended (${code ?? signal}): ${client.stderr.slice(-2000)}`)
    })
    client.exited.catch(() => {})
    try {
      await client.#answer()
    } catch (error) {
      await client.close()
      throw error
    }
    return client
  }

  /**
   * @param {object} context what `operate` takes
   * @param {number | null} [trap]
   * @returns {Promise<Outcome>}
   */
  async operate(context, trap = null) {
    this.process.send({ trap, context })
    return this.#answer()
  }

  async close() {
    this.process.kill('SIGKILL')
    await this.exited.catch(() => {})
    fs.rmSync(this.folder, { recursive: true, force: true })
  }

  async #answer() {
    const signal = AbortSignal.timeout(LIMIT)
    const answer = once(this.process, 'message', { signal }).then(([message]) => message)
    answer.catch(() => {})
    return Promise.race([answer, this.exited]).catch(error => {
      throw signal.aborted ? new Error(`no answer from the client in ${LIMIT} ms: ${this.stderr}`) : error
    })
  }
}

/** So that cases read as users' programs do. npm removes the link whenever it installs something here. */
function linkPackage() {
  const link = path.join(__dirname, 'node_modules', 'tls-pinning')
  try {
    fs.symlinkSync(ROOT, link, 'junction')
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error
  }
}

module.exports = { Client }

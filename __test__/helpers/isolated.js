'use strict'
// An HTTPS server in a worker thread. This file is both ends: the handle that tests hold, and the thread's own program.

const { once } = require('node:events')
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads')

/** @typedef {Awaited<ReturnType<import('./tracked').TlsTestServer['stats']>>} Stats */
/** @typedef {InstanceType<typeof IsolatedServer>} IsolatedTestServer */

class IsolatedServer {
  #worker
  #nextId = 0
  #exited = false

  /**
   * @param {Worker} worker
   * @param {{ host: string, port: number, url: string }} address
   */
  constructor(worker, { host, port, url }) {
    this.#worker = worker
    worker.once('exit', () => (this.#exited = true))
    Object.assign(this, { host, port, url })
  }

  host = ''
  port = 0
  url = ''

  /** @returns {Promise<Stats>} */
  stats() {
    return this.#ask('stats')
  }

  /** As the server's own `settled()`. @returns {Promise<void>} */
  settled() {
    return this.#ask('settled')
  }

  async close() {
    if (this.#exited) return
    await this.#ask('close')
    await this.#worker.terminate()
  }

  /** @param {string} method */
  #ask(method) {
    const id = this.#nextId++
    return new Promise(resolve => {
      const onMessage = (/** @type {any} */ message) => {
        if (message.id !== id) return
        this.#worker.off('message', onMessage)
        resolve(message.result)
      }
      this.#worker.on('message', onMessage)
      this.#worker.postMessage({ id, method })
    })
  }
}

/**
 * @param {import('./servers').HttpsOptions} options
 * @returns {Promise<IsolatedServer>}
 */
async function isolatedServer(options) {
  if (typeof options.handler === 'function') throw new TypeError('an isolated server takes a reply, not a function')
  const worker = new Worker(__filename, { workerData: { isolatedServer: sendable(options) } })
  const [address] = await once(worker, 'message')
  return new IsolatedServer(worker, address)
}

/**
 * The options with each certificate reduced to its PEM texts, which can cross to another thread.
 *
 * @param {import('./servers').HttpsOptions} options
 */
function sendable({ isolated: _, cert, chain, ca, sni, ...rest }) {
  const texts = (/** @type {any} */ { pem, key, chain: links }) => ({ pem, key, chain: links?.map(texts) })
  const named = sni && Object.entries(sni).map(([name, link]) => [name, texts(link)])
  return {
    ...rest,
    cert: texts(cert),
    chain: chain?.map(texts),
    ca: ca?.map(texts),
    sni: named && Object.fromEntries(named)
  }
}

async function serve() {
  const port = /** @type {import('node:worker_threads').MessagePort} */ (parentPort)
  const { httpsServer } = require('./servers')
  const server = /** @type {any} */ (await httpsServer(workerData.isolatedServer))
  port.on('message', async ({ id, method }) => port.postMessage({ id, result: await server[method]() }))
  port.postMessage({ host: server.host, port: server.port, url: server.url })
}

module.exports = { IsolatedServer, isolatedServer }

// A test that itself runs in a worker loads this file as well: only the thread started above has this data.
if (!isMainThread && workerData?.isolatedServer) serve()

'use strict'
// What the suites in this folder have a runtime do: the function that is named by the first argument, with what the
// environment holds. Its result is printed; the process has to end by itself.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const { once } = require('node:events')
const fs = require('node:fs')
const http2 = require('node:http2')
const https = require('node:https')
const path = require('node:path')
const tls = require('node:tls')
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads')
const root = path.join(__dirname, '..', '..')
const tlsPinning = require(root)

const { PinnedAgent, PinnedClient, PinSet, createCheckServerIdentity, createPinnedFetch } = tlsPinning
const { inspect, parsePin, pinOf, pinnedConnector, pinnedRequest, tlsOptions, verifyChain } = tlsPinning
const WRONG = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
/** Larger than any buffer on the way: what is written at once waits, or arrives. */
const BODY = Buffer.alloc(300_000, 'x')

const data = isMainThread ? JSON.parse(process.env.TEST_DATA ?? '{}') : workerData
const { url, ca, chain, pins, more } = data

/** @type {Record<string, () => unknown>} */
const doing = {
  // The native client.
  request: async () => {
    const response = await pinnedRequest(url, { pins, ca })
    const { protocol, alpn, path } = response.tls
    return [response.status, await response.text(), protocol, alpn, path.map(({ spkiPin }) => spkiPin)]
  },
  post: () => withClient(async client => (await client.request(url, { method: 'POST', body: BODY })).status),
  'default trust': async () => (await pinnedRequest(url, { pins })).status,
  'client certificate': async () => (await pinnedRequest(url, { pins, ca, ...more })).status,
  'through a proxy': async () => (await pinnedRequest(url, { pins, ca, proxy: more.proxy })).status,
  redirect: () =>
    withClient(async client => {
      const response = await client.request(url, { redirect: 'follow' })
      return [response.status, response.redirected, await response.text()]
    }),
  fetch: async () => {
    const fetch = createPinnedFetch({ pins, ca })
    const response = await fetch(url, { method: 'POST', body: 'question' })
    const result = [response instanceof Response, response.status, await response.text()]
    await fetch.client.close()
    return result
  },
  'one after another': () =>
    withClient(async client => {
      for (let left = 20; left > 0; left--) assert.equal(await (await client.request(url)).text(), 'ok')
      return client.stats().requests
    }),
  'many at once': () =>
    withClient(async client => {
      await (await client.request(url)).text()
      const all = Array.from({ length: 64 }, async () => (await client.request(url)).text())
      return (await Promise.all(all)).every(text => text === 'ok')
    }),
  replaced: () => {
    const set = new PinSet(pins)
    return withClient(
      async client => {
        await (await client.request(url)).text()
        set.replace(WRONG)
        const first = await client.request(url, { method: 'POST', body: BODY }).catch(codeOf)
        set.replace(pins)
        return [first, (await client.request(url)).status]
      },
      { pins: set }
    )
  },
  'replaced in a body': () => {
    const set = new PinSet(pins)
    return withClient(
      async client => {
        const response = await client.request(`${url}/hang`)
        set.replace(WRONG)
        return response.text().catch(codeOf)
      },
      { pins: set }
    )
  },
  abort: () =>
    withClient(async client => {
      const controller = new AbortController()
      const response = await client.request(`${url}/hang`, { signal: controller.signal })
      controller.abort(new Error('enough'))
      return response.text().catch((/** @type {Error} */ error) => error.message)
    }),
  timeout: () =>
    withClient(async client =>
      client.request(`${url}/never`, { signal: AbortSignal.timeout(50) }).catch((/** @type {Error} */ { name }) => name)
    ),
  'large bodies': () =>
    withClient(async client => {
      const sent = crypto.randomBytes(5_000_000)
      const pieces = Array.from({ length: 50 }, (_, at) => sent.subarray(at * 100_000, (at + 1) * 100_000))
      const echoed = await client.request(`${url}/echo`, { method: 'POST', body: ReadableStream.from(pieces) })
      const hash = crypto.createHash('sha256')
      for await (const piece of /** @type {any} */ (echoed.body)) hash.update(piece)
      return hash.digest('hex') === crypto.createHash('sha256').update(sent).digest('hex')
    }),
  decoded: () =>
    withClient(async client => {
      const texts = []
      for (const coding of ['gzip', 'br']) texts.push(await (await client.request(`${url}/${coding}`)).text())
      return texts
    }),
  // Where the collector of garbage can be called, it is what closes the connections of bodies that nobody reads.
  'bodies that nobody reads': () =>
    withClient(async client => {
      for (let left = 20; left > 0; left--) await client.request(`${url}/hang`)
      const { gc, Bun } = /** @type {any} */ (globalThis)
      const collect = gc ?? (() => Bun.gc(true))
      while (client.stats().connections.open > 2) {
        collect()
        await new Promise(resolve => setImmediate(resolve))
      }
      return 'collected'
    }),
  'open connections': async () => {
    const client = new PinnedClient({ pins, ca, keepAliveTimeout: 0 })
    return (await client.request(url)).text()
  },
  worker: async () => {
    const worker = new Worker(__filename, { workerData: data })
    const [[message], [code]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')])
    return [message, code]
  },
  inspect: async () => {
    const host = new URL(url)
    const { chain: shown } = await inspect(host.host, { servername: 'localhost', ca })
    return shown.map(one => 'pins' in one && one.pins.sha256)
  },
  'without a connection': () => {
    const { matched } = verifyChain({ chain, hostname: 'localhost', pins, ca })
    return [matched, parsePin(pins).target, pinOf(chain[0], { target: 'spki' })]
  },
  'a file that changes': async () => {
    fs.writeFileSync(more.file, policy(WRONG))
    const set = await PinSet.fromFile(more.file, { watch: true })
    const before = await pinnedRequest(url, { pins: set, ca }).catch(codeOf)
    const changed = once(set, 'change')
    const timer = setTimeout(() => {}, 20_000) // a policy that is watched keeps no process
    fs.writeFileSync(`${more.file}.new`, policy(pins))
    fs.renameSync(`${more.file}.new`, more.file)
    await changed
    const after = (await pinnedRequest(url, { pins: set, ca })).status
    clearTimeout(timer)
    return [before, after]
  },

  // Node's own TLS, as the runtime has it.
  PinnedAgent: () => httpsStatus({ agent: new PinnedAgent(pins, { ca }) }),
  'PinnedAgent, pin-only': () => httpsStatus({ agent: new PinnedAgent(pins, { trust: 'pin-only' }) }),
  'PinnedAgent, default trust': () => httpsStatus({ agent: new PinnedAgent(pins) }),
  'tlsOptions in https': () => httpsStatus({ ...tlsOptions(pins, { ca }), agent: false }),
  'tlsOptions in an https.Agent': () => httpsStatus({ agent: new https.Agent(tlsOptions(pins, { ca })) }),
  'tlsOptions in tls.connect': () => tlsStatus(tlsOptions(pins, { ca })),
  'tlsOptions in http2.connect': () => http2Status(tlsOptions(pins, { ca })),
  'createCheckServerIdentity in https': () =>
    httpsStatus({ ca, agent: false, checkServerIdentity: createCheckServerIdentity(pins, { ca }) }),
  // Bun's own.
  'tlsOptions in fetch': async () =>
    (await fetch(url, /** @type {any} */ ({ method: 'POST', body: BODY, tls: tlsOptions(pins, { ca }) }))).status,
  'pinnedConnector in undici': () => {
    const dispatcher = new (require('undici').Agent)({ connect: pinnedConnector(pins, { ca }) })
    return undiciStatus(require('undici').fetch, dispatcher)
  },
  'pinnedConnector in fetch': () => {
    const dispatcher = new (require('undici').Agent)({ connect: pinnedConnector(pins, { ca }) })
    return undiciStatus(fetch, dispatcher)
  },
  'pinnedConnector as the global dispatcher': async () => {
    const { Agent, setGlobalDispatcher } = require('undici')
    setGlobalDispatcher(new Agent({ connect: pinnedConnector(pins, { ca }), keepAliveTimeout: 1 }))
    return (await fetch(url, { method: 'POST', body: BODY })).status
  },
  // What takes no such option, and asks nobody.
  'PinnedAgent in fetch': async () => fetchStatus({ agent: new PinnedAgent(pins, { ca }) }),
  'tlsOptions as options of fetch': async () => fetchStatus(tlsOptions(pins, { ca })),
  'tlsOptions as tls of fetch': async () => fetchStatus({ tls: tlsOptions(pins, { ca }) }),
  'tlsOptions in undici': async () => {
    const { Agent, request } = require('undici')
    const dispatcher = new Agent({ connect: tlsOptions(pins, { ca }) })
    try {
      return (await request(url, { method: 'POST', body: BODY, dispatcher })).statusCode
    } finally {
      await dispatcher.destroy?.()
    }
  },
  'tlsOptions in undici, for fetch': async () => {
    const { Agent } = require('undici')
    const dispatcher = new Agent({ connect: tlsOptions(pins, { ca }) })
    try {
      return await fetchStatus({ dispatcher })
    } finally {
      await dispatcher.destroy?.()
    }
  },
  'fetch of the runtime': async () => (await fetch(url, { method: 'POST', body: BODY })).status,
  'register and fetch': async () => {
    try {
      require('../../lib/register.js')
    } catch {}
    return (await fetch(url, { method: 'POST', body: BODY })).status
  },
  'tlsOptions in WebSocket': () => {
    const { WebSocket } = /** @type {any} */ (globalThis)
    const socket = new WebSocket(url.replace('https:', 'wss:'), { tls: tlsOptions(pins, { ca }) })
    return new Promise((resolve, reject) => {
      // It says of a server that is no WebSocket's in words only.
      socket.onerror = (/** @type {any} */ { message, error }) =>
        /status code: 200/.test(message) ? resolve('refused') : reject(error ?? new Error(message))
    })
  },
  'one https.Agent, other pins': async () => {
    const agent = new https.Agent({ keepAlive: true })
    const first = await httpsStatus({ agent, ...tlsOptions(more.pins, { ca }) })
    const second = await httpsStatus({ agent, ...tlsOptions(pins, { ca }) }).catch(codeOf)
    agent.destroy()
    return [first, second]
  },
  'one fetch, other pins': async () => {
    const ask = (/** @type {string} */ of) =>
      fetch(url, /** @type {any} */ ({ method: 'POST', body: BODY, tls: tlsOptions(of, { ca }) }))
    const first = (await ask(more.pins)).status
    return [first, await ask(pins).catch(codeOf)]
  },
  'PinnedAgent, replaced': async () => {
    const set = new PinSet(more.pins)
    const agent = new PinnedAgent(set, { ca, keepAlive: true })
    const first = await httpsStatus({ agent })
    set.replace(pins)
    const second = await httpsStatus({ agent }).catch(codeOf)
    agent.destroy()
    return [first, second]
  },
  nothing: () => 'nothing'
}

/** @param {string} pin */
function policy(pin) {
  return JSON.stringify({ version: 1, hosts: { localhost: { pins: [pin] } } })
}

/**
 * @param {(client: any) => Promise<unknown>} use
 * @param {object} [options]
 */
async function withClient(use, options) {
  const client = new PinnedClient({ pins, ca, ...options })
  try {
    return await use(client)
  } finally {
    await client.destroy()
  }
}

/** @param {https.RequestOptions} options */
function httpsStatus(options) {
  return new Promise((resolve, reject) => {
    const request = https.request(url, { method: 'POST', ...options }, response => {
      response.resume().once('end', () => setImmediate(resolve, response.statusCode))
    })
    request.once('error', reject).end(BODY)
  })
}

/** @param {tls.ConnectionOptions} options */
async function tlsStatus(options) {
  const { port } = new URL(url)
  const socket = tls.connect({ host: '127.0.0.1', port: Number(port), servername: 'localhost', ...options })
  try {
    socket.write(`POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${BODY.length}\r\n\r\n`)
    socket.write(BODY)
    const [head] = await once(socket, 'data')
    return Number(String(head).split(' ')[1])
  } finally {
    socket.destroy()
  }
}

/** @param {tls.ConnectionOptions} options */
async function http2Status(options) {
  const session = http2.connect(url, options)
  try {
    const broken = new Promise((_, reject) => session.once('error', reject))
    const stream = session.request({ ':method': 'POST', ':path': '/' })
    stream.on('error', () => {})
    stream.end(BODY)
    const [headers] = /** @type {any} */ (await Promise.race([once(stream, 'response'), broken]))
    return headers[':status']
  } finally {
    session.destroy()
  }
}

/**
 * @param {any} fetch
 * @param {any} dispatcher
 */
async function undiciStatus(fetch, dispatcher) {
  try {
    return (await fetch(url, { method: 'POST', body: BODY, dispatcher })).status
  } finally {
    await dispatcher.destroy()
  }
}

/** @param {object} options */
async function fetchStatus(options) {
  const response = await fetch(url, /** @type {any} */ ({ method: 'POST', body: BODY, ...options }))
  await response.arrayBuffer()
  return response.status
}

/** @param {any} error */
function codeOf(error) {
  return error?.code ?? error?.cause?.code ?? String(error)
}

async function main() {
  const [, , what = ''] = process.argv
  /** @type {unknown} */
  let outcome
  try {
    outcome = { result: await doing[what]?.() }
  } catch (error) {
    outcome = { code: codeOf(error), message: String(error) }
  }
  fs.writeSync(1, `told:${JSON.stringify(outcome)}\n`)
}

if (isMainThread) main()
else Promise.resolve(doing.request?.()).then(result => parentPort?.postMessage(result))

'use strict'
// Every way by which a program on Node's own TLS puts this package before a request. Each sends a body of 300 kB at once, as
// soon as Node lets it: what leaves before the answer of the check would be seen by the server.

const fs = require('node:fs')
const https = require('node:https')
const os = require('node:os')
const path = require('node:path')
const undici = require('undici')
const { PinnedAgent, createCheckServerIdentity, pinnedConnector, tlsOptions } = require('../..')
const { BODY, REGISTER, codeOf, http2Status, httpsStatus, inProcess, tlsStatus } = require('./node-tls')

/** @typedef {{ url: string, host: string, port: number }} Address a server made by servers.js */

/**
 * @typedef {object} Attempt
 * @property {Address} server for `localhost`
 * @property {any} pins strings, so that they can be written to a file
 * @property {string | string[]} [ca]
 */

/** @typedef {{ name: string, status: (attempt: Attempt) => Promise<number> }} Way */

/** @type {Way[]} */
const HELPERS = [
  {
    name: 'createCheckServerIdentity in https',
    status: ({ server, pins, ca }) => {
      const checkServerIdentity = createCheckServerIdentity(pins, { ca })
      return httpsStatus(server.url, { agent: false, ca, checkServerIdentity, body: BODY })
    }
  },
  {
    name: 'createCheckServerIdentity in tls.connect',
    status: ({ server, pins, ca }) =>
      tlsStatus(server, { ca, checkServerIdentity: createCheckServerIdentity(pins), body: BODY })
  },
  {
    name: 'tlsOptions in an https.Agent',
    status: async ({ server, pins, ca }) => {
      const agent = new https.Agent(tlsOptions(pins, { ca, host: 'localhost' }))
      return httpsStatus(server.url, { agent, body: BODY }).finally(() => agent.destroy())
    }
  },
  {
    name: 'tlsOptions in tls.connect',
    status: ({ server, pins, ca }) => tlsStatus(server, { ...tlsOptions(pins, { ca }), body: BODY })
  },
  {
    name: 'tlsOptions in http2.connect',
    status: ({ server, pins, ca }) => http2Status(server.url, { ...tlsOptions(pins, { ca }), body: BODY })
  },
  {
    name: 'tlsOptions in undici',
    status: ({ server, pins, ca }) => undiciStatus(server, tlsOptions(pins, { ca }))
  }
]

/** @type {Way[]} */
const GUARDS = [
  {
    name: 'PinnedAgent',
    status: async ({ server, pins, ca }) => {
      const agent = new PinnedAgent(pins, { ca, keepAlive: true })
      return httpsStatus(server.url, { agent, body: BODY }).finally(() => agent.destroy())
    }
  },
  {
    name: 'pinnedConnector in undici',
    status: ({ server, pins, ca }) => undiciStatus(server, pinnedConnector(pins, { ca }))
  },
  {
    name: 'pinnedConnector in fetch',
    status: async ({ server, pins, ca }) => {
      const dispatcher = new undici.Agent({ connect: pinnedConnector(pins, { ca }) })
      try {
        const response = await undici.fetch(server.url, { method: 'POST', body: BODY, dispatcher })
        await response.arrayBuffer()
        return response.status
      } finally {
        await dispatcher.destroy()
      }
    }
  }
]

/** @type {Way[]} */
const PROCESS = ['https', 'tls', 'http2'].map(client => ({
  name: `register alone, before ${client}`,
  status: ({ server, pins, ca }) => registered({ client, server, ca }, pins)
}))

/**
 * @param {Address} server
 * @param {any} connect
 */
async function undiciStatus(server, connect) {
  const dispatcher = new undici.Agent({ connect })
  try {
    const { statusCode, body } = await undici.request(server.url, { method: 'POST', body: BODY, dispatcher })
    await body.dump()
    return statusCode
  } finally {
    await dispatcher.destroy()
  }
}

/** One request in a process of its own. */
const PROGRAM = `
  const { BODY: body, codeOf, http2Status, httpsStatus, tlsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
  const { client, server, ca } = DATA
  const attempts = {
    https: () => httpsStatus(server.url, { agent: false, ca, body }),
    http2: () => http2Status(server.url, { ca, body }),
    tls: () => tlsStatus(server, { ca, body }),
  }
  attempts[client]().then(tell, error => tell({ code: codeOf(error) ?? null, message: error.message }))
`

/**
 * @param {{ client: string, server: Address, ca?: string | string[] }} data
 * @param {any} pins
 */
async function registered({ client, server, ca }, pins) {
  const data = { client, server: { url: server.url, host: server.host, port: server.port }, ca }
  const { told, stdout, stderr } = await withPolicy({ hosts: { localhost: pins } }, env =>
    inProcess(PROGRAM, data, { flags: ['--require', REGISTER], env })
  )
  const [outcome] = told
  if (typeof outcome === 'number') return outcome
  throw Object.assign(new Error(outcome?.message ?? stdout + stderr), { code: outcome?.code })
}

/**
 * Runs with a policy file, which is gone afterwards.
 *
 * @template T
 * @param {unknown} policy
 * @param {(env: { TLS_PINNING_POLICY: string }) => Promise<T>} run
 */
async function withPolicy(policy, run) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pins-'))
  const file = path.join(folder, 'policy.json')
  fs.writeFileSync(file, typeof policy === 'string' ? policy : JSON.stringify(policy))
  try {
    return await run({ TLS_PINNING_POLICY: file })
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
}

module.exports = { OURS: [...HELPERS, ...GUARDS, ...PROCESS], GUARDS, HELPERS, codeOf, withPolicy }

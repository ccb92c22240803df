'use strict'
// A program with clients of several kinds, some with pins and some without, to be drilled: `node drilled.js STEP …`. What
// fails is printed, and the program goes on.

const { fork } = require('node:child_process')
const { once } = require('node:events')
const https = require('node:https')
const axios = require('axios')
const mysql = require('mysql2/promise')
const pg = require('pg')
const { PinnedAgent, pinnedConnector, createCheckServerIdentity, tlsOptions } = require('tls-pinning')
const undici = require('undici')
const { ACCOUNT, QUESTION } = require('./shared/mysql')

/** Whom to connect to, and the pins. */
const { url, postgres, mariadb, pins, policy } = JSON.parse(process.env.DRILLED ?? '')

/** @type {Record<string, () => unknown>} */
const STEPS = {
  got: async () => (await import('got')).default(`${url}/got`, { retry: { limit: 0 } }).text(),
  'got-pinned': async () => {
    const tls = { checkServerIdentity: createCheckServerIdentity(pins) }
    await (await import('got')).default(`${url}/got-pinned`, { retry: { limit: 0 }, https: tls }).text()
  },
  // With a pool of its own: it would go on got's connection.
  axios: () => axios.get(`${url}/axios`, { httpsAgent: new https.Agent() }),
  'axios-pinned': () => axios.get(`${url}/axios-pinned`, { httpsAgent: new PinnedAgent(pins) }),
  undici: async () => (await undici.request(`${url}/undici`)).body.text(),
  'undici-pinned': async () => {
    const dispatcher = new undici.Agent({ connect: pinnedConnector(pins) })
    await (await undici.request(`${url}/undici-pinned`, { dispatcher })).body.text()
  },
  pg: () => query({ rejectUnauthorized: true }),
  'pg-pinned': () => query(tlsOptions(pins)),
  mysql2: async () => {
    const connection = await mysql.createConnection({ host: 'localhost', port: mariadb, ...ACCOUNT, ssl: {} })
    await connection.query(QUESTION)
    await connection.end()
  },
  // It has no place for pins.
  'mysql2-pinned': () => {
    const execArgv = ['--no-warnings', '--import', 'tls-pinning/register']
    const env = { ...process.env, TLS_PINNING_POLICY: policy }
    return once(fork(__filename, ['mysql2'], { execArgv, env }), 'exit')
  }
}

main()

async function main() {
  for (const step of process.argv.slice(2)) {
    try {
      await STEPS[step]()
      console.log(step, 'done')
    } catch (error) {
      console.log(step, error.code, error.message.split('\n')[0])
    }
  }
}

/** @param {import('node:tls').ConnectionOptions} ssl */
async function query(ssl) {
  const account = { user: 'postgres', password: 'correct horse', database: 'postgres' }
  const client = new pg.Client({ host: 'localhost', port: postgres, ...account, ssl })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('select 1')
  } finally {
    await client.end().catch(() => {})
  }
}

'use strict'
const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { Client } = require('pg')
const { tlsOptions } = require('tls-pinning')

const ACCOUNT = 'postgres:correct%20horse'

module.exports = {
  package: 'pg',
  server: 'postgres',
  preamble: 'postgres',
  where: '`new Client({ host, port, ssl: tlsOptions(pins) })`',

  async operate({ host, port, ca, pins, hook }) {
    // Under register as in many a DATABASE_URL: `sslmode` drops what `ssl` says.
    if (!hook) return withUrl(`postgres://${ACCOUNT}@${host}:${port}/postgres`, 'sslmode=require', ca)
    const account = { user: 'postgres', password: 'correct horse', database: 'postgres' }
    await query({ host, port, ...account, ssl: tlsOptions(pins, { ca }) })
  },

  traps: [
    {
      text: '`?sslmode=` in the URL drops the `ssl` object and its pins',
      operate: ({ host, port, ca, pins }) =>
        withUrl(`postgres://${ACCOUNT}@${host}:${port}/postgres`, 'sslmode=verify-full', ca, tlsOptions(pins, { ca }))
    },
    {
      text: '`?sslmode=no-verify` drops them too, and verifies nothing',
      operate: ({ host, port, ca, pins }) =>
        withUrl(`postgres://${ACCOUNT}@${host}:${port}/postgres`, 'sslmode=no-verify', ca, tlsOptions(pins, { ca })),
      closed: 'ERR_TLS_PIN_UNSAFE'
    }
  ]
}

/**
 * With `sslmode` the authorities come from a file.
 *
 * @param {string} url
 * @param {string} mode
 * @param {string[]} ca
 * @param {object} [ssl]
 */
async function withUrl(url, mode, ca, ssl) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-pg-'))
  try {
    const file = path.join(folder, 'ca.pem')
    fs.writeFileSync(file, ca.join(''))
    const connectionString = `${url}?${mode}&sslrootcert=${encodeURIComponent(file)}`
    const connected = query({ connectionString, ...(ssl && { ssl }) })
    fs.rmSync(folder, { recursive: true })
    await connected
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

/** @param {import('pg').ClientConfig} config */
async function query(config) {
  const client = new Client(config)
  client.on('error', () => {})
  try {
    await client.connect()
    const { rows } = await client.query('select version from pg_stat_ssl where pid = pg_backend_pid()')
    assert.match(rows[0].version, /^TLSv1\.[23]$/)
  } finally {
    await client.end().catch(() => {})
  }
}

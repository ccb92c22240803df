'use strict'
const mysql = require('mysql2/promise')
const { tlsOptions } = require('tls-pinning')
const { ACCOUNT, QUESTION, overTls } = require('../shared/mysql')

module.exports = {
  package: 'mysql2',
  server: 'mariadb',
  preamble: 'mysql',
  hook: false,
  where: 'nowhere: `tls-pinning/register` alone',
  operate: ({ host, port, ca }) => query({ host, port, ssl: { ca } }),

  traps: [
    {
      text: '`ssl` takes no `checkServerIdentity`: it is ignored',
      operate: ({ host, port, ca, pins }) => query({ host, port, ssl: tlsOptions(pins, { ca }) })
    },
    {
      text: '`ssl: { rejectUnauthorized: false }` verifies nothing',
      operate: ({ host, port }) => query({ host, port, ssl: { rejectUnauthorized: false } }),
      closed: 'switches verification off'
    }
  ]
}

/** @param {any} options */
async function query(options) {
  const connection = await mysql.createConnection({ ...ACCOUNT, ...options })
  const [rows] = await connection.query(QUESTION)
  overTls(rows)
  await connection.end()
}

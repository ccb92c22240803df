'use strict'
const { promisify } = require('node:util')
const mysql = require('mysql')
const { tlsOptions } = require('tls-pinning')
const { ACCOUNT, QUESTION, overTls } = require('../shared/mysql')

module.exports = {
  package: 'mysql',
  server: 'mariadb',
  preamble: 'mysql',
  hook: false,
  where: 'nowhere: `tls-pinning/register` alone',
  operate: ({ host, port, ca }) => query({ host, port, ssl: { ca } }),

  traps: [
    {
      text: '`ssl` takes no `checkServerIdentity`: it is ignored',
      operate: ({ host, port, ca, pins }) => query({ host, port, ssl: tlsOptions(pins, { ca }) })
    }
  ]
}

/** @param {any} options */
async function query(options) {
  const connection = mysql.createConnection({ ...ACCOUNT, ...options })
  connection.on('error', () => {})
  try {
    overTls(await promisify(connection.query).call(connection, QUESTION))
  } finally {
    connection.destroy()
  }
}

'use strict'
const mariadb = require('mariadb')
const { tlsOptions } = require('tls-pinning')
const { ACCOUNT, QUESTION, overTls } = require('../shared/mysql')

module.exports = {
  name: 'mariadb',
  package: 'mariadb',
  server: 'mariadb',
  preamble: 'mysql',
  host: 'localhost',
  where: '`createConnection({ ssl: tlsOptions(pins) })`',

  async operate({ host, port, ca, pins, hook }) {
    const ssl = hook ? tlsOptions(pins, { ca }) : { ca }
    const connection = await mariadb.createConnection({ host, port, ...ACCOUNT, ssl })
    overTls(await connection.query(QUESTION))
    await connection.end()
  }
}

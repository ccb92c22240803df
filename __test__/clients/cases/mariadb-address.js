'use strict'
const mariadb = require('mariadb')
const { tlsOptions } = require('tls-pinning')
const { ACCOUNT, QUESTION, overTls } = require('../shared/mysql')

module.exports = {
  name: 'mariadb, by IP address',
  package: 'mariadb',
  server: 'mariadb',
  preamble: 'mysql',
  host: '127.0.0.1',
  where: '`createConnection({ ssl: tlsOptions(pins) })`',

  notes: ['the hook is asked about `localhost`; for a policy by host say `ssl: { ...tlsOptions(policy), host }`'],

  async operate({ host, port, ca, pins, hook }) {
    const ssl = hook ? tlsOptions(pins, { ca }) : { ca }
    const connection = await mariadb.createConnection({ host, port, ...ACCOUNT, ssl })
    overTls(await connection.query(QUESTION))
    await connection.end()
  }
}

'use strict'
const { Pool } = require('undici')
const { pinnedConnector } = require('tls-pinning')
const { greeted } = require('../shared/http')

module.exports = {
  name: 'undici, Pool',
  package: 'undici',
  server: 'nginx',
  where: '`new Pool(origin, { connect: pinnedConnector(pins) })`',

  async operate({ host, port, ca, pins, hook }) {
    const pool = new Pool(`https://${host}:${port}`, { connect: hook ? pinnedConnector(pins, { ca }) : { ca } })
    try {
      const { body } = await pool.request({ path: '/', method: 'GET' })
      greeted(await body.text())
    } finally {
      await pool.destroy()
    }
  }
}

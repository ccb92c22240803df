'use strict'
const { once } = require('node:events')
const http2 = require('node:http2')
const { tlsOptions } = require('tls-pinning')
const { greeted } = require('../shared/http')

module.exports = {
  name: 'http2',
  package: null,
  server: 'nginx',
  where: '`http2.connect(url, tlsOptions(pins))`',

  async operate({ host, port, ca, pins, hook }) {
    const session = http2.connect(`https://${host}:${port}`, hook ? tlsOptions(pins, { ca }) : { ca })
    const failed = once(session, 'close').then(() => {
      throw new Error('the session was closed')
    })
    const errors = new Promise((_, reject) => session.once('error', reject))
    try {
      const stream = session
        .request({ ':path': '/' })
        .setEncoding('utf8')
        .on('error', () => {})
      const body = stream.toArray().then(chunks => chunks.join(''))
      greeted(await Promise.race([body, errors, failed]))
    } finally {
      failed.catch(() => {})
      session.destroy()
    }
  }
}

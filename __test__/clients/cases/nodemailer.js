'use strict'
const assert = require('node:assert/strict')
const { createTransport } = require('nodemailer')
const { tlsOptions } = require('tls-pinning')

const MESSAGE = { from: 'a@example.com', to: 'b@example.com', subject: 'Greeting', text: 'hello' }

module.exports = {
  package: 'nodemailer',
  server: 'smtp',
  greeting: '220 mail.example.com ESMTP\r\n',
  where: '`createTransport({ secure: true, tls: tlsOptions(pins) })`',

  async operate({ host, port, ca, pins, hook }) {
    const transport = createTransport({ host, port, secure: true, tls: hook ? tlsOptions(pins, { ca }) : { ca } })
    try {
      const { accepted } = await transport.sendMail(MESSAGE)
      assert.deepEqual(accepted, ['b@example.com'])
    } finally {
      transport.close()
    }
  },

  traps: [
    {
      text: 'an attachment given by URL is fetched without the `tls` of the transport: it takes its own',
      async operate({ host, port, ca, pins }) {
        const transport = createTransport({ streamTransport: true, buffer: true, tls: tlsOptions(pins, { ca }) })
        await transport.sendMail({ ...MESSAGE, attachments: [{ href: `https://${host}:${port}/`, tls: { ca } }] })
      }
    }
  ]
}

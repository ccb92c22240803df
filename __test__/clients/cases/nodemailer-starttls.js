'use strict'
const assert = require('node:assert/strict')
const { createTransport } = require('nodemailer')
const { tlsOptions } = require('tls-pinning')

module.exports = {
  name: 'nodemailer, STARTTLS',
  package: 'nodemailer',
  server: 'smtp-starttls',
  preamble: 'smtp',
  where: '`createTransport({ secure: false, requireTLS: true, tls: tlsOptions(pins) })`',
  notes: [
    'without `requireTLS: true` a man in the middle who hides STARTTLS gets the mail in plain text, under `register` too'
  ],

  async operate({ host, port, ca, pins, hook }) {
    const tls = hook ? tlsOptions(pins, { ca }) : { ca }
    const transport = createTransport({ host, port, secure: false, requireTLS: true, tls })
    try {
      const { accepted } = await transport.sendMail({ from: 'a@example.com', to: 'b@example.com', text: 'hello' })
      assert.deepEqual(accepted, ['b@example.com'])
    } finally {
      transport.close()
    }
  }
}

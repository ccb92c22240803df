'use strict'
const assert = require('node:assert/strict')
const { createTransport } = require('nodemailer')
const { tlsOptions } = require('tls-pinning')

module.exports = {
  name: 'nodemailer, attachment by URL',
  package: 'nodemailer',
  server: 'nginx',
  where: "`sendMail({ attachments: [{ href: 'https://…', tls: tlsOptions(pins) }] })`",

  async operate({ host, port, ca, pins, hook }) {
    // Makes the message and does not send it.
    const transport = createTransport({ streamTransport: true, buffer: true })
    const tls = hook ? tlsOptions(pins, { ca }) : { ca }
    const attachments = [{ href: `https://${host}:${port}/`, contentTransferEncoding: '7bit', tls }]
    const { message } = await transport.sendMail({ from: 'a@example.com', to: 'b@example.com', attachments })
    assert.match(String(message), /hello/)
  }
}

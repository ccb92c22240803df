'use strict'
const assert = require('node:assert/strict')
const { connect } = require('amqplib')
const { tlsOptions } = require('tls-pinning')

/** @param {import('amqplib').ChannelModel} connection */
async function sendAndReceive(connection) {
  try {
    const channel = await connection.createChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    channel.sendToQueue(queue, Buffer.from('hello'))
    const content = await new Promise(resolve => channel.consume(queue, message => resolve(message?.content)))
    assert.equal(String(content), 'hello')
  } finally {
    await connection.close()
  }
}

module.exports = {
  package: 'amqplib',
  server: 'amqp',
  where: "`connect('amqps://…', tlsOptions(pins))`",

  async operate({ host, port, ca, pins, hook }) {
    const options = hook ? tlsOptions(pins, { ca }) : { ca }
    await sendAndReceive(await connect(`amqps://${host}:${port}`, options))
  },

  traps: [
    {
      text: 'in the first argument, where it is an object, the pins are ignored',
      async operate({ host, port, ca, pins }) {
        const url = { protocol: 'amqps', hostname: host, port, ...tlsOptions(pins, { ca }) }
        await sendAndReceive(await connect(url, { ca }))
      }
    }
  ]
}

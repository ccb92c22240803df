'use strict'
const assert = require('node:assert/strict')
const mqtt = require('mqtt')
const { tlsOptions } = require('tls-pinning')

const ONCE = { reconnectPeriod: 0, connectTimeout: 5000 }

module.exports = {
  package: 'mqtt',
  server: 'mosquitto',
  where: '`mqtt.connect(url, tlsOptions(pins))`',

  async operate({ host, port, ca, pins, hook }) {
    await exchange(`mqtts://${host}:${port}`, hook ? tlsOptions(pins, { ca }) : { ca })
  },

  traps: [
    {
      text: '`rejectUnauthorized: false` beside the check: its answer is ignored',
      operate: ({ host, port, ca, pins }) =>
        exchange(`mqtts://${host}:${port}`, { ...tlsOptions(pins, { ca }), rejectUnauthorized: false }),
      closed: 'ERR_TLS_PIN_UNSAFE'
    }
  ]
}

/** @param {string} url @param {any} options */
async function exchange(url, options) {
  const client = await mqtt.connectAsync(url, { ...ONCE, ...options }, false)
  const topic = `greeting/${process.pid}`
  await client.subscribeAsync(topic)
  const arrived = new Promise(resolve => client.once('message', (_, payload) => resolve(String(payload))))
  await client.publishAsync(topic, 'hello')
  assert.equal(await arrived, 'hello')
  await client.endAsync()
}

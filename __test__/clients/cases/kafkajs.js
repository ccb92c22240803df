'use strict'
const assert = require('node:assert/strict')
const { Kafka, logLevel } = require('kafkajs')
const { tlsOptions } = require('tls-pinning')
const { TOPICS } = require('../servers/kafka')

module.exports = {
  package: 'kafkajs',
  server: 'kafka',
  where: '`new Kafka({ brokers, ssl: tlsOptions(pins) })`',
  notes: [
    'the brokers tell the client the names of all brokers: a policy by host must list those, else `ERR_TLS_PIN_UNLISTED`'
  ],

  async operate({ host, port, ca, pins, hook }) {
    const kafka = new Kafka({
      brokers: [`${host}:${port}`],
      ssl: hook ? tlsOptions(pins, { ca }) : { ca },
      retry: { retries: 0 },
      logLevel: logLevel.NOTHING
    })
    const admin = kafka.admin()
    try {
      await admin.connect()
      assert.deepEqual(await admin.listTopics(), TOPICS)
    } finally {
      await admin.disconnect()
    }
  }
}

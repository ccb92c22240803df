'use strict'
// Promise: what docs/clients.md says about connections that never get to TLS, where no pin can help, is so. A man in
// the middle here says that the server has no TLS; a client that goes on in plain text gives him what it sends.

const assert = require('node:assert/strict')
const net = require('node:net')
const { describe, it } = require('node:test')
const { createCheckServerIdentity, tlsOptions } = require('tls-pinning')
const { TrackedServer } = require('../helpers/tracked')

const LIMIT = { timeout: 30_000 }
const PIN = `sha256/${Buffer.alloc(32, 1).toString('base64')}`
const MESSAGE = { from: 'a@example.com', to: 'b@example.com', text: 'secret' }
const INFO = { server_id: 'x', version: '2.10.0', proto: 1, host: '127.0.0.1', headers: true, max_payload: 1024 }

/** @type {{ name: string, greeting?: string, answer?: string, sends: RegExp | null, operate: (port: number) => Promise<unknown> }[]} */
const CASES = [
  {
    name: 'nodemailer without requireTLS sends its mail where STARTTLS is hidden',
    greeting: '220 x\r\n',
    answer: '250 x\r\n',
    sends: /^MAIL FROM:/m,
    operate: port => sendMail({ port, secure: false })
  },
  {
    name: 'nodemailer with requireTLS does not',
    greeting: '220 x\r\n',
    answer: '250 x\r\n',
    sends: null,
    operate: port => sendMail({ port, secure: false, requireTLS: true })
  },
  {
    name: 'nats without tls sends its login where the server says that it has no TLS',
    greeting: `INFO ${JSON.stringify(INFO)}\r\n`,
    sends: /^CONNECT .*"pass":"secret"/m,
    operate: port => require('nats').connect(natsOptions(port))
  },
  {
    name: 'nats with tls does not',
    greeting: `INFO ${JSON.stringify(INFO)}\r\n`,
    sends: null,
    operate: port => require('nats').connect({ ...natsOptions(port), tls: /** @type {any} */ (tlsOptions(PIN)) })
  },
  {
    name: '@nats-io/transport-node without tls sends its login where the server says that it has no TLS',
    greeting: `INFO ${JSON.stringify(INFO)}\r\n`,
    sends: /^CONNECT .*"pass":"secret"/m,
    operate: port => require('@nats-io/transport-node').connect(natsOptions(port))
  },
  {
    name: '@nats-io/transport-node with tls does not',
    greeting: `INFO ${JSON.stringify(INFO)}\r\n`,
    sends: null,
    operate: port =>
      require('@nats-io/transport-node').connect({ ...natsOptions(port), tls: /** @type {any} */ (tlsOptions(PIN)) })
  },
  {
    name: 'mongodb with pins and without tls: true speaks in plain text',
    sends: /admin\.\$cmd/,
    operate: port => ping(port, {})
  },
  {
    name: 'mongodb with tls: true does not',
    sends: null,
    operate: port => ping(port, { tls: true })
  }
]

describe('in plain text', LIMIT, () => {
  for (const { name, greeting, answer, sends, operate } of CASES) {
    it(name, async t => {
      const server = await plainServer({ greeting, answer, until: sends })
      t.after(() => server.close())
      const outcome = operate(server.port).then(
        () => 'accepted',
        () => 'refused'
      )
      const silent = () => assert.fail(`it ended without sending ${sends}`)
      if (sends) return Promise.race([server.received, outcome.then(silent)])
      assert.equal(await outcome, 'refused')
      await server.settled()
      assert.doesNotMatch(server.text(), /secret|MAIL FROM|CONNECT|\$cmd/)
    })
  }
})

/** @param {{ greeting?: string, answer?: string, until: RegExp | null }} options `received`: `until` has come */
async function plainServer({ greeting, answer, until }) {
  let text = ''
  /** @type {() => void} */ let resolve = () => {}
  const received = new Promise((/** @type {(value?: undefined) => void} */ done) => {
    resolve = done
  })
  const server = new TrackedServer(
    net.createServer(socket => {
      if (greeting) socket.write(greeting)
      socket.on('data', data => {
        text += data.toString('latin1')
        if (until?.test(text)) resolve()
        if (answer) socket.write(answer)
        // What is no TLS ends a handshake.
        else if (data[0] === 0x16) socket.end('no TLS here')
      })
    })
  )
  const { port } = await server.listen()
  return { port, received, text: () => text, settled: () => server.settled(), close: () => server.close() }
}

/** @param {object} options */
async function sendMail(options) {
  const { createTransport } = require('nodemailer')
  const transport = createTransport({ host: 'localhost', ...options, tls: tlsOptions(PIN) })
  await transport.sendMail(MESSAGE).finally(() => transport.close())
}

/** @param {number} port */
function natsOptions(port) {
  return { servers: `localhost:${port}`, user: 'u', pass: 'secret', reconnect: false, timeout: 5000 }
}

/**
 * @param {number} port
 * @param {object} options
 */
async function ping(port, options) {
  const { MongoClient } = require('mongodb')
  const checkServerIdentity = createCheckServerIdentity(PIN)
  const settings = { ...options, checkServerIdentity, serverSelectionTimeoutMS: 500 }
  const client = new MongoClient(`mongodb://localhost:${port}/`, settings)
  await client
    .db('admin')
    .command({ ping: 1 })
    .finally(() => client.close())
}

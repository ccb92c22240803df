'use strict'
// The promise: a policy out of a real store is loaded over connections that are pinned themselves, follows what the store says,
// and stays as it is when the store says nothing or nonsense. Needs Debian's redis-server and postgresql, and the packages of
// `__test__/clients`, which `npm run test:clients` installs; run by `node scripts/test.js vaults`.

const assert = require('node:assert/strict')
const { createRequire } = require('node:module')
const path = require('node:path')
const { before, describe, test } = require('node:test')
const { PinSet, tlsOptions } = require('../..')
const { ca, leaf } = require('../helpers/pki')
const { hostsOf, next, pinned } = require('../helpers/sources')

const LIMIT = { timeout: 120_000 }
const OTHER = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const clients = createRequire(path.join(__dirname, '..', 'clients', 'package.json'))

/** @type {import('../helpers/pki').Certificate} */
let root
/** @type {import('../helpers/pki').Certificate} */
let cert

before(async () => {
  root = await ca({ name: 'Root' })
  cert = await leaf({ issuer: root })
})

/**
 * A store, by what a program does with it: `read` is its loader over a pinned connection, `write` changes the policy.
 * @typedef {object} Vault
 * @property {(pins: string) => (context: { signal: AbortSignal }) => Promise<any>} read
 * @property {(text: string) => Promise<unknown>} write
 * @property {() => Promise<unknown>} close
 */

/** @type {Record<string, (port: number) => Promise<Vault>>} */
const VAULTS = {
  async redis(port) {
    const { Redis } = clients('ioredis')
    /** @param {string} pins */
    const connect = pins => {
      const tls = tlsOptions(pins, { host: 'localhost', ca: root.pem })
      const client = new Redis({ host: 'localhost', port, tls, lazyConnect: true, retryStrategy: () => null })
      const failed = new Promise((_, reject) => client.on('error', reject))
      failed.catch(() => {})
      return { client, ready: Promise.race([client.connect(), failed]) }
    }
    const writer = connect(cert.pin)
    await writer.ready
    return {
      read: pins => async () => {
        const { client, ready } = connect(pins)
        try {
          await ready
          return await client.get('policy')
        } finally {
          client.disconnect()
        }
      },
      write: text => writer.client.set('policy', text),
      close: async () => writer.client.disconnect()
    }
  },

  async postgres(port) {
    const { Client } = clients('pg')
    /** @param {string} pins */
    const connect = async pins => {
      const ssl = tlsOptions(pins, { host: 'localhost', ca: root.pem })
      const client = new Client({
        host: 'localhost',
        port,
        user: 'postgres',
        password: 'correct horse',
        database: 'postgres',
        ssl
      })
      client.on('error', () => {}) // the server ends it
      await client.connect()
      return client
    }
    const writer = await connect(cert.pin)
    // Text, for the strict reader: what parses JSON before takes the last of two keys.
    await writer.query('CREATE TABLE policies (policy text)')
    await writer.query("INSERT INTO policies VALUES ('')")
    return {
      read: pins => async () => {
        const client = await connect(pins)
        try {
          return (await client.query('SELECT policy FROM policies')).rows[0].policy
        } finally {
          await client.end()
        }
      },
      write: text => writer.query('UPDATE policies SET policy = $1', [text]),
      close: () => writer.end()
    }
  }
}

for (const [name, open] of Object.entries(VAULTS)) {
  describe(name, LIMIT, () => {
    test('a policy is loaded over a pinned connection, and followed', LIMIT, async t => {
      const server = await require(`../clients/servers/${name}.js`).start({ cert, chain: [root] })
      let isUp = true
      const stop = async () => {
        if (isUp) await server.close()
        isUp = false
      }
      t.after(stop)
      const vault = await open(server.port)

      await vault.write('')
      await assert.rejects(PinSet.fromLoader(vault.read(cert.pin)), {
        code: 'ERR_TLS_PIN_INVALID',
        source: 'the loader'
      })
      await vault.write(pinned('one.example'))
      await assert.rejects(PinSet.fromLoader(vault.read(OTHER)), { code: 'ERR_TLS_PIN_MISMATCH' })

      const pins = await PinSet.fromLoader(vault.read(cert.pin), { interval: 20 })
      t.after(() => pins.close())
      assert.equal(hostsOf(pins), 'one.example')
      for (const host of ['two.example', 'three.example']) {
        const change = next(pins, 'change')
        await vault.write(pinned(host))
        await change
        assert.equal(hostsOf(pins), host)
      }

      const nonsense = next(pins, 'loadError')
      await vault.write('{"hosts": {"a.example": []}}')
      const { code, place } = await nonsense
      assert.deepEqual([code, place, hostsOf(pins)], ['ERR_TLS_PIN_INVALID', 'hosts["a.example"]', 'three.example'])

      const change = next(pins, 'change')
      await vault.write(pinned('four.example'))
      await change
      assert.equal(hostsOf(pins), 'four.example')

      const gone = untilCode(pins, 'ECONNREFUSED')
      await vault.close()
      await stop()
      await gone
      assert.equal(hostsOf(pins), 'four.example')
    })
  })
}

/**
 * What comes first, while a server goes down, may be the end of a connection.
 * @param {any} pins
 * @param {string} code
 */
async function untilCode(pins, code) {
  for (;;) {
    const error = await next(pins, 'loadError')
    const codes = [error.code, error.cause?.code, ...(error.errors ?? []).map((/** @type {any} */ each) => each.code)]
    if (codes.includes(code)) return
  }
}

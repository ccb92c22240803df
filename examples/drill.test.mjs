// For your own test suite: that a client obeys its pins, shown by attacking it.
//
//   node --test examples/drill.test.mjs
//
// Nothing leaves this machine: the servers and the man in the middle are on loopback.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import https from 'node:https'
import net from 'node:net'
import { test } from 'node:test'
import { PinnedAgent, PinnedClient } from 'tls-pinning'
import { assertPinned, startMitm } from 'tls-pinning/testing'

/**
 * The client under test: in your suite the function of your program that makes a request. It takes the CAs to trust and the
 * pins as arguments, so that a test can give it others.
 * @param {import('tls-pinning/testing').TestServer} server
 */
async function get({ url, ca, pins }) {
  const agent = new PinnedAgent(pins, { ca })
  const [response] = await once(https.get(url, { agent }), 'response')
  agent.destroy()
  return response.statusCode
}

test('it reaches the server that is pinned, and gives no byte to any other', async () => {
  await assertPinned(get)
})

test('it refuses a man in the middle whose certificate is trusted', async () => {
  const target = net.createServer(socket => socket.destroy()).listen(0) // stands for your server
  await once(target, 'listening')
  const { port } = /** @type {net.AddressInfo} */ (target.address())
  const mitm = await startMitm()
  const client = new PinnedClient({ pins: [`sha256/${'A'.repeat(43)}=`], ca: mitm.ca, proxy: mitm.url })
  try {
    await assert.rejects(client.request(`https://localhost:${port}/`), { code: 'ERR_TLS_PIN_MISMATCH' })
  } finally {
    await client.close()
    await mitm.close()
    target.close()
  }
  assert.deepEqual(
    mitm.connections.map(({ outcome, bytes }) => ({ outcome, bytes })),
    [{ outcome: 'refused', bytes: 0 }]
  )
})

'use strict'
// What the SDKs of HTTP interfaces ask for: JSON, and a stream of server-sent events.

const { once } = require('node:events')
const https = require('node:https')

const EVENTS = ['hello', ' over', ' SSE']

/** @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity */
async function start({ cert, chain }) {
  const server = https.createServer({ key: cert.key, cert: cert.pem + chain.map(({ pem }) => pem).join('') })
  server.on('request', async (request, response) => {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const sent = Buffer.concat(chunks).toString()
    const asked = sent === '' ? undefined : JSON.parse(sent)
    if (asked?.stream) await stream(response)
    else
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ greeting: 'hello', asked }))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  return {
    port,
    close: async () => {
      server.close()
      server.closeAllConnections()
    }
  }
}

/** @param {import('node:http').ServerResponse} response */
async function stream(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const content of EVENTS) {
    response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`)
    await new Promise(setImmediate)
  }
  response.end('data: [DONE]\n\n')
}

module.exports = { debian: [], product: 'node:https', version: () => '', start }

'use strict'
const { promisify } = require('node:util')
const { Server, ServerCredentials, makeClientConstructor } = require('@grpc/grpc-js')

const PACKAGE = require('@grpc/grpc-js/package.json')

const utf8 = { encode: (/** @type {string} */ text) => Buffer.from(text), decode: String }

/** What protoc would make of `service Greeter { rpc Greet(…) returns (…) }`. */
const Greeter = makeClientConstructor(
  {
    greet: {
      path: '/test.Greeter/Greet',
      requestStream: false,
      responseStream: false,
      requestSerialize: utf8.encode,
      requestDeserialize: utf8.decode,
      responseSerialize: utf8.encode,
      responseDeserialize: utf8.decode
    }
  },
  'Greeter'
)

/** @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity */
async function start({ cert, chain }) {
  const server = new Server()
  server.addService(Greeter.service, {
    greet: (/** @type {any} */ call, /** @type {any} */ callback) => callback(null, `hello ${call.request}`)
  })
  const keys = {
    private_key: Buffer.from(cert.key),
    cert_chain: Buffer.from([cert, ...chain].map(({ pem }) => pem).join(''))
  }
  const bind = promisify(server.bindAsync.bind(server))
  const port = await bind('127.0.0.1:0', ServerCredentials.createSsl(null, [keys]))
  return { port, close: async () => server.forceShutdown() }
}

module.exports = {
  debian: [],
  product: 'the server of @grpc/grpc-js',
  version: () => PACKAGE.version.split('.').slice(0, 2).join('.'),
  start,
  Greeter
}

'use strict'
// The server that users' programs ask, over TLS on loopback, with certificates of this moment.

const fs = require('node:fs')
const https = require('node:https')
const path = require('node:path')
const { ca, daysFromNow, leaf } = require('../../../__test__/helpers/pki.js')
const { pinOf } = require('../../../index.js')

/** @param {string} folder for the certificate of the CA */
async function startServer(folder) {
  // Long enough that `check` has nothing to say of it.
  const notAfter = daysFromNow(90)
  const root = await ca({ name: 'Rehearsal Root', notAfter })
  const certificate = await leaf({ issuer: root, names: ['localhost', '127.0.0.1'], notAfter })
  const stranger = await leaf({ issuer: root })
  const caFile = path.join(folder, 'ca.pem')
  fs.writeFileSync(caFile, root.pem)
  let refused = 0
  const server = https.createServer({ cert: certificate.pem, key: certificate.key }, ({ url }, response) => {
    if (url === '/refused') refused += 1
    response.end('pinned')
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(undefined)))
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  return {
    place: {
      PINNED_URL: `https://localhost:${port}/`,
      PINNED_CA: caFile,
      PINNED_PIN: String(pinOf(certificate.pem)),
      PINNED_WRONG: String(pinOf(stranger.pem))
    },
    /** How many requests came that must not have left. */
    refused: () => refused,
    close: () => {
      server.closeAllConnections()
      server.close()
    }
  }
}

module.exports = { startServer }

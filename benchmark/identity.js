'use strict'
// What one check of a server's identity costs on the main thread: the name and a pin, of a certificate as Node shows it.
//
//   node benchmark/identity.js [--json FILE]
//
// The usual way is the JavaScript that hashes the right bytes: `new X509Certificate(cert.raw).publicKey.export(…)`. It can do
// no more than the server's own key: it verifies no path. Rounds take turns, and a ratio is taken within a round.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const { once } = require('node:events')
const fs = require('node:fs')
const tls = require('node:tls')
const { parseArgs } = require('node:util')
const { createCheckServerIdentity } = require('..')
const { ca, leaf } = require('../__test__/helpers/pki.js')
const { httpsServer } = require('../__test__/helpers/servers.js')

const ROUNDS = 7
/** Milliseconds for one measurement. */
const TIME = 300
const USUAL = 'usual JavaScript, own key'

async function main() {
  const { values } = parseArgs({ options: { json: { type: 'string' } } })
  const { cert, server, intermediate, root } = await shown()
  /** @type {Record<string, (hostname: string, cert: tls.PeerCertificate) => Error | undefined>} */
  const checks = {
    [USUAL]: usual(server.pin),
    'own key': createCheckServerIdentity([server.pin]),
    'intermediate, with ca': createCheckServerIdentity([intermediate.pin], { ca: root.pem }),
    'intermediate, ca not given': createCheckServerIdentity([intermediate.pin]),
    'root, with ca': createCheckServerIdentity([root.pin], { ca: root.pem })
  }
  const wrong = crypto.createHash('sha256').update('no key').digest('base64')
  for (const [name, check] of Object.entries(checks)) {
    assert.equal(check('localhost', cert), undefined, name)
    assert.ok(check('other.example', cert) instanceof Error, name)
  }
  for (const check of [usual(`sha256/${wrong}`), createCheckServerIdentity([`sha256/${wrong}`])]) {
    assert.ok(check('localhost', cert) instanceof Error)
  }

  /** @type {Record<string, number[]>} */
  const times = Object.fromEntries(Object.keys(checks).map(name => [name, []]))
  for (const check of Object.values(checks)) measure(() => check('localhost', cert), TIME)
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, check] of Object.entries(checks)) times[name].push(measure(() => check('localhost', cert), TIME))
  }

  console.log(
    `Node.js ${process.version}, P-256, ${ROUNDS} rounds: median of a check, and how many times cheaper it is\n`
  )
  for (const [name, measured] of Object.entries(times)) {
    const ratio = median(measured.map((time, round) => times[USUAL][round] / time))
    console.log(`${name.padEnd(28)}${median(measured).toFixed(2).padStart(9)} µs${ratio.toFixed(1).padStart(9)}`)
  }
  if (values.json)
    fs.writeFileSync(values.json, JSON.stringify({ node: process.version, microseconds: times }, null, 2))
}

/** A certificate with its issuers, as a handshake shows it. */
async function shown() {
  const root = await ca({ name: 'Root' })
  const intermediate = await ca({ name: 'Intermediate', issuer: root })
  const server = await leaf({ issuer: intermediate })
  const listening = await httpsServer({ cert: server, chain: [intermediate] })
  const socket = tls.connect({ host: 'localhost', port: listening.port, ca: root.pem })
  await once(socket, 'secureConnect')
  const cert = socket.getPeerCertificate(true)
  socket.destroy()
  await listening.close()
  return { cert, server, intermediate, root }
}

/**
 * @param {string} pin
 * @returns {(hostname: string, cert: tls.PeerCertificate) => Error | undefined}
 */
function usual(pin) {
  return (hostname, cert) => {
    const error = tls.checkServerIdentity(hostname, cert)
    if (error) return error
    const spki = new crypto.X509Certificate(cert.raw).publicKey.export({ type: 'spki', format: 'der' })
    const found = `sha256/${crypto.createHash('sha256').update(spki).digest('base64')}`
    return found === pin ? undefined : new Error(`the pin is ${found}`)
  }
}

/**
 * Microseconds of one call.
 * @param {() => unknown} call
 * @param {number} time
 */
function measure(call, time) {
  const start = performance.now()
  let calls = 0
  let now = start
  while (now - start < time) {
    for (let i = 0; i < 50; i++) call()
    calls += 50
    now = performance.now()
  }
  return ((now - start) / calls) * 1000
}

/** @param {number[]} values */
function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]
}

main()

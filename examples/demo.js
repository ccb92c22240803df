'use strict'
// What pinning does, shown on a server that this program starts itself; or, with an address, one real request.
//
// `--help` tells how.
//
// The exit status says whether all went as shown.

const fs = require('node:fs')
const https = require('node:https')
const { parseArgs, styleText } = require('node:util')
const { inspect, PinnedClient, PinSet, pinnedRequest } = require('..')
const { ca, leaf } = require('../__test__/helpers/pki.js')
const { httpsServer } = require('../__test__/helpers/servers.js')

const HOST = 'api.bank.example'
const USAGE = `npm start
npm start -- https://example.com --pin sha256/…  [--pin …] [--ca FILE] [--servername NAME] [--pin-only]`

/** @param {Parameters<typeof styleText>[0]} style @param {string} text */
function paint(style, text) {
  return process.stdout.isTTY && !process.env.NO_COLOR ? styleText(style, text) : text
}

/** @param {string} text */
function scene(text) {
  console.log(`\n${paint('bold', text)}`)
}

/** @param {string} text */
function good(text) {
  console.log(`  ${paint('green', '✓')} ${text}`)
}

/** @param {string} text */
function note(text) {
  console.log(paint('dim', text.replace(/^/gm, '    ')))
}

/** @param {boolean} held @param {string} claim */
function check(held, claim) {
  if (!held) throw new Error(`the demo did not go as planned: ${claim}`)
  good(claim)
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      pin: { type: 'string', multiple: true, default: [] },
      ca: { type: 'string' },
      servername: { type: 'string' },
      'pin-only': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false }
    }
  })
  const [address, extra] = positionals
  if (values.help) return console.log(USAGE)
  if (extra) throw new Error(`unexpected argument ${extra}\n${USAGE}`)
  if (address) return real(address, values)
  if (values.pin.length > 0 || values.ca || values.servername || values['pin-only']) {
    throw new Error(`these options need an address\n${USAGE}`)
  }
  await story()
}

async function story() {
  scene(`The bank's server, ${HOST}: a root, an intermediate, a leaf, made just now`)
  const root = await ca({ name: 'Honest Root CA' })
  const intermediate = await ca({ name: 'Honest Issuing CA', issuer: root })
  const bank = await leaf({ issuer: intermediate, names: [HOST] })
  const backup = await leaf({ issuer: intermediate, names: [HOST] })
  const server = await httpsServer({ cert: bank, chain: [intermediate], handler: { body: 'balance: 42' } })
  note(`pin of its key     ${bank.pin}\npin of the backup  ${backup.pin}`)

  scene('1. A pinned request')
  const pins = new PinSet({ [HOST]: { leaf: [bank.pin, backup.pin] } })
  // The client trusts two CAs. The second one will turn out to be a mistake.
  const rogueRoot = await ca({ name: 'Careless Root CA' })
  const trusted = [root.pem, rogueRoot.pem]
  const client = new PinnedClient({ pins, ca: trusted, servername: HOST })
  const response = await client.request(server.url)
  check(response.status === 200 && response.tls.matched === bank.pin, `${response.status}: ${await response.text()}`)
  note(`${response.tls.protocol}, ${response.tls.group}, ${response.tls.cipher}\nmatched ${response.tls.matched}`)
  for (const { subject, spkiPin } of response.tls.path) note(`  ${spkiPin}  ${subject}`)

  scene('2. A man in the middle, with a certificate for the same name from a CA the client trusts')
  const forged = await leaf({ issuer: rogueRoot, names: [HOST] })
  const attacker = await httpsServer({ cert: forged, handler: { body: 'hello from the attacker' } })
  const unpinned = await plainRequest(attacker.url, trusted)
  check(unpinned.status === 200, `without pins, node:https answers ${unpinned.status}: ${unpinned.body}`)
  const before = attacker.appBytes
  const error = await client.request(attacker.url).then(
    () => undefined,
    reason => reason
  )
  check(error?.code === 'ERR_TLS_PIN_MISMATCH', `with pins, it is refused: ${error?.code}`)
  note(error.message)
  await attacker.settled()
  check(attacker.appBytes === before, 'the attacker received 0 bytes of the request')

  scene('3. The bank changes to its backup key; this program goes on')
  const { port } = server
  await server.close()
  const renewed = await httpsServer({
    cert: backup,
    chain: [intermediate],
    handler: { body: 'balance: 42' },
    port
  })
  const rotated = await client.request(renewed.url)
  check(rotated.tls.matched === backup.pin, `${rotated.status}: ${await rotated.text()}, matched the backup pin`)
  pins.replace({ [HOST]: { leaf: [backup.pin] } })
  const last = await client.request(renewed.url)
  check(last.status === 200, 'the old pin is dropped with pins.replace(), the connection is checked anew')
  await last.text()
  await client.close()

  await Promise.all([attacker.close(), renewed.close()])
  console.log(
    `\n${paint(['bold', 'green'], 'All went as shown.')} Try your own: npm start -- https://HOST --pin sha256/…`
  )
}

/**
 * What a program without pins does.
 * @param {string} url
 * @param {string[]} trusted
 * @returns {Promise<{ status: number | undefined, body: string }>}
 */
function plainRequest(url, trusted) {
  return new Promise((resolve, reject) => {
    const request = https.get(url, { ca: trusted, servername: HOST, agent: false }, async response => {
      let body = ''
      for await (const chunk of response) body += chunk
      resolve({ status: response.statusCode, body })
    })
    request.on('error', reject)
  })
}

/**
 * One request for real; without a pin, what the server would have to be pinned to.
 * @param {string} url
 * @param {{ pin: string[], ca?: string, servername?: string, 'pin-only': boolean }} options
 */
async function real(url, { pin, ca: file, servername, 'pin-only': pinOnly }) {
  const trust = { ca: file && fs.readFileSync(file), servername }
  if (pin.length === 0) {
    const { chain, untrusted } = await inspect(url, trust)
    scene(`${url} presents, ${untrusted ? `not trusted: ${untrusted.code}` : 'on a trusted path'}:`)
    for (const { subject, pins } of chain) console.log(`  ${pins.sha256}  ${subject}`)
    note('Compare a pin with one you got another way before you use it, then: npm start -- URL --pin sha256/…')
    process.exitCode = 2
    return
  }
  const response = await pinnedRequest(url, { pins: pin, ...trust, trust: pinOnly ? 'pin-only' : 'ca' })
  scene(`${response.status} ${response.statusText} from ${response.url}`)
  note(`${response.tls.protocol}, ${response.tls.group}, ${response.tls.alpn ?? 'no ALPN'}`)
  good(`matched ${response.tls.matched}`)
  const text = await response.text()
  console.log(text.length > 2000 ? `${text.slice(0, 2000)}…` : text)
}

main().catch(error => {
  console.error(`\n${paint('red', '✗')} ${error.message}`)
  if (error.code) console.error(paint('dim', `  ${error.code}${error.phase ? `, phase ${error.phase}` : ''}`))
  process.exitCode = 1
})

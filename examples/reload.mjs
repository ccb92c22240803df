// A policy in a file, read again on SIGHUP while the program runs. A file that is malformed changes nothing.
//
//   node examples/reload.mjs policy.json https://api.example.com/
//
// asks for the URL every ten seconds. Set NODE_EXTRA_CA_CERTS for a private CA.

import fs from 'node:fs'
import { PinnedClient, PinSet } from 'tls-pinning'

const [file, url] = process.argv.slice(2)
if (!url) {
  console.error('usage: node examples/reload.mjs POLICY.json URL')
  process.exit(2)
}

const pins = new PinSet(read())
for (const { place, message } of pins.warnings) console.warn(`${place}: ${message}`)
pins.on('report', ({ reason, host }) => console.warn(`${host} was let through: ${reason}`))
const client = new PinnedClient({ pins })

process.on('SIGHUP', () => {
  try {
    pins.replace(read())
    console.log('the new policy is in force')
  } catch (error) {
    console.error(`the old policy stays in force: ${error}`)
  }
})

await ask()
setInterval(ask, 10_000)

function read() {
  return JSON.parse(fs.readFileSync(file, 'utf8'))
}

async function ask() {
  try {
    const response = await client.request(url)
    console.log(response.status, response.tls.matched, `${(await response.bytes()).length} bytes`)
  } catch (error) {
    console.error(String(error))
  }
}

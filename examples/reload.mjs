// A client for many hosts, with its policy in a file that is read again when it changes.
//
//   npx tls-pinning init api.example.com > policy.json
//   node examples/reload.mjs policy.json https://api.example.com/
//
// asks for the URL every ten seconds, and at once when there is another policy. Edit the file meanwhile.

import { PinnedClient, PinSet } from 'tls-pinning'

const [file, url] = process.argv.slice(2)
if (!url) throw new Error('usage: reload.mjs POLICY.json URL')

const pins = PinSet.fromFile(file, { watch: true })
for (const { place, message } of pins.warnings) console.warn(`${place}: ${message}`)

// A file that is malformed or gone changes nothing: what was in force stays in force.
pins.on('loadError', error => console.error(`The old policy stays in force: ${error.message}`))
pins.on('change', () => {
  console.log('A new policy is in force, for connections that are open, too.')
  ask()
})

const client = new PinnedClient({ pins })
await ask()
setInterval(ask, 10_000)

async function ask() {
  try {
    const response = await client.request(url)
    console.log(response.status, response.tls.matched, `${(await response.bytes()).length} bytes`)
  } catch (error) {
    console.error(String(error))
  }
}

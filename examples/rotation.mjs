// A change of keys, with a backup pin: the server moves to its backup key, and nobody is locked out.
//
//   node examples/rotation.mjs https://api.example.com/ sha256/CURRENT… sha256/BACKUP…
//
// The key of the backup is made today and kept elsewhere: `npx tls-pinning pin backup-key.pem` prints its pin.

import { PinnedClient, PinSet } from 'tls-pinning'

const [url, current, backup] = process.argv.slice(2)
if (!backup) throw new Error('usage: rotation.mjs URL CURRENT BACKUP')
const { hostname } = new URL(url)

const pins = new PinSet({ [hostname]: { leaf: [current, backup] } })
for (const { message } of pins.warnings) console.warn(message)

const client = new PinnedClient({ pins })
const response = await client.request(url)
console.log(response.status, await response.text())

if (response.tls.matched === String(pins.match(hostname)?.leaf[1])) {
  // The server has moved: let go of the old key, which may be why. Connections to whoever has it are cut at once.
  pins.replace({ [hostname]: { leaf: [backup] } })
  console.log('The server uses its backup key. Make the next backup, and ship its pin.')
}
await client.close()

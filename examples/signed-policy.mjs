// A policy from a server that need not be trusted: it is signed.
//
//   npx tls-pinning keygen --out signing-key.pem                # prints the public key
//   npx tls-pinning sign policy.json --key signing-key.pem --expires 90d --out policy.signed.json
//   node examples/signed-policy.mjs https://pins.example.com/policy.signed.json PUBLIC-KEY https://api.example.com/
//
// The source may be a path, too.

import { PinnedClient, PinSet } from 'tls-pinning'

const [source, publicKey, url] = process.argv.slice(2)
if (!url) throw new Error('usage: signed-policy.mjs SOURCE PUBLIC-KEY URL')

// Rejects if there is no genuine policy. In a program that stays give a `cacheFile`, too: it starts without the source, and
// no older policy can be played back after a restart.
const pins = await PinSet.fromSigned({ source, publicKeys: [publicKey], interval: 3_600_000 })
pins.on('loadError', error => console.error(`The old policy stays in force: ${error.message}`))

const client = new PinnedClient({ pins })
try {
  const response = await client.request(url)
  console.log(response.status, await response.text())
} finally {
  await client.close()
  pins.close() // no more loads
}

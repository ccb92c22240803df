// Mutual TLS: the server shows a certificate that is pinned, and then this program shows its own.
//
//   node examples/client-certificate.mjs https://api.example.com/ client.pem client-key.pem sha256/CURRENT… sha256/BACKUP…
//
// A server that does not match never sees who is calling.

import fs from 'node:fs'
import { PinnedClient } from 'tls-pinning'

const [url, cert, key, ...pins] = process.argv.slice(2)
if (pins.length === 0) throw new Error('usage: client-certificate.mjs URL CERT KEY PIN…')

const client = new PinnedClient({
  pins,
  cert: fs.readFileSync(cert), // the chain, leaf first
  key: fs.readFileSync(key), // with `passphrase` if it is encrypted; or both as `pfx`
  minVersion: 'TLSv1.3' // where the client's certificate is encrypted, too
})
const response = await client.request(url)
console.log(response.status, await response.text())
await client.close()

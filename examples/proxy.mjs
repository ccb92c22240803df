// Through a proxy. The pins are those of the server behind it, so a proxy that opens TLS to read it is refused.
//
//   node examples/proxy.mjs http://user:password@proxy.example.com:3128 https://api.example.com/ sha256/CURRENT… sha256/BACKUP…
//
// `env` in the place of the proxy's URL takes HTTPS_PROXY and NO_PROXY. SOCKS is socks5h://….

import { PinnedClient, TlsPinningError } from 'tls-pinning'

const [proxy, url, ...pins] = process.argv.slice(2)
if (pins.length === 0) throw new Error('usage: proxy.mjs PROXY URL PIN…')

const client = new PinnedClient({ pins, proxy })
try {
  const response = await client.request(url)
  console.log(response.status, await response.text())
} catch (error) {
  if (!(error instanceof TlsPinningError)) throw error
  // In the phase `proxy` the trouble is with the proxy, else with the server behind it.
  console.error(error.phase, error.message)
  process.exitCode = 1
}
await client.close()

// undici, of any version, and `fetch` with a dispatcher.
//
//   node examples/undici.mjs https://api.example.com/ sha256/CURRENT… sha256/BACKUP…

import { pinnedConnector } from 'tls-pinning'
import { Agent, fetch } from 'undici'

const [url, ...pins] = process.argv.slice(2)
if (pins.length === 0) throw new Error('usage: undici.mjs URL PIN…')

const dispatcher = new Agent({ connect: pinnedConnector(pins) })
// setGlobalDispatcher(dispatcher) would do it for every fetch of the process: then give it a policy with all hosts.

const response = await fetch(url, { dispatcher })
console.log(response.status, await response.text())

await dispatcher.close()

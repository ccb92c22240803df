// Rolling pins out: first only told, then enforced.
//
//   node examples/report-only.mjs report https://api.example.com/ sha256/CURRENT… sha256/BACKUP…
//   node examples/report-only.mjs enforce https://api.example.com/ sha256/CURRENT… sha256/BACKUP…
//
// Report-only protects nobody: whoever does not match is told of, and is sent the request all the same. So it has an end.

import { PinnedClient, PinSet } from 'tls-pinning'

const [mode, url, ...list] = process.argv.slice(2)
if (list.length === 0 || (mode !== 'report' && mode !== 'enforce')) {
  throw new Error('usage: report-only.mjs report|enforce URL PIN…')
}

const pins = new PinSet({ hosts: { [new URL(url).hostname]: { pins: list, mode } } })
// To a log, or with `createReporter(pins, { url })` to a collector.
pins.on('report', ({ reason, host, path }) => {
  console.warn(`${host} would have been refused: ${reason}. Its path:`)
  for (const { spkiPin, subject } of path) console.warn(`  ${spkiPin}  ${subject}`)
})

const client = new PinnedClient({ pins })
const response = await client.request(url)
console.log(response.status, await response.text())
await client.close()

// One pinned request, and what to do about each way it can fail.
//
//   node examples/request.mjs https://example.com/ sha256/CURRENT… sha256/BACKUP…
//
// Where do the pins come from? `npx tls-pinning pin cert.pem` reads them off the server's certificate or key.

import { PinMismatchError, PinPolicyError, pinnedRequest, TlsPinningError } from 'tls-pinning'

const [url, ...pins] = process.argv.slice(2)
if (pins.length === 0) throw new Error('usage: request.mjs URL PIN…')

try {
  const response = await pinnedRequest(url, { pins, signal: AbortSignal.timeout(30_000) })
  console.log(response.status, response.tls.protocol, response.tls.matched)
  console.log(await response.text())
} catch (error) {
  if (error instanceof PinMismatchError) {
    console.error('Another key, or somebody in the middle. Nothing was sent. Ask whoever runs the server.')
  } else if (error instanceof PinPolicyError) {
    console.error('The pins say nothing (any more) about this host. Nothing was sent.')
  } else if (error instanceof TlsPinningError) {
    console.error(`Failed with ${error.code} in the phase "${error.phase}".`)
  }
  console.error(String(error))
  process.exitCode = 1
}

'use strict'
// The server that users' programs talk to, its certificates, and those programs.

const assert = require('node:assert/strict')
const { ca, leaf } = require('../../../__test__/helpers/pki.js')
const { httpsServer } = require('../../../__test__/helpers/servers.js')

/** What a program of a user prints. */
const PRINTED = 'accepted 200 ok\nrefused ERR_TLS_PIN_MISMATCH\n'

/** @typedef {Awaited<ReturnType<typeof startService>>} Service */

async function startService() {
  const root = await ca({ name: 'Root' })
  const cert = await leaf({ issuer: root })
  const backup = await leaf({ issuer: root })
  const server = await httpsServer({ cert })
  const url = `https://localhost:${server.port}/`

  /** The rest of a program, after it has `pinnedRequest`: a request that succeeds, and one that is refused. */
  const BODY = `
const url = ${JSON.stringify(url)}
const ca = ${JSON.stringify(root.pem)}
async function main() {
  const response = await pinnedRequest(url, { ca, pins: [${JSON.stringify(cert.pin)}, ${JSON.stringify(backup.pin)}] })
  console.log('accepted', response.status, await response.text())
  try {
    await pinnedRequest(url, { ca, pins: [${JSON.stringify(backup.pin)}] })
    console.log('not refused')
  } catch (error) {
    console.log('refused', (error as { code?: unknown }).code)
  }
}
main()
`
  return {
    root,
    cert,
    backup,
    server,
    url,
    /** The programs, by what takes them. */
    esm: `import { pinnedRequest } from 'tls-pinning'\n${javaScript(BODY)}`,
    cjs: `const { pinnedRequest } = require('tls-pinning')\n${javaScript(BODY)}`,
    ts: `import { pinnedRequest } from 'tls-pinning'\n${BODY}`,
    cts: `import tlsPinning = require('tls-pinning')\nconst { pinnedRequest } = tlsPinning\n${BODY}`,
    /**
     * Runs a program of the above and looks at both its ends.
     * @param {() => Promise<{ output: string }>} run
     */
    async talk(run) {
      const before = server.requests.length
      const { output } = await run()
      assert.equal(output.replaceAll('\r', ''), PRINTED)
      assert.equal(server.requests.length - before, 1, 'requests that the server got')
    },
    close: () => server.close()
  }
}

/** @param {string} typeScript */
function javaScript(typeScript) {
  return typeScript.replace(/\((\w+) as [^)]*\)/, '$1')
}

module.exports = { startService }

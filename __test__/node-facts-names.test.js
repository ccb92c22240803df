'use strict'
// Promise: whom a connection is for is decided where it is known, not by what Node passes on. Every title begins with the fact.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const net = require('node:net')
const { before, describe, it } = require('node:test')
const tls = require('node:tls')
const undici = require('undici')
const { PinnedAgent, createCheckServerIdentity, pinnedConnector, tlsOptions } = require('..')
const { BODY, REGISTER, codeOf, httpsStatus, inProcess } = require('./helpers/node-tls')
const { withPolicy } = require('./helpers/ours')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */

const LIMIT = { timeout: 120_000 }
const WRONG = `sha256/${'A'.repeat(43)}=`
const MISMATCH = { code: 'ERR_TLS_PIN_MISMATCH' }
const OTHER_NAME = { code: 'ERR_TLS_CERT_ALTNAME_INVALID' }
const NAMES = ['localhost', '127.0.0.1', '::1', 'other.example', 'xn--bcher-kva.example']

/** @type {Certificate} */ let root
/** @type {Certificate} */ let good

before(async () => {
  root = await ca({ name: 'Root' })
  good = await leaf({ issuer: root, names: NAMES })
})

/** @param {import('node:test').TestContext} t @param {object} [options] */
async function start(t, options) {
  const server = await httpsServer({ cert: good, ...options })
  t.after(() => server.close())
  return server
}

describe('the hostname that a check is given follows the Host header', LIMIT, () => {
  const headers = { Host: 'other.example' }

  it('in https and undici', async t => {
    const server = await start(t)
    /** @type {string[]} */
    const seen = []
    const checkServerIdentity = (/** @type {string} */ hostname) => {
      seen.push(hostname)
      return undefined
    }
    assert.equal(await httpsStatus(server.url, { agent: false, ca: root.pem, headers, checkServerIdentity }), 200)
    const address = `https://127.0.0.1:${server.port}`
    assert.equal(await httpsStatus(address, { agent: false, ca: root.pem, headers, checkServerIdentity }), 200)
    const dispatcher = new undici.Agent({ connect: { ca: root.pem, checkServerIdentity } })
    t.after(() => dispatcher.destroy())
    await (await undici.request(server.url, { dispatcher, headers: { host: 'other.example' } })).body.dump()
    assert.deepEqual(seen, Array(3).fill('other.example'))
  })

  it('by a check bound to its host: another name is an error, though the certificate has both', async t => {
    const server = await start(t)
    const checkServerIdentity = createCheckServerIdentity(good.pin, { host: 'localhost' })
    const options = { agent: /** @type {const} */ (false), ca: root.pem, checkServerIdentity }
    await assert.rejects(httpsStatus(server.url, { ...options, headers, body: BODY }), OTHER_NAME)
    await assert.rejects(
      httpsStatus(server.url, { ...tlsOptions(good.pin, { host: 'localhost', ca: root.pem }), headers, body: BODY }),
      OTHER_NAME
    )
    await server.settled()
    assert.equal(server.appBytes, 0)
    assert.equal(await httpsStatus(server.url, options), 200)
  })

  it('by PinnedAgent and pinnedConnector: the name that is sent and checked decides, and one without pins does not', async t => {
    const server = await start(t)
    /** @type {[any, string | number][]} */
    const table = [
      // The header's name is listed: its pins decide, as for any connection that asks for that name.
      [{ 'other.example': good.pin }, 200],
      [{ 'other.example': WRONG, localhost: good.pin }, 'ERR_TLS_PIN_MISMATCH'],
      // It is not: the host's own do. A header is no way out of them.
      [{ localhost: WRONG }, 'ERR_TLS_PIN_MISMATCH'],
      [{ localhost: good.pin }, 200],
      [{ 'third.example': good.pin }, 'ERR_TLS_PIN_UNLISTED']
    ]
    for (const [hosts, expected] of table) {
      const { appBytes } = server
      const policy = { hosts }
      const agent = new PinnedAgent(policy, { ca: root.pem })
      const dispatcher = new undici.Agent({ connect: pinnedConnector(policy, { ca: root.pem }) })
      t.after(() => Promise.all([agent.destroy(), dispatcher.destroy()]))
      const body = BODY
      const outcomes = [
        httpsStatus(server.url, { agent, headers, body }),
        undici
          .request(server.url, { method: 'POST', dispatcher, headers: { host: 'other.example' }, body })
          .then(async response => {
            await response.body.dump()
            return response.statusCode
          })
      ]
      // Caught at once: either may fail while the other is under way.
      const answers = await Promise.all(outcomes.map(outcome => outcome.catch(codeOf)))
      for (const answer of answers) assert.equal(answer, expected, JSON.stringify(hosts))
      if (expected !== 200) assert.equal(server.appBytes, appBytes)
    }
  })

  it('by register: as by PinnedAgent, and through no header to an unlisted name', async t => {
    const server = await start(t)
    const program = `
      const { BODY: body, codeOf, httpsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
      const headers = { Host: 'other.example' }
      httpsStatus(DATA.url, { agent: false, ca: DATA.ca, headers, body }).then(tell, error => tell(codeOf(error)))`
    const run = async (/** @type {any} */ policy) => {
      const { told } = await withPolicy(policy, env =>
        inProcess(program, { url: server.url, ca: root.pem }, { flags: ['--import', REGISTER], env })
      )
      return told[0]
    }
    assert.equal(await run({ unlisted: 'allow', hosts: { localhost: WRONG } }), MISMATCH.code)
    assert.equal(await run({ unlisted: 'allow', hosts: { 'other.example': WRONG } }), MISMATCH.code)
    assert.equal(await run({ hosts: { 'third.example': good.pin } }), 'ERR_TLS_PIN_UNLISTED')
    await server.settled()
    assert.equal(server.appBytes, 0)
    assert.equal(await run({ hosts: { localhost: good.pin } }), 200)
  })
})

describe('the hostname keeps its case, its trailing dot and its letters of other scripts', LIMIT, () => {
  /** As a user may write them, and the policy's own form. */
  const SPELLINGS = [
    ['OTHER.example', 'other.example'],
    ['other.example.', 'other.example'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['BÜCHER.EXAMPLE.', 'xn--bcher-kva.example'],
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '[::1]'],
    ['0:0:0:0:0:0:0:1', '[::1]']
  ]

  for (const [spelling = '', canonical = ''] of SPELLINGS) {
    it(`${spelling} in Node; by ours it is ${canonical}, in the policy and in the host that a check is bound to`, async t => {
      const server = await start(t)
      /** @type {[string, any][]} */
      const seen = []
      const look = (/** @type {string} */ hostname, /** @type {any} */ cert) => {
        seen.push([hostname, cert])
        return undefined
      }
      // The name alone goes into the check: no such name can be looked up here.
      const socket = tls.connect({ port: server.port, host: spelling, lookup, ca: root.pem, checkServerIdentity: look })
      if (net.isIPv6(spelling)) socket.on('error', () => {})
      else await once(socket, 'secureConnect')
      socket.destroy()
      const [hostname, cert] = seen[0] ?? [spelling, good.x509.toLegacyObject()]
      assert.equal(hostname, spelling)

      const yes = () => undefined
      for (const host of [spelling, canonical]) {
        const policy = { hosts: { [canonical]: { leaf: good.pin } } }
        assert.equal(createCheckServerIdentity(policy, { verifyHostname: yes })(host, cert), undefined)
        assert.equal(
          createCheckServerIdentity(good.pin, { host: canonical, verifyHostname: yes })(host, cert),
          undefined
        )
        assert.equal(createCheckServerIdentity(good.pin, { host, verifyHostname: yes })(canonical, cert), undefined)
        const wrong = createCheckServerIdentity(
          { hosts: { [canonical]: WRONG } },
          { verifyHostname: yes, ca: root.pem }
        )
        assert.equal(codeOf(wrong(host, cert)), MISMATCH.code)
      }
    })
  }
})

/** Everything is here. @param {string} _ @param {any} options @param {any} callback */
function lookup(_, options, callback) {
  if (options.all) callback(null, [{ address: '127.0.0.1', family: 4 }])
  else callback(null, '127.0.0.1', 4)
}

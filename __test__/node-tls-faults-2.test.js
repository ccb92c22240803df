'use strict'
// The promise: whom a connection is for is not mistaken, whatever is known of its port, however its name is written and
// whenever the policy changes; and a copy of a pinned issuer does not stand for it.

const assert = require('node:assert/strict')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { before, describe, test } = require('node:test')
const undici = require('undici')
const {
  PinSet,
  PinnedAgent,
  checkServerIdentity,
  createCheckServerIdentity,
  pinnedConnector,
  tlsOptions
} = require('..')
const { BOUNDED, WRONG, pinned } = require('./fixtures/register-run')
const { httpsStatus, inProcess } = require('./helpers/node-tls')
const { ca, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const MISMATCH = 'ERR_TLS_PIN_MISMATCH'
/** No idle connection is closed for being idle within the time of a test, in milliseconds. */
const PATIENCE = 600_000
const UNSAFE = 'ERR_TLS_PIN_UNSAFE'

/** @type {import('./helpers/pki').Certificate} */ let root

before(async () => {
  root = await ca({ name: 'Root' })
})

describe('a host listed only with a port, unlisted: allow', () => {
  for (const [name, options] of /** @type {[string, (policy: any) => any][]} */ ([
    ['createCheckServerIdentity', policy => ({ checkServerIdentity: createCheckServerIdentity(policy) })],
    [
      'createCheckServerIdentity with a host',
      policy => ({ checkServerIdentity: createCheckServerIdentity(policy, { host: 'localhost' }) })
    ],
    [
      'checkServerIdentity',
      policy => ({
        checkServerIdentity: (/** @type {string} */ host, /** @type {any} */ cert) =>
          checkServerIdentity(host, cert, policy)
      })
    ],
    ['tlsOptions', policy => tlsOptions(policy)],
    ['the check of pinnedConnector', policy => ({ checkServerIdentity: checkOf(pinnedConnector(policy)) })],
    ['PinnedAgent', policy => ({ agent: new PinnedAgent(policy) })]
  ])) {
    test(`is listed for ${name}`, BOUNDED, async t => {
      const cert = await leaf({ issuer: root })
      const server = await httpsServer({ cert })
      t.after(() => server.close())
      const ask = (/** @type {object} */ hosts, url = server.url) =>
        httpsStatus(url, { agent: false, ca: root.pem, ...options({ unlisted: 'allow', hosts }) })
      await assert.rejects(ask({ [`localhost:${server.port}`]: WRONG }), { code: MISMATCH })
      await server.settled()
      assert.equal(server.appBytes, 0)
      assert.equal(await ask({ [`localhost:${server.port}`]: cert.pin }), 200)
      assert.equal(await ask({ [`other.example:${server.port}`]: WRONG }), 200)
    })
  }
})

test('checkServerIdentity refuses pins that turn out to be undefined', BOUNDED, async t => {
  const server = await httpsServer({ cert: await leaf({ issuer: root }) })
  t.after(() => server.close())
  const check = (/** @type {string} */ host, /** @type {any} */ cert) =>
    checkServerIdentity(host, cert, /** @type {any} */ (undefined))
  const refused = httpsStatus(server.url, { agent: false, ca: root.pem, checkServerIdentity: check })
  await assert.rejects(refused, { code: 'ERR_TLS_PIN_INVALID' })
  await server.settled()
  assert.equal(server.appBytes, 0)
})

describe('under register with unlisted: allow', () => {
  const policy = { unlisted: 'allow', hosts: { 'api.example.com': WRONG, '**.wild.example.com': WRONG } }
  const names = ['api.example.com', '*.wild.example.com', 'free.example.com']

  test('a name that is no host is refused, not taken for unlisted', BOUNDED, async t => {
    const server = await httpsServer({ cert: await leaf({ issuer: root, names }) })
    t.after(() => server.close())
    const odd = ['xn--zz.wild.example.com', 'a b.wild.example.com']
    for (const end of ['\n', '\t', '/', '#', '..', '\0']) odd.push(`api.example.com${end}`)
    const program = `
      const ask = async options => {
        const all = { port, ca, agent: false, lookup: kit.lookup, ...options }
        tell(await kit.outcome(() => kit.speak(tls.connect(all))))
      }
      ;(async () => {
        for (const servername of DATA.odd) await ask({ host: 'lb.internal', servername })
        await ask({ host: 'xn--zz.wild.example.com' })
        for (const host of ['api.example.com', 'a.wild.example.com']) await ask({ host })
      })()
    `
    const { told, stderr } = await pinned({ policy, server, program, ca: root.pem, data: { odd } })
    assert.deepEqual(told, [...Array(odd.length + 1).fill(UNSAFE), MISMATCH, MISMATCH], stderr)
    await server.settled()
    assert.equal(server.appBytes, 0)
  })

  test('a Host header that is no host is refused', BOUNDED, async t => {
    const server = await httpsServer({ cert: await leaf({ issuer: root, names }) })
    t.after(() => server.close())
    const odd = ['api.example.com/', 'api.example.com#', 'xn--zz.wild.example.com']
    const program = `
      const { httpsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
      const base = { host: 'lb.internal', port, ca, agent: false, lookup: kit.lookup, body: kit.body }
      ;(async () => {
        for (const host of DATA.odd) tell(await kit.outcome(() => httpsStatus('https://lb.internal', { ...base, headers: { host } })))
      })()
    `
    const { told, stderr } = await pinned({ policy, server, program, ca: root.pem, data: { odd } })
    assert.deepEqual(told, Array(odd.length).fill(UNSAFE), stderr)
    await server.settled()
    assert.equal(server.appBytes, 0)
  })

  for (const [first, then, expected] of /** @type {[string, string, string | number][]} */ ([
    ['api.example.com', 'free.example.com', MISMATCH],
    ['free.example.com', 'api.example.com', 200]
  ])) {
    test(`an option that answers ${first} is read once`, BOUNDED, async t => {
      // For the name read first alone: the other would be refused, if it were the one that counts.
      const server = await httpsServer({ cert: await leaf({ issuer: root, names: [first] }) })
      t.after(() => server.close())
      const program = `
        let reads = 0
        const options = { port, ca, lookup: kit.lookup, get host() { return reads++ ? DATA.then : DATA.first } }
        kit.outcome(() => kit.speak(tls.connect(options))).then(outcome => tell([outcome, reads]))
      `
      const data = { first, then }
      const { told, stderr } = await pinned({ policy, server, program, ca: root.pem, data })
      assert.deepEqual(told, [[expected, 1]], stderr)
      await server.settled()
      if (expected !== 200) assert.equal(server.appBytes, 0)
    })
  }
})

describe('after a change of policy the name that decides is decided again', () => {
  for (const [from, first] of /** @type {const} */ ([
    ['by the address', 'localhost'],
    ['by nothing', 'other.example']
  ])) {
    for (const next of ['api.example.com', 'localhost']) {
      test(`${from} before, now by ${next}`, BOUNDED, async t => {
        const cert = await leaf({ issuer: root, names: ['api.example.com', 'localhost'] })
        const server = await httpsServer({ cert, tls: /** @type {any} */ ({ keepAliveTimeout: PATIENCE }) })
        t.after(() => server.close())
        const policy = (/** @type {string} */ host, /** @type {string} */ pin) =>
          /** @type {any} */ ({ unlisted: 'allow', hosts: { [host]: pin } })
        const pins = new PinSet(policy(first, cert.pin))
        const connect = pinnedConnector(pins, { ca: root.pem })
        const client = new undici.Client(server.url, { connect, keepAliveTimeout: PATIENCE })
        t.after(() => client.destroy())
        const ask = async () => {
          const headers = { host: 'api.example.com' }
          await (await client.request({ method: 'GET', path: '/', headers })).body.dump()
        }
        await ask()
        const bytes = server.appBytes
        const closed = once(client, 'disconnect')
        pins.replace(policy(next, WRONG))
        await closed
        await assert.rejects(ask(), { code: MISMATCH })
        await server.settled()
        assert.equal(server.appBytes, bytes)
      })
    }
  }
})

describe('a copy of a pinned issuer without its constraint', () => {
  /** @type {any} */ let made

  // Below the pinned issuer there must be no further one. There is, and a root that Node trusts vouches for it as well.
  before(async () => {
    const stranger = await ca({ name: 'Stranger' })
    const issuer = await ca({ name: 'Pinned', pathLength: 0, issuer: await ca({ name: 'Other Root' }) })
    const { keyPair, subjectKeyId } = issuer
    const below = await ca({ name: 'Below', issuer })
    const trusted = await ca({ name: 'Below', issuer: root, keyPair: below.keyPair, subjectKeyId: below.subjectKeyId })
    // Leads from the trusted path to the other one, for who only follows names.
    const bridge = await ca({
      name: 'Bridge',
      subject: root.subject,
      subjectKeyId: root.subjectKeyId,
      issuer: { ...stranger, subject: below.subject, subjectKeyId: below.subjectKeyId }
    })
    const forged = await ca({ name: 'Pinned', subjectKeyId, keyPair, issuer: stranger })
    const cross = await ca({ name: 'Pinned', pathLength: 0, subjectKeyId, keyPair, issuer: root })
    made = { issuer, below, trusted, bridge, forged, cross }
  })

  for (const copy of ['issuer', 'forged']) {
    const title = copy === 'forged' ? 'is refused' : 'is not needed: the issuer itself is refused'
    for (const store of ['ca', 'NODE_EXTRA_CA_CERTS']) {
      test(`${title}, the root in ${store}`, BOUNDED, async t => {
        const { issuer, below, trusted, bridge, cross } = made
        const cert = await leaf({ issuer: below })
        const server = await httpsServer({ cert, chain: [trusted, bridge, below, made[copy]] })
        t.after(() => server.close())
        const honest = await httpsServer({ cert: await leaf({ issuer }), chain: [cross] })
        t.after(() => honest.close())
        assert.equal(await ask(store, server.url, issuer.pin), MISMATCH)
        await server.settled()
        assert.equal(server.appBytes, 0)
        assert.equal(await ask(store, honest.url, issuer.pin), 200)
        // The chain is one that Node accepts.
        assert.equal(await httpsStatus(server.url, { agent: false, ca: root.pem }), 200)
      })
    }
  }
})

/**
 * The status or the code of a request by PinnedAgent.
 * @param {string} store
 * @param {string} url
 * @param {string} pin
 * @returns {Promise<unknown>}
 */
async function ask(store, url, pin) {
  if (store === 'ca') {
    const agent = new PinnedAgent(pin, { ca: root.pem })
    return httpsStatus(url, { agent }).catch(error => error.code)
  }
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'root-'))
  const file = path.join(folder, 'root.pem')
  fs.writeFileSync(file, root.pem)
  const program = `
    const { PinnedAgent } = require(ROOT)
    const { httpsStatus } = require(ROOT + '/__test__/helpers/node-tls.js')
    httpsStatus(DATA.url, { agent: new PinnedAgent(DATA.pin) }).then(tell, error => tell(error.code))
  `
  try {
    const { told, stderr } = await inProcess(program, { url, pin }, { env: { NODE_EXTRA_CA_CERTS: file } })
    assert.equal(told.length, 1, stderr)
    return told[0]
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
}

/** @param {any} connector */
function checkOf({ checkServerIdentity: check }) {
  assert.equal(typeof check, 'function')
  return check
}

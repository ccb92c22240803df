'use strict'
// Promise: what is wrong with the options or the arguments is an Error with a code that says what to write, and it comes
// before one packet leaves. `new PinnedClient` throws it, `pinnedRequest` and `client.request` reject with it.

const assert = require('node:assert/strict')
const { after, before, describe, it } = require('node:test')
const { execFile } = require('node:child_process')
const { PinSet, PinnedClient, pinnedRequest, verifyChain } = require('..')
const { ca, leaf, pfx } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

/** @typedef {import('./helpers/pki').Certificate} Certificate */
/** @typedef {import('./helpers/servers').TlsTestServer} TlsTestServer */
/** @typedef {[name: string, options: () => any, code: string, message?: RegExp]} Row */

const LIMIT = { timeout: 60_000 }
const [TYPE, VALUE, INVALID, UNSAFE] = [
  'ERR_INVALID_ARG_TYPE',
  'ERR_INVALID_ARG_VALUE',
  'ERR_TLS_PIN_INVALID',
  'ERR_TLS_PIN_UNSAFE'
]
const TIMEOUTS = ['connectTimeout', 'handshakeTimeout', 'headersTimeout', 'bodyTimeout', 'keepAliveTimeout']
const GOOD = `sha256/${Buffer.alloc(32, 7).toString('base64')}`
const GARBAGE = Buffer.from('3003020101', 'hex')

/** @type {Certificate} */ let root
/** @type {Certificate} */ let stranger
/** @type {Certificate} */ let cert
/** Every bad input is meant for it, so that nothing ever connects. @type {TlsTestServer} */ let server
/** @type {PinnedClient} */ let client

before(async () => {
  root = await ca({ name: 'Root' })
  stranger = await ca({ name: 'Stranger' })
  cert = await leaf({ issuer: root, names: ['localhost', '__proto__', 'constructor', 'tostring'] })
  server = await httpsServer({ cert })
  client = new PinnedClient(good())
})

after(async () => {
  await client.close()
  await server.close()
})

/** @type {Row[]} */
const CLIENT_ROWS = [
  ['an option that is misspelled', () => ({ pin: GOOD }), VALUE, /unknown option pin; did you mean pins\?/],
  ['an option in another case', () => ({ serverName: 'x' }), VALUE, /did you mean servername\?/],
  ['an option that is like no other', () => ({ xyzzyxyzzy: 1 }), VALUE, /^unknown option xyzzyxyzzy$/],
  ['checkServerIdentity', () => ({ checkServerIdentity: () => undefined }), VALUE, /give pins/],
  ['agent', () => ({ agent: {} }), VALUE, /its own pool/],
  ['dispatcher', () => ({ dispatcher: {} }), VALUE, /its own pool/],
  ['secureContext', () => ({ secureContext: {} }), VALUE, /ca, cert and key/],
  ['timeout', () => ({ timeout: 5 }), VALUE, /connectTimeout/],
  ['host', () => ({ host: 'x' }), VALUE, /servername/],
  ['hostname', () => ({ hostname: 'x' }), VALUE, /servername/],
  ['an option named constructor', () => ({ constructor: 1 }), VALUE, /unknown option constructor/],
  ['an option named __proto__', () => JSON.parse('{"__proto__": 1}'), VALUE, /unknown option __proto__/],

  ['pins: undefined', () => ({ pins: undefined }), INVALID, /no pins; give at least one/],
  ['pins: null', () => ({ pins: null }), INVALID, /no pins/],
  ['an empty pin', () => ({ pins: '' }), INVALID, /^pins.*empty/],
  ['an empty list of pins', () => ({ pins: [] }), INVALID, /^pins: the list of pins is empty/],
  ['an empty shorthand', () => ({ pins: {} }), INVALID, /lists no hosts/],
  ['an empty policy', () => ({ pins: { version: 1, hosts: {} } }), INVALID, /lists no hosts/],
  ['a policy without hosts', () => ({ pins: { version: 1 } }), INVALID, /no `hosts`/],
  ['an empty entry', () => ({ pins: { 'a.example': {} } }), INVALID, /no pins/],
  ['an empty list in an entry', () => ({ pins: { 'a.example': { leaf: [] } } }), INVALID, /list of pins is empty/],
  ['a number for pins', () => ({ pins: 5 }), INVALID, /number is not a pin/],
  ['a function for pins', () => ({ pins: () => GOOD }), INVALID, /function is not a pin/],
  ['a symbol in pins', () => ({ pins: [Symbol('x')] }), INVALID, /pins\[0\]/],
  ['a hole in pins', () => ({ pins: Object.assign(new Array(3), { 0: GOOD, 2: GOOD }) }), INVALID, /pins\[1\]/],

  ['rejectUnauthorized: false', () => ({ rejectUnauthorized: false }), UNSAFE, /pin-only/],
  ['rejectUnauthorized: 0', () => ({ rejectUnauthorized: 0 }), UNSAFE],
  ['rejectUnauthorized: null', () => ({ rejectUnauthorized: null }), UNSAFE],
  ["rejectUnauthorized: 'true'", () => ({ rejectUnauthorized: 'true' }), UNSAFE],
  ['trust: another word', () => ({ trust: 'none' }), VALUE, /'ca' or 'pin-only'/],
  ['trust: null', () => ({ trust: null }), VALUE, /'ca' or 'pin-only'/],
  ['pin-only with ca', () => ({ trust: 'pin-only' }), UNSAFE],
  ['pin-only with crl', () => ({ trust: 'pin-only', ca: undefined, crl: 'x' }), UNSAFE],

  ['ca: text', () => ({ ca: 'not a certificate' }), VALUE, /ca\[0\] holds no certificate/],
  ['ca: a path', () => ({ ca: 'ca/ca.pem' }), VALUE, /ca must be the content of a file, not its path/],
  ['ca: a path in a list', () => ({ ca: [root.pem, 'C:\\ca.CRT'] }), VALUE, /ca\[1\] must be the content of a file/],
  ['key: a path', () => ({ cert: root.pem, key: './key.pem' }), VALUE, /key must be the content of a file/],
  ['ca: an empty text', () => ({ ca: '' }), VALUE, /ca\[0\] holds no certificate/],
  ['ca: DER', () => ({ ca: GARBAGE }), VALUE, /ca\[0\] holds a certificate that does not parse/],
  ['ca: PEM with broken base64', () => ({ ca: root.pem.replace('MII', 'M!I') }), VALUE, /ca\[0\] is not valid PEM/],
  ['ca: at its place in a list', () => ({ ca: [root.pem, root.der, 'x'] }), VALUE, /ca\[2\]/],
  ['ca: a key', () => ({ ca: root.key }), VALUE, /ca\[0\] holds no certificate/],
  ['ca: an empty list', () => ({ ca: [] }), VALUE, /ca is an empty list/],
  ['ca: null', () => ({ ca: null }), TYPE, /ca must be a string or bytes, not null/],
  ['ca: a number in a list', () => ({ ca: [root.pem, 5] }), TYPE, /ca\[1\]/],
  ['crl: text', () => ({ crl: 'x' }), VALUE, /crl\[0\]/],
  ['crl: DER', () => ({ crl: GARBAGE }), VALUE, /crl\[0\]/],
  ['crl: a certificate', () => ({ crl: [root.pem] }), VALUE, /crl\[0\]/],
  ['crl: an empty list', () => ({ crl: [] }), VALUE, /crl is an empty list/],

  ['key without cert', () => ({ key: cert.key }), VALUE, /key was given without cert/],
  ['cert without key', () => ({ cert: cert.pem }), VALUE, /cert was given without key/],
  ['the key of another certificate', () => ({ cert: cert.pem, key: root.key }), 'ERR_OSSL_X509_KEY_VALUES_MISMATCH'],
  ['a cert that does not parse', () => ({ cert: 'x', key: cert.key }), VALUE, /cert\[0\]/],
  ['a key that does not parse', () => ({ cert: cert.pem, key: 'x' }), 'ERR_OSSL_UNSUPPORTED', /key cannot be read/],
  ['a public key as key', () => ({ cert: cert.pem, key: cert.keyPair.publicKey }), VALUE],
  ['pfx beside cert', () => ({ pfx: archive(), cert: cert.pem }), VALUE, /either pfx, or cert and key/],
  ['pfx beside key', () => ({ pfx: archive(), key: cert.key }), VALUE, /either pfx, or cert and key/],
  ['pfx that does not parse', () => ({ pfx: GARBAGE, passphrase: 'x' }), VALUE, /pfx cannot be read/],
  ['a wrong passphrase', () => ({ pfx: archive(), passphrase: 'wrong' }), VALUE, /is the passphrase right/],
  ['a passphrase in bytes', () => ({ pfx: archive(), passphrase: Buffer.from('secret') }), TYPE, /passphrase/],
  ['a passphrase that is a number', () => ({ passphrase: 5 }), TYPE, /passphrase must be a string, not number/],

  ['servername: empty', () => ({ servername: '' }), VALUE, /servername.*empty/],
  ['servername: a URL', () => ({ servername: 'https://a.example' }), VALUE, /servername/],
  ['servername: with a port', () => ({ servername: 'a.example:443' }), VALUE, /servername/],
  ['servername: a wildcard', () => ({ servername: '*.a.example' }), VALUE, /servername/],
  ['servername: null', () => ({ servername: null }), TYPE, /servername/],
  ['servername: a huge one', () => ({ servername: 'a'.repeat(1 << 20) }), VALUE, /longer than 253/],
  ['minVersion: unknown', () => ({ minVersion: 'TLSv1.1' }), 'ERR_TLS_INVALID_PROTOCOL_VERSION', /minVersion/],
  ['maxVersion: unknown', () => ({ maxVersion: 'tls1.3' }), 'ERR_TLS_INVALID_PROTOCOL_VERSION', /maxVersion/],
  ['maxVersion: a number', () => ({ maxVersion: 1.3 }), TYPE, /maxVersion/],
  [
    'minVersion above maxVersion',
    () => ({ minVersion: 'TLSv1.3', maxVersion: 'TLSv1.2' }),
    'ERR_TLS_PROTOCOL_VERSION_CONFLICT'
  ],
  ...TIMEOUTS.flatMap(name => [-1, Number.NaN, 0.5, 2 ** 53, Infinity, '5', null].map(value => limit(name, value))),
  ...[-2, 0.5, Number.NaN, 2 ** 53, '1'].map(value => limit('maxResponseSize', value)),
  ...[-1, 1.5, 65_536, '1'].map(value => limit('connections', value)),
  ...[5, '4', -4, null].map(value => limit('family', value)),
  ['localAddress: a name', () => ({ localAddress: 'localhost' }), VALUE, /localAddress must be an IP address/],
  ['localAddress: a number', () => ({ localAddress: 5 }), TYPE, /localAddress/],
  ['allowH2: a number', () => ({ allowH2: 1 }), TYPE, /allowH2 must be true or false/]
]

describe('a client is not made with', LIMIT, () => {
  for (const [name, options, code, message] of CLIENT_ROWS) {
    it(name, async () => {
      const given = { ...good(), ...options() }
      const thrown = refusal(() => new PinnedClient(given))
      const rejected = await rejection(pinnedRequest(server.url, given))
      for (const error of [thrown, rejected]) check(error, code, message)
      assert.equal(server.connections, 0)
    })
  }

  for (const given of [undefined, null, {}, 'pins', 5, [GOOD], () => {}]) {
    it(`${JSON.stringify(given)} for options`, async () => {
      const code = given && !(typeof given === 'object' && !Array.isArray(given)) ? TYPE : INVALID
      check(
        refusal(() => new PinnedClient(/** @type {any} */ (given))),
        code
      )
      check(await rejection(pinnedRequest(server.url, /** @type {any} */ (given))), code)
      assert.equal(server.connections, 0)
    })
  }

  for (const [at, size] of [
    [0, 1],
    [1, 3],
    [99, 100]
  ]) {
    it(`a malformed pin at position ${at} of ${size}`, () => {
      const pins = Array.from({ length: size }, (_, index) => (index === at ? 'sha256/AAAA' : GOOD))
      const error = refusal(() => new PinnedClient({ pins }))
      check(error, INVALID, /^pins\[\d+\]: the digest has 3 bytes/)
      assert.equal(/** @type {any} */ (error).place, `pins[${at}]`)
    })
  }

  // What JSON.stringify itself would throw has no code.
  for (const [name, given] of /** @type {[string, () => any][]} */ ([
    ['a BigInt for a timeout', () => ({ connectTimeout: 10n })],
    ['a BigInt in a policy', () => ({ pins: { version: 1n, hosts: { 'a.example': GOOD } } })],
    ['a cycle in a policy', () => ({ pins: { hosts: { 'a.example': { pins: GOOD, expires: cycle() } } } })]
  ])) {
    it(`${name}: has a code`, async () => {
      const error = await rejection(pinnedRequest(server.url, { ...good(), ...given() }))
      assert.ok(/** @type {any} */ (error).code, String(error))
    })
  }
})

describe('pinnedRequest keeps apart what was', LIMIT, () => {
  // In JSON every ArrayBuffer is `{}`, and the second call would run on the first one's trust anchors.
  it('given as another ArrayBuffer', async t => {
    const own = await httpsServer({ cert })
    t.after(() => own.close())
    const pins = [cert.pin, GOOD]
    assert.equal((await pinnedRequest(own.url, { pins, ca: arrayBuffer(root.der) })).status, 200)
    const error = await rejection(pinnedRequest(own.url, { pins, ca: arrayBuffer(stranger.der) }))
    check(error, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
  })

  // In JSON all three are `null`, and what is refused alone would pass after a call without it.
  for (const [name, value, code] of /** @type {[string, any, string][]} */ ([
    ['rejectUnauthorized', null, UNSAFE],
    ['connectTimeout', Number.NaN, VALUE],
    ['servername', null, TYPE]
  ])) {
    it(`${name}: undefined, and ${value}`, async t => {
      const own = await httpsServer({ cert })
      t.after(() => own.close())
      const options = { ...good(), pins: [cert.pin, GOOD], [name]: undefined }
      assert.equal((await pinnedRequest(own.url, options)).status, 200)
      check(await rejection(pinnedRequest(own.url, { ...options, [name]: value })), code)
    })
  }
})

/** @type {[name: string, url: any, code: string, message?: RegExp][]} */
const URLS = [
  ['http:', 'http://localhost/', 'ERR_INVALID_PROTOCOL', /^http:\/\/localhost is not an https: URL/],
  ['a host and port', 'localhost:8443', 'ERR_INVALID_PROTOCOL', /^localhost:8443 is not an https: URL/],
  ['wss:', 'wss://localhost/', 'ERR_INVALID_PROTOCOL'],
  ['data:', 'data:text/plain,x', 'ERR_INVALID_PROTOCOL'],
  ['no host', 'https://', 'ERR_INVALID_URL'],
  ['no scheme', 'localhost', 'ERR_INVALID_URL', /not a URL: localhost/],
  ['nothing', '', 'ERR_INVALID_URL'],
  ['a port out of range', 'https://localhost:65536/', 'ERR_INVALID_URL'],
  ['a blank in the host', 'https://a b/', 'ERR_INVALID_URL'],
  ['an open bracket', 'https://[::1/', 'ERR_INVALID_URL'],
  ['an empty label', 'https://a..b/', VALUE, /empty label/],
  ['a huge host', `https://${'a'.repeat(1 << 20)}/`, VALUE, /longer than 253/],
  ['a user', 'https://user@localhost/', 'ERR_INVALID_URL', /authorization header/],
  ['a password', 'https://user:secret@localhost/', 'ERR_INVALID_URL', /^(?!.*secret)/],
  ['a URL object of http:', new URL('http://localhost/'), 'ERR_INVALID_PROTOCOL'],
  ...[undefined, null, 5, true, Symbol('url'), {}, [], () => {}, Buffer.from('https://localhost')].map(
    value => /** @type {any} */ ([`${typeof value} ${String(value)}`, value, TYPE, /url must be a string or a URL/])
  )
]

describe('a request is not sent to', LIMIT, () => {
  for (const [name, url, code, message] of URLS) {
    it(name, async () => {
      check(await rejection(client.request(url)), code, message)
      const error = await rejection(pinnedRequest(url, good()))
      check(error, code, message)
      assert.ok(error.message.length < 500)
      assert.equal(server.connections, 0)
    })
  }
})

/** @type {Row[]} */
const REQUEST_ROWS = [
  ['an option that is misspelled', () => ({ header: {} }), VALUE, /did you mean headers\?/],
  ['an option of the client', () => ({ servername: 'x' }), VALUE, /unknown option servername/],
  ['timeout', () => ({ timeout: 5 }), VALUE, /or a signal/],
  ['dispatcher', () => ({ dispatcher: {} }), VALUE, /its own pool/],
  ...['', 'GE T', 'GET\r\nX: y', 'GÉT', 5, null, Symbol('x'), {}, ['GET', 'x']].map(
    method => /** @type {Row} */ ([`method ${String(method)}`, () => ({ method }), VALUE, /method must be a token/])
  ),
  ...['CONNECT', 'connect'].map(method => /** @type {Row} */ ([method, () => ({ method }), VALUE, /tunnel/])),
  ...[5, true, {}, () => {}, Symbol('x'), 5n, Object.create(null)].map(
    body => /** @type {Row} */ ([`a body of type ${typeof body}`, () => send(body), TYPE, /body cannot be/])
  ),
  ['a locked stream', () => send(locked()), 'ERR_INVALID_STATE', /used already/],
  ['a stream that was read', () => send(destroyed()), 'ERR_INVALID_STATE', /used already/],
  ...['', 'a b', 'a:b', 'a\r\nb', 'a\0', 'é', 'a\u{100}'].map(name =>
    row(`the header name ${JSON.stringify(name)}`, { [name]: 'x' }, VALUE, /is not a header name/)
  ),
  ...['a\nb', 'a\rb', 'a\r\nx: y', 'a\0', 'a\x7f', '\u{100}', 'ключ', '😀'].flatMap(value => [
    row(`the header value ${JSON.stringify(value)}`, { 'x-a': value }, 'ERR_INVALID_CHAR', /header x-a/),
    row(`the header value ${JSON.stringify(value)} in a list`, { 'x-a': ['b', value] }, 'ERR_INVALID_CHAR'),
    row(`the header value ${JSON.stringify(value)}, flat`, ['x-a', value], 'ERR_INVALID_CHAR'),
    row(`the header value ${JSON.stringify(value)}, in pairs`, [['x-a', value]], 'ERR_INVALID_CHAR')
  ]),
  ...['Connection', 'keep-alive', 'Proxy-Connection', 'Transfer-Encoding', 'UPGRADE', 'te'].map(name =>
    row(`the header ${name}`, { [name]: 'x' }, VALUE, /belongs to the connection/)
  ),
  ...['2', '4', '-3', '3.0', '0x3', '', 'three', '3, 3'].map(
    length =>
      /** @type {Row} */ ([
        `content-length ${JSON.stringify(length)} of 3`,
        () => ({ method: 'POST', body: 'abc', headers: { 'Content-Length': length } }),
        'ERR_HTTP_CONTENT_LENGTH_MISMATCH',
        /the body has 3 bytes/
      ])
  ),
  row('content-length without a body', { 'content-length': '5' }, 'ERR_HTTP_CONTENT_LENGTH_MISMATCH'),
  row('a header without a value', ['a', 'b', 'c'], VALUE, /a name without a value/),
  row('a header whose name is a number', [5, 'b'], VALUE, /not a header name/),
  ...[5, 'a: b', true, Symbol('x')].map(given =>
    row(`headers of type ${typeof given}`, given, TYPE, /headers must be/)
  ),
  ...['x', 5, {}, []].map(
    signal =>
      /** @type {Row} */ ([`signal ${String(signal)}`, () => ({ signal }), TYPE, /signal must be an AbortSignal/])
  )
]

describe('a request is not sent with', LIMIT, () => {
  for (const [name, options, code, message] of REQUEST_ROWS) {
    it(name, async () => {
      check(await rejection(client.request(server.url, options())), code, message)
      const known = Object.keys(options()).every(key => key !== 'servername')
      if (known) check(await rejection(pinnedRequest(server.url, { ...good(), ...options() })), code, message)
      assert.equal(server.connections, 0)
    })
  }

  for (const options of /** @type {any[]} */ ([null, 'x', 5, []])) {
    it(`${JSON.stringify(options)} for options`, async () => {
      check(await rejection(client.request(server.url, options)), TYPE, /options must be a plain object/)
    })
  }

  it('a client that is closed', async () => {
    const closed = new PinnedClient(good())
    await closed.close()
    await closed.close()
    check(await rejection(closed.request(server.url)), 'ERR_INVALID_STATE', /has been closed/)
    assert.equal(server.connections, 0)
  })

  // BUG: `aborted` is not looked at: an EventTarget, which never aborts, passes for a signal.
  for (const signal of /** @type {any[]} */ ([new EventTarget(), new (require('node:events').EventEmitter)()])) {
    it(`a signal that is an ${signal.constructor.name}`, async () => {
      check(await rejection(client.request('https://127.0.0.1:1/', { signal })), TYPE, /must be an AbortSignal/)
    })
  }

  // Where the engine would throw a TypeError of its own, without a code.
  for (const [name, options] of /** @type {[string, () => any][]} */ ([
    ['null among pairs', () => ({ headers: [['a', 'b'], null] })],
    ['a number from an iterable of headers', () => ({ headers: new Set([1]) })],
    ['a header value that is no text', () => ({ headers: { a: Object.create(null) } })],
    ['a method that is no text', () => ({ method: Object.create(null) })]
  ])) {
    it(`${name}: has a code`, async () => {
      const error = await rejection(client.request('https://127.0.0.1:1/', options()))
      assert.match(String(/** @type {any} */ (error).code), /^ERR_INVALID_/, String(error))
    })
  }

  // Not dropped without a word: the request would be another than was meant.
  for (const headers of /** @type {any[]} */ ([[['a', 'b'], 'c'], [['a', 'b'], 5], [['a']], [['a', 'b', 'c']]])) {
    it(`headers ${JSON.stringify(headers)}`, async () => {
      const error = await rejection(client.request('https://127.0.0.1:1/', { headers }))
      assert.match(String(/** @type {any} */ (error).code), /^ERR_INVALID_/, String(error))
    })
  }
})

describe('a hostile object', LIMIT, () => {
  const hostile = () => new Error('hostile')
  const proxy = () => new Proxy({}, { get: fail, has: fail, ownKeys: fail, getPrototypeOf: fail })
  const revoked = () => {
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    return proxy
  }
  const trap = (/** @type {string} */ name) => Object.defineProperty({}, name, { enumerable: true, get: fail })

  for (const make of [proxy, revoked]) {
    it(`a ${make.name} one in the place of anything is an error, no more`, async () => {
      const names = ['pins', 'ca', 'crl', 'cert', 'key', 'pfx', 'servername', 'trust', 'connectTimeout', 'family']
      assert.throws(() => new PinnedClient(make()))
      await rejection(pinnedRequest(make(), good()))
      await rejection(pinnedRequest(server.url, make()))
      await rejection(client.request(server.url, make()))
      for (const name of names) {
        assert.throws(() => new PinnedClient({ ...good(), [name]: make() }), name)
        await rejection(pinnedRequest(server.url, { ...good(), [name]: make() }))
      }
      for (const name of ['method', 'headers', 'body', 'signal']) {
        await rejection(client.request(server.url, { [name]: make() }))
      }
      for (const pins of [[make()], { hosts: make() }, { 'a.example': make() }, { 'a.example': { pins: make() } }]) {
        assert.throws(() => new PinSet(pins))
      }
      assert.equal(server.connections, 0)
    })
  }

  it('a getter that throws is an error, no more', async () => {
    for (const name of ['pins', 'ca', 'servername', 'connectTimeout', 'method', 'headers', 'body', 'signal']) {
      await rejection(pinnedRequest(server.url, Object.defineProperties(trap(name), describeAll(good(), name))))
    }
    for (const name of ['method', 'headers', 'body', 'signal']) await rejection(client.request(server.url, trap(name)))
    assert.equal(server.connections, 0)
  })

  it('names of the object prototype are hosts like any other', async t => {
    const own = await httpsServer({ cert })
    t.after(() => own.close())
    for (const servername of ['__proto__', 'constructor', 'toString']) {
      const pins = JSON.parse(`{ "${servername}": ["${cert.pin}"] }`)
      const named = new PinnedClient({ pins, ca: root.pem, servername })
      t.after(() => named.close())
      assert.equal((await named.request(own.url)).status, 200)
      assert.equal(named.pins.match(servername)?.pattern, servername.toLowerCase())
      const unlisted = new PinnedClient({ pins: { 'a.example': cert.pin }, ca: root.pem, servername })
      t.after(() => unlisted.close())
      check(await rejection(unlisted.request(own.url)), 'ERR_TLS_PIN_UNLISTED')
      assert.equal(unlisted.pins.match(servername), null)
    }
    assert.equal(own.requests.length, 3)
  })

  it('a polluted prototype adds no option to a client', async () => {
    const error = await polluted('pins', [cert.pin], () => refusal(() => new PinnedClient({ ca: root.pem })))
    check(error, INVALID, /no pins/)
    const garbage = await polluted('ca', 'x', () => new PinnedClient({ pins: GOOD }))
    await garbage.close()
  })

  it('a polluted prototype adds no pin to an entry', async () => {
    const json = await polluted('leaf', [cert.pin], () => new PinSet({ 'a.example': { pins: GOOD } }).toJSON())
    assert.deepEqual(json.hosts, { 'a.example': { pins: [GOOD] } })
  })

  it('a polluted prototype adds no anchor to verifyChain', async () => {
    const chain = { chain: cert.pem, hostname: 'localhost', pins: cert.pin }
    assert.throws(() => verifyChain(chain), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' })
    await polluted('ca', root.pem, () => assert.throws(() => verifyChain(chain)))
  })

  // A request that fails half-way into the batch must leave nothing of itself there: the next flush could not read it.
  it('more headers than a request can hold is an error of that request alone', async () => {
    const { code, stdout } = await run(`
      const headers = Array.from({ length: 70000 }, (_, i) => ['x-' + i, 'v'])
      const error = await client.request(url, { headers }).catch(error => error)
      const next = await client.request(url).catch(error => error)
      console.log(error.code, next.code)`)
    assert.match(stdout, /^ERR_\w+ ECONNREFUSED$/m)
    assert.equal(code, 0)
  })

  it('a signal whose addEventListener throws does not keep the process alive', async () => {
    const { code, stdout } = await run(`
      const signal = { aborted: false, addEventListener() { throw new Error('hostile') }, removeEventListener() {} }
      const error = await client.request(url, { signal }).catch(error => error)
      console.log(error.message)`)
    assert.equal(stdout.trim(), 'hostile')
    assert.equal(code, 0, 'exits by itself')
  })

  function fail() {
    throw hostile()
  }
})

describe('the server of all the above', LIMIT, () => {
  it('never saw a connection until a good request comes', async () => {
    assert.equal(server.connections, 0)
    assert.equal(await (await client.request(server.url)).text(), 'ok')
    assert.deepEqual([server.connections, server.requests.length], [1, 1])
  })
})

function good() {
  return { pins: cert.pin, ca: root.pem }
}

function archive() {
  return pfx({ cert, passphrase: 'secret' })
}

/**
 * What `act` makes of a world in which every object has one more property.
 * @param {string} name
 * @param {any} value
 * @param {() => any} act
 */
async function polluted(name, value, act) {
  Object.defineProperty(Object.prototype, name, { value, configurable: true, writable: true })
  try {
    return await act()
  } finally {
    delete (/** @type {any} */ (Object.prototype)[name])
  }
}

/** @param {string} name @param {any} value @returns {Row} */
function limit(name, value) {
  const message = new RegExp(`^${name} must be`)
  return [`${name}: ${typeof value} ${value}`, () => ({ [name]: value }), VALUE, message]
}

/** @param {string} name @param {any} headers @param {string} code @param {RegExp} [message] @returns {Row} */
function row(name, headers, code, message) {
  return [name, () => ({ headers }), code, message]
}

/** @param {any} body */
function send(body) {
  return { method: 'POST', body }
}

function locked() {
  const stream = new Blob(['x']).stream()
  stream.getReader()
  return stream
}

function destroyed() {
  const { Readable } = require('node:stream')
  return Readable.from(['x']).destroy()
}

function cycle() {
  const self = {}
  return Object.assign(self, { self })
}

/** @param {Buffer} bytes */
function arrayBuffer(bytes) {
  return /** @type {ArrayBuffer} */ (new Uint8Array(bytes).buffer)
}

/** @param {object} options @param {string} except */
function describeAll(options, except) {
  const { [except]: _, ...rest } = Object.getOwnPropertyDescriptors(/** @type {any} */ (options))
  return rest
}

/** @param {unknown} error @param {string} code @param {RegExp} [message] */
function check(error, code, message = /./) {
  assert.ok(error instanceof Error, `an Error, not ${String(error)}`)
  assert.equal(/** @type {any} */ (error).code, code, error.message)
  assert.match(error.message, message)
}

/** @param {() => unknown} act @returns {Error} */
function refusal(act) {
  try {
    act()
  } catch (error) {
    return /** @type {Error} */ (error)
  }
  assert.fail('nothing was thrown')
}

/** @param {Promise<any>} promise @returns {Promise<Error>} */
async function rejection(promise) {
  assert.ok(promise instanceof Promise)
  return promise.then(
    () => assert.fail('it was accepted'),
    error => error
  )
}

/**
 * Runs a program that has a `client` and a `url` nobody listens at, and is given up on after a while.
 * @param {string} body
 * @returns {Promise<{ code: number | string | null, stdout: string }>}
 */
function run(body) {
  const program = `
    const { PinnedClient } = require(${JSON.stringify(require.resolve('..'))})
    const client = new PinnedClient({ pins: ${JSON.stringify(GOOD)} })
    const url = 'https://127.0.0.1:1/'
    ;(async () => {${body}
      await client.close()
    })()`
  return new Promise(resolve => {
    execFile(process.execPath, ['-e', program], { timeout: 8_000 }, (error, stdout) => {
      resolve({ code: error ? (error.code ?? error.signal ?? null) : 0, stdout })
    })
  })
}

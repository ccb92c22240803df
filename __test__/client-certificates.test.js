'use strict'
// The promise: a client certificate is taken in every form that Node's `tls` takes it, is what the server gets, and one that
// cannot work is refused when the client is made, not when the first request fails.

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const https = require('node:https')
const { before, describe, test } = require('node:test')
const { PinnedClient, pinnedRequest } = require('..')
const { ca, leaf, pfx } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')

const PASSPHRASE = 'pässphrase'
const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])

/** @typedef {Awaited<ReturnType<typeof leaf>>} Certificate */
/** @type {Record<'root' | 'cert' | 'users' | 'between' | 'user' | 'rsa' | 'deep' | 'stranger', Certificate>} */
const made = /** @type {any} */ ({})

before(async () => {
  made.root = await ca({ name: 'Root' })
  made.cert = await leaf({ issuer: made.root })
  made.users = await ca({ name: 'Users' })
  made.between = await ca({ name: 'Between', issuer: made.users })
  made.user = await leaf({ issuer: made.users, names: ['user.example'], clientAuth: true })
  made.rsa = await leaf({ issuer: made.users, names: ['user.example'], clientAuth: true, key: 'rsa2048' })
  made.deep = await leaf({ issuer: made.between, names: ['user.example'], clientAuth: true })
  made.stranger = await leaf({ selfSigned: true, names: ['user.example'], clientAuth: true })
})

/** @type {Record<string, { of?: 'user' | 'rsa' | 'deep', options: (certificate: Certificate) => object }>} */
const FORMS = {
  'PEM text': { options: ({ pem, key }) => ({ cert: pem, key }) },
  'PEM bytes': { options: ({ pem, key }) => ({ cert: Buffer.from(pem), key: Buffer.from(key) }) },
  'DER, PKCS#8': { options: ({ der, keyDer }) => ({ cert: der, key: keyDer }) },
  'DER, SEC1': { options: given => ({ cert: given.der, key: exported(given, { type: 'sec1', format: 'der' }) }) },
  'DER, PKCS#1': {
    of: 'rsa',
    options: given => ({ cert: given.der, key: exported(given, { type: 'pkcs1', format: 'der' }) })
  },
  'PEM, SEC1': { options: given => ({ cert: given.pem, key: exported(given, { type: 'sec1', format: 'pem' }) }) },
  'PEM, PKCS#1': {
    of: 'rsa',
    options: given => ({ cert: given.pem, key: exported(given, { type: 'pkcs1', format: 'pem' }) })
  },
  'a KeyObject': { options: ({ pem, keyPair }) => ({ cert: pem, key: keyPair.privateKey }) },
  'an encrypted key, PEM': {
    options: given => ({ cert: given.pem, key: encrypted(given, 'pem'), passphrase: PASSPHRASE })
  },
  'an encrypted key, DER': {
    options: given => ({ cert: given.der, key: encrypted(given, 'der'), passphrase: PASSPHRASE })
  },
  'a chain in one PEM': { of: 'deep', options: ({ pem, key }) => ({ cert: pem + made.between.pem, key }) },
  'a chain as a list': { of: 'deep', options: ({ pem, key }) => ({ cert: [pem, made.between.pem], key }) },
  'a chain in DER': { of: 'deep', options: ({ der, key }) => ({ cert: [der, made.between.der], key }) },
  'a PFX': { options: cert => ({ pfx: pfx({ cert, passphrase: PASSPHRASE }), passphrase: PASSPHRASE }) },
  'a PFX without a passphrase': { options: cert => ({ pfx: pfx({ cert, passphrase: '' }) }) },
  'a PFX with a chain': {
    of: 'deep',
    options: cert => ({ pfx: pfx({ cert, chain: [made.between], passphrase: PASSPHRASE }), passphrase: PASSPHRASE })
  }
}

for (const version of VERSIONS) {
  describe(`taken and sent over ${version}`, () => {
    for (const [form, { of = 'user', options }] of Object.entries(FORMS)) {
      test(form, async t => {
        const server = await serverOf(t, { maxVersion: version, minVersion: version })
        const response = await clientOf(t, options(made[of])).request(server.url)
        assert.equal(await response.text(), 'ok')
        assert.equal(response.tls.protocol, version)
        assert.equal(server.requests[0]?.clientCert, made[of].fingerprint256)
      })
    }

    test('a server that needs one and gets none refuses, with the code that OpenSSL has', async t => {
      const server = await serverOf(t, { maxVersion: version, minVersion: version })
      const error = await clientOf(t)
        .request(server.url)
        .catch(error => error)
      assert.equal(error.code, await nodeCode(server))
      assert.equal(server.requests.length, 0)
    })

    test('one of an unknown CA is refused by the server', async t => {
      const server = await serverOf(t, { maxVersion: version, minVersion: version })
      const { pem: cert, key } = made.stranger
      const code = await nodeCode(server, { cert, key })
      await assert.rejects(clientOf(t, { cert, key }).request(server.url), { code })
      assert.equal(server.requests.length, 0)
    })

    test('is not shown to a server whose pin does not match', async t => {
      const server = await serverOf(t, { maxVersion: version, minVersion: version, rejectUnauthorized: false })
      const { pem, key } = made.user
      const client = clientOf(t, { cert: pem, key, pins: `sha256/${Buffer.alloc(32, 7).toString('base64')}` })
      await assert.rejects(client.request(server.url), { code: 'ERR_TLS_PIN_MISMATCH' })
      await server.settled()
      assert.deepEqual([server.handshakes, server.appBytes], [0, 0])
    })
  })
}

test('a server that asks for one and does not need it is content with none', async t => {
  const server = await serverOf(t, { rejectUnauthorized: false })
  assert.equal((await clientOf(t).request(server.url)).status, 200)
  assert.equal(server.requests[0]?.clientCert, undefined)
})

test('a server that does not ask gets none', async t => {
  const server = await httpsServer({ cert: made.cert })
  t.after(() => server.close())
  const { pem, key } = made.user
  assert.equal((await clientOf(t, { cert: pem, key }).request(server.url)).status, 200)
  assert.equal(server.requests[0]?.clientCert, undefined)
})

test('requests with different certificates never share a connection', async t => {
  const server = await serverOf(t)
  const options = { pins: made.cert.pin, ca: made.root.pem }
  for (const { pem, key } of [made.user, made.rsa, made.user]) {
    await (await pinnedRequest(server.url, { ...options, cert: pem, key })).text()
  }
  const expected = [made.user, made.rsa, made.user].map(({ fingerprint256 }) => fingerprint256)
  assert.deepEqual(
    server.requests.map(({ clientCert }) => clientCert),
    expected
  )
  assert.equal(server.handshakes, 2)
})

describe('refused when the client is made', () => {
  /** @type {Record<string, { options: () => object, code: RegExp }>} */
  const refusals = {
    'a key without a certificate': { options: () => ({ key: made.user.key }), code: /^ERR_INVALID_ARG_VALUE$/ },
    'a certificate without a key': { options: () => ({ cert: made.user.pem }), code: /^ERR_INVALID_ARG_VALUE$/ },
    'a PFX beside a key': {
      options: () => ({ pfx: Buffer.alloc(1), key: made.user.key }),
      code: /^ERR_INVALID_ARG_VALUE$/
    },
    'a pair that does not match': {
      options: () => ({ cert: made.user.pem, key: made.rsa.key }),
      code: /^ERR_OSSL_X509_KEY_(VALUES|TYPE)_MISMATCH$/
    },
    'a pair of the same type that does not match': {
      options: () => ({ cert: made.user.pem, key: made.deep.key }),
      code: /^ERR_OSSL_X509_KEY_VALUES_MISMATCH$/
    },
    'a wrong passphrase': {
      options: () => ({ cert: made.user.pem, key: encrypted(made.user, 'pem'), passphrase: 'wrong' }),
      code: /^ERR_OSSL_/
    },
    'an encrypted key without a passphrase': {
      options: () => ({ cert: made.user.pem, key: encrypted(made.user, 'pem') }),
      code: /^ERR_(OSSL_|MISSING_PASSPHRASE$)/
    },
    'a public key': {
      options: () => ({ cert: made.user.pem, key: made.user.keyPair.publicKey }),
      code: /^ERR_INVALID_ARG_/
    },
    'a secret key': {
      options: () => ({ cert: made.user.pem, key: crypto.createSecretKey(Buffer.alloc(32)) }),
      code: /^ERR_INVALID_ARG_/
    },
    'a certificate that is none': {
      options: () => ({ cert: 'nonsense', key: made.user.key }),
      code: /^ERR_INVALID_ARG_VALUE$/
    },
    'a broken certificate': {
      options: () => ({ cert: made.user.der.subarray(0, 99), key: made.user.key }),
      code: /^ERR_INVALID_ARG_VALUE$/
    },
    'an empty list of certificates': {
      options: () => ({ cert: [], key: made.user.key }),
      code: /^ERR_INVALID_ARG_VALUE$/
    },
    'a key that is none': { options: () => ({ cert: made.user.pem, key: 'nonsense' }), code: /^ERR_/ },
    'a passphrase that is no text': {
      options: () => ({ cert: made.user.pem, key: made.user.key, passphrase: 7 }),
      code: /^ERR_INVALID_ARG_/
    },
    'a PFX with a wrong passphrase': {
      options: () => ({ pfx: pfx({ cert: made.user, passphrase: PASSPHRASE }), passphrase: 'wrong' }),
      code: /^ERR_/
    },
    'a PFX that is none': { options: () => ({ pfx: Buffer.from('nonsense') }), code: /^ERR_/ }
  }
  for (const [what, { options, code }] of Object.entries(refusals)) {
    test(what, () => {
      const base = { pins: made.cert.pin, ca: made.root.pem }
      assert.throws(() => new PinnedClient({ ...base, ...options() }), { code })
    })
  }
})

/**
 * @param {Certificate} certificate
 * @param {any} options
 */
function exported({ keyPair }, options) {
  return keyPair.privateKey.export(options)
}

/**
 * @param {Certificate} certificate
 * @param {'pem' | 'der'} format
 */
function encrypted(certificate, format) {
  return exported(certificate, { type: 'pkcs8', format, cipher: 'aes-256-cbc', passphrase: PASSPHRASE })
}

/**
 * A server that needs a certificate of `users`.
 * @param {any} t
 * @param {object} [options]
 */
async function serverOf(t, options) {
  const server = await httpsServer({ cert: made.cert, ca: [made.users], ...options })
  t.after(() => server.close())
  return server
}

/**
 * @param {any} t
 * @param {object} [options]
 */
function clientOf(t, options) {
  const client = new PinnedClient({ pins: made.cert.pin, ca: made.root.pem, ...options })
  t.after(() => client.destroy())
  return client
}

/**
 * The code that Node's own client ends with. During a handshake it may say EPROTO alone, and OpenSSL's reason in the message.
 * @param {{ port: number }} server
 * @param {object} [options]
 * @returns {Promise<string | undefined>}
 */
function nodeCode({ port }, options) {
  return new Promise(resolve => {
    const request = https.get({
      host: '127.0.0.1',
      servername: 'localhost',
      port,
      ca: made.root.pem,
      agent: false,
      ...options
    })
    request.on('response', response => resolve(`answered ${response.statusCode}`))
    request.on('error', error => {
      const [, reason] = /:SSL routines:[^:]*:([^:]+):/.exec(error.message) ?? []
      const { code } = /** @type {NodeJS.ErrnoException} */ (error)
      resolve(reason ? `ERR_SSL_${reason.toUpperCase().replaceAll(' ', '_')}` : code)
    })
  })
}

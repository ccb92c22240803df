'use strict'
// The same answers as OpenSSL's own tools give: keys, certificates and archives that `openssl` makes, the pins that it
// computes, and `openssl s_server` at the other end. Needs `openssl` on the PATH.

const assert = require('node:assert/strict')
const { execFileSync, spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { parsePin, pinOf, pinnedRequest } = require('../..')

const KEYS = {
  'P-256': ['EC', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  'P-384': ['EC', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  'RSA-2048': ['RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
  Ed25519: ['ed25519'],
  'RSA-PSS': ['RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048']
}
const REAL = Object.keys(KEYS).filter(name => name !== 'RSA-PSS')

/** @type {string} */
let folder

/** @param {string} name */
const file = name => path.join(folder, name)

/** @param {string[]} args @param {import('node:child_process').ExecFileSyncOptions} [options] */
function openssl(args, options) {
  return execFileSync('openssl', args, { cwd: folder, stdio: ['pipe', 'pipe', 'pipe'], ...options })
}

/**
 * Makes `NAME.key` and `NAME.pem`, signed by the CA.
 * @param {string} name
 * @param {string} san
 */
function issue(name, san = 'DNS:localhost') {
  openssl([
    'genpkey',
    '-algorithm',
    ...(KEYS[/** @type {keyof KEYS} */ (name)] ?? KEYS['P-256']),
    '-out',
    `${name}.key`
  ])
  openssl(['req', '-new', '-key', `${name}.key`, '-subj', `/CN=${name}`, '-out', `${name}.csr`])
  fs.writeFileSync(file(`${name}.ext`), `subjectAltName=${san}\nbasicConstraints=critical,CA:FALSE\n`)
  const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', `${name}.ext`]
  openssl(['x509', '-req', '-in', `${name}.csr`, ...signed, '-out', `${name}.pem`])
}

/**
 * The pin as the documentation of half the world computes it, with openssl alone.
 * @param {string} name
 */
function pinByOpenssl(name) {
  const publicKey = openssl(['x509', '-in', `${name}.pem`, '-pubkey', '-noout'])
  const der = openssl(['pkey', '-pubin', '-outform', 'der'], { input: publicKey })
  return `sha256/${openssl(['dgst', '-sha256', '-binary'], { input: der }).toString('base64')}`
}

/** @param {string} pin */
function flipped(pin) {
  const digest = parsePin(pin).digest
  digest[7] ^= 1
  return `sha256/${digest.toString('base64')}`
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {net.AddressInfo} */ (server.address())
  server.close()
  await once(server, 'close')
  return port
}

/**
 * `openssl s_server`. With `-www` it answers like a web server; without, it prints what it receives.
 * @param {string} name
 * @param {string[]} args
 * @param {(url: string, received: () => string) => Promise<void>} use
 */
async function serving(name, args, use) {
  const port = await freePort()
  const fixed = ['s_server', '-accept', `127.0.0.1:${port}`, '-cert', `${name}.pem`, '-key', `${name}.key`]
  const server = spawn('openssl', [...fixed, ...args], { cwd: folder, stdio: ['pipe', 'pipe', 'pipe'] })
  let received = ''
  server.stdout.setEncoding('latin1').on('data', text => {
    received += text
  })
  server.stderr.resume()
  try {
    await listening(port)
    await use(`https://localhost:${port}/`, () => received)
  } finally {
    server.kill()
    await once(server, 'exit')
  }
}

/** @param {number} port */
async function listening(port) {
  for (;;) {
    const socket = net.connect(port, '127.0.0.1')
    const open = await new Promise(resolve => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
    socket.destroy()
    if (open) return
    await new Promise(resolve => setImmediate(resolve))
  }
}

before(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-'))
  openssl(['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', 'ca.key'])
  openssl(['req', '-x509', '-key', 'ca.key', '-subj', '/CN=Test CA', '-days', '3', '-out', 'ca.pem'])
  for (const name of [...Object.keys(KEYS), 'client']) issue(name)
})

after(() => fs.rmSync(folder, { recursive: true }))

const read = (/** @type {string} */ name) => fs.readFileSync(file(name))

describe('s_server with the pin that openssl computes', () => {
  for (const name of REAL) {
    for (const version of ['-tls1_2', '-tls1_3']) {
      test(`${name} ${version}: accepted, and refused with one bit flipped`, async () => {
        const pin = pinByOpenssl(name)
        assert.equal(String(pinOf(read(`${name}.pem`))), pin)
        await serving(name, [version, '-www'], async url => {
          const response = await pinnedRequest(url, { pins: [pin], ca: read('ca.pem') })
          assert.equal(response.status, 200)
          assert.equal(response.tls.matched, pin)
          assert.match(await response.text(), /s_server/)
        })
        await serving(name, [version, '-quiet'], async (url, received) => {
          const refused = pinnedRequest(url, { pins: [flipped(pin)], ca: read('ca.pem') })
          await assert.rejects(refused, error => {
            assert.equal(/** @type {any} */ (error).code, 'ERR_TLS_PIN_MISMATCH')
            assert.ok(/** @type {Error} */ (error).message.includes(pin))
            return true
          })
          assert.equal(received(), '')
        })
      })
    }
  }

  test('an RSA-PSS key is refused with a message that says so', async () => {
    await serving('RSA-PSS', ['-quiet'], async (url, received) => {
      const refused = pinnedRequest(url, { pins: [pinByOpenssl('RSA-PSS')], ca: read('ca.pem') })
      await assert.rejects(refused, { code: 'UNSUPPORTED_SIGNATURE_ALGORITHM', message: /RSA-PSS/ })
      assert.equal(received(), '')
    })
  })
})

test("openssl's fingerprint line is a certificate pin as it is", async () => {
  const line = openssl(['x509', '-in', 'P-256.pem', '-noout', '-fingerprint', '-sha256']).toString().trim()
  await serving('P-256', ['-www'], async url => {
    const response = await pinnedRequest(url, { pins: [line], ca: read('ca.pem') })
    assert.equal(response.tls.matched, String(parsePin(line)))
    await response.text()
  })
})

test('a certificate request has the pin of its key', () => {
  assert.equal(String(pinOf(read('P-384.csr'))), pinByOpenssl('P-384'))
})

test('a self-signed certificate as `openssl req -x509` makes it is accepted by its pin alone', async () => {
  const subject = ['-subj', '/CN=device', '-addext', 'subjectAltName=DNS:localhost', '-days', '2']
  openssl(['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'device.key', '-out', 'device.pem', ...subject])
  await serving('device', ['-www'], async url => {
    const pins = [pinByOpenssl('device')]
    const response = await pinnedRequest(url, { pins, trust: 'pin-only' })
    assert.equal(response.status, 200)
    await response.text()
    await assert.rejects(pinnedRequest(url, { pins, ca: read('device.pem') }), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
  })
})

describe('client identities that openssl makes', () => {
  const demanding = ['-www', '-Verify', '2', '-verify_return_error', '-CAfile', 'ca.pem']

  before(() => {
    openssl(['pkcs8', '-topk8', '-in', 'client.key', '-passout', 'pass:secret', '-out', 'pkcs8.key'])
    openssl(['ec', '-in', 'client.key', '-aes256', '-passout', 'pass:secret', '-out', 'legacy.key'])
    openssl(['pkcs8', '-topk8', '-nocrypt', '-in', 'client.key', '-outform', 'der', '-out', 'pkcs8.der'])
    openssl(['ec', '-in', 'client.key', '-outform', 'der', '-out', 'sec1.der'])
    const export12 = ['pkcs12', '-export', '-inkey', 'client.key', '-in', 'client.pem', '-passout', 'pass:secret']
    openssl([...export12, '-out', 'modern.p12'])
    openssl([
      ...export12,
      '-keypbe',
      'PBE-SHA1-3DES',
      '-certpbe',
      'PBE-SHA1-3DES',
      '-macalg',
      'sha1',
      '-out',
      'old.p12'
    ])
  })

  /** @type {Record<string, () => object>} */
  const identities = {
    'PEM, not encrypted': () => ({ cert: read('client.pem'), key: read('client.key') }),
    'PKCS#8, encrypted': () => ({ cert: read('client.pem'), key: read('pkcs8.key'), passphrase: 'secret' }),
    'PEM with a DEK-Info header': () => ({ cert: read('client.pem'), key: read('legacy.key'), passphrase: 'secret' }),
    'PKCS#8 in DER': () => ({ cert: read('client.pem'), key: read('pkcs8.der') }),
    'SEC 1 in DER': () => ({ cert: read('client.pem'), key: read('sec1.der') }),
    'PKCS#12 with AES': () => ({ pfx: read('modern.p12'), passphrase: 'secret' }),
    'PKCS#12 with 3DES': () => ({ pfx: read('old.p12'), passphrase: 'secret' })
  }
  for (const [name, identity] of Object.entries(identities)) {
    test(name, async () => {
      await serving('P-256', demanding, async url => {
        const response = await pinnedRequest(url, { pins: [pinByOpenssl('P-256')], ca: read('ca.pem'), ...identity() })
        assert.equal(response.status, 200)
        assert.match(await response.text(), /Subject: CN ?= ?client/)
      })
    })
  }

  test('none, where one is demanded', async () => {
    await serving('P-256', [...demanding, '-tls1_3'], async url => {
      const refused = pinnedRequest(url, { pins: [pinByOpenssl('P-256')], ca: read('ca.pem') })
      await assert.rejects(refused, { code: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED' })
    })
  })
})

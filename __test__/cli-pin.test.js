'use strict'
// The promise: `tls-pinning pin` gives the pins that OpenSSL computes, of every kind of key and every kind of file, and
// never shows anything of a private key.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const crypto = require('node:crypto')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, test } = require('node:test')
const { BIN, cli } = require('./helpers/cli')
const pki = require('./helpers/pki')

/** Every kind of key that Node makes. @type {Record<string, [string, object]>} */
const KEYS = {
  'RSA 2048': ['rsa', { modulusLength: 2048 }],
  'RSA 3072': ['rsa', { modulusLength: 3072 }],
  'RSA 4096': ['rsa', { modulusLength: 4096 }],
  'RSA-PSS 2048': ['rsa-pss', { modulusLength: 2048 }],
  'EC P-256': ['ec', { namedCurve: 'P-256' }],
  'EC P-384': ['ec', { namedCurve: 'P-384' }],
  'EC P-521': ['ec', { namedCurve: 'P-521' }],
  'EC secp256k1': ['ec', { namedCurve: 'secp256k1' }],
  'EC with explicit parameters': ['ec', { namedCurve: 'P-256', paramEncoding: 'explicit' }],
  Ed25519: ['ed25519', {}],
  Ed448: ['ed448', {}],
  X25519: ['x25519', {}],
  X448: ['x448', {}],
  DSA: ['dsa', { modulusLength: 2048, divisorLength: 256 }]
}

/** @type {string} */
let folder

before(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-pin-'))
})
after(() => fs.rmSync(folder, { recursive: true, force: true }))

/** @param {string} name @param {string | Buffer} content */
function file(name, content) {
  fs.writeFileSync(path.join(folder, name), content)
  return name
}

/** @param {string[]} args @param {Parameters<typeof cli>[1]} [options] */
function pin(args, options) {
  return cli(['pin', ...args], { cwd: folder, ...options })
}

/** @param {Buffer} bytes @param {'base64' | 'hex'} encoding @param {string} [algorithm] */
const digest = (bytes, encoding, algorithm = 'sha256') => crypto.createHash(algorithm).update(bytes).digest(encoding)

/** @param {crypto.KeyObject} key */
const spkiOf = key => /** @type {Buffer} */ (key.export({ type: 'spki', format: 'der' }))

describe('every kind of key, as a file', () => {
  for (const [name, [type, options]] of Object.entries(KEYS)) {
    test(name, async () => {
      const { publicKey, privateKey } = crypto.generateKeyPairSync(
        /** @type {any} */ (type),
        /** @type {any} */ (options)
      )
      const spki = spkiOf(publicKey)
      const passphrase = 'correct horse'
      const encrypted = { cipher: 'aes-256-cbc', passphrase }
      const files = [
        file('public.pem', publicKey.export({ type: 'spki', format: 'pem' })),
        file('public.der', spki),
        file('private.pem', privateKey.export({ type: 'pkcs8', format: 'pem' })),
        file('private.der', privateKey.export({ type: 'pkcs8', format: 'der' })),
        file('encrypted.pem', privateKey.export(/** @type {any} */ ({ type: 'pkcs8', format: 'pem', ...encrypted }))),
        file('encrypted.der', privateKey.export(/** @type {any} */ ({ type: 'pkcs8', format: 'der', ...encrypted })))
      ]
      const own = type === 'rsa' ? 'pkcs1' : type === 'ec' ? 'sec1' : undefined
      if (own) {
        files.push(
          file('own.pem', privateKey.export({ type: own, format: 'pem' })),
          file('own.der', privateKey.export({ type: own, format: 'der' })),
          file('encrypted-own.pem', privateKey.export(/** @type {any} */ ({ type: own, format: 'pem', ...encrypted })))
        )
      }
      if (type === 'rsa') files.push(file('pkcs1.pem', publicKey.export({ type: 'pkcs1', format: 'pem' })))
      if (!/PSS|DSA|explicit/.test(name)) {
        files.push(
          file('public.jwk', JSON.stringify(publicKey.export({ format: 'jwk' }))),
          file('private.jwk', JSON.stringify(privateKey.export({ format: 'jwk' })))
        )
      }
      file('passphrase', `${passphrase}\n`)
      const { status, stdout, stderr } = await pin([...files, '--json', '--passphrase-file', 'passphrase'])
      assert.equal(stderr, '')
      assert.equal(status, 0)
      const found = JSON.parse(stdout)
      assert.deepEqual(
        found.map((/** @type {any} */ item) => item.file),
        files
      )
      for (const { file, kind, key, pins } of found) {
        assert.deepEqual(
          pins,
          {
            sha256: `sha256/${digest(spki, 'base64')}`,
            curl: `sha256//${digest(spki, 'base64')}`,
            hpkp: `pin-sha256="${digest(spki, 'base64')}"`,
            'spki-sha256': `spki:sha256:${digest(spki, 'hex')}`,
            'spki-sha512': `spki:sha512:${digest(spki, 'hex', 'sha512')}`,
            tlsa: `3 1 1 ${digest(spki, 'hex')}`
          },
          file
        )
        assert.equal(kind, /private|encrypted|own/.test(file) ? 'private key' : 'public key', file)
        assert.equal(key, name, file)
      }
    })
  }
})

describe('certificates', () => {
  /** @type {Awaited<ReturnType<typeof pki.ca>>[]} */
  let [root, issuer, leaf] = []

  before(async () => {
    const notBefore = new Date('2026-01-02T00:00:00Z')
    const notAfter = new Date(Date.now() + 10.5 * 86_400_000)
    root = await pki.ca({ name: 'Root', notBefore, notAfter })
    issuer = await pki.ca({ name: 'Issuing', issuer: root, notBefore, notAfter })
    leaf = await pki.leaf({ issuer, names: ['a.example', '192.0.2.7'], notBefore, notAfter })
    file('chain.pem', leaf.pem + issuer.pem + root.pem)
    file('leaf.der', leaf.der)
  })

  test('each of a chain is described, with all its pins', async () => {
    const { status, stdout, stderr } = await pin(['chain.pem'])
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' })
    const expires = new Date(leaf?.x509.validTo ?? 0).toISOString().slice(0, 10)
    const all = [leaf, issuer, root].map((certificate, at) => {
      if (!certificate) throw new Error('not made')
      const hex = digest(certificate.spki, 'hex')
      const usage = at === 0 ? 3 : 2
      const subject = ['CN=a.example', 'CN=Issuing', 'CN=Root'][at]
      const role = ['leaf', 'intermediate', 'root'][at]
      const base64 = digest(certificate.spki, 'base64')
      const rows = [
        [`certificate (${role})`, `${subject}, EC P-256`],
        ...(at === 0 ? [['names', 'DNS:a.example, IP Address:192.0.2.7']] : []),
        ['valid', `2026-01-02 to ${expires}, 10 days left`],
        ['sha256', `sha256/${base64}`],
        ['curl', `sha256//${base64}`],
        ['hpkp', `pin-sha256="${base64}"`],
        ['spki-sha256', `spki:sha256:${hex}`],
        ['spki-sha512', `spki:sha512:${digest(certificate.spki, 'hex', 'sha512')}`],
        ['tlsa', `${usage} 1 1 ${hex}`],
        ['cert-sha256', `cert:sha256:${digest(certificate.der, 'hex')}`],
        ['cert-sha512', `cert:sha512:${digest(certificate.der, 'hex', 'sha512')}`],
        ['fingerprint', certificate.fingerprint256],
        ['tlsa-cert', `${usage} 0 1 ${digest(certificate.der, 'hex')}`]
      ]
      const width = `certificate (${role})`.length
      const lines = rows.map(([name, value]) => `  ${name?.padEnd(width)}  ${value}\n`)
      return `chain.pem, ${at + 1} of 3\n${lines.join('')}`
    })
    assert.equal(stdout, all.join('\n'))
  })

  test('in a terminal names are set off, and nothing else differs', async () => {
    const [piped, shown] = await Promise.all([pin(['chain.pem']), pin(['chain.pem'], { pty: true })])
    assert.match(shown.stdout, /\x1b\[1mchain\.pem, 1 of 3\x1b\[22m/)
    assert.equal(shown.stdout.replace(/\x1b\[\d+m/g, '').replaceAll('\r\n', '\n'), piped.stdout)
  })

  test('one form alone is one line for each', async () => {
    const pins = [leaf, issuer, root].map(certificate => certificate?.pin)
    const { status, stdout } = await pin(['--form', 'sha256', 'chain.pem'])
    assert.deepEqual({ status, stdout }, { status: 0, stdout: pins.map(text => `${text}\n`).join('') })
    const { stdout: json } = await pin(['--form', 'fingerprint', 'leaf.der', '--json'])
    assert.deepEqual(JSON.parse(json), [leaf?.fingerprint256])
  })

  test('standard input is read where no file is given, and for -', async () => {
    for (const args of [[], ['-']]) {
      const { status, stdout } = await pin(['--form', 'sha256', ...args], { stdin: leaf?.der })
      assert.deepEqual({ status, stdout }, { status: 0, stdout: `${leaf?.pin}\n` })
    }
  })

  test('a terminal as standard input is not waited for', async () => {
    const { status, stdout } = await pin([], { pty: true })
    assert.equal(status, 2)
    assert.match(stdout, /no file is given/)
  })

  test('PKCS#12, JWK sets, and a certificate beside its key', async () => {
    if (!leaf || !issuer) throw new Error('not made')
    file('store.p12', pki.pfx({ cert: leaf, chain: [issuer], passphrase: 'hush' }))
    file('passphrase', 'hush')
    const jwks = [leaf, issuer].map(({ keyPair }) => keyPair.publicKey.export({ format: 'jwk' }))
    file('keys.json', JSON.stringify({ keys: jwks }))
    file('both.pem', `bag attributes\n${leaf.pem}${leaf.key}`)
    for (const [name, pins, ...more] of [
      ['store.p12', [leaf.pin, issuer.pin], '--passphrase-file', 'passphrase'],
      ['keys.json', [leaf.pin, issuer.pin]],
      ['both.pem', [leaf.pin, leaf.pin]]
    ]) {
      const { status, stdout, stderr } = await pin(['--form', 'sha256', String(name), ...more.map(String)])
      assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: `${[pins].flat().join('\n')}\n`, stderr: '' })
    }
  })

  test('a certificate request has a key and a subject', async () => {
    const { Pkcs10CertificateRequestGenerator } = require('@peculiar/x509')
    const keys = await crypto.webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign'])
    const algorithm = { name: 'ECDSA', hash: 'SHA-256' }
    const request = await Pkcs10CertificateRequestGenerator.create(
      { name: 'CN=Requester', keys, signingAlgorithm: algorithm },
      /** @type {any} */ (crypto.webcrypto)
    )
    const pem = request.toString('pem')
    file('request.pem', pem)
    file('new-request.pem', pem.replaceAll('CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'))
    file('request.der', Buffer.from(request.rawData))
    const spki = Buffer.from(await crypto.webcrypto.subtle.exportKey('spki', keys.publicKey))
    const { stdout } = await pin(['request.pem', 'new-request.pem', 'request.der', '--json'])
    const found = JSON.parse(stdout)
    assert.equal(found.length, 3)
    for (const { kind, subject, pins } of found) {
      assert.deepEqual({ kind, subject }, { kind: 'request', subject: 'CN=Requester' })
      assert.equal(pins.sha256, `sha256/${digest(spki, 'base64')}`)
    }
  })

  test('the pin is that of the bytes in the certificate, not of an encoding of it anew', async () => {
    // An algorithm identifier without parameters: legal to read, and OpenSSL would write it with NULL.
    const { publicKey } = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 })
    const spki = spkiOf(publicKey)
    const at = spki.indexOf(Buffer.from('06092a864886f70d0101010500', 'hex'))
    assert.ok(at > 0)
    const bare = Buffer.concat([spki.subarray(0, at + 11), spki.subarray(at + 13)])
    bare.writeUInt16BE(bare.readUInt16BE(2) - 2, 2) // the outer length
    bare[at - 1] -= 2 // and the algorithm's
    file('bare.der', bare)
    const { stdout, stderr } = await pin(['--form', 'sha256', 'bare.der'])
    assert.equal(stderr, '')
    assert.equal(stdout, `sha256/${digest(bare, 'base64')}\n`)
  })
})

describe('what goes wrong', () => {
  test('is told with the place, a way on, and nothing of a key', async () => {
    const { privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const encrypted = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'right' }
    const secret = privateKey.export({ format: 'jwk' }).d ?? '?'
    const der = /** @type {Buffer} */ (privateKey.export({ type: 'pkcs8', format: 'der' }))
    file('encrypted.pem', privateKey.export(/** @type {any} */ (encrypted)))
    file('encrypted.der', privateKey.export(/** @type {any} */ ({ ...encrypted, format: 'der' })))
    file('wrong', 'wrong\n')
    file('empty', '')
    file('text', 'hello')
    file('cut.der', der.subarray(0, 60))
    file('cut.pem', `${privateKey.export({ type: 'pkcs8', format: 'pem' })}`.slice(0, 150))
    file('cut.jwk', JSON.stringify(privateKey.export({ format: 'jwk' })).slice(0, -3))
    file('secret.jwk', JSON.stringify({ kty: 'oct', k: 'AAAA' }))
    file('policy.json', '{ "hosts": {} }')
    file('crl.pem', '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n')
    file('key.pem', privateKey.export({ type: 'pkcs8', format: 'pem' }))
    for (const [args, message, hint] of /** @type {[string[], string, string][]} */ ([
      [['encrypted.pem'], 'encrypted.pem: the private key is encrypted', '--passphrase-file FILE'],
      [['encrypted.der'], 'encrypted.der: the private key is encrypted', '--passphrase-file FILE'],
      [['encrypted.pem', '--passphrase-file', 'wrong'], 'cannot be decrypted', '--passphrase-file FILE'],
      [['encrypted.pem', '--passphrase-file', 'nowhere'], 'no such file', 'check the path'],
      [['empty'], 'empty is empty', 'give a certificate'],
      [['text'], 'text: ', 'give a certificate'],
      [['cut.der'], 'cut.der: ', 'give a certificate'],
      [['cut.pem'], 'cut.pem, section 1 has no end', 'copy it whole'],
      [['cut.jwk'], 'cut.jwk cannot be read', 'give a certificate'],
      [['secret.jwk'], 'no public half', 'give a certificate'],
      [['policy.json'], 'no JWK', 'give a certificate'],
      [['crl.pem'], 'crl.pem: a PEM section "X509 CRL" cannot be pinned', 'give a certificate'],
      [['nowhere.pem'], 'no such file', 'check the path'],
      [['key.pem', '--form', 'fingerprint'], 'a private key has no certificate to pin', 'take a form of its key'],
      [['key.pem', '--form', 'sha1'], 'there is no form sha1', 'the forms are sha256, curl'],
      [['--from', 'x'], "Unknown option '--from'", 'tls-pinning pin --help']
    ])) {
      const { status, stdout, stderr } = await pin(args)
      assert.deepEqual({ status, stdout }, { status: 2, stdout: '' }, stderr)
      const [first, next] = [stderr.split('\n')[0], stderr]
      assert.ok(first?.includes(message), `${args}: ${stderr}`)
      assert.ok(next.includes(hint), `${args}: ${stderr}`)
      assert.ok(!stderr.includes(secret.slice(0, 12)) && !stderr.includes(der.toString('base64').slice(40, 60)), stderr)
      const json = JSON.parse((await pin([...args, '--json'])).stdout)
      assert.ok(json.error.message.includes(message))
    }
  })

  test('--help shows examples', async () => {
    const { status, stdout } = await pin(['--help'])
    assert.equal(status, 0)
    assert.match(stdout, /^usage: tls-pinning pin \[FILE…\]\n/)
    assert.match(stdout, /tls-pinning pin --form sha256 backup\.key/)
  })
})

test('what is written into a pipe late is waited for', async () => {
  const { publicKey } = crypto.generateKeyPairSync('ed25519')
  const name = file('late.pem', publicKey.export({ type: 'spki', format: 'pem' }))
  const command = '(sleep 0.5; cat "$1") | "$2" "$3" pin --form sha256'
  const stdout = await new Promise((resolve, reject) =>
    execFile('sh', ['-c', command, 'sh', name, process.execPath, BIN], { cwd: folder }, (error, stdout) =>
      error ? reject(error) : resolve(stdout)
    )
  )
  assert.equal(stdout, `sha256/${digest(spkiOf(publicKey), 'base64')}\n`)
})

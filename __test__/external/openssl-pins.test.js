'use strict'
// `tls-pinning pin` gives the pins that the openssl command line gives, for every kind of key and every form of file that it
// writes. Needs `openssl` on the PATH.

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, test } = require('node:test')
const { cli } = require('../helpers/cli')

/** `signs`: whether a certificate can be signed with it, so that it can be self-signed. */
const KEYS = {
  'RSA 2048': { genpkey: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'], signs: true },
  'RSA 3072': { genpkey: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:3072'], signs: true },
  'RSA 4096': { genpkey: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:4096'], signs: true },
  'RSA-PSS 2048': { genpkey: ['-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048'], signs: true },
  'RSA-PSS 2048 with parameters': {
    genpkey: ['-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048', '-pkeyopt', 'rsa_pss_keygen_md:sha256'],
    signs: true
  },
  'EC P-256': { genpkey: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'], signs: true },
  'EC P-384': { genpkey: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384'], signs: true },
  'EC P-521': { genpkey: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-521'], signs: true },
  'EC secp256k1': { genpkey: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:secp256k1'], signs: true },
  'EC brainpoolP256r1': { genpkey: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:brainpoolP256r1'], signs: true },
  'EC with explicit parameters': {
    genpkey: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-pkeyopt', 'ec_param_enc:explicit'],
    signs: true
  },
  Ed25519: { genpkey: ['-algorithm', 'ED25519'], signs: true },
  Ed448: { genpkey: ['-algorithm', 'ED448'], signs: true },
  X25519: { genpkey: ['-algorithm', 'X25519'], signs: false },
  X448: { genpkey: ['-algorithm', 'X448'], signs: false },
  DSA: { genpkey: ['-paramfile', 'dsa.params'], signs: true }
}

/** @type {string} */
let folder

before(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-openssl-'))
  openssl(['genpkey', '-genparam', '-algorithm', 'DSA', '-pkeyopt', 'dsa_paramgen_bits:2048', '-out', 'dsa.params'])
  openssl(['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', 'ca.key'])
  openssl(['req', '-x509', '-key', 'ca.key', '-subj', '/CN=Authority', '-days', '2', '-out', 'ca.pem'])
  fs.writeFileSync(path.join(folder, 'passphrase'), 'correct horse\n')
})
after(() => fs.rmSync(folder, { recursive: true, force: true }))

/** @param {string[]} args @param {Buffer} [input] @returns {Buffer} */
function openssl(args, input) {
  return execFileSync('openssl', args, { cwd: folder, input, stdio: ['pipe', 'pipe', 'pipe'] })
}

/** @param {string} algorithm @param {Buffer} bytes */
const digest = (algorithm, bytes) => openssl(['dgst', `-${algorithm}`, '-binary'], bytes)

/** What openssl's own commands make of a key, as its manual and RFC 7469 have it. @param {string} key */
function expectedOf(key) {
  const spki = openssl(['pkey', '-in', key, '-pubout', '-outform', 'der'])
  const hex = digest('sha256', spki).toString('hex')
  const base64 = openssl(['enc', '-base64', '-A'], digest('sha256', spki)).toString()
  return {
    sha256: `sha256/${base64}`,
    curl: `sha256//${base64}`,
    hpkp: `pin-sha256="${base64}"`,
    'spki-sha256': `spki:sha256:${hex}`,
    'spki-sha512': `spki:sha512:${digest('sha512', spki).toString('hex')}`,
    tlsa: `3 1 1 ${hex}`
  }
}

for (const [name, { genpkey, signs }] of Object.entries(KEYS)) {
  test(name, async () => {
    openssl(['genpkey', ...genpkey, '-out', 'key.pem'])
    const expected = expectedOf('key.pem')
    openssl(['pkey', '-in', 'key.pem', '-outform', 'der', '-out', 'key.der'])
    openssl(['pkey', '-in', 'key.pem', '-pubout', '-out', 'public.pem'])
    openssl(['pkey', '-in', 'key.pem', '-pubout', '-outform', 'der', '-out', 'public.der'])
    const encrypt = ['pkcs8', '-topk8', '-in', 'key.pem', '-passout', 'file:passphrase', '-out', 'encrypted.pem']
    openssl(encrypt)
    const files = ['key.pem', 'key.der', 'public.pem', 'public.der', 'encrypted.pem']
    if (/^(RSA \d|EC|DSA)/.test(name)) {
      openssl(['pkey', '-in', 'key.pem', '-traditional', '-out', 'traditional.pem'])
      files.push('traditional.pem')
    }
    // With openssl's own text before it; signed by another key, for those that cannot sign.
    const issue = ['x509', '-new', '-force_pubkey', 'public.pem', '-subj', `/CN=${name}`, '-days', '2', '-text']
    openssl([...issue, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-out', 'issued.pem'])
    const certificates = ['issued.pem']
    if (signs) {
      openssl(['req', '-new', '-key', 'key.pem', '-subj', `/CN=${name}`, '-out', 'request.pem'])
      openssl(['req', '-in', 'request.pem', '-outform', 'der', '-out', 'request.der'])
      openssl(['req', '-x509', '-key', 'key.pem', '-subj', `/CN=${name}`, '-days', '2', '-out', 'self.pem'])
      openssl(['x509', '-in', 'self.pem', '-outform', 'der', '-out', 'self.der'])
      files.push('request.pem', 'request.der')
      certificates.push('self.pem', 'self.der')
      if (!/448|explicit/.test(name)) {
        const archive = ['pkcs12', '-export', '-in', 'self.pem', '-inkey', 'key.pem', '-passout', 'file:passphrase']
        openssl([...archive, '-out', 'store.p12'])
        certificates.push('store.p12')
      }
    }
    const args = ['pin', '--json', '--passphrase-file', 'passphrase', ...files, ...certificates]
    const { status, stdout, stderr } = await cli(args, { cwd: folder })
    assert.equal(status, 0, stderr)
    const found = JSON.parse(stdout)
    assert.equal(found.length, files.length + certificates.length)
    for (const { file, kind, pins } of found) {
      if (!certificates.includes(file)) {
        assert.deepEqual(pins, expected, file)
        continue
      }
      assert.equal(kind, 'certificate')
      const { 'cert-sha256': cert256, 'cert-sha512': cert512, fingerprint, 'tlsa-cert': tlsaCert, ...key } = pins
      // Self-signed with CA:TRUE, as `openssl req -x509` makes them: an authority, so TLSA usage 2.
      const usage = file === 'issued.pem' ? 3 : 2
      assert.deepEqual(key, { ...expected, tlsa: expected.tlsa.replace(/^3/, String(usage)) }, file)
      const pem = file === 'issued.pem' ? file : 'self.pem'
      const der = openssl(['x509', '-in', pem, '-outform', 'der'])
      assert.equal(cert256, `cert:sha256:${digest('sha256', der).toString('hex')}`)
      assert.equal(cert512, `cert:sha512:${digest('sha512', der).toString('hex')}`)
      assert.equal(tlsaCert, `${usage} 0 1 ${digest('sha256', der).toString('hex')}`)
      const line = openssl(['x509', '-in', pem, '-noout', '-fingerprint', '-sha256']).toString()
      assert.equal(fingerprint, line.trim().split('=')[1])
    }
  })
}

test('a certificate with explicit curve parameters is pinned by the bytes that are in it', async () => {
  openssl(['genpkey', ...KEYS['EC with explicit parameters'].genpkey, '-out', 'key.pem'])
  openssl(['req', '-x509', '-key', 'key.pem', '-subj', '/CN=explicit', '-days', '2', '-out', 'self.pem'])
  const named = openssl(['pkey', '-in', 'key.pem', '-pubout', '-outform', 'der', '-ec_param_enc', 'named_curve'])
  const der = openssl(['x509', '-in', 'self.pem', '-outform', 'der'])
  const explicit = openssl(['pkey', '-in', 'key.pem', '-pubout', '-outform', 'der'])
  assert.ok(der.includes(explicit) && !der.includes(named))
  const { stdout } = await cli(['pin', '--form', 'sha256', 'self.pem'], { cwd: folder })
  assert.equal(stdout, `sha256/${digest('sha256', explicit).toString('base64')}\n`)
})

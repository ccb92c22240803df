'use strict'
// Certificates made on the spot. `ca()` makes authorities, `leaf()` end-entity certificates, `crl()` revocation lists.
// What is pinned (`pin`, `certPin`, `spki`) is computed by OpenSSL through node:crypto, independent of the code under test.

require('reflect-metadata')
const crypto = require('node:crypto')
const net = require('node:net')
const x509 = require('@peculiar/x509')
const { TAG, der, generalNames, nameConstraints } = require('./der')
const { cachedKeyPair, keyPair, provider, signingKey } = require('./keys')

const DAY = 24 * 60 * 60 * 1000
const OID = { san: '2.5.29.17', crlNumber: '2.5.29.20', nameConstraints: '2.5.29.30' }
const EKU = { serverAuth: '1.3.6.1.5.5.7.3.1', clientAuth: '1.3.6.1.5.5.7.3.2', codeSigning: '1.3.6.1.5.5.7.3.3' }
const { keyCertSign, cRLSign, digitalSignature, keyEncipherment } = x509.KeyUsageFlags

/** @typedef {import('./keys').KeyType} KeyType */
/** @typedef {import('./keys').KeyPair} KeyPair */

/**
 * A certificate with its private key.
 *
 * @typedef {object} Certificate
 * @property {string} pem
 * @property {Buffer<ArrayBuffer>} der
 * @property {string} key PKCS#8, PEM
 * @property {Buffer} keyDer PKCS#8, DER
 * @property {Buffer} spki the SubjectPublicKeyInfo, DER
 * @property {string} pin `sha256/BASE64` of the SPKI
 * @property {string} certPin `cert:sha256:HEX` of the certificate
 * @property {string} fingerprint256 `AA:BB:…`
 * @property {string} serialNumber hex
 * @property {Buffer<ArrayBuffer>} subject the Name, DER: give it to another `ca()` for a namesake
 * @property {Buffer | undefined} subjectKeyId
 * @property {KeyPair} keyPair give it to another `ca()` or `leaf()` for a cross-signed twin
 * @property {crypto.X509Certificate} x509
 */

/**
 * What `ca()` and `leaf()` have in common.
 *
 * @typedef {object} Common
 * @property {Certificate} [issuer] default: self-signed
 * @property {KeyType} [key] default `p256`
 * @property {KeyPair} [keyPair] a key that exists already; default: a fresh one
 * @property {string | Buffer<ArrayBuffer>} [subject] `CN=…, O=…`, or the DER of another certificate's `subject`
 * @property {Buffer | null} [subjectKeyId] default: derived from the key; `null` leaves the extension out
 * @property {Date} [notBefore] default: yesterday
 * @property {Date} [notAfter] default: in 30 days
 */

/**
 * An authority: a root, or with `issuer` an intermediate.
 *
 * @param {Common & {
 *   name: string,
 *   ca?: boolean | null,
 *   pathLength?: number,
 *   nameConstraints?: { permitted?: string[], excluded?: string[] },
 *   eku?: string[],
 * }} options `ca: false` makes a certificate with CA:FALSE, `ca: undefined` or `null` one without basicConstraints
 * @returns {Promise<Certificate>}
 */
async function ca(options) {
  const isAuthority = 'ca' in options ? options.ca : true
  const { name, subject = commonName(name), pathLength, nameConstraints: constraints, eku = [] } = options
  return issue({ ...options, subject }, [
    ...(isAuthority == null ? [] : [new x509.BasicConstraintsExtension(isAuthority, pathLength, true)]),
    new x509.KeyUsagesExtension(keyCertSign | cRLSign | digitalSignature, true),
    ...extendedKeyUsage(eku),
    ...(constraints ? [new x509.Extension(OID.nameConstraints, true, nameConstraints(constraints))] : [])
  ])
}

/**
 * A certificate for a server, or with `clientAuth` for a client.
 *
 * @param {Common & {
 *   names?: (string | Uint8Array)[],
 *   rawSan?: Uint8Array<ArrayBuffer> | null,
 *   eku?: string[],
 *   selfSigned?: true,
 *   clientAuth?: boolean,
 *   ca?: boolean,
 * }} options `names`: DNS names and IP addresses, default `['localhost', '127.0.0.1', '::1']`; bytes become a dNSName as
 *   they are. `rawSan`: the DER of all GeneralNames instead; `null`: no subjectAltName. `eku`: names or OIDs, `[]` for none.
 *   `ca: true`: CA:TRUE without key usages, what `openssl req -x509` makes
 * @returns {Promise<Certificate>}
 */
async function leaf(options) {
  const { names = ['localhost', '127.0.0.1', '::1'], rawSan = generalNames(names), ca: isAuthority = false } = options
  if (!options.issuer && !options.selfSigned) throw new TypeError('leaf() needs an issuer or selfSigned: true')
  if (options.issuer && options.selfSigned) throw new TypeError('leaf() takes an issuer or selfSigned: true, not both')
  const purpose = options.clientAuth ? ['clientAuth'] : ['serverAuth']
  // Not an address: OpenSSL holds a common name that looks like a host against the DNS constraints.
  const label = names.find(name => typeof name === 'string' && !net.isIP(name)) ?? 'leaf'
  const { subject = commonName(String(label)), eku = isAuthority ? [] : purpose } = options
  return issue({ ...options, subject }, [
    new x509.BasicConstraintsExtension(isAuthority, undefined, true),
    ...(isAuthority ? [] : [new x509.KeyUsagesExtension(digitalSignature | keyEncipherment, true)]),
    ...extendedKeyUsage(eku),
    ...(rawSan === null ? [] : [new x509.Extension(OID.san, false, rawSan)])
  ])
}

/**
 * A revocation list, as PEM.
 *
 * @param {{ issuer: Certificate, revoked?: Certificate[], thisUpdate?: Date, nextUpdate?: Date, number?: number }} options
 */
async function crl({ issuer, revoked = [], thisUpdate = daysFromNow(-1), nextUpdate = daysFromNow(30), number = 1 }) {
  const signer = signingKey(issuer.keyPair.privateKey)
  const list = await x509.X509CrlGenerator.create(
    /** @type {any} */ ({
      issuer: new x509.Name(issuer.subject),
      thisUpdate,
      nextUpdate,
      signingAlgorithm: signer.algorithm,
      signingKey: signer,
      extensions: [
        ...authorityKeyId(issuer.subjectKeyId),
        new x509.Extension(OID.crlNumber, false, der(TAG.integer, Buffer.from([number])))
      ],
      // A reason in each entry: without one the library writes an empty list of extensions, which RFC 5280 forbids.
      entries: revoked.map(({ serialNumber }) => ({
        serialNumber,
        revocationDate: thisUpdate,
        reason: x509.X509CrlReason.keyCompromise
      }))
    }),
    /** @type {any} */ (provider)
  )
  // The library's own PEM says `BEGIN CRL`, which OpenSSL does not read.
  return `${x509.PemConverter.encode(list.rawData, 'X509 CRL')}\n`
}

/**
 * @param {Common & { subject: string | Buffer<ArrayBuffer> }} options
 * @param {x509.Extension[]} extensions
 * @returns {Promise<Certificate>}
 */
async function issue(options, extensions) {
  const { issuer, key, notBefore = daysFromNow(-1), notAfter = daysFromNow(30) } = options
  const pair = options.keyPair ?? (await keyPair(key))
  const spki = pair.publicKey.export({ type: 'spki', format: 'der' })
  const { subjectKeyId = crypto.createHash('sha256').update(spki).digest().subarray(0, 20) } = options
  const subject = Buffer.from(new x509.Name(options.subject).toArrayBuffer())

  const certificate = await x509.X509CertificateGenerator.create(
    /** @type {any} */ ({
      serialNumber: randomSerial(),
      subject: new x509.Name(subject),
      issuer: new x509.Name(issuer?.subject ?? subject),
      notBefore,
      notAfter,
      publicKey: spki,
      signingKey: signingKey((issuer?.keyPair ?? pair).privateKey),
      extensions: [
        ...extensions,
        ...(subjectKeyId ? [new x509.SubjectKeyIdentifierExtension(subjectKeyId.toString('hex'))] : []),
        ...authorityKeyId(issuer ? issuer.subjectKeyId : subjectKeyId)
      ]
    }),
    /** @type {any} */ (provider)
  )
  return describe(Buffer.from(certificate.rawData), pair, subject, subjectKeyId ?? undefined)
}

/**
 * @param {Buffer<ArrayBuffer>} bytes
 * @param {KeyPair} pair
 * @param {Buffer<ArrayBuffer>} subject
 * @param {Buffer | undefined} subjectKeyId
 * @returns {Certificate}
 */
function describe(bytes, pair, subject, subjectKeyId) {
  const parsed = new crypto.X509Certificate(bytes)
  const spki = parsed.publicKey.export({ type: 'spki', format: 'der' })
  const sha256 = (/** @type {Buffer} */ data) => crypto.createHash('sha256').update(data)
  return {
    pem: parsed.toString(),
    der: bytes,
    key: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    keyDer: pair.privateKey.export({ type: 'pkcs8', format: 'der' }),
    spki,
    pin: `sha256/${sha256(spki).digest('base64')}`,
    certPin: `cert:sha256:${sha256(bytes).digest('hex')}`,
    fingerprint256: parsed.fingerprint256,
    serialNumber: parsed.serialNumber,
    subject,
    subjectKeyId,
    keyPair: pair,
    x509: parsed
  }
}

/** @param {string[]} usages */
function extendedKeyUsage(usages) {
  const oids = usages.map(usage => /** @type {Record<string, string>} */ (EKU)[usage] ?? usage)
  return oids.length ? [new x509.ExtendedKeyUsageExtension(oids)] : []
}

/** @param {Buffer | null | undefined} keyId */
function authorityKeyId(keyId) {
  return keyId ? [new x509.AuthorityKeyIdentifierExtension(keyId.toString('hex'))] : []
}

/** @param {string} name */
function commonName(name) {
  // As JSON: in the text form a comma or an equals sign in the name would start another attribute.
  return Buffer.from(new x509.Name([{ CN: [name] }]).toArrayBuffer())
}

/** Positive, without a leading zero byte (RFC 5280, 4.1.2.2). */
function randomSerial() {
  const serial = crypto.randomBytes(16)
  serial[0] = /** @type {number} */ (serial[0] & 0x7f) | 0x40
  return serial.toString('hex')
}

/** @param {number} days */
function daysFromNow(days) {
  return new Date(Math.floor((Date.now() + days * DAY) / 1000) * 1000)
}

module.exports = { ca, cachedKeyPair, crl, daysFromNow, keyPair, leaf, ...require('./pfx') }

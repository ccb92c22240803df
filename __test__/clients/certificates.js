'use strict'
// The certificates of all runs: what the real servers have, and what two attackers have got hold of.

const { ca, daysFromNow, leaf } = require('../helpers/pki')

const PAST = { notBefore: daysFromNow(-20), notAfter: daysFromNow(-10) }

/** @typedef {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} Identity */

/**
 * The client trusts both roots (`ca`). `real` is what the servers present, `stranger` the right name by the other root,
 * `rogue` the same below a namesake of the pinned issuer, with the real issuer's expired certificate before it: Node's
 * walk over `issuerCertificate` shows that one.
 */
async function makeCertificates() {
  const root = await ca({ name: 'Public Root' })
  const issuer = await ca({ name: 'Public Issuer', issuer: root })
  const otherRoot = await ca({ name: 'Other Root' })
  const { subject, subjectKeyId, keyPair } = issuer
  const expired = await ca({ name: 'unused', issuer: root, subject, keyPair, ...PAST })
  const namesake = await ca({ name: 'unused', issuer: otherRoot, subject, subjectKeyId })
  const [spare, other] = await Promise.all(['Spare', 'Other'].map(name => ca({ name })))
  const real = await leaf({ issuer })
  return {
    ca: [root.pem, otherRoot.pem],
    real: { cert: real, chain: [issuer] },
    stranger: { cert: await leaf({ issuer: otherRoot }), chain: [] },
    rogue: { cert: await leaf({ issuer: namesake }), chain: [expired, namesake] },
    // Two of each, as it should be: a policy without a backup pin warns.
    pins: { leaf: [real.pin, spare.pin], issuer: [issuer.pin, spare.pin], wrong: [other.pin, spare.pin] }
  }
}

module.exports = { makeCertificates }

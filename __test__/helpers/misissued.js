'use strict'
// Attacks by whoever can put certificates together and has a trusted CA sign some of them: Node accepts these servers.

const { ca, daysFromNow, keyPair, leaf } = require('./pki')

/** @typedef {import('./pki').Certificate} Certificate */
/** @typedef {{ root: Certificate, intermediate: Certificate, victim: Certificate, rogueRoot: Certificate }} Authorities */
/** @typedef {{ cert: Certificate, chain: Certificate[], pins: string[], anchors?: Certificate[] }} Attack */

const PAST = { notBefore: daysFromNow(-60), notAfter: daysFromNow(-1) }

/**
 * A good root with an intermediate and a leaf, and a rogue root; both roots are trusted.
 *
 * @returns {Promise<Authorities>}
 */
async function authorities() {
  const root = await ca({ name: 'Good Root' })
  const intermediate = await ca({ name: 'Intermediate', issuer: root })
  return {
    root,
    intermediate,
    victim: await leaf({ issuer: intermediate }),
    rogueRoot: await ca({ name: 'Rogue Root' })
  }
}

/** @param {Authorities} made */
function everyPin({ victim, intermediate, root }) {
  return [victim, intermediate, root].flatMap(({ pin, certPin }) => [pin, certPin])
}

/** @type {{ name: string, build: (made: Authorities) => Promise<Attack> }[]} */
const MISISSUED = [
  {
    name: 'a certificate of another trusted CA',
    build: async made => ({ cert: await leaf({ issuer: made.rogueRoot }), chain: [], pins: everyPin(made) })
  },
  {
    name: 'a certificate of another trusted CA, with its own intermediate',
    build: async made => {
      const issuer = await ca({ name: 'Rogue Intermediate', issuer: made.rogueRoot })
      return { cert: await leaf({ issuer }), chain: [issuer, made.rogueRoot], pins: everyPin(made) }
    }
  },
  {
    name: 'the pinned chain appended to a foreign one',
    build: async made => {
      const cert = await leaf({ issuer: made.rogueRoot })
      return { cert, chain: [made.victim, made.intermediate, made.root], pins: everyPin(made) }
    }
  },
  {
    name: 'the pinned chain between the links of a foreign one',
    build: async made => {
      const issuer = await ca({ name: 'Rogue Intermediate', issuer: made.rogueRoot })
      const chain = [made.intermediate, issuer, made.root, made.victim, made.rogueRoot]
      return { cert: await leaf({ issuer }), chain, pins: everyPin(made) }
    }
  },
  {
    name: 'a namesake of the pinned intermediate, with its key id, and the real one after it',
    build: async made => {
      const fake = await namesake(made.intermediate, made.rogueRoot)
      return { cert: await leaf({ issuer: fake }), chain: [fake, made.intermediate, made.root], pins: everyPin(made) }
    }
  },
  {
    name: 'a namesake of the pinned leaf',
    build: async made => {
      const { subject, subjectKeyId } = made.victim
      const cert = await leaf({ issuer: made.rogueRoot, subject, subjectKeyId })
      return { cert, chain: [made.victim], pins: everyPin(made) }
    }
  },
  {
    name: 'a rogue intermediate of the same name, the expired real one before it',
    build: async ({ root, intermediate, rogueRoot }) => {
      const { subject, keyPair } = intermediate
      const expired = await ca({ name: 'unused', issuer: root, subject, keyPair, ...PAST })
      const rogue = await namesake(intermediate, rogueRoot)
      return { cert: await leaf({ issuer: rogue }), chain: [expired, rogue], pins: [expired.certPin, expired.pin] }
    }
  },
  {
    name: 'the same without key ids',
    build: async ({ root, intermediate, rogueRoot }) => {
      const { subject, keyPair } = intermediate
      const expired = await ca({ name: 'unused', issuer: root, subject, subjectKeyId: null, keyPair, ...PAST })
      const rogue = await ca({ name: 'unused', issuer: rogueRoot, subject, subjectKeyId: null })
      return { cert: await leaf({ issuer: rogue }), chain: [expired, rogue], pins: [expired.certPin, expired.pin] }
    }
  },
  {
    name: 'an expired certificate of the pinned key under the name of the rogue root',
    build: async made => {
      const { subject, subjectKeyId } = made.rogueRoot
      const { keyPair } = made.intermediate
      const copy = await ca({ name: 'unused', subject, subjectKeyId, keyPair, ...PAST })
      return { cert: await leaf({ issuer: made.rogueRoot }), chain: [copy], pins: [copy.certPin, copy.pin] }
    }
  },
  {
    name: 'the same, signed by the pinned root',
    build: async made => {
      const { subject, subjectKeyId } = made.rogueRoot
      const { keyPair } = made.intermediate
      const copy = await ca({ name: 'unused', issuer: made.root, subject, subjectKeyId, keyPair, ...PAST })
      const chain = [copy, made.root]
      return { cert: await leaf({ issuer: made.rogueRoot }), chain, pins: [copy.certPin, copy.pin, made.root.pin] }
    }
  },
  {
    name: 'a CA below the pinned one with path length 0, cross-signed by the rogue root',
    build: async ({ root, rogueRoot }) => {
      const pinned = await ca({ name: 'Pinned', issuer: root, pathLength: 0 })
      const pair = await keyPair()
      const below = await ca({ name: 'Customer', issuer: pinned, keyPair: pair })
      const crossed = await ca({ name: 'Customer', issuer: rogueRoot, keyPair: pair })
      // OpenSSL takes the first that fits, and would refuse the other order.
      const chain = [crossed, below, pinned]
      return { cert: await leaf({ issuer: crossed }), chain, pins: [pinned.pin, pinned.certPin] }
    }
  },
  {
    // OpenSSL looks for an issuer among the roots first, Node's walk among the certificates sent.
    name: 'a CA below the pinned one with path length 0, whose key is also that of a trusted root',
    build: async ({ root }) => {
      const pinned = await ca({ name: 'Pinned', issuer: root, pathLength: 0 })
      const rogue = await ca({ name: 'Customer' })
      const below = await ca({ name: 'Customer', issuer: pinned, keyPair: rogue.keyPair })
      const pins = [pinned.pin, pinned.certPin]
      return { cert: await leaf({ issuer: rogue }), chain: [below, pinned], pins, anchors: [root, rogue] }
    }
  },
  ...[
    { what: 'is for clients only', limits: { eku: ['clientAuth'] } },
    { what: 'may vouch for other names only', limits: { nameConstraints: { permitted: ['other.example'] } } },
    { what: 'may not vouch for this name', limits: { nameConstraints: { excluded: ['localhost'] } } },
    { what: 'is no authority', limits: { ca: false } },
    { what: 'has expired', limits: PAST },
    { what: 'is not valid yet', limits: { notBefore: daysFromNow(1) } }
  ].map(({ what, limits }) => ({
    name: `a pinned certificate that ${what}, whose key is also that of a trusted root`,
    build: async (/** @type {Authorities} */ { root }) => {
      const rogue = await ca({ name: 'Bound' })
      const pinned = await ca({ name: 'Bound', issuer: root, keyPair: rogue.keyPair, ...limits })
      // Its key is on the path that Node has verified, and so is a pin of it. The certificate is not.
      return { cert: await leaf({ issuer: rogue }), chain: [pinned], pins: [pinned.certPin], anchors: [root, rogue] }
    }
  }))
]

/** OpenSSL holds a root to what it may do, too. */
const PINNED_ROOTS = [
  { what: 'has path length 0', limits: { pathLength: 0 } },
  { what: 'is for clients only', limits: { eku: ['clientAuth'] } },
  { what: 'is no authority', limits: { ca: false } },
  { what: 'may vouch for other names only', limits: { nameConstraints: { permitted: ['other.example'] } } },
  { what: 'has expired', limits: PAST },
  { what: 'is not valid yet', limits: { notBefore: daysFromNow(1) } }
].map(({ what, limits }) => ({
  name: `a CA below a pinned root that ${what}, whose key is also that of a trusted root`,
  build: async () => {
    const pinned = await ca({ name: 'Pinned Root', ...limits })
    const rogue = await ca({ name: 'Customer' })
    const between = await ca({ name: 'Customer', issuer: pinned, keyPair: rogue.keyPair })
    const pins = [pinned.pin, pinned.certPin]
    return { cert: await leaf({ issuer: rogue }), chain: [between, pinned], pins, anchors: [pinned, rogue] }
  }
}))

/**
 * @param {Certificate} of
 * @param {Certificate} issuer
 */
function namesake({ subject, subjectKeyId }, issuer) {
  return ca({ name: 'unused', issuer, subject, subjectKeyId })
}

module.exports = { PINNED_ROOTS, MISISSUED, authorities }

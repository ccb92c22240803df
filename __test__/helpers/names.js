'use strict'
// Host names and certificates in every form that Node's own check of a name can meet, by dice: the same on every machine.

/** @typedef {{ subject?: any, subjectaltname?: any } | null | undefined} Shown what Node makes of a certificate */
/** @typedef {() => any} MakeHost a host may be an object that answers once */

/** Throws the same on every machine. */
class Dice {
  /** @param {number} seed */
  constructor(seed) {
    this.state = seed >>> 0
  }

  /** From 0 up to 1 (mulberry32). */
  roll() {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let t = this.state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  /** @param {number} below */
  number(below) {
    return Math.floor(this.roll() * below)
  }

  /** @template T @param {readonly T[]} list @returns {T} */
  of(list) {
    return list[this.number(list.length)]
  }

  /** @template T @param {number} most @param {() => T} make @returns {T[]} */
  some(most, make) {
    return Array.from({ length: 1 + this.number(most) }, make)
  }

  /** @param {number} share */
  chance(share) {
    return this.roll() < share
  }
}

// Few, so that names and certificates meet often.
const LABELS = [
  'a',
  'b',
  'www',
  'foo',
  'bar',
  'foobar',
  'xn--bcher-kva',
  'xn--foo',
  'a-b',
  '_tcp',
  '0',
  'é',
  'bücher',
  'ß'
]
const ENDS = ['a.com', 'b.com', 'co.uk', 'com', 'foo.example', 'localhost', 'xn--p1ai', 'münchen.example', 'local']
const ADDRESSES = [
  '127.0.0.1',
  '127.0.0.2',
  '10.1.2.3',
  '::1',
  '0:0:0:0:0:0:0:1',
  'fe80::1',
  'FE80:0::1',
  '::ffff:10.1.2.3'
]
const NOT_ADDRESSES = ['127.1', '0x7f.0.0.1', '127.0.0.1.', '[::1]', 'fe80::1%lo', '::ffff:a01:203', '256.0.0.1', '1']
const ODD_NAMES = [
  '',
  '.',
  '..',
  'a..b',
  '*',
  '*.com',
  '*.a.com',
  'a.com..',
  ' a.com',
  'a.com\0.evil.example',
  'a.com:443',
  '-'
]

/** @param {Dice} dice */
function dnsName(dice) {
  return [...dice.some(2, () => dice.of(LABELS)), dice.of(ENDS)].join('.')
}

/** @param {Dice} dice @param {string} name */
function spelled(dice, name) {
  const cased = dice.of([name, name, name, name.toUpperCase(), name.replace(/[a-m]/g, letter => letter.toUpperCase())])
  return dice.chance(0.15) ? `${cased}.` : cased
}

/** @param {Dice} dice @param {string} name */
function wildcard(dice, name) {
  const [first = '', ...rest] = name.split('.')
  const cut = dice.number(first.length + 1)
  const [head, tail] = [first.slice(0, cut), first.slice(cut)]
  const below = rest.join('.')
  return dice.of([
    `*.${below}`,
    `*.${below}`,
    `*${tail}.${below}`,
    `${head}*.${below}`,
    `${head}*${tail}.${below}`,
    `${first.slice(0, 1)}*${first.slice(-1)}.${below}`,
    `${head}**${tail}.${below}`,
    `*${head}*.${below}`,
    `*.*.${below}`,
    `**.${below}`,
    `${first}.*.${rest.slice(1).join('.')}`,
    `*.${name}`,
    `*${name}`,
    `xn--*.${below}`,
    '*',
    '*.',
    '.*'
  ])
}

/** What a certificate may say so that it is for this host, or nearly. @param {Dice} dice @param {string} host */
function nameFor(dice, host) {
  if (dice.chance(0.25)) return spelled(dice, dnsName(dice))
  return dice.chance(0.6) ? spelled(dice, host) : spelled(dice, wildcard(dice, host))
}

/** One entry of Node's `subjectaltname`. @param {Dice} dice @param {string} host */
function altName(dice, host) {
  const name = nameFor(dice, host)
  return dice.of([
    () => `DNS:${name}`,
    () => `DNS:${name}`,
    () => `DNS:${name}`,
    () => `DNS:${name}`,
    () => `IP Address:${dice.of([...ADDRESSES, ...NOT_ADDRESSES, host])}`,
    () => `IP Address:${dice.of(ADDRESSES)}`,
    () => `URI:https://${name}/`,
    () => `email:someone@${name}`,
    () => `dns:${name}`,
    () => 'Registered ID:1.2.3.4',
    () => 'othername:<unsupported>',
    () => `DirName:/CN=${name}`
  ])()
}

/** One that is written in quotes, as Node does where a name could be taken for two. @param {Dice} dice @param {string} host */
function quoted(dice, host) {
  const name = nameFor(dice, host)
  const escaped = Array.from(name, letter =>
    dice.chance(0.1) && letter < '\x7f' ? `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}` : letter
  ).join('')
  return dice.of([
    `DNS:${JSON.stringify(name)}`,
    `DNS:"${escaped}"`,
    `DNS:${JSON.stringify(`${name}, DNS:evil.example`)}`,
    `DNS:${JSON.stringify(`evil.example, DNS:${name}`)}`,
    `URI:${JSON.stringify(`http://x/, DNS:${name}`)}`,
    `DNS:"${name}\\u0000.evil.example"`,
    `IP Address:"${dice.of(ADDRESSES)}"`
  ])
}

/** One whose quotes or escapes are broken. @param {Dice} dice @param {string} host */
function malformed(dice, host) {
  const name = nameFor(dice, host)
  return dice.of([
    `DNS:"${name}`,
    'DNS:"',
    `DNS:"${name}\\"`,
    `DNS:"${name}\\x41"`,
    `DNS:"${name}\\u12"`,
    `DNS:"${name}\n"`,
    `DNS:"${name}"${name}`,
    `DNS:"a" "${name}"`,
    `${name}"`
  ])
}

/** @param {Dice} dice @param {string} host @returns {any} */
function commonName(dice, host) {
  const name = () => nameFor(dice, host)
  return dice.of([
    name,
    name,
    name,
    name,
    name,
    () => dice.some(3, name),
    () => [],
    () => '',
    () => undefined,
    () => dice.of(ADDRESSES),
    () => 7,
    () => ({ toString: name })
  ])()
}

/** @param {Dice} dice @param {string} host @returns {Shown} */
function shownFor(dice, host) {
  const names = (/** @type {(dice: Dice, host: string) => string} */ make) => dice.some(3, () => make(dice, host))
  const subject = () => ({ CN: commonName(dice, host) })
  return dice.of([
    () => ({ subjectaltname: names(altName).join(', '), subject: {} }),
    () => ({ subjectaltname: names(altName).join(', '), subject: {} }),
    () => ({ subjectaltname: names(altName).join(', '), subject: subject() }),
    () => ({ subjectaltname: names(altName).join(','), subject: subject() }),
    () => ({ subjectaltname: [...names(quoted), ...names(altName)].join(', '), subject: subject() }),
    () => ({ subjectaltname: [...names(altName), ...names(malformed)].join(', '), subject: subject() }),
    () => ({ subject: subject() }),
    () => ({ subject: subject() }),
    () => ({ subjectaltname: '', subject: subject() }),
    () => ({ subjectaltname: dice.of([undefined, null, 5, true, ['DNS:a.com'], {}]), subject: subject() }),
    () => ({ subjectaltname: `DNS:${host}`, subject: dice.of([undefined, null, 'text', 3]) }),
    () => ({ subject: dice.of([undefined, null, '', 0]) }),
    () => dice.of([{}, {}, null, undefined])
  ])()
}

/** @param {Dice} dice @param {string} name @returns {MakeHost} */
function notText(dice, name) {
  return dice.of(
    /** @type {MakeHost[]} */ ([
      () => null,
      () => undefined,
      () => 0,
      () => 127.1,
      () => Number.NaN,
      () => 1n,
      () => true,
      () => Symbol(name),
      () => [name],
      () => [name, name],
      () => [],
      () => ({}),
      () => Object.create(null),
      () => Object(name),
      () => () => name,
      () => ({ toString: () => name }),
      () => ({ valueOf: () => name, toString: () => 'other.example' }),
      () => ({ valueOf: () => ({}), toString: () => name }),
      () => ({ [Symbol.toPrimitive]: (/** @type {string} */ hint) => (hint === 'default' ? name : 'other.example') }),
      () => ({ toString: () => ({}) }),
      () => ({
        toString() {
          throw new RangeError('no text')
        }
      }),
      () => new URL('https://a.com/'),
      () => new Date(0)
    ])
  )
}

/** @param {Dice} dice @returns {{ host: MakeHost, cert: Shown }} */
function pair(dice) {
  const name = dice.of([
    () => spelled(dice, dnsName(dice)),
    () => spelled(dice, dnsName(dice)),
    () => spelled(dice, dnsName(dice)),
    () => dice.of([...ADDRESSES, ...NOT_ADDRESSES]),
    () => dice.of(ODD_NAMES)
  ])()
  const cert = shownFor(dice, name)
  return { host: dice.chance(0.15) ? notText(dice, name) : () => name, cert }
}

module.exports = { Dice, ADDRESSES, NOT_ADDRESSES, ODD_NAMES, dnsName, nameFor, pair, spelled }

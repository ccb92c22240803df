'use strict'
// Promise: what an editor says by policy.schema.json is what the strict reader says, wherever the shape of a text decides; what
// a schema cannot say is listed here, and then it lets more through, never less.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { describe, it } = require('node:test')
const { default: Ajv } = require('ajv')
const { PinSet } = require('..')
const { PolicyText } = require('../lib/policy.js')
const schema = require('../policy.schema.json')
const { MALFORMED, pin, tlsa } = require('./fixtures/malformed-policies')

const ROOT = path.join(__dirname, '..')
const HEX = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
const [A, B] = ['a', 'b'].map(pin)
const validate = new Ajv({ strict: true, strictRequired: false, strictTypes: false }).compile(schema)

/** What a schema does not see, by what the reader's message says of it. @type {[RegExp, why: string][]} */
const NOT_SEEN = [
  [/ is repeated/, 'a key that is written twice, or the same host in two forms'],
  [/^version: this version of the policy format is not known/, '1.0, which is 1 to a schema'],
  [/"2027-02-29T|"2100-02-29T|-31T/, 'how many days a month has'],
  [/contradicts the list it stands in/, 'whom a TLSA record is for'],
  [/has a label over 63 characters|is longer than 253/, 'how long a name is as A-labels'],
  [/ is not an IPv6 address/, 'what stands between the brackets'],
  [
    /TLSA data .* is not hexadecimal|stands before TLSA|neither a certificate nor a public key/,
    'what a TLSA record holds'
  ]
]

/** @param {string} text */
function reader(text) {
  try {
    new PinSet(new PolicyText(text))
    return undefined
  } catch (error) {
    return /** @type {Error} */ (error).message
  }
}

/**
 * Both say the same, or the schema less.
 * @param {string} text
 */
function agree(text) {
  const refusal = reader(text)
  const isShaped = validate(JSON.parse(text))
  if (!refusal) assert.ok(isShaped, `the schema refuses ${text}: ${JSON.stringify(validate.errors)}`)
  else if (!NOT_SEEN.some(([says]) => says.test(refusal))) assert.ok(!isShaped, `the schema takes ${text}: ${refusal}`)
  return refusal === undefined
}

/** One of everything that a policy can have. */
const WHOLE = {
  $schema: './node_modules/tls-pinning/policy.schema.json',
  version: 1,
  unlisted: 'report',
  expires: '2030-01-01T00:00:00Z',
  hosts: {
    'api.example.com': {
      pins: [A, `${A};${B}`, `spki:sha256:${HEX}`, `SPKI:SHA512:${HEX}${HEX}`],
      leaf: [tlsa(3)],
      ca: tlsa(2),
      expires: '2027-03-01T00:00:00.5+01:00',
      onExpiry: 'allow',
      mode: 'report'
    },
    '*.example.com': [A, `pin-sha256="${A.slice(7)}"`, A.slice(7), ` sha256//${A.slice(7)} ; ${B}\n`],
    '**.example.com:8443': `cert:sha512:${HEX}${HEX}`,
    'Bücher.example.': [
      HEX.replace(/..(?!$)/g, '$&:'),
      `sha256 Fingerprint=${HEX.toUpperCase().replace(/..(?!$)/g, '$&:')}`
    ],
    '192.0.2.7': A,
    '[2001:db8::1]:443': [`_443._tcp.a.example. 3600 IN TLSA 3 1 1 ( ${HEX} )`, `TLSA 3 1 1 ${HEX}`],
    '[::ffff:192.0.2.8]': A,
    _service: A,
    localhost:
      '-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAx9sTnDp1THObguGBUBtR0z4uI00sulaVELquYQwxCDc=\n-----END PUBLIC KEY-----\n'
  }
}

describe('the schema', () => {
  it('is one that editors know, and is where they look', () => {
    assert.equal(schema.$schema, 'http://json-schema.org/draft-07/schema#')
    assert.equal(require('tls-pinning/policy.schema.json'), schema)
  })

  it('takes whatever the reader takes', () => {
    for (const policy of [
      WHOLE,
      new PinSet(/** @type {any} */ (WHOLE)).toJSON(),
      WHOLE.hosts,
      A,
      [A, B],
      `${A};${B}`,
      { hosts: { a: A } },
      { 'a.example': { leaf: A } },
      { unlisted: A, expires: A }
    ]) {
      assert.ok(agree(JSON.stringify(policy)), JSON.stringify(policy))
    }
  })

  it('takes the policies of the documents', () => {
    const documents = ['README.md', ...fs.readdirSync(path.join(ROOT, 'docs')).map(name => `docs/${name}`)]
    let count = 0
    for (const file of documents.filter(name => name.endsWith('.md'))) {
      const text = fs.readFileSync(path.join(ROOT, file), 'utf8')
      for (const [, json] of text.matchAll(/^```json\n(.*?)^```$/gms)) {
        const filledIn = json.replaceAll(/sha256\/\w+…/g, A)
        if (!filledIn.includes('"hosts"')) continue
        assert.ok(validate(JSON.parse(filledIn)), `${file}: ${JSON.stringify(validate.errors)}`)
        count++
      }
    }
    assert.ok(count > 0)
  })
})

describe('what the reader refuses, the schema refuses', () => {
  for (const [name, given] of MALFORMED) it(name, () => assert.ok(!agree(JSON.stringify(given))))

  it('so too all that the native suite has', () => {
    const source = fs.readFileSync(path.join(ROOT, 'src/pinning/policy_json_tests.rs'), 'utf8')
    const [, table] = /** @type {RegExpExecArray} */ (/const REFUSED: &str = r#"\n(.*?)\n"#;/s.exec(source))
    const rows = table.split('\n').map(row => row.split('  =>  ')[0])
    assert.ok(rows.length >= 57)
    for (const row of rows) {
      const text = row
        .replaceAll('"A"', JSON.stringify(A))
        .replaceAll('"B"', JSON.stringify(B))
        .replace('SHA1', 'ab'.repeat(20))
        .replaceAll('HEX', HEX)
      assert.ok(!agree(text), text)
    }
  })

  it('and they agree on a policy that is changed in any one place', () => {
    let refused = 0
    let accepted = 0
    const values = [
      null,
      true,
      0,
      1,
      2,
      1.5,
      '',
      'x',
      'deny',
      'allow',
      'report',
      'enforce',
      [],
      {},
      [null],
      [[A]],
      [A, 5],
      { a: A },
      A,
      tlsa(1)
    ]
    for (const place of places(WHOLE)) {
      const variants = [changed(WHOLE, place, undefined), ...values.map(value => changed(WHOLE, place, value))]
      const last = place.at(-1)
      if (typeof last === 'string') {
        for (const name of [`${last}s`, last.slice(1), last.toUpperCase(), '', ' ', `${last} `, 'hosts']) {
          variants.push(renamed(WHOLE, place, name))
        }
      }
      for (const variant of variants) agree(JSON.stringify(variant)) ? accepted++ : refused++
    }
    assert.ok(refused > 500 && accepted > 100, `${refused} refused, ${accepted} accepted`)
  })

  it('and on a pin or a host of which one character is another', () => {
    const pins = Object.values(WHOLE.hosts).flatMap(entry =>
      typeof entry === 'string' || Array.isArray(entry) ? entry : Object.values(entry).flat()
    )
    for (const text of pins.filter(text => !text.includes('BEGIN'))) {
      for (let at = 0; at <= text.length; at++) {
        for (const by of ['', '=', ':', ' ', '/', 'g', '0', ';']) {
          agree(JSON.stringify({ hosts: { 'a.example': text.slice(0, at) + by + text.slice(at + 1) } }))
        }
      }
    }
    for (const host of Object.keys(WHOLE.hosts)) {
      for (let at = 0; at <= host.length; at++) {
        for (const by of ['', '.', ':', ' ', '/', '*', '0', '[', ']', '-', '_', '%', '"', 'é']) {
          agree(JSON.stringify({ hosts: { [host.slice(0, at) + by + host.slice(at + 1)]: A } }))
        }
      }
    }
  })
})

/**
 * Every place in a value, as the keys on the way to it.
 * @param {any} value
 * @param {string[]} [at]
 * @returns {string[][]}
 */
function places(value, at = []) {
  if (typeof value !== 'object' || value === null) return [at]
  const inside = Object.keys(value).flatMap(key => places(value[key], [...at, key]))
  return at.length === 0 ? inside : [at, ...inside]
}

/**
 * @param {any} value
 * @param {string[]} place
 * @param {unknown} by Removed where undefined.
 */
function changed(value, place, by) {
  const copy = structuredClone(value)
  const parent = place.slice(0, -1).reduce((inside, key) => inside[key], copy)
  const key = /** @type {string} */ (place.at(-1))
  if (by === undefined && Array.isArray(parent)) parent.splice(Number(key), 1)
  else if (by === undefined) delete parent[key]
  else parent[key] = by
  return copy
}

/**
 * @param {any} value
 * @param {string[]} place
 * @param {string} name
 */
function renamed(value, place, name) {
  const copy = structuredClone(value)
  const parent = place.slice(0, -1).reduce((inside, key) => inside[key], copy)
  if (Array.isArray(parent)) return copy
  const key = /** @type {string} */ (place.at(-1))
  const { [key]: moved } = parent
  delete parent[key]
  parent[name] = moved
  return copy
}

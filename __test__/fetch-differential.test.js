'use strict'
// The promise: the pinned `fetch` is Node's own, but for the differences that docs/fetch.md lists. Each case runs with both
// against the same server, and what came back and what the server received are compared whole.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { before, describe, it } = require('node:test')
const { promisify } = require('node:util')
const { CASES } = require('./fixtures/fetch-cases')
const { ca, leaf } = require('./helpers/pki')

/** Cases whose outcome differs, with the words of docs/fetch.md. @type {Record<string, string>} */
const DIFFERENCES = {
  'redirect 302 of a stream':
    'A stream may be sent with 301 and 302 to `POST`: it is dropped anyway. Node refuses to follow.',
  'redirect 308 of POST with bytes':
    'Bytes are sent again after 307 and 308. Node 20 and 22 fail on their own copy of them.',
  'redirect to another origin':
    '`response.type` is always `basic`. Node says `cors` after a redirect to another origin.',
  integrity: '`integrity` is refused before anything is sent: there is no check of a digest here.',
  'conditional request':
    'Conditional headers such as `if-none-match` go alone. Node adds `cache-control` and `pragma`.',
  'a header of the connection':
    'Headers that belong to the connection, such as `connection` and `keep-alive`, are refused. Node drops some of them.',
  'headers of a response are immutable': 'The headers of a response can be changed. Nothing is sent by that.',
  'the headers that are sent by default':
    'Not sent by default: `accept-language: *` and `sec-fetch-mode: cors`. `accept-encoding` names zstd as well.',
  'data: URL': 'Only `https:`. Node also fetches `http:`, `data:` and `blob:`, none of which has a key to pin.'
}
/** Those that not every version of Node shows. */
const SOMETIMES = ['redirect 308 of POST with bytes']

const LEAST = 60
/** @type {Map<string, { node: any, ours: any }>} */
let results

before(async () => {
  const root = await ca({ name: 'Root' })
  const { pem, key, pin } = await leaf({ issuer: root })
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fetch-'))
  try {
    const file = path.join(folder, 'ca.pem')
    fs.writeFileSync(file, root.pem)
    const program = path.join(__dirname, 'fixtures', 'fetch-cases.js')
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [program, JSON.stringify({ cert: { pem, key }, pin })],
      {
        env: { PATH: process.env.PATH, NODE_EXTRA_CA_CERTS: file },
        timeout: 60_000,
        maxBuffer: 2 ** 26
      }
    )
    results = new Map(JSON.parse(stdout).map((/** @type {any} */ { name, ...result }) => [name, result]))
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
})

describe('fetch, beside Node’s own', { timeout: 90_000 }, () => {
  it('has cases', () => assert.ok(Object.keys(CASES).length >= LEAST))

  for (const name of Object.keys(CASES)) {
    const why = DIFFERENCES[name]
    it(why ? `${name}: differs: ${why}` : name, () => {
      const result = results.get(name)
      assert.ok(result)
      if (SOMETIMES.includes(name)) return
      if (why) assert.notDeepEqual(result.ours, result.node)
      else assert.deepEqual(result.ours, result.node)
    })
  }
})

it('docs/fetch.md lists the differences, and no others', () => {
  const text = fs.readFileSync(path.join(__dirname, '..', 'docs', 'fetch.md'), 'utf8')
  const section = text.slice(text.indexOf('## Differences'), text.indexOf('\n## ', text.indexOf('## Differences') + 1))
  const listed = [...section.matchAll(/^- (.*(?:\n {2}.*)*)/gm)].map(([, item]) => item?.replace(/\n {2}/g, ' '))
  assert.deepEqual([...new Set(Object.values(DIFFERENCES))].sort(), listed.sort())
})

'use strict'
// Promise: what a server, a certificate or a file says is text to a terminal, whatever it holds: on one line, with nothing
// that moves the cursor, changes a colour or turns the direction of writing.

const assert = require('node:assert/strict')
const { it } = require('node:test')
const { text: drillText } = require('../bin/drill/report.js')
const { Ui, printable } = require('../bin/ui.js')

/** @type {[text: string, shown: string][]} */
const ROWS = [
  ['CN=api.example.com, O=Bücher & Söhne "日本" 🎉', 'CN=api.example.com, O=Bücher & Söhne "日本" 🎉'],
  ['\u001b[31mred\u001b[0m', '\\u{1b}[31mred\\u{1b}[0m'],
  ['\u001b]0;title\u0007', '\\u{1b}]0;title\\u{7}'],
  ['a\nb\r\tc', 'a\\u{a}b\\u{d}\\u{9}c'],
  ['\u009b31m \u0085 \u007f', '\\u{9b}31m \\u{85} \\u{7f}'],
  ['\u202eevil\u2066\u2069 \u200f \u200b \ufeff', '\\u{202e}evil\\u{2066}\\u{2069} \\u{200f} \\u{200b} \\u{feff}'],
  ['\u2028\u2029', '\\u{2028}\\u{2029}'],
  ['\ud800 \u{e0041} \ue000', '\\u{d800} \\u{e0041} \\u{e000}']
]

for (const [text, shown] of ROWS) {
  it(JSON.stringify(shown), () => {
    assert.equal(printable(text), shown)
    const { ui, written } = recorded({ json: true })
    ui.result({ text, list: [text] }, () => '')
    assert.doesNotMatch(written().replaceAll('\n', ''), /\p{C}|[\u2028\u2029]/u)
    assert.deepEqual(JSON.parse(written()), { text, list: [text] })
  })
}

it('an error keeps its own lines, and nothing else', () => {
  const { ui, written } = recorded({ json: false })
  ui.fail({ code: 'E', message: 'first \u001b[2J\nsecond', hint: 'do this' })
  assert.equal(written(), 'error: first \\u{1b}[2J\nsecond\ndo this\n')
})

it('so do a hint and a remark, and what is being done is on one line', () => {
  const { ui, written } = recorded({ json: false })
  ui.fail({ code: 'E', message: 'first', hint: 'do \u001b]0;this\u0007\nor that' })
  ui.note('first \u009b2J\n\u202esecond')
  assert.equal(written(), 'error: first\ndo \\u{1b}]0;this\\u{7}\nor that\nfirst \\u{9b}2J\n\\u{202e}second\n')
  const terminal = recorded({ json: false })
  terminal.ui.progress('asking \u001b[2J\na')
  assert.equal(terminal.written(), 'asking \\u{1b}[2J\\u{a}a')
})

it('a drill tells hosts and clients as text', () => {
  const { ui } = recorded({ json: false })
  const evil = 'a\u001b[2J\u202e\nb'
  const at = { host: evil, port: 1, client: evil, place: evil }
  const counts = { intercepted: 0, undecided: 0, unreached: 0, refused: 0, untrusted: 0, check: 0, pins: 2 }
  const finding = { ...at, via: null, verdict: 'pins', reason: evil, leaked: null, made: 1, attacked: 1 }
  const connections = [finding, { ...finding, via: evil }]
  const told = drillText(
    /** @type {any} */ ({ command: [], runs: 1, connections, plain: [at], missing: [at], counts }),
    ui
  )
  const shown = 'a\\u{1b}[2J\\u{202e}\\u{a}b'
  const lines = told.split('\n').map(line => line.split(/ {2,}/))
  const by = `${shown} (${shown})`
  assert.deepEqual(lines, [
    [`${shown}:1`, by, 'refused by pins', shown],
    [`${shown} via ${shown}`, by, 'refused by pins', shown],
    [`${shown}:1`, by, 'no TLS'],
    [`${shown}:1`, 'not there'],
    [''],
    ['Nothing was intercepted of 2, but 1 could not be tried: the server was not there.'],
    ['']
  ])
})

/** @param {{ json: boolean }} options */
function recorded({ json }) {
  /** @type {string[]} */
  const all = []
  const stream = /** @type {any} */ ({
    on() {},
    isTTY: true,
    hasColors: () => false,
    write: (/** @type {string} */ text) => all.push(text)
  })
  return { ui: new Ui({ json, out: stream, err: stream }), written: () => all.join('') }
}

'use strict'
// How a command speaks. Results go to standard output, everything else to standard error. Colours and progress only on a
// terminal; with `--json` standard output holds one JSON document and nothing else.

const { styleText } = require('node:util')

/** @typedef {Parameters<typeof styleText>[0]} Style */

class Ui {
  #out
  #err
  #line = ''

  /** @param {{ json?: boolean, out?: NodeJS.WriteStream, err?: NodeJS.WriteStream }} [options] */
  constructor({ json = false, out = process.stdout, err = process.stderr } = {}) {
    this.isJson = json
    this.#out = out
    this.#err = err
    // The reader has gone, as `head` does.
    out.on('error', error => process.exit(/** @type {any} */ (error).code === 'EPIPE' ? 0 : 1))
  }

  /**
   * A result, as text. Nothing is added.
   * @param {string} text
   */
  write(text) {
    this.#clear()
    this.#out.write(text)
  }

  /**
   * The result: as JSON with `--json`, else as text.
   * @param {unknown} value
   * @param {() => string} text
   */
  result(value, text) {
    this.write(this.isJson ? `${JSON.stringify(value, null, 2).replace(UNPRINTABLE, inJson)}\n` : text())
  }

  /**
   * Text in a style, where standard output is a terminal.
   * @param {Style} style
   * @param {string} text
   */
  style(style, text) {
    return colours(this.#out) ? styleText(style, text, { validateStream: false }) : text
  }

  /**
   * A remark for whoever looks on, without styles; it may have several lines.
   * @param {string} text
   */
  note(text) {
    this.error(`${printableLines(text)}\n`)
  }

  /** @param {string} text */
  error(text) {
    this.#clear()
    this.#err.write(text)
  }

  /**
   * What is being done, on a line that the next one replaces. Nothing where standard error is not a terminal.
   * @param {string} text
   */
  progress(text) {
    if (!this.#err.isTTY || this.isJson) return
    this.#clear()
    this.#line = printable(text).slice(0, (this.#err.columns || 80) - 1)
    this.#err.write(this.#line)
  }

  /** @param {{ code: string | undefined, message: string, hint: string }} error */
  fail({ code, message, hint }) {
    if (this.isJson) return this.result({ error: { code, message, hint } }, () => '')
    const label = colours(this.#err) ? styleText('red', 'error:', { validateStream: false }) : 'error:'
    this.error(`${label} ${printableLines(message)}\n${printableLines(hint)}\n`)
  }

  end() {
    this.#clear()
  }

  #clear() {
    if (this.#line) this.#err.write('\r\x1b[K')
    this.#line = ''
  }
}

/**
 * By the stream, NO_COLOR and FORCE_COLOR.
 * @param {NodeJS.WriteStream} stream
 */
function colours(stream) {
  if (process.env.NO_COLOR) return false
  if (process.env.FORCE_COLOR) return process.env.FORCE_COLOR !== '0'
  return Boolean(stream.isTTY && stream.hasColors?.())
}

/**
 * Columns that line up; a row is a list of cells. Styles do not count as width.
 * @param {string[][]} rows
 * @param {string} [indent]
 */
function table(rows, indent = '') {
  const widths = rows.reduce(
    (/** @type {number[]} */ all, row) => row.map((cell, at) => Math.max(all[at] ?? 0, width(cell))),
    []
  )
  const line = (/** @type {string[]} */ row) =>
    row.map((cell, at) => cell + ' '.repeat(Math.max(0, (widths[at] ?? 0) - width(cell)))).join('  ')
  return rows.map(row => `${indent}${line(row).trimEnd()}\n`).join('')
}

/** @param {string} cell */
function width(cell) {
  return cell.replace(/\x1b\[[0-9;]*m/g, '').length
}

/** What could move the cursor, forge a line or hide text: controls, format and bidi characters, and what has no glyph. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu

/**
 * A text of a server, a certificate or a file, on one line and with nothing in it that a terminal would obey.
 * @param {unknown} text
 */
function printable(text) {
  return String(text).replace(UNPRINTABLE, character => `\\u{${character.codePointAt(0)?.toString(16)}}`)
}

/**
 * A text of several lines, each of them printable.
 * @param {string} text
 */
function printableLines(text) {
  return text.split('\n').map(printable).join('\n')
}

/**
 * The same text in JSON. Its strings hold no line break that is not escaped already.
 * @param {string} character
 */
function inJson(character) {
  if (character === '\n') return character
  const units = character.split('')
  return units.map(unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')
}

module.exports = { Ui, printable, table }

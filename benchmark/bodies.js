'use strict'
// What the server sends.

const SMALL_BODY = JSON.stringify({ id: 4711, name: 'a small answer', tags: ['pinned', 'measured'], ok: true })
const MEDIUM_BYTES = 2 ** 20
const LARGE_BYTES = 100 * 2 ** 20

module.exports = { LARGE_BYTES, MEDIUM_BYTES, SMALL_BODY }

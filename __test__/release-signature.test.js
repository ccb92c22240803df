'use strict'
// Promise: an addon for macOS on ARM is shipped with a signature that its bytes have, since macOS kills the program else.

const assert = require('node:assert/strict')
const { createHash } = require('node:crypto')
const { it } = require('node:test')
const { signatureProblem } = require('../scripts/release/code-signature.js')

const CODE = Buffer.alloc(10_000, 'code')

/** As linkers sign ad hoc, in pages of 4 KiB. @param {Record<string, number>} [change] */
function signed({ magic = 0xfade0cc0, end = CODE.length, hash = 2 } = {}) {
  const pages = [0, 4096, 8192].map(at => CODE.subarray(at, at + 4096))
  const head = Buffer.alloc(44)
  const fields = [0xfade0c02, 44 + 96, 0x20400, 2, 44, 40, 0, pages.length, end]
  for (const [index, value] of fields.entries()) head.writeUInt32BE(value, index * 4)
  head.set([32, hash, 0, 12], 36)
  const hashes = pages.map(page => createHash('sha256').update(page).digest())
  const blob = Buffer.alloc(20)
  for (const [index, value] of [magic, 20 + 44 + 96, 1, 0, 20].entries()) blob.writeUInt32BE(value, index * 4)
  return Buffer.concat([CODE, blob, head, ...hashes])
}

it('what the linker signed is in order', () => {
  assert.equal(signatureProblem(signed(), CODE.length), undefined)
})

it('one bit that was changed later is seen, wherever it is', () => {
  for (const [at, page] of [
    [0, 0],
    [4096, 1],
    [9_999, 2]
  ]) {
    const bytes = signed()
    bytes[Number(at)] = Number(bytes[Number(at)]) ^ 1
    assert.equal(signatureProblem(bytes, CODE.length), `its signature is not that of page ${page}`)
  }
})

it('what is no signature, or one of something else, is refused', () => {
  assert.equal(signatureProblem(CODE, CODE.length), 'its signature is malformed')
  assert.equal(signatureProblem(signed({ magic: 1 }), CODE.length), 'its signature is malformed')
  assert.equal(
    signatureProblem(signed().subarray(0, CODE.length + 30), CODE.length),
    'its signature has no code directory'
  )
  assert.equal(signatureProblem(signed({ end: 8_192 }), CODE.length), 'its signature is over 8192 bytes, not 10000')
  assert.equal(signatureProblem(signed({ hash: 1 }), CODE.length), 'its signature is not by SHA-256')
})

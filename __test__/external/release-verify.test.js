'use strict'
// Promise: what is shipped runs on the machines that it is for, and says nothing of the one that built it. LLVM's tools
// read the addon of this clone, and copies of it that are damaged.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
const { TARGETS } = require('../../scripts/release/targets.js')
const { verify } = require('../../scripts/release/verify.js')

const ADDON = path.join(__dirname, '..', '..', 'tls-pinning.linux-x64-gnu.node')
const target = TARGETS.find(({ platform }) => platform === 'linux-x64-gnu')
const arm = TARGETS.find(({ platform }) => platform === 'linux-arm64-gnu')
assert.ok(target && arm)

describe('an addon that is to be shipped', { skip: !fs.existsSync(ADDON) && 'not on Linux x64' }, () => {
  /** @type {string} */
  let folder

  before(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'verify-'))
  })
  after(() => fs.rmSync(folder, { recursive: true }))

  /** @param {(bytes: Buffer) => Buffer} change */
  function damaged(change) {
    const file = path.join(folder, 'damaged.node')
    fs.writeFileSync(file, change(fs.readFileSync(ADDON)))
    return verify(file, /** @type {NonNullable<typeof target>} */ (target)).problems
  }

  it('is read: format, exports, libraries', () => {
    const found = verify(ADDON, target)
    assert.equal(found.format, 'elf64-x86-64')
    assert.deepEqual(found.exports, ['napi_register_module_v1'])
    assert.ok(found.libraries.includes('libc.so.6'))
    assert.equal(found.size, fs.statSync(ADDON).size)
  })

  it('is refused as the plain build that it is: it needs this machine’s glibc and names its folders', () => {
    const { glibc = '0', problems } = verify(ADDON, target)
    assert.ok(Number(glibc.split('.')[1]) > 17)
    assert.ok(problems.includes(`it needs glibc ${glibc}, and shall run with 2.17`))
    assert.ok(problems.some(problem => problem.startsWith('it tells where it was built: /')))
  })

  it('is refused for another architecture', () => {
    assert.ok(verify(ADDON, arm).problems.includes('it is elf64-x86-64, not elf64-littleaarch64'))
  })

  it('is refused with a library that not every machine has', () => {
    // Same length, so that the file stays whole.
    const problems = damaged(bytes =>
      Buffer.from(bytes.toString('latin1').replace('libm.so.6\0', 'libq.so.6\0'), 'latin1')
    )
    assert.ok(problems.includes('it needs libq.so.6, which not every machine has'), problems.join('\n'))
  })

  it('is refused without the function that Node calls', () => {
    const name = 'napi_register_module_v1'
    const problems = damaged(bytes =>
      Buffer.from(bytes.toString('latin1').replaceAll(name, name.replace('v1', 'v9')), 'latin1')
    )
    assert.ok(problems.includes(`it does not export ${name}: Node would not find it`), problems.join('\n'))
    assert.ok(problems.includes('it exports 1 more: napi_register_module_v9'), problems.join('\n'))
  })

  it('is refused when it is too large', () => {
    const problems = damaged(bytes => Buffer.concat([bytes, Buffer.alloc(10_000_001 - bytes.length)]))
    assert.ok(problems.includes('10000001 bytes, more than 10000000'), problems.join('\n'))
  })

  it('cannot be read when it is cut off', () => {
    assert.throws(() => damaged(bytes => bytes.subarray(0, 40)), /llvm-readobj/)
  })
})

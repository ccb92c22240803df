'use strict'
// What is in each package: the files of `contents.txt` and no others.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')

const CONTENTS = path.join(__dirname, '..', 'contents.txt')

/**
 * Lists by name of the package; `<platform>` stands for any.
 * @returns {Record<string, string[]>}
 */
function expected() {
  /** @type {Record<string, string[]>} */
  const lists = {}
  let list = []
  for (const line of fs.readFileSync(CONTENTS, 'utf8').split('\n')) {
    if (line.startsWith('#') || line === '') continue
    if (line.startsWith('  ')) list.push(line.trim())
    else lists[line] = list = []
  }
  return lists
}

/** @type {import('../../rehearse.js').Journey[]} */
module.exports = [
  {
    name: 'contents of the packages',
    async run({ packed }) {
      const lists = expected()
      const sizes = []
      for (const { name, files, size, unpackedSize } of packed) {
        const platform = name.split('/')[1] ?? ''
        const list = platform ? lists['@tls-pinning/<platform>'] : lists[name]
        assert.deepEqual(
          files.map(file => file.path).sort(),
          list.map(file => file.replace('<platform>', platform)).sort(),
          `${name} does not hold what contents.txt says`
        )
        sizes.push(`${name} ${megabytes(size)} packed, ${megabytes(unpackedSize)} unpacked`)
      }
      return sizes.join('; ')
    }
  }
]

/** @param {number} bytes */
function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(2)} MB`
}

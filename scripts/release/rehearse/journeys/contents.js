'use strict'
// What is in the packages: the files of contents.txt and no others.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')

const LIST = path.join(__dirname, '..', 'contents.txt')

/** @type {Record<string, (user: InstanceType<typeof import('../user.js').User>) => Promise<void>>} */
const journeys = {
  'the packages have the files of contents.txt': async user => {
    const main = user.world.folders.find(folder => path.basename(folder) === 'tls-pinning')
    const found = (await filesOf(user, String(main))).join('\n')
    if (process.env.UPDATE_CONTENTS) fs.writeFileSync(LIST, `${found}\n`)
    assert.equal(
      `${found}\n`,
      fs.readFileSync(LIST, 'utf8'),
      'if it is meant: UPDATE_CONTENTS=1 npm run release:rehearse'
    )
  },

  'a platform package has its addon, licences and nothing else': async user => {
    for (const folder of user.world.folders.filter(one => path.basename(one) !== 'tls-pinning')) {
      const addon = `tls-pinning.${path.basename(folder)}.node`
      assert.deepEqual(await filesOf(user, folder), [
        'LICENSE',
        'README.md',
        'THIRD-PARTY-LICENSES.txt',
        'package.json',
        'sbom.cdx.json',
        addon
      ])
    }
  }
}

/** As npm packs them. @param {InstanceType<typeof import('../user.js').User>} user @param {string} folder */
async function filesOf(user, folder) {
  const [{ files }] = JSON.parse(await user.npm(['pack', '--dry-run', '--json', folder]))
  return files.map((/** @type {{ path: string }} */ file) => file.path).sort()
}

module.exports = { journeys }

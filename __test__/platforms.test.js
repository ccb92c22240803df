'use strict'
// Promise: every platform of the table has one package, which npm installs there alone and the loader asks for there.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
const { OPTIONAL, PLATFORM, ROOT, install } = require('./helpers/installed.js')
const { madeFor } = require('../lib/binary.js')
const { platformPackage } = require('../scripts/release/platform-package.js')
const { TARGETS } = require('../scripts/release/targets.js')
const manifest = require('../package.json')

/** What a process has mapped, as its kernel tells it. */
const MAPS = {
  glibc: '7f0000000000-7f0000001000 r-xp 00000000 fe:00 1    /usr/lib/x86_64-linux-gnu/libc.so.6\n',
  alpine: '7f0000000000-7f0000001000 r-xp 00000000 fe:00 1    /lib/ld-musl-x86_64.so.1\n',
  // Started by `libc.so node`, as musl's loader is also called.
  loader: '7f0000000000-7f0000001000 r-xp 00000000 fe:00 1    /opt/musl/lib/libc.so\n'
}

/** @type {ReturnType<typeof install>} */
let app
before(() => {
  app = install()
})
after(() => app.remove())

/**
 * The package that the loader asks for in a process that is made out to be another.
 * @param {string} os @param {string} cpu @param {string} [maps] none: `/proc` may not be read
 */
function askedFor(os, cpu, maps) {
  const before = `
    for (const [name, value] of [['platform', ${JSON.stringify(os)}], ['arch', ${JSON.stringify(cpu)}]]) {
      Object.defineProperty(process, name, { value })
    }
    const fs = require('node:fs')
    const { readFileSync } = fs
    fs.readFileSync = (file, ...rest) => {
      if (file !== '/proc/self/maps') return readFileSync(file, ...rest)
      ${maps === undefined ? `throw new Error('EACCES')` : `return ${JSON.stringify(maps)}`}
    }`
  const { message, cause } = app.load({ before })
  const [, name] = /^Cannot find module '(.+)\/package\.json'/.exec(cause) ?? []
  assert.ok(name && message.includes(`Tried ${name}: not found`), message)
  return name
}

describe('a platform’s package', () => {
  for (const target of TARGETS) {
    const { platform, os, cpu, libc } = target
    const name = `@tls-pinning/${platform}`

    it(`${platform}: says where it belongs`, () => {
      const { packageJson, readme } = platformPackage(target, manifest.version)
      assert.deepEqual(
        { ...packageJson, description: '' },
        {
          name,
          version: manifest.version,
          description: '',
          license: 'MIT',
          author: manifest.author,
          type: 'commonjs',
          main: `tls-pinning.${platform}.node`,
          files: [`tls-pinning.${platform}.node`, 'THIRD-PARTY-LICENSES.txt', 'sbom.cdx.json'],
          os: [os],
          cpu: [cpu],
          ...(libc && { libc: [libc] }),
          engines: manifest.engines,
          preferUnplugged: true
        }
      )
      assert.match(packageJson.description, /^The prebuilt addon of tls-pinning for /)
      assert.ok(readme.startsWith(`# ${name}\n`))
    })

    it(`${platform}: is what the loader asks for there`, () => {
      assert.equal(askedFor(os, cpu, libc === 'musl' ? MAPS.alpine : MAPS.glibc), name)
    })
  }

  it('is one of ten, each of its own name', () => {
    assert.equal(TARGETS.length, 10)
    assert.equal(Object.keys(OPTIONAL).length, 10)
  })

  it('is none of the package’s own in the clone, where npm could not find it', () => {
    assert.ok(!('optionalDependencies' in manifest))
  })
})

describe('the C library', () => {
  it('is musl where musl’s loader has another name', () => {
    assert.equal(askedFor('linux', 'x64', MAPS.loader), '@tls-pinning/linux-x64-musl')
  })

  it('is musl in a process that has both, as gcompat does', () => {
    assert.equal(askedFor('linux', 'x64', MAPS.glibc + MAPS.alpine), '@tls-pinning/linux-x64-musl')
  })

  it('is what Node’s report says where /proc may not be read', { skip: process.platform !== 'linux' }, () => {
    const musl = PLATFORM.includes('musl')
    assert.equal(askedFor('linux', 'x64'), `@tls-pinning/linux-x64-${musl ? 'musl' : 'gnu'}`)
  })
})

describe('the header of a binary', () => {
  const MADE = /** @type {const} */ ([
    ['ELF', 'x64', '7f454c460201010000000000000000000300 3e00'],
    ['ELF', 'arm64', '7f454c460201010000000000000000000300 b700'],
    ['ELF', 'arm', '7f454c460101010000000000000000000300 2800'],
    ['ELF', 's390x', '7f454c46020201000000000000000000 0003 0016'],
    ['ELF', 'architecture 4660', '7f454c460201010000000000000000000300 3412'],
    ['Mach-O', 'arm64', 'cffaedfe0c000001'],
    ['Mach-O', 'x64', 'cffaedfe07000001'],
    ['PE', 'x64', `4d5a${'00'.repeat(58)}40000000 50450000 6486`],
    ['PE', 'arm64', `4d5a${'00'.repeat(58)}40000000 50450000 64aa`],
    [undefined, undefined, `4d5a${'00'.repeat(58)}ffffffff`],
    [undefined, undefined, '3c68746d6c3e'],
    [undefined, undefined, '']
  ])
  for (const [format, cpu, hex] of MADE) {
    it(`${format} ${cpu}: ${hex.slice(0, 20)}`, () => {
      const file = path.join(app.folder, 'binary')
      fs.writeFileSync(file, Buffer.from(hex.replaceAll(' ', ''), 'hex'))
      assert.deepEqual(madeFor(file), format && { format, cpu })
    })
  }

  it('of the addon here is that of this process', () => {
    const addon = fs.readdirSync(ROOT).find(name => name.endsWith('.node'))
    assert.equal(madeFor(path.join(ROOT, String(addon)))?.cpu, process.arch)
  })
})

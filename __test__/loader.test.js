'use strict'
// Promise: the addon that loads is the one that was built here, or that of the package for this platform at exactly this
// version; and where none loads, one error says why and what to do.

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { afterEach, beforeEach, describe, it } = require('node:test')
const { ADDON, PLATFORM, ROOT, install } = require('./helpers/installed.js')
const { loadError } = require('../lib/load-error.js')
const { version } = require('../package.json')

const elsewhere = PLATFORM !== 'linux-x64-gnu' && 'its golden messages are those of x64 Linux with glibc'
const HERE = 'On linux-x64-gnu, Node.js <version>, glibc <version>'
const NOT_FOUND = 'Tried @tls-pinning/linux-x64-gnu: not found'
const INSTALLED = 'Tried @tls-pinning/linux-x64-gnu: <app>/node_modules/@tls-pinning/linux-x64-gnu'
const REINSTALL = 'Delete node_modules and install again.'

/** @type {ReturnType<typeof install>} */
let app
beforeEach(() => {
  app = install()
})
afterEach(() => app.remove())

/** @param {{ code?: string, message?: string }} answer @param {string[]} lines */
function failed({ code, message }, ...lines) {
  // Never MODULE_NOT_FOUND, which a program may take for "not installed, so go on without".
  assert.equal(code, 'ERR_DLOPEN_FAILED')
  assert.equal(message, lines.join('\n  '))
}

describe('what loads', () => {
  it('is the addon of the package for this platform', () => {
    app.add()
    const { names } = app.load()
    assert.ok(names.includes('pinnedRequest'))
  })

  it('is it by import too', () => {
    app.add()
    const program = `import { pinnedRequest } from 'tls-pinning'; console.log(typeof pinnedRequest)`
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', program], { cwd: app.folder })
    assert.equal(String(out), 'function\n')
  })

  it('is not what lies in an installed package where a clone has its build', () => {
    app.add()
    fs.writeFileSync(path.join(app.own, path.basename(ADDON)), 'not an addon')
    assert.ok(app.load().names)
  })
})

describe('in a clone', () => {
  /** @type {ReturnType<typeof install>} */
  let clone
  beforeEach(() => {
    clone = install({})
  })
  afterEach(() => clone.remove())

  it('it is the build before all packages', () => {
    clone.add(PLATFORM, { content: 'not an addon' })
    fs.copyFileSync(ADDON, path.join(clone.own, path.basename(ADDON)))
    assert.ok(clone.load().names)
  })

  it('it is no package if the build is broken', { skip: elsewhere }, () => {
    clone.add()
    const built = path.join(clone.own, path.basename(ADDON))
    fs.writeFileSync(built, 'half')
    failed(
      clone.load(),
      `tls-pinning cannot load its addon: ${built.replace(clone.folder, '<app>')} is damaged: it is no library`,
      HERE,
      `Tried ${built.replace(clone.folder, '<app>')}, the build in this clone: it is there, so no other was tried`,
      'Run: npm run build'
    )
  })

  it('a build of another version is not used', { skip: elsewhere }, () => {
    const built = path.join(clone.own, path.basename(ADDON))
    fs.copyFileSync(ADDON, built)
    const own = path.join(clone.own, 'package.json')
    fs.writeFileSync(own, fs.readFileSync(own, 'utf8').replace(`"version":"${version}"`, '"version":"9.9.9"'))
    failed(
      clone.load(),
      `tls-pinning cannot load its addon: the addon is version ${version}, and tls-pinning 9.9.9`,
      HERE,
      `Tried ${built.replace(clone.folder, '<app>')}, the build in this clone: it is there, so no other was tried`,
      'Run: npm run build'
    )
  })

  it('that was not built', { skip: elsewhere }, () => {
    failed(
      clone.load(),
      'tls-pinning cannot load its addon: it was not built in this clone',
      HERE,
      'Tried <app>/node_modules/tls-pinning/tls-pinning.linux-x64-gnu.node, the build in this clone: not there',
      NOT_FOUND,
      'Run: npm install && npm run build'
    )
  })
})

describe('on x64 Linux with glibc', { skip: elsewhere }, () => {
  it('without the package', () => {
    const answer = app.load()
    failed(
      answer,
      'tls-pinning cannot load its addon: @tls-pinning/linux-x64-gnu is not installed',
      HERE,
      NOT_FOUND,
      'It is an optional dependency: install without --omit=optional, --no-optional, or `omit` in an .npmrc. If the lock ' +
        'file does not name it, it was written on another system: delete it and node_modules, and install again. A mirror ' +
        'of the registry has to carry @tls-pinning too.'
    )
    assert.match(answer.cause, /^Cannot find module '@tls-pinning\/linux-x64-gnu\/package\.json'/)
  })

  for (const other of ['linux-x64-musl', 'darwin-arm64', 'win32-x64-msvc']) {
    it(`with the package for ${other} alone`, () => {
      app.add(other)
      failed(
        app.load(),
        `tls-pinning cannot load its addon: node_modules was installed for another system: it has @tls-pinning/${other} ` +
          'and not @tls-pinning/linux-x64-gnu',
        HERE,
        NOT_FOUND,
        'Install where the program runs: in the container, not copied into it. To install for this system from another: ' +
          'npm install --os=linux --cpu=x64 --libc=glibc, or `supportedArchitectures` in pnpm and Yarn.'
      )
    })
  }

  it('with the package of another version', () => {
    app.add(PLATFORM, { version: '0.0.9' })
    const answer = app.load()
    failed(
      answer,
      `tls-pinning cannot load its addon: @tls-pinning/linux-x64-gnu is version 0.0.9, and tls-pinning ${version}: they ` +
        'have to be the same',
      HERE,
      INSTALLED,
      `Remove @tls-pinning/linux-x64-gnu from your own dependencies and overrides. ${REINSTALL}`
    )
    assert.equal(answer.cause, `the addon is version 0.0.9, and tls-pinning ${version}`)
  })

  for (const [what, content] of [
    ['nothing', ''],
    ['a page of a proxy', `<html>${' '.repeat(9000)}`]
  ]) {
    it(`with an addon that is ${what}`, () => {
      const addon = app.add(PLATFORM, { content }).replace(app.folder, '<app>')
      failed(
        app.load(),
        `tls-pinning cannot load its addon: ${addon} is damaged: it is no library`,
        HERE,
        INSTALLED,
        REINSTALL
      )
    })
  }

  it('with no addon in the package', () => {
    fs.rmSync(app.add())
    failed(app.load(), 'tls-pinning cannot load its addon: its package has no addon in it', HERE, INSTALLED, REINSTALL)
  })

  it('with an addon for another architecture', () => {
    const content = fs.readFileSync(ADDON)
    content.writeUInt16LE(183, 18)
    const addon = app.add(PLATFORM, { content }).replace(app.folder, '<app>')
    failed(
      app.load(),
      `tls-pinning cannot load its addon: ${addon} is made for arm64 (ELF), this process is x64 (ELF)`,
      HERE,
      INSTALLED,
      `Do not copy node_modules or builds from one system to another. ${REINSTALL}`
    )
  })

  it('with an addon that needs a newer glibc', () => {
    const content = fs.readFileSync(ADDON)
    // The name of a version that it needs, in its table of strings.
    const [needed] = /GLIBC_2\.\d\d(?=\0)/.exec(content.toString('latin1')) ?? []
    content.write('GLIBC_9.99', content.indexOf(String(needed)), 'latin1')
    app.add(PLATFORM, { content })
    const answer = app.load()
    const { report } = /** @type {any} */ (process)
    const { glibcVersionRuntime } = report.getReport().header
    failed(
      answer,
      `tls-pinning cannot load its addon: it needs glibc 9.99, and here is ${glibcVersionRuntime}`,
      HERE,
      INSTALLED,
      'Use a newer system or base image, or build it from a clone (README, "Install").'
    )
    assert.match(answer.cause, /version `GLIBC_9\.99' not found/)
  })

  it('on a platform without a package', () => {
    const before = `Object.defineProperty(process, 'arch', { value: 's390x' });`
    failed(
      app.load({ before }),
      'tls-pinning cannot load its addon: there is no prebuilt one for linux-s390x-gnu',
      HERE.replace('x64', 's390x'),
      NOT_FOUND.replace('x64', 's390x'),
      'There are linux-x64-gnu, linux-arm64-gnu, linux-x64-musl, linux-arm64-musl, linux-arm-gnueabihf, darwin-x64, ' +
        'darwin-arm64, win32-x64-msvc, win32-arm64-msvc, freebsd-x64. To use it here, build it from a clone (README, "Install").'
    )
  })

  it('in a bundle', () => {
    const request = bundle()
    failed(
      app.load({ request }),
      'tls-pinning cannot load its addon: a bundler has put its code into <app>/dist, where its addon is not found',
      HERE,
      NOT_FOUND,
      'Keep tls-pinning out of the bundle and ship node_modules beside it: `external: ["tls-pinning"]` in esbuild and ' +
        'Rollup, `externals: { "tls-pinning": "commonjs tls-pinning" }` in webpack (docs/bundlers.md).'
    )
    app.add()
    // In a bundle the folder above is anybody's.
    for (const file of ['Cargo.toml', path.basename(ADDON)]) fs.writeFileSync(path.join(app.folder, file), '')
    assert.ok(app.load({ request }).names, 'and yet it is found if it can be')
  })

  for (const [what, content] of [
    ['nothing', '{}'],
    ['the name of a file', '"7f3a.node"']
  ]) {
    it(`in a bundle with ${what} in place of the addon`, () => {
      const before = `require('node:module')._extensions['.node'] = module => { module.exports = ${content} };`
      app.add()
      failed(
        app.load({ before }),
        'tls-pinning cannot load its addon: a bundler has put something else in its place',
        HERE,
        INSTALLED,
        'Keep tls-pinning out of the bundle and ship node_modules beside it: `external: ["tls-pinning"]` in esbuild and ' +
          'Rollup, `externals: { "tls-pinning": "commonjs tls-pinning" }` in webpack (docs/bundlers.md).'
      )
    })
  }

  it('with --no-addons', () => {
    app.add()
    failed(
      app.load({ flags: ['--no-addons'] }),
      'tls-pinning cannot load its addon: Node.js was told to load no addons',
      HERE,
      INSTALLED,
      'Add --allow-addons beside --permission; take --no-addons away.'
    )
  })

  it('where the system lets nothing be executed', () => {
    const cause = new Error(`${ADDON}: failed to map segment from shared object`)
    const { message } = loadError(PLATFORM, ADDON, cause)
    assert.match(message, /: the system does not let .*\.node be executed\n/)
    assert.match(message, /\n {2}Its file system is mounted noexec, or/)
  })
})

/**
 * The loader and what it needs in one file, as bundlers do it: what they can see is inside, the rest is asked of `require`.
 * @returns {string} how to require it
 */
function bundle() {
  const inside = ['lib/native.js', 'lib/prebuilt.js', 'lib/load-error.js', 'lib/binary.js', 'package.json'].map(
    file => {
      const text = fs.readFileSync(path.join(ROOT, file), 'utf8')
      const body = file.endsWith('.json') ? `module.exports = ${text}` : text
      return `${JSON.stringify(path.basename(file))}: (module, require) => {\n${body}\n}`
    }
  )
  fs.mkdirSync(path.join(app.folder, 'dist'))
  fs.writeFileSync(
    path.join(app.folder, 'dist', 'server.js'),
    `const inside = {${inside.join(',\n')}}
    const find = Object.assign(request => {
      const name = request.replace(/^\\.\\.?\\//, '')
      if (!Object.hasOwn(inside, name)) return require(request)
      const module = { exports: {} }
      inside[name](module, find)
      return module.exports
    }, { resolve: require.resolve })
    module.exports = find('./native.js')`
  )
  return './dist/server.js'
}

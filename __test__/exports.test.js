'use strict'
// Promise: the package is what its declarations say: the same names and the same classes by `require` and by `import`, the
// members that are declared and no others, and nothing else can be reached.

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { describe, it } = require('node:test')
const { inspect } = require('node:util')
const library = require('..')
const { ca } = require('./helpers/pki.js')
const manifest = require('../package.json')

const ROOT = path.join(__dirname, '..')
const DECLARED = fs.readFileSync(path.join(ROOT, 'index.d.ts'), 'utf8')
const VALUES = [...DECLARED.matchAll(/^export (?:declare )?(?:abstract )?(class|function|const|let|var|enum) (\w+)/gm)]
/** @type {any} */
const exported = library

describe('the exports', () => {
  it('of require are those declared', () => {
    assert.ok(VALUES.length >= 12, 'the declarations have been read')
    assert.deepEqual(Object.keys(library).sort(), VALUES.map(([, , name]) => name).sort())
    for (const [, kind, name] of VALUES) {
      const isClass = /^class\b/.test(Function.prototype.toString.call(exported[name]))
      assert.equal(isClass ? 'class' : 'function', kind, name)
      assert.equal(exported[name].name, name)
    }
  })

  it('of import are the same objects', async () => {
    const { default: whole, ...names } = await import('../index.mjs')
    assert.equal(whole, library)
    assert.deepEqual(Object.keys(names).sort(), Object.keys(library).sort())
    for (const [name, value] of Object.entries(names)) assert.equal(value, exported[name], name)
  })

  it('of both are the same by the package’s own name', async () => {
    assert.equal(require('tls-pinning'), library)
    const imported = /** @type {any} */ (await import('tls-pinning'))
    assert.equal(imported.default, library)
    assert.equal(imported.PinnedClient, library.PinnedClient)
  })

  it('of CommonJS are seen by import without the .mjs too', async () => {
    const { default: whole } = await import('../index.js')
    assert.equal(whole, library)
  })

  it('reach no file inside', () => {
    assert.equal(require('tls-pinning/package.json'), manifest)
    for (const inside of ['lib/client.js', 'lib/pins.js', 'lib/native.js', 'index.js', 'index']) {
      assert.throws(() => require(`tls-pinning/${inside}`), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' })
    }
  })

  it('leave the process as it was', () => {
    const program = `
      const before = Reflect.ownKeys(globalThis)
      const listeners = () => process.eventNames().map(name => [name, process.listenerCount(name)])
      const heard = JSON.stringify(listeners())
      require(${JSON.stringify(ROOT)})
      console.log(JSON.stringify({
        globals: Reflect.ownKeys(globalThis).filter(key => !before.includes(key)).map(String),
        heard: heard === JSON.stringify(listeners()),
        polluted: Object.keys(Object.prototype)
      }))`
    const out = execFileSync(process.execPath, ['-e', program], { encoding: 'utf8', timeout: 20_000 })
    assert.deepEqual(JSON.parse(out), { globals: [], heard: true, polluted: [] })
  })

  it('load no TLS of Node’s for a client with trust anchors of its own: it takes longer than all else', async () => {
    // From a file: with `-e` Node has loaded some of it itself.
    const { pem } = await ca({ name: 'Root' })
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'exports-'))
    try {
      const program = path.join(folder, 'program.js')
      const text = `
        const { PinnedClient } = require(${JSON.stringify(ROOT)})
        const pins = { 'a.example': ['sha256/${'A'.repeat(43)}='] }
        new PinnedClient({ pins, ca: ${JSON.stringify(pem)} })
        const heavy = ['tls', 'crypto', 'https', 'stream'].map(name => 'NativeModule ' + name)
        console.log(JSON.stringify(process.moduleLoadList.filter(name => heavy.includes(name))))`
      fs.writeFileSync(program, text)
      const out = execFileSync(process.execPath, [program], { encoding: 'utf8', timeout: 20_000 })
      assert.deepEqual(JSON.parse(out), [])
    } finally {
      fs.rmSync(folder, { recursive: true })
    }
  })
})

describe('a class', () => {
  for (const [, kind, name] of VALUES) {
    if (kind !== 'class') continue
    it(`${name}: has the members that are declared`, () => {
      const members = declaredMembers(name)
      const actual = Reflect.ownKeys(exported[name].prototype).filter(key => key !== 'constructor')
      // Fields are set by the constructor, or are getters: no prototype needs to have them, but none may have others.
      const undeclared = ['name', 'toString', String(Symbol.for('nodejs.util.inspect.custom'))]
      const names = actual.map(String).filter(key => !undeclared.includes(key))
      for (const key of names) assert.ok(members.has(key), `${name}.${key} is declared`)
      for (const [key, form] of members) {
        if (form === 'method') assert.ok(names.includes(key), `${name}.${key} is there`)
      }
    })
  }

  it('of an error is an Error with its own name', () => {
    const { PinInvalidError, PinMismatchError, PinPolicyError, TlsPinningError } = library
    for (const Class of [PinInvalidError, PinMismatchError, PinPolicyError, TlsPinningError]) {
      const error = new /** @type {any} */ (Class)({ code: 'X', message: 'm' })
      assert.ok(error instanceof Error && error instanceof TlsPinningError)
      assert.deepEqual([error.name, error.code, error.message], [Class.name, 'X', 'm'])
    }
  })

  it('PinSet is an EventEmitter', () => {
    assert.ok(library.PinSet.prototype instanceof require('node:events').EventEmitter)
  })

  it('PinnedClient can be disposed of', () => {
    const dispose = Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')
    assert.equal(typeof (/** @type {any} */ (library.PinnedClient.prototype)[dispose]), 'function')
  })
})

describe('console.log', () => {
  const pins = new library.PinSet({ 'a.example': `sha256/${'A'.repeat(43)}=` })

  it('shows what a policy says', () => {
    assert.match(inspect(pins), /^PinSet \{.*'a\.example'.*\}$/s)
    assert.match(inspect([[[[pins]]]]), /^\[ \[ \[ \[Array\] \] \] \]$/)
  })

  it('shows what a client is for and does, open or closed', () => {
    const client = new library.PinnedClient({ pins })
    assert.match(inspect(client), /^PinnedClient \{.*a\.example.*closed: false.*connections: \{ open: 0,/s)
    client.close()
    assert.match(inspect(client), /closed: true/)
  })
})

describe('the binding', () => {
  it('loads, and has what it declares', () => {
    const binding = require('../lib/native.js')
    const declared = fs.readFileSync(path.join(ROOT, 'binding.d.ts'), 'utf8')
    const names = [...declared.matchAll(/^export declare (?:class|function|const) (\w+)/gm)].map(([, name]) => name)
    assert.ok(names.length >= 10)
    assert.deepEqual(Object.keys(binding).sort(), names.sort())
  })
})

describe('package.json', () => {
  // BUG: SECURITY.md and CHANGELOG.md are listed and missing.
  for (const file of manifest.files) {
    it(`${file} is there`, () => assert.ok(fs.existsSync(path.join(ROOT, file))))
  }

  it('lists every file that the exports name and the code needs', () => {
    const wanted = Object.values(manifest.exports).flatMap(files)
    assert.ok(wanted.length >= 8)
    for (const file of [manifest.main, manifest.types, ...wanted]) {
      const inside = path.normalize(file)
      assert.ok(
        [...manifest.files, 'package.json'].some(listed => inside === listed || inside.startsWith(`${listed}/`)),
        file
      )
      assert.ok(fs.existsSync(path.join(ROOT, file)), file)
    }
    const code = ['index.js', 'index.mjs', ...sourcesIn('lib')]
    for (const file of code) {
      const text = fs.readFileSync(path.join(ROOT, file), 'utf8')
      for (const [, target] of text.matchAll(/(?:require\(|from )'(\.{1,2}\/[^']+)'/g)) {
        const found = path.join(path.dirname(file), target)
        const listed = manifest.files.some(
          (/** @type {string} */ entry) => found === entry || found.startsWith(`${entry}/`)
        )
        assert.ok(
          (listed || found === 'package.json') && fs.existsSync(path.join(ROOT, found)),
          `${file} needs ${found}`
        )
      }
    }
  })

  it('needs no package at run time that is not its own', () => {
    assert.deepEqual(Object.keys(/** @type {any} */ (manifest).dependencies ?? {}), [])
    for (const file of sourcesIn('lib')) {
      const text = fs.readFileSync(path.join(ROOT, file), 'utf8')
      for (const [, target] of text.matchAll(/require\('([^']+)'\)/g)) assert.match(target, /^(node:|\.)/, file)
    }
  })
})

/** @param {string} folder @returns {string[]} */
function sourcesIn(folder) {
  const entries = fs.readdirSync(path.join(ROOT, folder), { withFileTypes: true })
  return entries.flatMap(entry => {
    const inside = `${folder}/${entry.name}`
    return entry.isDirectory() ? sourcesIn(inside) : [inside]
  })
}

/** @param {any} exported @returns {string[]} */
function files(exported) {
  return typeof exported === 'string' ? [exported] : Object.values(exported).flatMap(files)
}

/**
 * The members of a declared class, each a `method` or a `field`; private ones are no members.
 * @param {string} name
 */
function declaredMembers(name) {
  const start = DECLARED.search(new RegExp(`^export class ${name}\\b`, 'm'))
  const body = DECLARED.slice(start, DECLARED.indexOf('\n}', start)).replace(/\/\*[\s\S]*?\*\//g, '')
  /** @type {Map<string, 'method' | 'field'>} */
  const members = new Map()
  for (const [, isField, key, after] of body.matchAll(/^ {2}(readonly |get )?(\w+|\[[\w.]+\])\??([(:<])/gm)) {
    if (key === 'constructor') continue
    const symbols = {
      '[Symbol.asyncDispose]': String(Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose')),
      '[Symbol.dispose]': String(Symbol.dispose ?? Symbol.for('nodejs.dispose'))
    }
    members.set(/** @type {any} */ (symbols)[key] ?? key, !isField && after === '(' ? 'method' : 'field')
  }
  return members
}

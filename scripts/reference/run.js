'use strict'
// Writes the API reference out of the declarations: docs/api.md and, for the other entries of the package, docs/api-*.md.
//
//   npm run docs:api              writes it
//   npm run docs:api -- --check   fails if what is committed is another one
//
// Either fails if an exported name, an option, a property or a method has no text, or a link leads nowhere. typedoc is
// installed here, apart from the package's own development packages: it does not know their TypeScript 7 yet.

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const DOCS = path.join(__dirname, '..', '..', 'docs')
const TYPEDOC = path.join(__dirname, 'node_modules', 'typedoc', 'bin', 'typedoc')
const NOTE = '<!-- Made by `npm run docs:api` of the declarations (*.d.ts). Change those. -->\n\n'

/** What typedoc calls the pages, and what they are called here. */
const PAGES = {
  'tls-pinning.md': 'api.md',
  'tls-pinning.register.md': 'api-register.md',
  'tls-pinning.testing.md': 'api-testing.md'
}

main()

function main() {
  install()
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-reference-'))
  try {
    execFileSync(process.execPath, [TYPEDOC, '--out', folder], { cwd: __dirname, stdio: 'inherit' })
    const isChecked = process.argv.includes('--check')
    const changed = Object.entries(PAGES).filter(([from, to]) => {
      const text = page(fs.readFileSync(path.join(folder, from), 'utf8'))
      const file = path.join(DOCS, to)
      if (fs.existsSync(file) && fs.readFileSync(file, 'utf8') === text) return false
      if (!isChecked) fs.writeFileSync(file, text)
      return true
    })
    if (!isChecked || changed.length === 0) return
    console.error(
      `not what the declarations say: ${changed.map(([, to]) => `docs/${to}`).join(', ')}; npm run docs:api`
    )
    process.exitCode = 1
  } catch {
    process.exitCode = 1 // typedoc has said why.
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

function install() {
  const changed = (/** @type {string} */ file) =>
    fs.statSync(path.join(__dirname, file), { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (changed('node_modules/.package-lock.json') >= changed('package-lock.json')) return
  console.error('Installing typedoc: npm ci')
  execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: __dirname,
    stdio: ['ignore', 2, 2]
  })
}

/** @param {string} text */
function page(text) {
  const linked = Object.entries(PAGES).reduce((all, [from, to]) => all.replaceAll(`](${from}`, `](${to}`), text)
  return `${NOTE}${linked.trimEnd()}\n`
}

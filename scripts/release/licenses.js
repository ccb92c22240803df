'use strict'
// The licences of all that is linked into the addon of a platform, with their full texts: THIRD-PARTY-LICENSES.txt of its
// package. The texts come out of the sources themselves; a crate without one is an error.
//
//   node scripts/release/licenses.js linux-x64-gnu > THIRD-PARTY-LICENSES.txt

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { linkedCrates, ROOT } = require('./crates')
const { TARGETS } = require('./targets')

/** @typedef {import('./crates').Crate} Crate @typedef {import('./targets').Target} Target */

const IS_LICENSE = /^(licen[cs]e|copying|copyright|notice|unlicense|patents)([-.].*)?$/i

/** Licences of what the crates contain are in folders below; these are of what is not linked or was not chosen. */
const APART = [
  'zstd/COPYING' // Version 2 of the GPL, the other choice beside the BSD licence.
]

/**
 * Crates whose archives lack the text, and a file that has it: of the same authors, in another crate that is linked too or
 * in an installed package.
 * @type {Record<string, { crate?: string, file: string }>}
 */
const ELSEWHERE = {
  'alloc-stdlib': { crate: 'alloc-no-stdlib', file: 'LICENSE' },
  napi: { file: 'node_modules/@napi-rs/cli/LICENSE' },
  'napi-sys': { file: 'node_modules/@napi-rs/cli/LICENSE' },
  // "MIT/Apache-2.0": the text of the latter names no authors, and is the same for everybody.
  'p12-keystore': { crate: 'cfg-if', file: 'LICENSE-APACHE' }
}

/** The crates in the standard library of the systems that there are packages for. It names many more, of other systems. */
const STANDARD = [
  'cfg-if',
  'gimli',
  'hashbrown',
  'libc',
  'rustc-demangle',
  'windows-link',
  'windows-sys',
  'windows-targets'
]

/** Of the linker's own libraries those of others need no notice: GCC's and LLVM's licences have exceptions for it. @type {Notice} */
const MINGW = {
  what: 'mingw-w64',
  license: 'ZPL-2.1 AND MIT AND BSD-3-Clause AND HPND',
  texts: read(path.join(__dirname, 'notices'), ['mingw-w64.txt'])
}

const HEAD = `The addon of tls-pinning contains code of the projects below. After the name of each stand its licence and the
numbers of the texts, which follow the list. Where both MIT and Apache-2.0 are offered, one of them is taken.`

/** @typedef {{ what: string, license: string, texts: { name: string, text: string }[] }} Notice */

/** @param {Target} target @returns {string} */
function thirdPartyLicenses(target) {
  const crates = linkedCrates(target.triple)
    .slice(1)
    .sort((a, b) => a.name.localeCompare(b.name, 'en'))
  const notices = [...crates.map(crate => noticeOf(crate, crates)), ...standardLibrary()]
  if (target.os === 'win32') notices.push(MINGW)
  return write(notices)
}

/**
 * @param {Crate} crate
 * @param {Crate[]} all
 * @returns {Notice}
 */
function noticeOf(crate, all) {
  const files = licenseFiles(crate.folder)
  const texts = files.length > 0 ? chosen(crate.license, read(crate.folder, files)) : borrowed(crate, all)
  return { what: `${crate.name} ${crate.version}`, license: crate.license, texts }
}

/**
 * Without the text of the Apache licence, of which there are dozens of variants, where that of MIT can be taken.
 * @param {string} license
 * @param {Notice['texts']} texts
 */
function chosen(license, texts) {
  const choice = / OR /.test(license) && !/ AND /.test(license) && texts.some(({ name }) => /\bmit\b/i.test(name))
  return choice ? texts.filter(({ name }) => !/apache/i.test(name)) : texts
}

/** @param {Crate} crate @param {Crate[]} all */
function borrowed(crate, all) {
  const place = ELSEWHERE[crate.name]
  if (!place) throw new Error(`${crate.name} ${crate.version} (${crate.license}) has no text of its licence: ELSEWHERE`)
  const folder = place.crate ? all.find(one => one.name === place.crate)?.folder : ROOT
  if (!folder) throw new Error(`${place.crate}, whose licence ${crate.name} shares, is not linked any more`)
  return read(folder, [place.file])
}

/**
 * As paths inside the folder, sorted.
 * @param {string} folder
 * @param {string} [inside]
 * @returns {string[]}
 */
function licenseFiles(folder, inside = '') {
  const entries = fs.readdirSync(path.join(folder, inside), { withFileTypes: true })
  const found = entries.flatMap(entry => {
    const name = path.posix.join(inside, entry.name)
    if (entry.isDirectory()) return licenseFiles(folder, name)
    return IS_LICENSE.test(entry.name) && !/\.(rs|c|h)$/.test(entry.name) && !APART.includes(name) ? [name] : []
  })
  return found.sort()
}

/** @param {string} folder @param {string[]} files */
function read(folder, files) {
  return files.map(name => ({ name, text: tidy(fs.readFileSync(path.join(folder, name), 'utf8')) }))
}

/** @param {string} text */
function tidy(text) {
  return text
    .replaceAll('\r\n', '\n')
    .replaceAll(/[ \t]+$/gm, '')
    .replaceAll(/^\n+|\n+$/g, '')
}

/**
 * What the Rust project says about its standard library, in a document that every toolchain has.
 * @returns {Notice[]}
 */
function standardLibrary() {
  const sysroot = execFileSync('rustc', ['--print', 'sysroot'], { encoding: 'utf8' }).trim()
  const docs = path.join(sysroot, 'share', 'doc', 'rust')
  if (!fs.existsSync(docs))
    throw new Error(`${docs} is missing: the licences of the standard library are in rustup's Rust`)
  const [own, ...crates] = fs.readFileSync(path.join(docs, 'COPYRIGHT-library.html'), 'utf8').split('<h3>')
  const texts = [{ name: 'COPYRIGHT', text: tidy(plain(own.replace(/^.*?<body>/s, ''))) }]
  const licenses = read(path.join(docs, 'licenses'), ['MIT.txt', 'Apache-2.0.txt', 'Unicode-3.0.txt'])
  const notices = STANDARD.map(name => {
    const part = crates.find(one => new RegExp(`^\\W*${name}-\\d`).test(one))
    const texts = [...(part?.matchAll(/<summary>(.*?)<\/summary>\s*<pre>(.*?)<\/pre>/gs) ?? [])]
    const license = plain(part?.match(/<b>License:<\/b>(.*?)<\/p>/s)?.[1] ?? '')
    if (!license || texts.length === 0) throw new Error(`COPYRIGHT-library.html has no licence of ${name}`)
    const all = texts.map(([, name, text]) => ({ name: plain(name), text: tidy(entities(text)) }))
    const choice = license.replaceAll('/', ' OR ')
    return { what: `${name}, in Rust's standard library`, license: choice, texts: chosen(choice, all) }
  })
  return [{ what: "Rust's standard library", license: 'MIT OR Apache-2.0', texts: [...texts, ...licenses] }, ...notices]
}

/** @param {string} html */
function plain(html) {
  return entities(html.replaceAll(/<[^>]*>/g, ''))
    .replaceAll(/\n\s*\n\s*/g, '\n\n')
    .trim()
}

/** @param {string} text */
function entities(text) {
  const named = text.replaceAll(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)))
  return named.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&')
}

/**
 * Texts that differ in nothing but blanks and line breaks are written once.
 * @param {Notice[]} notices
 */
function write(notices) {
  /** @type {Map<string, { number: number, text: string }>} */
  const known = new Map()
  const list = notices.map(({ what, license, texts }) => {
    const refs = texts.map(({ name, text }) => {
      const words = text.replaceAll(/\s+/g, ' ')
      const { number } = known.get(words) ?? { number: known.size + 1 }
      if (number > known.size) known.set(words, { number, text })
      return `${name} [${number}]`
    })
    return `${what}\n    ${license}\n    ${refs.join(', ')}`
  })
  const texts = [...known.values()].map(({ number, text }) => `${'='.repeat(80)}\n[${number}]\n\n${text}\n`)
  return `${HEAD}\n\n${list.join('\n')}\n\n${texts.join('\n')}`
}

if (require.main === module) {
  const target = TARGETS.find(({ platform }) => platform === process.argv[2])
  if (target) process.stdout.write(thirdPartyLicenses(target))
  else {
    console.error(`which platform? One of ${TARGETS.map(({ platform }) => platform).join(', ')}`)
    process.exitCode = 1
  }
}

module.exports = { thirdPartyLicenses }

'use strict'
// What is in a package, as CycloneDX: `sbom.cdx.json`. For a platform the addon with the crates and C libraries linked into it,
// for the package itself those of the platforms. The same sources give the same file: no time and no random number is in it.
//
//   node scripts/release/sbom.js linux-x64-gnu FILE.node

const { createHash } = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { Enums, Models, Serialize, Spec } = require('@cyclonedx/cyclonedx-library')
const { linkedCrates, ROOT } = require('./crates')
const { TARGETS } = require('./targets')

/** @typedef {import('./crates').Crate} Crate @typedef {import('./targets').Target} Target */

const { ComponentType, ExternalReferenceType, HashAlgorithm, LifecyclePhase } = Enums

/** C libraries inside of crates: where their version stands, and their repositories, by which vulnerabilities are looked up. */
const NATIVE = {
  'aws-lc-sys': {
    name: 'aws-lc',
    header: 'aws-lc/include/openssl/base.h',
    version: /#define AWSLC_VERSION_NUMBER_STRING "([\d.]+)"/,
    repository: 'aws/aws-lc'
  },
  'zstd-sys': {
    name: 'zstd',
    header: 'zstd/lib/zstd.h',
    version:
      /#define ZSTD_VERSION_MAJOR +(\d+)\s+#define ZSTD_VERSION_MINOR +(\d+)\s+#define ZSTD_VERSION_RELEASE +(\d+)/,
    repository: 'facebook/zstd'
  }
}
/** Says "links" only so that there is one of it. */
const RUST_ONLY = ['aws-lc-rs']

/**
 * @param {Target} target
 * @param {string} version
 * @param {string} addon the file
 * @returns {string}
 */
function platformSbom(target, version, addon) {
  const [own, ...crates] = linkedCrates(target.triple)
  const subject = npmComponent(target.platform, version, '@tls-pinning')
  const file = new Models.Component(ComponentType.File, path.basename(addon), { bomRef: path.basename(addon) })
  file.hashes.set(HashAlgorithm['SHA-256'], createHash('sha256').update(fs.readFileSync(addon)).digest('hex'))
  subject.components.add(file)

  const components = new Map(crates.map(crate => [`${crate.name}@${crate.version}`, crateComponent(crate)]))
  for (const crate of [own, ...crates]) {
    const component = components.get(`${crate.name}@${crate.version}`) ?? subject
    for (const id of crate.needs) component.dependencies.add(defined(components.get(id)).bomRef)
  }
  const natives = crates
    .filter(({ name, links }) => links && !RUST_ONLY.includes(name))
    .map(crate => {
      const native = nativeComponent(crate)
      defined(components.get(`${crate.name}@${crate.version}`)).dependencies.add(native.bomRef)
      return native
    })
  // Their versions are those of the machine that built it, which need not be this one.
  const std = toolchainComponent(
    'rust-std',
    "Rust's standard library",
    'MIT OR Apache-2.0',
    'pkg:github/rust-lang/rust'
  )
  const mingw = toolchainComponent('mingw-w64', 'The C run time', 'ZPL-2.1 AND MIT AND BSD-3-Clause AND HPND')
  const toolchain = target.os === 'win32' ? [std, mingw] : [std]
  for (const { bomRef } of toolchain) subject.dependencies.add(bomRef)
  return serialize(subject, [...components.values(), ...natives, ...toolchain])
}

/**
 * @param {string} version
 * @param {Target[]} targets
 * @returns {string}
 */
function packageSbom(version, targets) {
  const subject = npmComponent('tls-pinning', version)
  const platforms = targets.map(({ platform }) => npmComponent(platform, version, '@tls-pinning'))
  for (const platform of platforms) {
    platform.scope = Enums.ComponentScope.Optional
    subject.dependencies.add(platform.bomRef)
  }
  return serialize(subject, platforms)
}

/** @param {string} name @param {string} version @param {string} [group] */
function npmComponent(name, version, group) {
  const purl = `pkg:npm/${group ? `${encodeURIComponent(group)}/` : ''}${name}@${version}`
  const component = new Models.Component(ComponentType.Library, name, { bomRef: purl, group, purl, version })
  component.licenses.add(new Models.SpdxLicense('MIT'))
  return component
}

/** @param {Crate} crate */
function crateComponent({ name, version, description, license, repository, sha256 }) {
  const purl = `pkg:cargo/${name}@${encodeURIComponent(version)}`
  const component = new Models.Component(ComponentType.Library, name, { bomRef: purl, description, purl, version })
  component.licenses.add(licenseOf(license))
  component.hashes.set(HashAlgorithm['SHA-256'], defined(sha256))
  if (repository) {
    component.externalReferences.add(new Models.ExternalReference(repository, ExternalReferenceType.VCS))
  }
  return component
}

/** @param {Crate} crate */
function nativeComponent({ name: crate, folder, license }) {
  const known = NATIVE[/** @type {keyof typeof NATIVE} */ (crate)]
  if (!known) throw new Error(`${crate} links a C library that is not described in NATIVE`)
  const found = fs.readFileSync(path.join(folder, known.header), 'utf8').match(known.version)
  if (!found) throw new Error(`${known.header} of ${crate} does not say which version it is`)
  const version = found.slice(1).join('.')
  const purl = `pkg:github/${known.repository}@v${version}`
  const component = new Models.Component(ComponentType.Library, known.name, { bomRef: purl, purl, version })
  component.licenses.add(licenseOf(license))
  return component
}

/** @param {string} name @param {string} description @param {string} license @param {string} [purl] */
function toolchainComponent(name, description, license, purl) {
  const component = new Models.Component(ComponentType.Library, name, { bomRef: name, description, purl })
  component.licenses.add(licenseOf(license))
  return component
}

/** @param {string} license */
function licenseOf(license) {
  return license.includes(' ') ? new Models.LicenseExpression(license) : new Models.SpdxLicense(license)
}

/** @param {Models.Component} subject @param {Models.Component[]} components */
function serialize(subject, components) {
  const bom = new Models.Bom()
  bom.metadata.component = subject
  bom.metadata.lifecycles.add(LifecyclePhase.Build)
  for (const component of components) bom.components.add(component)
  const factory = new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6)
  return `${new Serialize.JsonSerializer(factory).serialize(bom, { sortLists: true })}\n`
}

/** @template T @param {T | undefined} value @returns {T} */
function defined(value) {
  if (value === undefined) throw new Error('a crate is not in Cargo.lock')
  return value
}

if (require.main === module) {
  const target = TARGETS.find(({ platform }) => platform === process.argv[2])
  const { version } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8'))
  if (target && process.argv[3]) process.stdout.write(platformSbom(target, version, process.argv[3]))
  else {
    console.error(`which platform and addon? One of ${TARGETS.map(({ platform }) => platform).join(', ')}, and a file`)
    process.exitCode = 1
  }
}

module.exports = { packageSbom, platformSbom }

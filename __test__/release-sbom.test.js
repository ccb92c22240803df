'use strict'
// Promise: what is published says all that is in it: a CycloneDX document that is valid, and the text of each licence.

const assert = require('node:assert/strict')
const { createHash } = require('node:crypto')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
const { Spec, Validation } = require('@cyclonedx/cyclonedx-library')
const { linkedCrates } = require('../scripts/release/crates')
const { thirdPartyLicenses } = require('../scripts/release/licenses')
const { packageSbom, platformSbom } = require('../scripts/release/sbom')
const { TARGETS } = require('../scripts/release/targets')

const LIMIT = { timeout: 120_000 }
const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6)

describe('of a platform', LIMIT, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-sbom-'))
  const addon = path.join(folder, 'tls-pinning.any.node')
  before(() => fs.writeFileSync(addon, 'addon'))
  after(() => fs.rmSync(folder, { recursive: true }))

  for (const target of TARGETS) {
    it(`the SBOM of ${target.platform} is valid and names each crate`, async () => {
      const text = platformSbom(target, '1.2.3', addon)
      assert.equal(await validator.validate(text), null)
      const { components, dependencies, metadata } = JSON.parse(text)
      assert.equal(metadata.component.purl, `pkg:npm/%40tls-pinning/${target.platform}@1.2.3`)
      const sha256 = createHash('sha256').update('addon').digest('hex')
      assert.deepEqual(metadata.component.components[0].hashes, [{ alg: 'SHA-256', content: sha256 }])

      const crates = linkedCrates(target.triple).slice(1)
      const purls = new Set(components.map((/** @type {any} */ one) => one.purl ?? ''))
      for (const { name, version } of crates) {
        assert.ok(purls.has(`pkg:cargo/${name}@${encodeURIComponent(version)}`), name)
      }
      for (const wanted of ['pkg:github/aws/aws-lc@v', 'pkg:github/facebook/zstd@v', 'pkg:cargo/rustls@0']) {
        assert.ok(
          [...purls].some(purl => purl.startsWith(wanted)),
          wanted
        )
      }
      for (const { name, licenses } of components) assert.equal(licenses?.length, 1, name)
      const names = components.map((/** @type {any} */ one) => one.name)
      assert.equal(names.includes('mingw-w64'), target.os === 'win32')
      // What builds or tests it is not in it.
      assert.ok(![...purls].some(purl => /\/(proptest|cc|syn|serde_derive|napi-derive|ring)@/.test(purl)))
      // All hang together.
      const reached = new Set([metadata.component['bom-ref']])
      const edges = new Map(dependencies.map((/** @type {any} */ one) => [one.ref, one.dependsOn ?? []]))
      for (const ref of reached) for (const next of edges.get(ref) ?? []) reached.add(next)
      for (const component of components) assert.ok(reached.has(component['bom-ref']), component['bom-ref'])
      assert.equal(platformSbom(target, '1.2.3', addon), text)
    })
  }

  it('the validator can say no', async () => {
    const bom = JSON.parse(platformSbom(TARGETS[0], '1.2.3', addon))
    bom.components[0].licenses = [{ license: { id: 'no such licence' } }]
    assert.notEqual(await validator.validate(JSON.stringify(bom)), null)
  })

  it('a text that is not in the crate itself is of the same authors', () => {
    const text = thirdPartyLicenses(TARGETS[0])
    for (const [name, words] of [
      ['napi', 'LongYinan'],
      ['alloc-stdlib', 'Dropbox'],
      ['p12-keystore', 'Copyright [yyyy] [name of copyright owner]']
    ]) {
      const number = text.match(new RegExp(`^${name} .*\\n.*\\n.*\\[(\\d+)\\]$`, 'm'))?.[1]
      const start = text.indexOf(`\n[${number}]\n`)
      assert.ok(text.slice(start, text.indexOf('='.repeat(80), start)).includes(words), name)
    }
  })

  for (const target of TARGETS) {
    it(`the licences of ${target.platform} have each crate and its texts`, () => {
      const text = thirdPartyLicenses(target)
      const list = text.slice(0, text.indexOf('='.repeat(80)))
      const numbers = new Set([...text.matchAll(/^\[(\d+)\]$/gm)].map(([, number]) => number))
      for (const { name, version, license } of linkedCrates(target.triple).slice(1)) {
        const start = list.indexOf(`\n${name} ${version}\n    ${license}\n    `)
        assert.notEqual(start, -1, name)
        const refs = [
          ...list
            .slice(start)
            .split('\n')[3]
            .matchAll(/\[(\d+)\]/g)
        ].map(([, number]) => number)
        assert.ok(refs.length > 0 && refs.every(number => numbers.has(number)), name)
      }
      for (const project of [
        'AWS-LC is a fork of BoringSSL',
        'fiat-crypto',
        'mlkem-native project',
        'OpenSSL',
        'For Zstandard software',
        'The Rust Project Developers'
      ]) {
        assert.ok(text.includes(project), project)
      }
      assert.equal(text.includes('winpthreads'), target.os === 'win32')
      assert.ok(!text.includes('GNU GENERAL PUBLIC LICENSE'))
    })
  }
})

describe('of the package itself', LIMIT, () => {
  it('the SBOM is valid and names the packages of the platforms', async () => {
    const text = packageSbom('1.2.3', TARGETS)
    assert.equal(await validator.validate(text), null)
    const { components, metadata } = JSON.parse(text)
    assert.equal(metadata.component.purl, 'pkg:npm/tls-pinning@1.2.3')
    assert.deepEqual(
      components.map((/** @type {any} */ one) => [one.group, one.name, one.version, one.scope]).sort(),
      TARGETS.map(({ platform }) => ['@tls-pinning', platform, '1.2.3', 'optional']).sort()
    )
  })
})

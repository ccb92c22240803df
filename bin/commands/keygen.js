'use strict'
// `tls-pinning keygen`: an Ed25519 key pair to sign policies with.

const crypto = require('node:crypto')
const { keyId, keyLine } = require('../../lib/sources/keys.js')
const { EXIT, usageError } = require('../errors.js')
const { write } = require('../sign/files.js')

const OUT = 'policy-signing-key.pem'

/** @type {import('../main.js').Command} */
const command = {
  usage: '[--out FILE]',
  help: `
tls-pinning keygen                        writes ${OUT}, prints the public key
tls-pinning keygen --out backup-key.pem   a second one, to be kept offline

  --out FILE    where the private key goes (PKCS#8, PEM, Ed25519, for your eyes only);
                a file that is there is not overwritten

Who has the private key decides whom the programs trust: keep it off the servers that
they run on, and give them the public key. docs/signed-policies.md tells the rest.`,
  options: { out: { type: 'string' } },
  run({ args, options, ui }) {
    if (args.length > 0) throw usageError(`unexpected ${args[0]}`, 'tls-pinning keygen --out FILE')
    const file = options.out ?? OUT
    const { privateKey } = crypto.generateKeyPairSync('ed25519')
    write(file, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), { mode: 0o600, replace: false })
    const publicKey = keyLine(privateKey)
    const id = keyId(privateKey)
    ui.result(
      { file, publicKey, keyId: id },
      () => `private key  ${file}\npublic key   ${ui.style('bold', publicKey)}\nkey id       ${id}\n`
    )
    ui.note(`next: tls-pinning sign POLICY --key ${file} --expires 90d --out policy.signed.json`)
    return EXIT.OK
  }
}

module.exports = command

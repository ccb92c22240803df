'use strict'
// A pin or a host less, in a policy file.

const { deciding, unlisted } = require('../edit/decides.js')
const { HELP, OPTIONS, commit, openPolicy } = require('../edit/file.js')
const { removePins } = require('../edit/native.js')
const { EXIT, usageError } = require('../errors.js')
const { pinArgument } = require('../pin/argument.js')
const { PASSPHRASE } = require('../pin/material.js')

module.exports = {
  usage: 'HOST [PIN|FILE…]',
  options: { ...OPTIONS, ...PASSPHRASE },
  help: `
Removes pins from the entry of a host in a policy file or, without pins, the entry. All else in the file stays as it stands.

  tls-pinning remove api.example.com sha256/…     a pin, in whatever form it stands there
  tls-pinning remove api.example.com old.pem      the key of a certificate, key or request in a file
  tls-pinning remove old.example.com              the host with all its pins
  tls-pinning remove --dry-run old.example.com --policy etc/policy.json

HOST is the pattern as it stands in the policy. The last pin of a host is not removed alone.

${HELP}
  --passphrase-file FILE   for an encrypted private key`,

  /** @param {import('../main.js').Call} call */
  run(call) {
    const { args, options, ui } = call
    const [pattern, ...given] = args
    if (pattern === undefined) throw usageError('a host is needed', 'tls-pinning remove --help shows examples')
    const { file, text } = openPolicy(options)
    const pins = given.map(pin => pinArgument(pin, options))
    const { text: after, done } = removePins({ file, text, pattern, pins })
    commit(call, { file, pattern, before: text, after, removed: done })
    if (pins.length === 0) ui.note(whatHolds(after, pattern))
    return EXIT.OK
  }
}

/**
 * What is said of the host now.
 * @param {string} text
 * @param {string} pattern
 */
function whatHolds(text, pattern) {
  const entry = deciding(text, pattern)
  if (entry) return `${pattern} is now decided about by ${entry}`
  const rule = unlisted(text)
  if (rule === 'deny') return `connections to ${pattern} are now refused, unless another entry is for them`
  return `warning: connections to ${pattern} are no longer pinned: the policy says "unlisted": "${rule}"`
}

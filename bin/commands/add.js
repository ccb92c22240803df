'use strict'
// A pin more for a host, in a policy file.

const { deciding } = require('../edit/decides.js')
const { HELP, OPTIONS, commit, openPolicy } = require('../edit/file.js')
const { addPins } = require('../edit/native.js')
const { EXIT, usageError } = require('../errors.js')
const { pinArgument } = require('../pin/argument.js')
const { PASSPHRASE } = require('../pin/material.js')

module.exports = {
  usage: 'HOST PIN|FILE…',
  options: { ...OPTIONS, role: { type: 'string' }, ...PASSPHRASE },
  help: `
Adds pins to the entry of a host in a policy file, or an entry. All else in the file stays as it stands.

  tls-pinning add api.example.com sha256/…        a pin that the server's operator has told
  tls-pinning add api.example.com backup.pem      the key of a certificate, key or request in a file
  tls-pinning add --role ca '*.example.com' issuer.pem --policy etc/policy.json

HOST is a pattern of the policy: api.example.com, api.example.com:8443, *.example.com, **.example.com, 192.0.2.7.

  --role leaf|ca           only the server's own certificate may match, or only an issuer; any where it is not given
${HELP}
  --passphrase-file FILE   for an encrypted private key, of which the public half is pinned`,

  /** @param {import('../main.js').Call} call */
  run(call) {
    const { args, options, ui } = call
    const [pattern, ...given] = args
    if (pattern === undefined || given.length === 0) {
      throw usageError('a host and at least one pin are needed', 'tls-pinning add --help shows examples')
    }
    const { role } = options
    if (role !== undefined && role !== 'leaf' && role !== 'ca') {
      throw usageError(`--role ${role} is not known`, 'write --role leaf or --role ca, or leave it out')
    }
    const { file, text } = openPolicy(options)
    const pins = given.map(pin => pinArgument(pin, options))
    const { text: after, done, skipped } = addPins({ file, text, pattern, pins, role })
    for (const { pin } of skipped) ui.note(`${pin} is there already`)
    const [before, now] = [deciding(text, pattern), deciding(after, pattern)]
    if (before && before !== now) {
      ui.note(`the pins of ${before} no longer hold for ${now}: the most specific entry alone decides`)
    }
    commit(call, { file, pattern, before: text, after, added: done, more: { skipped } })
    return EXIT.OK
  }
}

'use strict'
// The pins of certificates, keys and requests in files.

const { EXIT, usageError } = require('../errors.js')
const { FORMS, formsOf } = require('../pin/forms.js')
const { PASSPHRASE, readMaterial } = require('../pin/material.js')
const { table } = require('../ui.js')

/** @typedef {import('../pin/material.js').Found} Found */

module.exports = {
  usage: '[FILE…]',
  options: { form: { type: 'string' }, ...PASSPHRASE },
  help: `
All forms of the pins of certificates, keys and requests in files.

  tls-pinning pin server.pem                     all pins of each certificate in it
  tls-pinning pin --form sha256 backup.key       one pin, for a script or a policy
  tls-pinning cert example.com | tls-pinning pin
  curl --pinnedpubkey "$(tls-pinning pin --form curl server.pem)" https://example.com/

A file may hold certificates, public or private keys and certificate requests in PEM or DER, JWKs, or PKCS#12. Without
one, or for -, standard input is read. Of a private key the public half is pinned, and nothing else of it is shown.

  --form NAME              that form alone, one a line: ${Object.keys(FORMS).slice(0, 5).join(', ')},
                           ${Object.keys(FORMS).slice(5).join(', ')}
  --passphrase-file FILE   for an encrypted private key or PKCS#12; there is no option for the passphrase itself

Forms that begin with cert, tlsa-cert and fingerprint pin the whole certificate: a renewal changes them. All others pin its
key, which a renewal may keep.`,

  /** @param {import('../main.js').Call} call */
  run({ args, options, ui }) {
    const { form } = options
    if (form !== undefined && !Object.hasOwn(FORMS, form)) {
      throw usageError(`there is no form ${form}`, `the forms are ${Object.keys(FORMS).join(', ')}`)
    }
    const files = args.length === 0 ? ['-'] : args
    const found = files.flatMap(file => {
      const all = readMaterial(file, options)
      return all.map((item, at) => ({
        file,
        place: all.length > 1 ? `${file}, ${at + 1} of ${all.length}` : file,
        item
      }))
    })
    if (form !== undefined) {
      const pins = found.map(({ place, item }) => pinOf(form, place, item))
      ui.result(pins, () => pins.map(pin => `${pin}\n`).join(''))
      return EXIT.OK
    }
    const told = found.map(({ file, item: { pins, ...item } }) => ({ file, ...item, pins: formsOf({ pins, ...item }) }))
    ui.result(told, () => found.map(({ place, item }) => described(ui, place, item)).join('\n'))
    return EXIT.OK
  }
}

/**
 * @param {string} form
 * @param {string} place
 * @param {Found} item
 */
function pinOf(form, place, item) {
  const pin = FORMS[form]?.(item)
  if (pin) return pin
  throw usageError(`${place}: a ${item.kind} has no certificate to pin`, 'take a form of its key, such as sha256')
}

/**
 * @param {import('../main.js').Call['ui']} ui
 * @param {string} place
 * @param {Found} item
 */
function described(ui, place, item) {
  const what = item.role === undefined ? item.kind : `${item.kind} (${item.role})`
  const rows = [[what, [item.subject, item.key].filter(Boolean).join(', ')]]
  if (item.names?.length) rows.push(['names', item.names.join(', ')])
  if (item.validFrom && item.validTo) rows.push(['valid', validity(item.validFrom, item.validTo)])
  rows.push(...Object.entries(formsOf(item)))
  return `${ui.style('bold', place)}\n${table(rows, '  ')}`
}

/**
 * @param {Date} from
 * @param {Date} to
 */
function validity(from, to) {
  const days = Math.floor((to.getTime() - Date.now()) / 86_400_000)
  const left = days < 0 ? 'expired' : days === 1 ? '1 day left' : `${days} days left`
  return `${day(from)} to ${day(to)}, ${from.getTime() > Date.now() ? 'not yet valid' : left}`
}

/** @param {Date} date */
function day(date) {
  return date.toISOString().slice(0, 10)
}

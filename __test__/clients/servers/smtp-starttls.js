'use strict'
const smtp = require('./smtp')

module.exports = {
  ...smtp,
  product: 'Exim (STARTTLS)',
  /** @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity */
  start: identity => smtp.start({ ...identity, starttls: true })
}

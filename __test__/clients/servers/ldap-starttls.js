'use strict'
const ldap = require('./ldap')

module.exports = {
  ...ldap,
  product: 'OpenLDAP (StartTLS)',
  /** @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity */
  start: identity => ldap.start({ ...identity, starttls: true })
}

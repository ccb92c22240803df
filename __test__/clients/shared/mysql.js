'use strict'
const assert = require('node:assert/strict')

/** Of servers/mariadb.js. */
const ACCOUNT = { user: 'app', password: 'correct horse', database: 'app' }

/** Asks what TLS the server sees. @param {any} rows of `show status like 'Ssl_version'` */
function overTls(rows) {
  assert.match(rows[0].Value, /^TLSv1\.[23]$/)
}

module.exports = { ACCOUNT, QUESTION: "show status like 'Ssl_version'", overTls }

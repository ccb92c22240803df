'use strict'
module.exports = { ...require('./mysql2'), name: 'mysql2, by IP address', host: '127.0.0.1', traps: [] }

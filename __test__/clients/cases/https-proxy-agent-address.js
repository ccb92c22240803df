'use strict'
module.exports = {
  ...require('./https-proxy-agent'),
  name: 'https-proxy-agent, by IP address',
  host: '127.0.0.1',
  traps: []
}

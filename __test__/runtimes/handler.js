'use strict'
// What the servers of these suites answer.

const zlib = require('node:zlib')

const TEXT = 'text that is compressed '.repeat(1000)

/**
 * @param {any} request
 * @param {any} response
 */
function handler(request, response) {
  request.on('error', () => {})
  switch (request.url) {
    case '/never':
      return request.resume()
    case '/hang':
      response.write('part')
      return request.resume()
    case '/echo':
      return request.pipe(response)
    case '/gzip':
      return response.writeHead(200, { 'content-encoding': 'gzip' }).end(zlib.gzipSync(TEXT))
    case '/br':
      return response.writeHead(200, { 'content-encoding': 'br' }).end(zlib.brotliCompressSync(TEXT))
    default:
      return request.resume().once('end', () => response.end('ok'))
  }
}

module.exports = { TEXT, handler }

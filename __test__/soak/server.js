'use strict'
// The soak's server, in a process of its own: the client's memory is measured alone. Each request says in its query what is to
// be done to it.

const crypto = require('node:crypto')
const http2 = require('node:http2')
const net = require('node:net')
const { bytesOf, sha256 } = require('./plan')

const { NGHTTP2_INTERNAL_ERROR, NGHTTP2_CANCEL } = http2.constants

/**
 * The clients' sockets, by the port that their requests seem to come from. They are in front of the TLS server, which a reset of
 * a socket under TLS would harm: Node 20 then writes to memory that is no longer its own.
 */
const sockets = new Map()
/** What each was last asked for, to say so of one that stays open. */
const last = new Map()
const counts = { requests: 0, denied: 0, handshakes: 0, resumed: 0 }

process.once('message', ({ key, cert }) => {
  const server = http2.createSecureServer({ key, cert, allowHTTP1: true })
  server.on('connection', socket => socket.on('error', () => {}))
  server.on('secureConnection', socket => {
    counts.handshakes += 1
    if (socket.isSessionReused()) counts.resumed += 1
    socket.on('error', () => {})
  })
  server.on('sessionError', () => {})
  server.on('clientError', (_error, socket) => socket.destroy())
  server.on('tlsClientError', () => {})
  // The client ends idle connections, not the server: otherwise any request might meet a connection that is just closing.
  Object.assign(server, { keepAliveTimeout: 600_000, requestTimeout: 0, headersTimeout: 0 })
  server.on('request', serve)
  server.listen(0, '127.0.0.1', () => {
    const front = net.createServer(client => relay(client, server.address().port))
    front.listen(0, '127.0.0.1', () => process.send({ port: front.address().port }))
  })
  process.on('message', message => {
    if (message === 'counts')
      process.send({ counts, open: [...sockets.keys()].map(port => last.get(port) ?? 'no request') })
    if (message === 'exit') process.exit()
  })
})

/** Carries a client's bytes to the TLS server and back, at the pace of the slower side. */
function relay(client, port) {
  const inner = net.connect(port, '127.0.0.1', () => {
    const { localPort } = inner
    if (client.destroyed) return
    sockets.set(localPort, client)
    last.delete(localPort)
    client.once('close', () => {
      // The port may be another's by now.
      if (sockets.get(localPort) === client) sockets.delete(localPort)
    })
    client.pipe(inner).pipe(client)
  })
  // Else each side waits for the other's acknowledgements.
  for (const socket of [client, inner]) socket.setNoDelay(true)
  client.on('error', () => {})
  inner.on('error', () => {})
  client.once('close', () => inner.destroy())
  // What was written before goes out first, unless it was reset.
  inner.once('close', () => client.destroySoon())
}

function serve(request, response) {
  counts.requests += 1
  const { remotePort } = request.socket
  last.set(remotePort, `HTTP/${request.httpVersion} ${request.method} ${request.url}`)
  const query = new URL(request.url, 'https://localhost').searchParams
  if (query.has('denied')) counts.denied += 1
  const hash = crypto.createHash('sha256')
  request.on('error', () => {})
  response.on('error', () => {})
  request.on('data', chunk => hash.update(chunk))
  request.on('end', () => answer(request, response, query, hash.digest('hex')))
}

function answer(request, response, query, uploaded) {
  if (isGone(request, response)) return
  const fault = query.get('fault')
  const isHttp2 = request.httpVersionMajor === 2
  if (fault === 'stallHead') return
  if (fault === 'reset') return breakOff(request, response, query)
  if (fault === 'kill') return reset(request.socket.remotePort)
  if (fault === 'end') return isHttp2 ? request.stream.session.destroy() : request.socket.end()

  const body = bytesOf(Number(query.get('offset')), Number(query.get('down')))
  const headers = { 'x-up': uploaded, 'x-down': sha256(body) }
  if (!query.has('chunked')) headers['content-length'] = String(body.length)
  if (fault === 'close') headers.connection = 'close'
  response.writeHead(200, headers)
  const half = body.subarray(0, body.length >> 1)
  if (fault === 'stallBody') return void response.write(half)
  if (fault === 'truncate' || fault === 'resetBody') {
    return void response.write(half, () => breakOff(request, response, query))
  }
  if (fault === 'slow') {
    return void response.write(half, () => setImmediate(() => response.end(body.subarray(half.length))))
  }
  if (fault === 'closeLater') {
    const { session } = request.stream ?? {}
    const { socket } = request
    response.once('finish', () => {
      setTimeout(() => (session ? session.close() : socket.end()), Number(query.get('delay')))
    })
  }
  response.end(body)
}

function isGone(request, response) {
  return request.stream ? request.stream.destroyed || request.stream.closed : response.destroyed
}

/** Ends this one exchange: in HTTP/2 its stream, in HTTP/1.1 its connection. */
function breakOff(request, response, query) {
  if (isGone(request, response)) return
  if (request.stream) request.stream.close(query.has('reset') ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_CANCEL)
  else if (query.has('reset')) reset(request.socket.remotePort)
  else request.socket.end()
}

function reset(port) {
  sockets.get(port)?.resetAndDestroy()
  // Ended by this side: what Node still has to do for it is no connection that the client left open.
  sockets.delete(port)
}

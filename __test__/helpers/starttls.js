'use strict'
// Servers that speak in the clear before TLS, each by hand: what they hear has to be what the protocol says, to the byte.

const tls = require('node:tls')
const { once } = require('node:events')
const { rawServer } = require('./faults')

/** @typedef {import('node:net').Socket} Socket */
/** @typedef {{ hear?: Buffer, say?: Buffer }} Turn what has to be heard before the next is said */

const text = (/** @type {string} */ string) => Buffer.from(string, 'latin1')
const hex = (/** @type {string} */ string) => Buffer.from(string.replace(/ /g, ''), 'hex')
const XMPP = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' id='1'>"
const XMPP_TLS = "xmlns='urn:ietf:params:xml:ns:xmpp-tls'"

/** @param {number} capabilities */
function mysqlGreeting(capabilities) {
  const head = Buffer.concat([text('\x0a8.0.36\0'), hex('01000000'), text('nonce678'), hex('00')])
  const body = Buffer.concat([head, hex('0000'), hex('2d 0200 ffc1 15'), text('more')])
  body.writeUInt16LE(capabilities, head.length)
  return Buffer.concat([Buffer.from([body.length, 0, 0, 0]), body])
}

/** @param {string} host @param {string} content */
const xmppHeader = (host, content) =>
  text(
    `<?xml version='1.0'?><stream:stream to='${host}' xmlns='${content}' ` +
      "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
  )

/**
 * What is said on the way to TLS.
 * @param {string} host
 * @returns {Record<string, Turn[]>}
 */
function dialogues(host) {
  const smtp = [
    { say: text('220 mail.example ESMTP\r\n') },
    { hear: text('EHLO [127.0.0.1]\r\n'), say: text('250-mail.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n') },
    { hear: text('STARTTLS\r\n'), say: text('220 ready\r\n') }
  ]
  const xmpp = (/** @type {string} */ content) => [
    {
      hear: xmppHeader(host, content),
      say: text(`${XMPP}<stream:features><starttls ${XMPP_TLS}><required/></starttls></stream:features>`)
    },
    { hear: text(`<starttls ${XMPP_TLS}/>`), say: text(`<proceed ${XMPP_TLS}/>`) }
  ]
  return {
    smtp,
    imap: [
      { say: text('* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n') },
      { hear: text('a1 STARTTLS\r\n'), say: text('* CAPABILITY IMAP4rev1\r\na1 OK begin\r\n') }
    ],
    pop3: [{ say: text('+OK ready\r\n') }, { hear: text('STLS\r\n'), say: text('+OK begin\r\n') }],
    ftp: [
      { say: text('220-welcome\r\n to this\r\n220 ready\r\n') },
      { hear: text('AUTH TLS\r\n'), say: text('234 proceed\r\n') }
    ],
    postgres: [{ hear: hex('00000008 04d2162f'), say: text('S') }],
    mysql: [
      { say: mysqlGreeting(0x0a00) },
      { hear: Buffer.concat([hex('20000001 008a0000 00000001 2d'), Buffer.alloc(23)]) }
    ],
    ldap: [{ hear: Buffer.concat([hex('301d 020101 7718 8016'), text('1.3.6.1.4.1.1466.20037')]), say: ldapResult(0) }],
    xmpp: xmpp('jabber:client'),
    'xmpp-server': xmpp('jabber:server')
  }
}

/** @param {number} code @param {string} [diagnostic] */
function ldapResult(code, diagnostic = '') {
  const rest = Buffer.concat([hex('0a01'), Buffer.from([code]), hex('0400 04'), Buffer.from([diagnostic.length])])
  const length = rest.length + diagnostic.length
  const head = Buffer.from([0x30, length + 5, 2, 1, 1, 0x78, length])
  return Buffer.concat([head, rest, text(diagnostic)])
}

/** How each protocol says no, in the place of its last turn. @type {Record<string, Buffer>} */
const REFUSALS = {
  smtp: text('454 4.7.0 TLS not available\r\n'),
  imap: text('a1 NO not here\r\n'),
  pop3: text('-ERR not here\r\n'),
  ftp: text('502 not implemented\r\n'),
  postgres: text('N'),
  mysql: mysqlGreeting(0x0200),
  ldap: ldapResult(2, 'unsupported'),
  xmpp: text(`<failure ${XMPP_TLS}/></stream:stream>`),
  'xmpp-server': text(`<failure ${XMPP_TLS}/></stream:stream>`)
}

/**
 * @param {string} protocol
 * @param {{
 *   cert: { pem: string, key: string },
 *   chain?: { pem: string }[],
 *   host?: string,
 *   at?: number,
 *   instead?: (socket: Socket, say: Buffer) => void,
 *   tls?: tls.TlsOptions
 * }} options `instead` answers in the place of the turn `at`, default the last that says something, and no TLS follows;
 *   `host`: whom a client of XMPP asks for
 */
async function starttlsServer(protocol, { cert, chain = [], host = 'localhost', instead, at, tls: more }) {
  const turns = dialogues(host)[protocol]
  if (!turns) throw new TypeError(`no such protocol: ${protocol}`)
  const last = turns.findLastIndex(turn => turn.say)
  const context = tls.createSecureContext({
    ...{ key: cert.key, cert: [cert.pem, ...chain.map(link => link.pem)].join(''), ...more }
  })
  const server = await rawServer(async socket => {
    socket.on('error', () => {})
    for (const [index, { hear, say }] of turns.entries()) {
      if (hear && !(await heard(socket, hear))) return void socket.destroy()
      if (instead && index === (at ?? last)) return instead(socket, say ?? Buffer.alloc(0))
      if (say) socket.write(say)
    }
    const secured = new tls.TLSSocket(socket, { isServer: true, secureContext: context, ...more })
    secured.on('error', () => {})
    secured.on('secure', () => {
      all.handshakes += 1
      all.alpn = secured.alpnProtocol
    })
    secured.on('data', data => {
      all.appBytes += data.length
    })
    secured.on('end', () => secured.end())
  })
  const all = Object.assign(server, {
    handshakes: 0,
    appBytes: 0,
    /** Of the last handshake. @type {string | false | null | undefined} */ alpn: undefined
  })
  return all
}

/**
 * Whether exactly this comes next.
 * @param {Socket} socket
 * @param {Buffer} expected
 */
async function heard(socket, expected) {
  for (;;) {
    const bytes = socket.read(expected.length)
    if (bytes) return expected.equals(/** @type {Buffer} */ (bytes))
    if (socket.readableEnded || socket.destroyed) return false
    await Promise.race([once(socket, 'readable'), once(socket, 'close')])
  }
}

module.exports = { PROTOCOLS: Object.keys(REFUSALS), REFUSALS, starttlsServer }

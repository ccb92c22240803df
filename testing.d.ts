/**
 * For the test suites of programs that pin: whether a client obeys its pins, and a man in the middle to try it with.
 *
 * @module tls-pinning/testing
 */

import type { EventEmitter } from 'node:events'
import type { SecureVersion, TLSSocket } from 'node:tls'

/** What a client is to be tried out with. */
export interface TestServer {
  /** `https://localhost:PORT`, or the first of the option `names`. */
  url: string
  /** The host of `url`. */
  host: string
  /** The port of `url`. */
  port: number
  /** The certificate authorities to trust, PEM: that of the server with the pinned key and that of its impostors. */
  ca: string
  /** The pins to give to the client, in the form `sha256/BASE64`: sometimes those of the server, sometimes not. */
  pins: string[]
}

/** Options of {@link assertPinned}. */
export interface AssertPinnedOptions {
  /** Names in the servers' certificates, DNS names or loopback addresses; the first is connected to. Default: `localhost`. */
  names?: string[]
  /** Speaks another protocol over TLS. Default: HTTP/1.1 and HTTP/2, every request answered by 200. */
  serve?: (socket: TLSSocket) => void
  /** Default: both. */
  versions?: Extract<SecureVersion, 'TLSv1.2' | 'TLSv1.3'>[]
  /** Milliseconds for one attempt. Default: 10000. */
  timeout?: number
}

/**
 * Asserts that a client obeys its pins: not that they were given to it, but that no byte of a request reaches a server without
 * them.
 *
 * `makeRequest` makes one request with the client under test, with the pins and the trusted authorities that it is given. It is
 * called several times against servers on loopback: one whose key is pinned, which has to be reached; the same, on the same
 * port, with other pins; another with a trusted certificate for the same name; one that shows the pinned intermediate in its chain
 * without being below it. The last three have to make it fail, and to have received nothing.
 *
 * @example
 * await assertPinned(({ url, ca, pins }) => axios.get(url, { httpsAgent: new PinnedAgent(pins, { ca }) }))
 *
 * @throws {AssertionError} Says which server received what.
 */
export function assertPinned(makeRequest: (server: TestServer) => unknown, options?: AssertPinnedOptions): Promise<void>

/** Options of {@link startMitm}. */
export interface MitmOptions {
  /** `false`: everything is relayed untouched, and told. Default: true. */
  intercept?: boolean
  /** Whom to intercept, in the patterns of a policy: `api.example.com`, `*.example.com`, `db.example.com:5432`. Default: all. */
  hosts?: string[]
  /**
   * Trust anchors for the servers, PEM or DER. Default: Node's own and NODE_EXTRA_CA_CERTS. A server that cannot be verified is
   * not spoken to: its client is intercepted all the same, and what it sends goes nowhere.
   */
  ca?: string | Uint8Array | (string | Uint8Array)[]
  /** Of 127.0.0.1. Default: one that is free. */
  port?: number
}

/** What became of a connection. */
export interface MitmConnection {
  /** The user name that the client gave to the proxy, to tell one client from another. */
  id: string | null
  /** What the client asked for. */
  host: string
  /** Its port. */
  port: number
  /** The name in its ClientHello. */
  servername: string | null
  /**
   * - `intercepted`: it was shown a certificate of the man in the middle, and sent something; or, `protocol` null, it sent
   *   a request for an `https:` URL in plain text, as to a proxy (RFC 9112, section 3.2.2)
   * - `refused`: it was shown one, and ended the connection before it sent anything
   * - `silent`: it was shown one, and did neither until the connection was cut off or the server left
   * - `failed`: it could not be shown one
   * - `relayed`: TLS, passed on untouched
   * - `plain`: no TLS
   * - `unreachable`: the server could not be connected to
   */
  outcome: 'intercepted' | 'refused' | 'silent' | 'failed' | 'relayed' | 'plain' | 'unreachable'
  /** The version of TLS with the client; null where none was agreed on. */
  protocol: 'TLSv1.2' | 'TLSv1.3' | null
  /** The protocol that was agreed on with the client by ALPN. */
  alpn: string | null
  /** The alert by which it refused, or why it failed. */
  reason: string | null
  /** The code of the reason why nothing was passed on to the server; null if it was. */
  held: string | null
  /** Application bytes of the client that were read in the clear. */
  bytes: number
  /** What they begin with, without what may be a secret: `GET /v1/items?… HTTP/1.1`. */
  first: string | null
}

/** A man in the middle that is running. */
export interface Mitm extends EventEmitter {
  /** `http://127.0.0.1:PORT`, for CONNECT. SOCKS5 is spoken on the same port: `socks5h://127.0.0.1:PORT`. */
  url: string
  /** The port it listens on. */
  port: number
  /** The certificate of its CA, PEM, for clients that are to trust it. The key never leaves memory. */
  ca: string
  /** A file with it and what NODE_EXTRA_CA_CERTS holds here, for that variable of another process. Removed by `close`. */
  caFile: string
  /** Those that are over, the last 10000. Each is an event `'connection'` too. */
  connections: MitmConnection[]
  /** Stops listening and cuts off what is under way. Resolves when every connection is among `connections`. */
  close(): Promise<void>
  /** As `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Starts a man in the middle on 127.0.0.1: a proxy that answers every TLS handshake with a certificate of its own, also where
 * TLS begins after plain text (PostgreSQL, MySQL, STARTTLS), and speaks to the real server on the other side.
 *
 * It does not keep the process alive. Whoever can connect to the port can use it: it is for tests.
 *
 * @example
 * const mitm = await startMitm()
 * const agent = new PinnedAgent(pins, { ca: mitm.ca, proxyAgent: new HttpsProxyAgent(mitm.url) })
 * await assert.rejects(axios.get('https://api.example.com/', { httpsAgent: agent }))
 * await mitm.close()
 * assert.deepEqual(mitm.connections.map(({ outcome }) => outcome), ['refused'])
 *
 * @throws {Error} `EADDRINUSE` for a port that is taken, `ERR_INVALID_ARG_VALUE` for a host that is none.
 */
export function startMitm(options?: MitmOptions): Promise<Mitm>

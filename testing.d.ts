import type { SecureVersion, TLSSocket } from 'node:tls'

/** What a client is to be tried out with. */
export interface TestServer {
  /** `https://localhost:PORT`, or the first of the option `names`. */
  url: string
  host: string
  port: number
  /** The certificate authorities to trust, PEM: that of the server with the pinned key and that of its impostors. */
  ca: string
  /** The pins to give to the client, in the form `sha256/BASE64`: sometimes those of the server, sometimes not. */
  pins: string[]
}

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

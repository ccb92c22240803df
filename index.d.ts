/**
 * TLS certificate and public-key pinning for Node.js.
 *
 * A program names the keys it expects; every other server is refused before one byte of the request leaves, even
 * when a trusted CA vouches for it.
 *
 * Pinning is dangerous: a server whose key changes without a matching pin cannot be reached until the pins are
 * updated. Give every host a backup pin whose key is kept elsewhere.
 *
 * @module tls-pinning
 */

import type { KeyObject, webcrypto, X509Certificate } from 'node:crypto'
import type { EventEmitter } from 'node:events'
import type { ClientRequest } from 'node:http'
import type { Agent, AgentOptions, RequestOptions as HttpsRequestOptions } from 'node:https'
import type { LookupFunction, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { ConnectionOptions, PeerCertificate, TLSSocket } from 'node:tls'

/** Text or bytes: PEM, or DER as bytes. */
export type Material = string | NodeJS.ArrayBufferView | ArrayBuffer

/**
 * A pin in any of its forms.
 *
 * | text | pins |
 * | --- | --- |
 * | `sha256/BASE64` (OkHttp), `sha256//BASE64` (curl), `pin-sha256="BASE64"` (RFC 7469), 44 characters of base64 | a key |
 * | `spki:sha256:HEX`, `spki:sha512:HEX`, `cert:sha256:HEX`, `cert:sha512:HEX` | as named |
 * | `AA:BB:…` (`fingerprint256`, `fingerprint512`), `sha256 Fingerprint=AA:BB:…` (openssl) | a certificate |
 * | `3 1 1 HEX` or a whole TLSA record (RFC 6698) | by its selector; usage 1 and 3 the leaf, 0 and 2 an issuer |
 * | PEM of a public key or certificate request | a key |
 *
 * A key is hashed as its DER SubjectPublicKeyInfo. Bare hex is refused as ambiguous, SHA-1 and MD5 as broken.
 */
export type PinInput =
  | string
  | KeyObject
  | webcrypto.JsonWebKey
  | NodeJS.ArrayBufferView
  | Pin
  | {
      /** Pins exactly this certificate. */
      certificate: Material | X509Certificate
    }
  | {
      /** Pins the key of this certificate, request or public key. */
      publicKey: Material | X509Certificate | KeyObject | webcrypto.JsonWebKey
    }

/** What a policy says of the hosts of one pattern. At least one of `pins`, `leaf` and `ca` is needed. */
export interface PolicyEntry {
  /** Any certificate on the verified path may match. */
  pins?: PinInput | PinInput[]
  /** Only the server's own certificate may match. */
  leaf?: PinInput | PinInput[]
  /** Only an issuer on the path may match. */
  ca?: PinInput | PinInput[]
  /** From this moment on the entry no longer holds. RFC 3339 or a Date. Default: never. */
  expires?: string | Date
  /** Whether its hosts are refused (`deny`, the default) or let through unpinned and reported when it has expired. */
  onExpiry?: 'deny' | 'allow'
  /** Whether a mismatch is refused (`enforce`, the default) or only reported. */
  mode?: 'enforce' | 'report'
}

/**
 * Hosts and their pins. Patterns are `api.example.com`, `*.example.com` (one label), `**.example.com` (the apex and any
 * depth), IP addresses, each with an optional `:port`. The most specific entry alone applies: host with port, host,
 * `*.`, the longest `**.`.
 */
export type HostPins = Record<string, PinInput | PinInput[] | PolicyEntry>

/**
 * A policy: which hosts, which keys. Read strictly: a member that it does not know is `ERR_TLS_PIN_INVALID`.
 * policy.schema.json describes its JSON to editors.
 */
export interface Policy {
  /** For editors: the path of policy.schema.json. Not looked at. */
  $schema?: string
  /** The version of this format. Default: 1. */
  version?: 1
  /** What holds for hosts that no entry is for. Default: `deny`. */
  unlisted?: 'deny' | 'allow' | 'report'
  /**
   * From this moment on the whole policy no longer holds, and every host is refused (`ERR_TLS_PIN_EXPIRED`), whatever the
   * policy said of it. RFC 3339 or a Date. Default: never.
   */
  expires?: string | Date
  /** The hosts, by pattern. */
  hosts: HostPins
}

/**
 * What the option `pins` takes everywhere: a `PinSet`, a policy, its shorthand `{ 'api.example.com': […] }`, one pin or a
 * list of pins. A bare list applies to the host that a request is made for.
 */
export type Pins = PinSet | Policy | HostPins | PinInput | PinInput[]

/** A pin that has been read. `String(pin)` is its canonical text. */
export interface Pin {
  /** What is hashed: a key, as DER SubjectPublicKeyInfo, or a whole certificate. */
  readonly target: 'spki' | 'certificate'
  /** The hash. */
  readonly algorithm: 'sha256' | 'sha512'
  /** The digest: 32 bytes with SHA-256, 64 with SHA-512. */
  readonly digest: Buffer
  /** Which certificate of a path may match: `any`, or as a TLSA record's usage says. */
  readonly role: 'any' | 'leaf' | 'ca'
  /**
   * The canonical text: `sha256/BASE64` for a key, `spki:sha512:HEX`, `cert:sha256:HEX` or `cert:sha512:HEX` for the
   * others.
   */
  toString(): string
  /** As `toString`. */
  toJSON(): string
}

/** A certificate on a verified path. */
export interface PathCertificate {
  /** The distinguished name. */
  subject: string
  /** Null for a trust anchor that is known by its name and key alone; so are the next fields. */
  issuer: string | null
  /** `sha256/BASE64` of its key. */
  spkiPin: string
  /** `AA:BB:…`, as in Node. */
  fingerprint256: string | null
  /** From when on it is valid. */
  validFrom: Date | null
  /** Until when it is valid. */
  validTo: Date | null
  /** DER, in errors and reports, where it is known. Not enumerable. */
  readonly raw?: Buffer
}

/** Why a connection was let through that nothing matched on. */
export type Excuse = 'unlisted' | 'expired' | 'mismatch'

/** The outcome of a verification. */
export interface Verified {
  /** From the server's certificate to the trust anchor; with `trust: 'pin-only'` the server's certificate alone. */
  path: PathCertificate[]
  /** The pattern of the entry that decided; null for a bare list. */
  pattern: string | null
  /** The pin that matched; null where the policy let the server through without. */
  matched: string | null
  /** Why the policy let the server through although nothing matched; null where a pin matched. */
  excused: Excuse | null
}

/** A `report` event: a connection was let through, and why it would have been refused by a stricter policy. */
export interface Report {
  /** What the code of the refusal would have been: `ERR_TLS_PIN_UNLISTED`, `ERR_TLS_PIN_EXPIRED`, `ERR_TLS_PIN_MISMATCH`. */
  reason: Excuse
  /** The host that was connected to, as the policy sees it. */
  host: string
  /** Null where it is not known: a `checkServerIdentity` is not told. */
  port: number | null
  /** The pattern of the entry that decided; null where there is none. */
  pattern: string | null
  /** The pins of that entry, in canonical form. */
  expected: string[]
  /** The verified path, from the server's certificate to the trust anchor. */
  path: PathCertificate[]
  /**
   * DER of the certificates as the server sent them, its own first; for `PinSet.check`. On Node's own TLS they are those that
   * Node shows, which adds a root from its trust store. Not enumerable.
   */
  readonly chain: Buffer[]
}

/** A `refused` event: the policy refused a connection. Its reason is that of {@link Report}; `error` is what the caller got. */
export interface Refusal extends Report {
  /** What the caller got. */
  error: TlsPinningError
}

/** An `expiring` event. */
export interface Expiring {
  /** The entry's; null for the policy as a whole. */
  pattern: string | null
  /** The moment from which on it no longer holds. */
  expires: Date
  /** Whether that time has passed already. */
  expired: boolean
  /** What the entry does with a mismatch. */
  mode: 'enforce' | 'report'
  /** What becomes of its hosts then. */
  onExpiry: 'deny' | 'allow'
}

/** What a policy says about a host. */
export interface Match {
  /** The pattern of the entry; null for a bare list. */
  pattern: string | null
  /** The pins that any certificate of the path may match, in canonical form. */
  pins: string[]
  /** The pins that only the server's own certificate may match. */
  leaf: string[]
  /** The pins that only an issuer may match. */
  ca: string[]
  /** From this moment on the entry no longer holds; null: never. */
  expires: Date | null
  /** Whether that moment has passed. */
  expired: boolean
  /** What the entry does with a mismatch. */
  mode: 'enforce' | 'report'
  /** What becomes of its hosts when it has expired. */
  onExpiry: 'deny' | 'allow'
}

/** Something valid and still unwise in a policy, such as a host without a backup pin. */
export interface PolicyWarning {
  /**
   * Stable: `unlisted-allowed`, `no-backup-pin`, `leaf-without-backup`, `duplicate-pin`, `zero-digest`, `empty-digest`,
   * `expires-soon`, `expired`, `report-without-expiry`, `on-expiry-without-expiry`.
   */
  code: string
  /** Where, such as `hosts["api.example.com"]`. */
  place: string
  /** What is unwise about it, and what to do. */
  message: string
}

/** The events of a {@link PinSet}. */
interface PinSetEvents {
  /** Another policy is in force. */
  change: []
  /** A looser policy let a connection through. Once for each connection. */
  report: [report: Report]
  /**
   * A source of the policy failed, or what it brought is no policy: the one before stays in force. Where nobody listens,
   * a process warning says so, once for each source and code until one is loaded. Also on the channel `tls-pinning:load-error` of
   * `node:diagnostics_channel`, as `{ source, error }`.
   */
  loadError: [error: LoadError]
  /** The policy refused a connection. Once for each request or socket that failed by it. */
  refused: [refusal: Refusal]
  /**
   * An entry expires within `warnBefore`. Once for each entry of each policy: when the first listener is added, when the policy
   * or `warnBefore` changes, and as time passes. Keeps no process alive.
   */
  expiring: [entry: Expiring]
}

/** Why a policy was not loaded. Its code is that of the system, of the loader's error, or one of this package's. */
export type LoadError = Error & {
  /** Of the system, of the loader, or of this package. */
  code: string
  /** The file, the URL without its query, or `the loader`. */
  source: string
}

/** Options of {@link PinSet.fromFile} and of {@link PinSet.fromEnv} for a file. */
export interface FileOptions {
  /**
   * Whether the file is read again when it changes: written to, renamed over, removed and made anew, or reached by a
   * symbolic link that is swapped, as Kubernetes does. Default: false.
   */
  watch?:
    | boolean
    | {
        /** Milliseconds in which the events of one save come together. Default: 100. */
        debounce?: number
        /**
         * Milliseconds between two looks at the file, beside the system's notifications, which some file systems do not
         * send; 0: none. Default: 5000.
         */
        interval?: number
      }
}

/** When a source of policies is asked again. Options of {@link PinSet.fromLoader} and {@link PinSet.fromSigned}. */
export interface RefreshOptions {
  /**
   * Milliseconds from one load to the next; 0: only once. Default: 300000. After a failure the next comes after a second,
   * twice that with each further one, up to the interval or to five minutes, whichever is longer.
   */
  interval?: number
  /** The part of each delay by which it varies at random, 0 to 1. Default: 0.1. */
  jitter?: number
  /** Milliseconds for one load. `ETIMEDOUT`. Default: 10000. */
  timeout?: number
}

/** Aborted when a load has taken too long or the pin set is closed. What it answers then is dropped. */
export interface LoadContext {
  /** Hand it to what does the loading. */
  signal: AbortSignal
}

/** An Ed25519 public key: the line that `tls-pinning keygen` prints (SubjectPublicKeyInfo in base64), PEM, DER or a JWK. */
export type SigningKey = string | Uint8Array | KeyObject | webcrypto.JsonWebKey

/** Options of {@link PinSet.fromSigned}. */
export interface SignedOptions extends RefreshOptions {
  /** Where the envelope is: a path, an https URL, or a function that brings its bytes or text. At most 4 MiB. */
  source: string | URL | ((context: LoadContext) => string | Uint8Array | Promise<string | Uint8Array>)
  /** One signature by one of them is enough. */
  publicKeys: SigningKey | SigningKey[]
  /**
   * Where the last accepted envelope is kept, for a start without the source and as the version that is not gone behind
   * after one. In a folder that only this user can write to; it is made if it is missing. With a file that cannot be read, or
   * is not signed by one of the `publicKeys`, there is no start: remove it only if an older policy may come into force; give
   * another one when a key is dropped. Default: none.
   */
  cacheFile?: string | URL
  /**
   * The time by which an envelope is judged, a Date or Unix milliseconds. Default: `Date.now`. Connections are always judged
   * by the system's clock.
   */
  clock?: () => number | Date
}

/**
 * A live policy. What holds for a connection is what its pin set says at the moment it is written to.
 *
 * @throws {PinInvalidError} `ERR_TLS_PIN_INVALID` with the place of what is malformed.
 */
export class PinSet extends EventEmitter<PinSetEvents> {
  /** A policy that is given in the program. */
  constructor(pins: Pins)
  /**
   * The policy in a file, read strictly: what is malformed is an error with file and place. At most 4 MiB.
   *
   * @throws {PinInvalidError} `ERR_TLS_PIN_INVALID`; or the system's error, such as `ENOENT`; or `ERR_INVALID_ARG_VALUE`, no
   * regular file but a pipe or a device. All have the file as `source`.
   */
  static fromFile(path: string | URL, options?: FileOptions): PinSet
  /**
   * The policy in an environment variable: its JSON, or else the path of a file, for which the options are.
   *
   * @throws As {@link PinSet.fromFile}; `ERR_TLS_PIN_INVALID` if the variable is not set.
   */
  static fromEnv(name: string, options?: FileOptions): PinSet
  /**
   * The policy that a function brings: an object, or the text or bytes of its JSON. Rejects if the first load fails. Later
   * ones follow each other; when one fails the policy stays as it is, and there is a `loadError`.
   */
  static fromLoader(
    loader: (context: LoadContext) => Pins | Uint8Array | Promise<Pins | Uint8Array>,
    options?: RefreshOptions
  ): Promise<PinSet>
  /**
   * A policy in a signed envelope (docs/signed-policies.md). Neither the source nor the way from it needs trust. Rejects if
   * the source fails and no cached policy is valid. When the policy in force expires and no newer one has come, every host
   * is refused (`ERR_TLS_PIN_EXPIRED`).
   *
   * Refused are: `ERR_TLS_PIN_POLICY_SIGNATURE`, what no known key has signed; `ERR_TLS_PIN_POLICY_ROLLBACK`, a lower
   * version than the last one, or the same with other content; `ERR_TLS_PIN_POLICY_EXPIRED` and
   * `ERR_TLS_PIN_POLICY_NOT_YET_VALID`; `ERR_TLS_PIN_INVALID`, a malformed policy.
   *
   * A cache that is there and cannot be used rejects with its file as `source`: with the system's code, or that of what is
   * refused. If that happens later it is a `loadError`, and the file is not written over. A cache in a folder that others can
   * write to is `ERR_TLS_PIN_UNSAFE`, as a `loadError`: it is not gone behind, does not stand in for the source, and nothing
   * is written there.
   */
  static fromSigned(options: SignedOptions): Promise<PinSet>
  /** Stops following the source. The policy stays in force. */
  close(): void
  /** As `close`, for `using`. */
  [Symbol.dispose](): void
  /** The entry that decides about a host, or null where the policy has none. Port: 443 by default. */
  match(host: string, port?: number): Match | null
  /** Decides about a chain as a connection would. Throws what {@link verifyChain} throws. */
  check(
    host: string,
    chain: VerifyChainOptions['chain'],
    options?: Omit<VerifyChainOptions, 'hostname' | 'chain' | 'pins'>
  ): Verified
  /**
   * Puts another policy into force, as a whole; if it is malformed this throws and nothing changes. Connections that
   * no longer satisfy the policy are closed, and none of them is written to again.
   */
  replace(pins: Pins): void
  /** How long before its expiry an entry is told of by the event `expiring`, in milliseconds. Default: 30 days. */
  warnBefore: number
  /** What is valid in the policy in force and still unwise. */
  get warnings(): PolicyWarning[]
  /** The policy in canonical form. */
  toJSON(): Policy
}

/** What says whom to trust, and as whom. Names and forms as in Node's `tls.connect`. */
export interface TrustOptions {
  /** Trust anchors instead of Node's own (`tls.getCACertificates('default')`, `NODE_EXTRA_CA_CERTS`). */
  ca?: Material | Material[]
  /** The client's certificate chain, leaf first. Needs `key`. */
  cert?: Material | Material[]
  /** The private key of `cert`, PEM or DER. */
  key?: Material | KeyObject
  /** For an encrypted `key` or for `pfx`. */
  passphrase?: string
  /** PKCS#12, instead of `cert` and `key`. */
  pfx?: Material
  /** The identity to expect, to send as SNI and to look up in the policy. Default: the URL's host. */
  servername?: string
  /** Default: `TLSv1.2`. */
  minVersion?: 'TLSv1.2' | 'TLSv1.3'
  /** Default: `TLSv1.3`. */
  maxVersion?: 'TLSv1.2' | 'TLSv1.3'
  /** Whether HTTP/2 is offered by ALPN. Default: true. */
  allowH2?: boolean
  /**
   * Milliseconds from the look-up of the name to a TCP connection, or to a tunnel through a proxy; 0: no limit. Default:
   * 10000. `ETIMEDOUT`.
   */
  connectTimeout?: number
  /** Milliseconds for the TLS handshake; 0: no limit. Default: 10000. `ERR_TLS_HANDSHAKE_TIMEOUT`. */
  handshakeTimeout?: number
}

/** Options of {@link PinnedClient}, {@link pinnedRequest} and {@link createPinnedFetch}. */
export interface ClientOptions extends TrustOptions {
  /** The servers to accept. There is no default: a client without pins is not made. */
  pins: Pins
  /**
   * `ca` (default): the server's path must end at a trust anchor, and the pins must match on it. `pin-only`: the pins
   * are the only trust; the server's own certificate, self-signed or not, must match, carry the host's name and be in
   * date. In `pin-only` a mismatch is refused even in an entry with `mode: 'report'`.
   */
  trust?: 'ca' | 'pin-only'
  /**
   * Certificate revocation lists. Once given, every certificate below the anchor needs one, as in Node. {@link CrlFiles} are
   * read again when they change.
   */
  crl?: Material | Material[] | CrlFiles
  /** 4 or 6: addresses of this family only. Default: 0, both, with happy eyeballs (RFC 8305). */
  family?: 0 | 4 | 6
  /** The local IP address to connect from. */
  localAddress?: string
  /**
   * Looks names up instead of the system, as Node's option of that name: for each new connection, called with `family`
   * and `all: true`, answering with one address or a list. It says where to connect; whom to expect stays the URL's host
   * or `servername`. The name of a proxy is looked up with it too. Its error rejects the request with the error's code
   * (`ERR_OPERATION_FAILED` if it has none) in the phase `dns`; what is no IP address is `ERR_INVALID_IP_ADDRESS`.
   */
  lookup?: LookupFunction
  /**
   * Connects through a proxy. `'env'`: the one in `https_proxy` or `HTTPS_PROXY`, if any, but for the hosts in `no_proxy`
   * or `NO_PROXY`, as they are when the client is made. Without this option, or with null, the environment is not looked at.
   * `family` and `localAddress` are for the connection to the proxy.
   */
  proxy?: string | URL | ProxyOptions | null
  /** Milliseconds from sending a request to its response's head; 0: no limit. Default: 300000. `ETIMEDOUT`. */
  headersTimeout?: number
  /** Milliseconds between two pieces of a body that is being read; 0: no limit. Default: 300000. `ETIMEDOUT`. */
  bodyTimeout?: number
  /** Milliseconds that an unused connection is kept; 0: for good. Default: 4000. */
  keepAliveTimeout?: number
  /** Bytes of a response's body, decoded; -1: no limit, the default. `ERR_HTTP_RESPONSE_TOO_LARGE`. */
  maxResponseSize?: number
  /**
   * Whether gzip, deflate, br and zstd are asked for, unless the request has an `accept-encoding`, and undone. As in fetch,
   * `content-encoding` and `content-length` stay what the server sent, and an unknown coding leaves the body as it is. A body
   * that is not what it announces fails with `Z_DATA_ERROR`, one that is cut off with `Z_BUF_ERROR`; bytes behind the end
   * are ignored. Default: true.
   */
  decompress?: boolean
  /**
   * How many times its size a body may be decoded to, once that is more than 1 MiB; -1: no limit. Default: 200, as in
   * Apache's `DeflateInflateRatioLimit`. `ERR_HTTP_RESPONSE_TOO_LARGE`.
   */
  maxExpansion?: number
  /** HTTP/1.1 connections to one host at once, further requests wait; 0: no limit, the default. */
  connections?: number
  /**
   * Where an established HTTP/1.1 connection is waited for. `auto` (default): a request that is alone runs on the event loop
   * of its own thread, which spares it two thread switches and may wait there for an answer for up to 50 microseconds;
   * everything else (handshakes, HTTP/2, requests side by side, large bodies) runs on native threads. `threads`: all of it
   * does. On Windows, Bun and Deno, and with `TLS_PINNING_DRIVER=threads` in the environment, `auto` means `threads`.
   */
  driver?: 'auto' | 'threads'
  /** Only `true` is accepted: `false` would switch verification off (`ERR_TLS_PIN_UNSAFE`). */
  rejectUnauthorized?: true
}

/**
 * Revocation lists in files. They are read when the client is made, which throws what is wrong with them, and again when one
 * of them is another file than before or was written to; then all of them are put into force as
 * {@link PinnedClient.replaceCrl} does. While they cannot be read or used, those read before stay in force, until they run out
 * (`CRL_HAS_EXPIRED`). That is told once for each reason: on the channel `tls-pinning:load-error` of
 * `node:diagnostics_channel` as `{ source, error }` or, if nobody listens there, as a warning of the process.
 */
export interface CrlFiles {
  /** Paths of regular files of at most 64 MiB, or of symbolic links to them; else `ERR_INVALID_ARG_VALUE`. */
  files: string | string[]
  /** Milliseconds between two looks at the files. Default: 60000. */
  interval?: number
}

/**
 * A proxy. It is told the target's host and port and nothing of the request; the target's TLS and its pins are the same
 * inside the tunnel as without one.
 *
 * Failures on the way to it and at it have the phase `proxy` and its host and port: `ERR_PROXY_TUNNEL` if it opens no
 * tunnel (CONNECT answered with anything but 2xx, which the message tells; any failure of SOCKS), else the codes of a
 * server. That `connectTimeout` is over has the phase `connect`.
 */
export interface ProxyOptions {
  /**
   * `http:` (CONNECT, RFC 9110, 9.3.6; port 80 by default), `https:` (CONNECT inside TLS; 443), `socks5h:` (RFC 1928; the
   * proxy looks the target's name up; 1080) or `socks5:` (this side does), or `'env'`. `user:password@`, percent-encoded,
   * is sent to the proxy alone: as Basic, or by RFC 1929 (255 bytes each).
   */
  url: string | URL
  /** Hosts to connect to directly, by commas: names with all below them, IP addresses, networks (`10.0.0.0/8`), `*`. */
  noProxy?: string
  /** Further headers of CONNECT, such as another `proxy-authorization`. Not for SOCKS. */
  headers?: Record<string, string>
  /**
   * The pins of an `https:` proxy, which needs them, apart from those of the targets. These and the other TLS options are
   * refused for another scheme (`ERR_TLS_PIN_UNSAFE`); with `url: 'env'` they are unused for another. When a `PinSet` given
   * here changes, tunnels through a proxy that it no longer allows are closed. What they refuse and let through is told
   * by the events of that `PinSet`.
   */
  pins?: Pins
  /** As in {@link ClientOptions}, for the proxy. */
  trust?: ClientOptions['trust']
  /** Trust anchors for the proxy. */
  ca?: ClientOptions['ca']
  /** The lists themselves. */
  crl?: Material | Material[]
  /** The certificate chain for the proxy, leaf first. */
  cert?: ClientOptions['cert']
  /** The private key of `cert`. */
  key?: ClientOptions['key']
  /** For an encrypted `key` or for `pfx`. */
  passphrase?: ClientOptions['passphrase']
  /** PKCS#12, instead of `cert` and `key`. */
  pfx?: ClientOptions['pfx']
  /** The identity to expect of the proxy. Default: the host of its URL. */
  servername?: ClientOptions['servername']
  /** Default: `TLSv1.2`. */
  minVersion?: ClientOptions['minVersion']
  /** Default: `TLSv1.3`. */
  maxVersion?: ClientOptions['maxVersion']
}

/** Headers: an object, pairs, `Headers`, or names and values in turn. */
export type RequestHeaders =
  | Record<string, string | number | readonly (string | number)[] | undefined>
  | Iterable<readonly [string, string]>
  | Headers
  | readonly string[]

/** What a request can send. A string goes as UTF-8; a stream or an iterator is sent as it comes, once. */
export type RequestBody =
  | string
  | NodeJS.ArrayBufferView
  | ArrayBuffer
  | URLSearchParams
  | Blob
  | FormData
  | ReadableStream
  | AsyncIterable<string | NodeJS.ArrayBufferView | ArrayBuffer>
  | Iterable<string | NodeJS.ArrayBufferView | ArrayBuffer>

/** Options of one request. */
export interface RequestOptions {
  /** Default: `GET`. Sent as it is written. */
  method?: string
  /**
   * An object, pairs, `Headers`, or names and values in turn. With `expect: '100-continue'`, in lower case and only beside a
   * body (else `ERR_INVALID_ARG_VALUE`), the body is withheld over HTTP/1.1 until the server asks for it or a second has
   * passed. If a final response comes first it is given out, the body is never sent and the connection is closed (RFC 9110,
   * 10.1.1). A 417 is a response like any other. Over HTTP/2 the header is sent and the body does not wait. `fetch` refuses
   * the header, as Node's does. Other headers that belong to the connection, such as `upgrade` and `te`, are refused.
   */
  headers?: RequestHeaders | null
  /**
   * What is sent. Default: nothing. `URLSearchParams`, a `Blob` and `FormData` bring a `content-type`, for a request that has
   * none.
   */
  body?: RequestBody | null
  /** Aborting rejects with the signal's reason and stops the native work: the connection is closed or its stream reset. */
  signal?: AbortSignal | null
  /**
   * What becomes of 301, 302, 303, 307 and 308: `follow` (default) by the rules of the Fetch standard, `manual` returns
   * them, `error` rejects with `ERR_UNEXPECTED_REDIRECT`. Every hop is a request of its own, decided about by the policy then
   * in force. With a bare list of pins, or with `servername`, a hop to another host is `ERR_TLS_PIN_UNLISTED`. Only to https
   * (`ERR_INVALID_PROTOCOL`), and without credentials in the URL (`ERR_INVALID_URL`): the server's fault, a
   * {@link TlsPinningError} in the phase `request`. Another origin is not sent the headers authorization,
   * proxy-authorization, cookie and host; it is sent all others, and with 307 and 308 the body. A stream cannot be sent again
   * for these (`ERR_BODY_NOT_REPLAYABLE`).
   */
  redirect?: 'follow' | 'manual' | 'error'
  /** How many redirects are followed. Default: 20, as in the Fetch standard. `ERR_TOO_MANY_REDIRECTS`, got's name for it. */
  maxRedirections?: number
}

/** What a connection's TLS handshake proved and agreed on. */
export interface TlsInfo extends Verified {
  /** The version of TLS. */
  protocol: 'TLSv1.2' | 'TLSv1.3'
  /** The IANA name of the cipher suite. */
  cipher: string
  /** The key exchange group, such as `X25519MLKEM768`. */
  group: string | null
  /** The protocol that was agreed on: `h2`, `http/1.1`, or null. */
  alpn: string | null
  /** Whether an earlier session was resumed. Its path was checked again all the same. */
  resumed: boolean
  /** The IP address that was connected to; of the proxy where there is one. */
  remoteAddress: string
  /** Its port. */
  remotePort: number
}

/**
 * A response. Its body is read once: as a whole by `bytes`, `text`, `json`, `arrayBuffer` or `blob`, or as a stream. A body
 * that is not wanted is cancelled with `response.body?.cancel()`, which frees the connection.
 */
export class PinnedResponse {
  private constructor()
  /** The status code. */
  readonly status: number
  /** Whether `status` is 200 to 299. */
  readonly ok: boolean
  /** The reason phrase; empty over HTTP/2. */
  readonly statusText: string
  /** The headers, as in fetch. */
  readonly headers: Headers
  /** Names, in lower case, and values in turn. */
  readonly rawHeaders: string[]
  /** The address that answered, after all redirects. */
  readonly url: string
  /** Whether redirects led here. */
  readonly redirected: boolean
  /** Complete once the body has been read. */
  readonly trailers: Headers
  /** Null where there is no body. */
  readonly body: ReadableStream<Uint8Array> | null
  /** Whether the body has been read, or is being read. */
  readonly bodyUsed: boolean
  /** What the connection proved. */
  readonly tls: TlsInfo
  /** The body, as a `Uint8Array`. */
  // `Uint8Array<ArrayBuffer>`, in words that TypeScript before 5.7 has too.
  bytes(): Promise<ReturnType<Uint8Array['slice']>>
  /** The body, decoded as UTF-8. */
  text(): Promise<string>
  /** The body, parsed. Rejects with a `SyntaxError` where it is no JSON. */
  json(): Promise<any>
  /** The body, as an `ArrayBuffer`. */
  arrayBuffer(): Promise<ArrayBuffer>
  /** The body, as a `Blob` of its `content-type`. */
  blob(): Promise<Blob>
}

/** What {@link PinnedClient.stats} tells. Counts are since the client was made. */
export interface ClientStats {
  /** Connections. */
  connections: {
    /** Open now. */
    open: number
    /** Of these, unused. */
    idle: number
    /** Of these, in use. */
    active: number
    /** Made so far. */
    made: number
  }
  /** TLS handshakes. */
  handshakes: {
    /** Done in full. */
    full: number
    /** Resumed. */
    resumed: number
    /** Failed. */
    failed: number
  }
  /** Requests. */
  requests: {
    /** Sent. */
    sent: number
    /** Failed. */
    failed: number
    /** Sent once more because a connection was closed before any byte of an answer came. */
    retried: number
    /** Carried by the event loop of the calling thread (see the option `driver`). */
    onLoop: number
    /** Under way now. */
    underWay: number
  }
  /** Application bytes: without what TLS adds. */
  bytes: {
    /** Written. */
    sent: number
    /** Read. */
    received: number
  }
  /** By `host:port` of the URLs. */
  hosts: Record<string, HostStats>
}

/** What {@link PinnedClient.stats} tells of one host: what there is now. */
export interface HostStats {
  /** Unused connections. */
  idle: number
  /** Connections in use. */
  active: number
  /** Requests without a connection. */
  waiting: number
  /** Requests on HTTP/2. */
  streams: number
}

/**
 * A client with its own connections, sessions and verifier, which it shares with no other.
 *
 * @throws {TypeError} `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE` for options.
 * @throws {PinInvalidError} `ERR_TLS_PIN_INVALID` for pins.
 * @throws {PinPolicyError} `ERR_TLS_PIN_UNSAFE` for options that would switch pinning off.
 */
export class PinnedClient {
  /** A client that accepts what its `pins` say. */
  constructor(options: ClientOptions)
  /** The pin set in force; `client.pins.replace(…)` changes it. */
  get pins(): PinSet
  /** Rejects with a {@link TlsPinningError}, the signal's reason, or a `TypeError` for bad arguments. */
  request(url: string | URL, options?: RequestOptions): Promise<PinnedResponse>
  /**
   * A `fetch` over this client's connections, always the same function. It works detached:
   * `new OpenAI({ fetch: client.fetch })`.
   */
  get fetch(): PinnedFetch
  /** What the client has done so far, and what it has open now. */
  stats(): ClientStats
  /**
   * Puts other revocation lists into force, as a whole. Connections that no longer satisfy them are closed, none of them is
   * written to again, and sessions from before are not resumed. If a list cannot be used this throws (`ERR_INVALID_ARG_VALUE`)
   * and nothing changes. `ERR_TLS_PIN_UNSAFE` with `trust: 'pin-only'`.
   */
  replaceCrl(crl: Material | Material[]): void
  /**
   * Refuses new requests (`ERR_INVALID_STATE`) and closes each connection as soon as it is unused. Resolves when all
   * requests under way are over, and the bodies that are being read: a body that nobody has begun to read is not waited for.
   */
  close(): Promise<void>
  /**
   * Closes everything now. Requests under way, and bodies that are still coming, fail with the reason; without one with an
   * error whose code is `ERR_CLIENT_DESTROYED`.
   */
  destroy(reason?: unknown): Promise<void>
  /** As `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * One request with pins. Behind it is a {@link PinnedClient}, kept for the next call with the same options; the 32 used
 * last are kept. Options are the same if their values are; a `PinSet` is the same if it is the same object.
 *
 * @example
 * const response = await pinnedRequest('https://api.example.com/', { pins: ['sha256/…', 'sha256/…'] })
 */
export function pinnedRequest(url: string | URL, options: ClientOptions & RequestOptions): Promise<PinnedResponse>

/** What {@link createPinnedFetch} resolves with: a `Response` that also says what its connection proved. */
export interface PinnedFetchResponse extends Response {
  /** What the connection proved. */
  readonly tls: TlsInfo
  /** As `Response.clone`; both read the body. */
  clone(): PinnedFetchResponse
}

/**
 * The platform's `fetch`, with pins. It rejects as that does: the signal's reason as it is; a bad argument as the platform's
 * `Request` words it; every failure of the exchange as `TypeError('fetch failed')` with the {@link TlsPinningError} as
 * `cause` and its code as `code` too. Only https. Differences are listed in docs/fetch.md.
 */
export interface PinnedFetch {
  /** `duplex: 'half'` goes with a stream as the body; the browser's declarations do not know it. */
  (input: string | URL | Request, init?: RequestInit & { duplex?: 'half' }): Promise<PinnedFetchResponse>
  /** The client behind it; `fetch.client.close()` closes its connections. */
  readonly client: PinnedClient
}

/**
 * A `fetch` with pins, its own connections, sessions and verifier.
 *
 * @example
 * const fetch = createPinnedFetch({ pins: { 'api.example.com': ['sha256/…', 'sha256/…'] } })
 * const user = await (await fetch('https://api.example.com/user')).json()
 */
export function createPinnedFetch(options: ClientOptions): PinnedFetch

/** Options of {@link createReporter}. Times in milliseconds. */
export interface ReporterOptions {
  /** Where reports are posted: an `https:` URL. */
  url: string | URL
  /**
   * `rfc7469` (default): the JSON of RFC 7469, section 3. `trustkit`: that of TrustKit. Each report is a POST of its own, as
   * both have it.
   */
  format?: 'rfc7469' | 'trustkit'
  /**
   * The same is reported once within this time: the same decision about the same host, port, pins and certificates. What
   * happens again meanwhile is counted and sent when the time is over. Default: 3600000, an hour.
   */
  interval?: number
  /** Reports sent within an interval at most; others wait. Default: 60. */
  limit?: number
  /** Reports that may wait; further ones are dropped. Default: 100. */
  queue?: number
  /** How often a report is tried before it is dropped. Default: 8. */
  attempts?: number
  /** From a failure to the next attempt, doubled each time, unless the collector says `Retry-After`. Default: 1000. */
  retryDelay?: number
  /** For one attempt; 0: no limit. Default: 10000. */
  timeout?: number
  /**
   * Whether the JSON has one member more, `tls-pinning`: the version, `decision`, `reason`, `count`, `last-date-time` and the
   * number of reports that were `dropped` since the last that arrived. Default: true. False for collectors that refuse it.
   */
  details?: boolean
  /** The program, in TrustKit's format: `app-bundle-id`, `app-version`, `app-vendor-id`. */
  app?: {
    /** `app-bundle-id`. */
    id?: string
    /** `app-version`. */
    version?: string
    /** `app-vendor-id`. */
    vendorId?: string
  }
  /** Further headers, such as `authorization`, for the collector alone. */
  headers?: Record<string, string>
  /** Which reports are sent. Default: all. */
  filter?: (report: Report | Refusal) => boolean
  /** How the collector is connected to: options of a {@link PinnedClient}. Its `pins` are not needed: any trusted server will do. */
  client?: Partial<ClientOptions>
}

/** A `drop` event of a {@link Reporter}: a report was lost. */
export interface DroppedReport {
  /** `queue`: too many waited. `failed`: the collector refused it, or all attempts failed. `closed`: it still waited. */
  reason: 'queue' | 'failed' | 'closed'
  /** What is lost. */
  report: Report | Refusal
  /** How often it had been observed. */
  count: number
  /** Why the last attempt failed, where one was made. */
  error?: Error
}

/** Posts reports until it is closed. Neither it nor a report under way keeps the process alive. */
export interface Reporter
  extends EventEmitter<{
    /** A report was lost. */
    drop: [dropped: DroppedReport]
  }> {
  /**
   * Sends what is waiting now, within `limit` and the collector's `Retry-After`; what fails goes on waiting. Never rejects, and
   * keeps the process alive.
   */
  flush(): Promise<void>
  /** Stops listening, flushes, and drops what is left. */
  close(): Promise<void>
  /** What became of the reports so far. */
  stats(): {
    /** Reports that arrived. */
    sent: number
    /** Attempts that failed. */
    failed: number
    /** Observations that were dropped. */
    dropped: number
    /** Observations that were repetitions. */
    repeated: number
    /** Reports that wait. */
    waiting: number
  }
  /** As `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Posts to a collector what a policy refuses and what it lets through although nothing matches: the events `refused` and
 * `report` of a pin set. A report names the host and the port, the pins and the certificates, and nothing of a request. That
 * one fails changes nothing for the program but the counts.
 *
 * @param pins A `PinSet`, or a client or agent with one.
 * @throws {TypeError} `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`, `ERR_INVALID_PROTOCOL`.
 */
export function createReporter(pins: PinSet | { readonly pins: PinSet }, options: ReporterOptions): Reporter

/**
 * Reads one pin.
 *
 * @param input A pin in any of its forms.
 * @throws {PinInvalidError} `ERR_TLS_PIN_INVALID`, which says what to write instead.
 */
export function parsePin(input: PinInput): Pin

/** Options of {@link pinOf}. */
export interface PinOfOptions {
  /** What is pinned: the key, or exactly this certificate. Default: `spki`. */
  target?: 'spki' | 'certificate'
  /** The hash. Default: `sha256`. */
  algorithm?: 'sha256' | 'sha512'
}

/**
 * The pin of a certificate, public key or certificate request, in PEM, DER or as Node's object.
 *
 * @throws {PinInvalidError} `ERR_TLS_PIN_INVALID`: not readable, a private key, or a certificate pin of a key.
 */
export function pinOf(
  certificateOrKey: Material | X509Certificate | KeyObject | webcrypto.JsonWebKey,
  options?: PinOfOptions
): Pin

/** What {@link verifyChain} decides about. */
export interface VerifyChainOptions {
  /** The server's certificates, leaf first, the rest in any order. */
  chain: Material | X509Certificate | (Material | X509Certificate)[]
  /** The identity to expect: a DNS name or an IP address. */
  hostname: string
  /** Default: 443. */
  port?: number
  /** The pins or the policy. A bare list is for `hostname`. */
  pins: Pins
  /** Trust anchors instead of Node's own. */
  ca?: Material | Material[]
  /** Certificate revocation lists. Once given, every certificate below the anchor needs one. */
  crl?: Material | Material[]
  /** As in {@link ClientOptions}. Default: `ca`. */
  trust?: 'ca' | 'pin-only'
  /** The moment to verify for, a Date or milliseconds. Default: now. */
  time?: Date | number
  /** Certificates allowed between the leaf and the anchor, self-issued ones not counted. Never more than 6. */
  maxIntermediates?: number
}

/**
 * The native verifier without a connection: what `PinnedClient` would say to a server that presents this chain.
 *
 * @throws {TlsPinningError} with the code that the connection would fail with.
 */
export function verifyChain(options: VerifyChainOptions): Verified

/** What Node's `checkServerIdentity` is: `undefined` accepts, an `Error` refuses. */
export type IdentityCheck = (hostname: string, cert: PeerCertificate) => Error | undefined

/** Whom a connection of Node's own TLS is made to. */
export interface IdentityOptions {
  /**
   * The host that the connection is made to. Where it is given, a certificate check for another name is an error
   * (`ERR_TLS_CERT_ALTNAME_INVALID`): some clients pass on a `Host` header, or `localhost` for an IP address. Default:
   * the name that Node checks the certificate for.
   */
  host?: string
  /** For entries of a policy that name a port. Default: it is not known, and the entries of all ports of the host have to hold. */
  port?: number
  /**
   * The trust anchors of the connection, as in its own option `ca`: pins of issuers must match on a path to one of
   * them. Default: Node's own trust store; where no path leads there, a path to a pinned issuer that Node shows.
   */
  ca?: Material | Material[]
}

/** Options of {@link createCheckServerIdentity}. */
export interface IdentityCheckOptions extends IdentityOptions {
  /** Checks the name instead of Node's own check. What it returns counts as it does in Node. */
  verifyHostname?: (hostname: string, cert: PeerCertificate) => Error | undefined
}

/**
 * A `checkServerIdentity` for `https`, `tls`, `http2` and whatever client takes one. First the name, by Node's own
 * `tls.checkServerIdentity`, then the pins in force at the moment of the call. A pin of the server's own key or certificate
 * is compared with what Node has authenticated. For a pin of an issuer every link of the path from the server's
 * certificate is verified natively: what Node shows as `issuerCertificate` is not what it verified.
 *
 * It never throws, and returns nothing but an `Error` or `undefined`.
 *
 * Node does not call it on resumed sessions, and ignores its answer with `rejectUnauthorized: false`: prefer
 * {@link tlsOptions}, {@link PinnedAgent} or {@link pinnedConnector}, which see to both.
 *
 * @throws {PinInvalidError} `ERR_TLS_PIN_INVALID`, when it is made; {@link PinPolicyError} `ERR_TLS_PIN_UNSAFE`.
 * @see https://nodejs.org/api/tls.html#tlscheckserveridentityhostname-cert
 */
export function createCheckServerIdentity(pins: Pins, options?: IdentityCheckOptions): IdentityCheck

/**
 * A stand-in for Node's `tls.checkServerIdentity` with the same results, which returns its errors and never throws. With
 * `pins` it checks them too, as {@link createCheckServerIdentity} does. Without `pins` it checks the name alone, and pins
 * nothing.
 */
export function checkServerIdentity(hostname: string, cert: PeerCertificate, pins?: Pins): Error | undefined

/** Options of {@link tlsOptions}; all others are passed on. */
export interface TlsOptionsInput extends Omit<ConnectionOptions, 'host' | 'port'>, Omit<IdentityOptions, 'ca'> {
  /** The trust anchors, for the connection and for the check alike. With `trust: 'pin-only'` the pinned certificates. */
  ca?: ConnectionOptions['ca']
  /**
   * `ca` (default): the certificate's path must end at a trust anchor. `pin-only`: the pinned certificates are the only
   * trust, for servers with self-signed certificates. It needs the certificates themselves: in `ca`, or in `pins` as
   * `{ certificate }` or `{ publicKey: certificate }`. A certificate that is not self-signed needs a Node with
   * `allowPartialTrustChain` (22.9 and 20.18 or newer).
   */
  trust?: 'ca' | 'pin-only'
}

/** What {@link tlsOptions} adds to the options that it is given. */
export interface PinnedTlsOptions {
  /** Checks the name and the pins. */
  checkServerIdentity: IdentityCheck
  /** Without it Node ignores what the check answers. */
  rejectUnauthorized: true
  /** Sessions that `https.Agent` and undici keep. A resumed session is not checked, so there are none. */
  maxCachedSessions: 0
  /** Another one for each policy, so that agents of Node's do not share connections and sessions between policies. */
  readonly sessionIdContext: string
}

/**
 * The TLS options of any client of Node's: `{ checkServerIdentity, rejectUnauthorized: true, maxCachedSessions: 0, … }` and
 * what else was given. A `checkServerIdentity` of your own runs besides the pins.
 *
 * @throws {PinPolicyError} `ERR_TLS_PIN_UNSAFE` for `rejectUnauthorized: false`, `session` and others that would switch
 *   pinning off.
 */
export function tlsOptions<T extends TlsOptionsInput = Record<never, never>>(
  pins: Pins,
  options?: T
): Omit<T, 'host' | 'port' | 'trust' | keyof PinnedTlsOptions> & PinnedTlsOptions

/** Options of {@link PinnedAgent}: those of `https.Agent`, and these. */
export interface PinnedAgentOptions extends AgentOptions {
  /** As in {@link ClientOptions}: with `pin-only` the pins are the only trust, for self-signed servers. */
  trust?: 'ca' | 'pin-only'
  /**
   * Makes the connection below TLS: an `HttpsProxyAgent` of https-proxy-agent or a `SocksProxyAgent` of
   * socks-proxy-agent. Its own TLS options are for the proxy.
   */
  proxyAgent?: object
}

/**
 * An `https.Agent` whose connections satisfy the pins, before a byte is written to them. Sessions are never resumed. When
 * the pin set changes, idle connections are closed, and so are those in use that no longer satisfy it; the others are not
 * used again. Whoever takes over its `options`, and not the agent, takes over a `checkServerIdentity` with the pins. A
 * request's own `checkServerIdentity` runs besides; a request with `rejectUnauthorized: false` fails with
 * `ERR_TLS_PIN_UNSAFE`.
 *
 * @throws {PinInvalidError} `ERR_TLS_PIN_INVALID`; {@link PinPolicyError} `ERR_TLS_PIN_UNSAFE`
 */
export class PinnedAgent extends Agent {
  /** An agent whose connections satisfy `pins`. */
  constructor(pins: Pins, options?: PinnedAgentOptions)
  /** The pin set in force; `agent.pins.replace(…)` changes it. */
  get pins(): PinSet
  /** Node's own, for its requests: a request's `checkServerIdentity` runs besides the pins. */
  addRequest(request: ClientRequest, options: HttpsRequestOptions): void
  /** Node's key of the connections that a request may use; a request with a check of its own shares none. */
  getName(options?: HttpsRequestOptions): string
  /** Makes a connection that satisfies the pins. Node calls it. */
  createConnection(
    options: HttpsRequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void
  ): Duplex | null | undefined
}

/** What undici asks its option `connect` for. */
export interface ConnectorRequest {
  /** The URL's host. */
  hostname: string
  /** The URL's host with its port. */
  host?: string
  /** `https:`; anything else is refused. */
  protocol: string
  /** The URL's port; empty for 443. */
  port: string
  /** The name for SNI and for the certificate, where it is not the host. */
  servername?: string
  /** The local IP address to connect from. */
  localAddress?: string | null
  /** A tunnel that is there already, as from a proxy. */
  httpSocket?: Socket
}

/** Options of {@link pinnedConnector}: those of `tls.connect`, and these. */
export interface PinnedConnectorOptions extends Omit<TlsOptionsInput, 'host' | 'port'> {
  /** Milliseconds to connect and shake hands. Default: 10000. `UND_ERR_CONNECT_TIMEOUT`. */
  timeout?: number
  /** Whether HTTP/2 is offered by ALPN. Default: false. */
  allowH2?: boolean
}

/**
 * Makes connections for undici: `new Agent({ connect: pinnedConnector(pins) })`, `new ProxyAgent({ uri, requestTls:
 * pinnedConnector(pins) })`, and so for `fetch(url, { dispatcher })`, with whatever version of undici. Options are those of
 * `tls.connect`, and undici's `timeout` (milliseconds, 10000 by default) and `allowH2`. A plain `http:` URL is refused.
 *
 * `ProxyAgent` takes the TLS options of this function instead of calling it: its connections are checked when they are made,
 * and not again when the pin set changes.
 *
 * @throws {PinInvalidError} `ERR_TLS_PIN_INVALID`; {@link PinPolicyError} `ERR_TLS_PIN_UNSAFE`
 */
export function pinnedConnector(
  pins: Pins,
  options?: PinnedConnectorOptions
): ((
  request: ConnectorRequest,
  callback: (...args: [error: null, socket: TLSSocket] | [error: Error, socket: null]) => void
) => void) &
  PinnedTlsOptions

/** A certificate that a server presents. */
export interface InspectedCertificate {
  /** The distinguished name. */
  subject: string
  /** The issuer's. */
  issuer: string
  /** In hex. */
  serialNumber: string
  /** From when on it is valid. */
  validFrom: Date
  /** Until when it is valid. */
  validTo: Date
  /** Subject alternative names: `DNS:…`, `IP Address:…`. */
  names: string[]
  /** Whether it says of itself that it is a CA (basicConstraints). */
  ca: boolean
  /** Such as `EC P-256`, `RSA 2048`. */
  key: string
  /** Whether issuer and subject are the same. */
  selfIssued: boolean
  /** `AA:BB:…`, as in Node. */
  fingerprint256: string
  /** Every form of its pin. */
  pins: {
    /** Of the key: `sha256/BASE64`. */
    sha256: string
    /** Of the key: `spki:sha512:HEX`. */
    sha512: string
    /** Of the certificate: `cert:sha256:HEX`. */
    certificate256: string
    /** Of the certificate: `cert:sha512:HEX`. */
    certificate512: string
    /** TLSA, DANE-EE. */
    tlsa: string
    /** Of the key, for curl's `--pinnedpubkey`: `sha256//BASE64`. */
    curl: string
    /** Of the key, as in RFC 7469: `pin-sha256="BASE64"`. */
    hpkp: string
  }
  /** The certificate as PEM. */
  pem: string
}

/** What a server presents. Nothing in it is proved unless `path` is there. */
export interface Inspection {
  /** The host that was looked at. */
  host: string
  /** Its port. */
  port: number
  /** The IP address that was connected to; of the proxy where there is one. */
  remoteAddress: string
  /** The version of TLS; null where the handshake did not get that far, and so are the next three. */
  protocol: 'TLSv1.2' | 'TLSv1.3' | null
  /** The IANA name of the cipher suite. */
  cipher: string | null
  /** The key exchange group, such as `X25519MLKEM768`. */
  group: string | null
  /** The protocol that was agreed on. */
  alpn: string | null
  /** Leaf first, as sent. A certificate that cannot be read has only `unreadable`, its `certificatePin` and `pem`. */
  chain: InspectedCertificate[]
  /** The path to a trust anchor, or null where there is none. */
  path: PathCertificate[] | null
  /** Why there is no such path. */
  untrusted: TlsPinningError | null
  /** Why the handshake could not be finished although certificates came. */
  incomplete: TlsPinningError | null
}

/**
 * What is spoken in the clear before TLS, with the port where the target names none: RFC 3207 (25), RFC 9051 (143), RFC 2595
 * (110), RFC 4217 (21), the SSLRequest of PostgreSQL (5432) and of MySQL and MariaDB (3306), RFC 4511 (389), RFC 6120 (5222,
 * and between servers 5269).
 */
export type StartTls = 'smtp' | 'imap' | 'pop3' | 'ftp' | 'postgres' | 'mysql' | 'ldap' | 'xmpp' | 'xmpp-server'

/** Options of {@link inspect}. */
export interface InspectOptions extends TrustOptions {
  /**
   * Speaks this protocol until the server agrees to begin TLS, which counts as part of the handshake for `handshakeTimeout`.
   * Nothing is offered by ALPN then. Default: TLS begins at once. `ERR_STARTTLS_REFUSED` with the server's line where it
   * does not agree; `ERR_STARTTLS_INJECTION` for plaintext where none may be, such as after its go-ahead; `EPROTO` for what
   * is not that protocol, or more than 16 KiB of it.
   */
  starttls?: StartTls
  /** As in {@link ClientOptions}. */
  proxy?: ClientOptions['proxy']
  /** Aborting rejects with the signal's reason and closes the connection. */
  signal?: AbortSignal
}

/**
 * Looks at a server without trusting it: shakes hands, notes what it presents, and closes. No application byte is sent.
 *
 * @param target `example.com`, `example.com:8443` or an https URL.
 */
export function inspect(target: string | URL, options?: InspectOptions): Promise<Inspection>

/** What came of one offer to a server. */
export interface ScanOutcome {
  /**
   * `accepted`: the server went on with the handshake. `refused`: it said no, by an alert, by choosing what was not offered,
   * or by closing the connection twice while it goes on accepting other offers. `unknown`: anything else, such as silence or
   * a failure of the network.
   */
  outcome: 'accepted' | 'refused' | 'unknown'
  /**
   * Null where it is accepted. Else which way it was: an alert's `ERR_SSL_…`, `ERR_SSL_UNSUPPORTED_PROTOCOL` and
   * `ERR_SSL_NO_SHARED_CIPHER` for another choice, `ECONNRESET` for a connection that was closed,
   * `ERR_TLS_HANDSHAKE_TIMEOUT` for silence, or any code that `inspect` rejects with.
   */
  code: string | null
  /** The same in words. */
  reason: string | null
}

/** What came of the offer of one cipher suite, or of one group. */
export interface ScannedName extends ScanOutcome {
  /** The IANA name. */
  name: string
}

/** What came of the offers of one protocol version. */
export interface ScannedVersion extends ScanOutcome {
  /** The protocol version. */
  version: 'TLSv1.3' | 'TLSv1.2' | 'TLSv1.1' | 'TLSv1' | 'SSLv3'
  /** The cipher suite that the server chose among all, by its IANA name; null where none is known. */
  cipher: string | null
  /** Each cipher suite of this version that this package speaks. Empty where the version is not accepted, and for old ones. */
  ciphers: ScannedName[]
  /** The same for groups of the key exchange. */
  groups: ScannedName[]
  /**
   * Whose order of cipher suites decides, by two offers of the same two suites. `unknown`: neither fits. Null where there are
   * no two to choose from.
   */
  preference: 'server' | 'client' | 'unknown' | null
}

/** What {@link scan} found. */
export interface Scan {
  /** The host that was scanned. */
  host: string
  /** Its port. */
  port: number
  /** The IP address that was connected to; of the proxy where there is one. */
  remoteAddress: string
  /** Newest first. */
  versions: ScannedVersion[]
}

/** Options of {@link scan}: as those of {@link inspect}. */
export type ScanOptions = Pick<
  InspectOptions,
  'servername' | 'starttls' | 'proxy' | 'connectTimeout' | 'handshakeTimeout' | 'signal'
>

/**
 * What a server accepts: protocol versions, and of TLS 1.3 and 1.2 the cipher suites and the groups that this package speaks,
 * each by a handshake that offers nothing else. Of TLS 1.1, TLS 1.0 and SSL 3.0 only whether the server goes on with them
 * (RFC 8996 and RFC 7568 forbid it to), by a ClientHello that nothing follows. No session is resumed, no certificate is
 * trusted and no application byte is sent. It makes some thirty connections, four at once.
 *
 * Rejects where the server cannot be reached, or refuses `starttls`.
 */
export function scan(target: string | URL, options?: ScanOptions): Promise<Scan>

/**
 * When a failure happened. In all phases before `request` nothing of the request has left the machine; where the error has a
 * `redirectedFrom`, nothing of this hop's: an earlier one has been answered.
 */
export type Phase = 'policy' | 'dns' | 'connect' | 'proxy' | 'handshake' | 'request' | 'body'

/**
 * Any failure of a connection or exchange. `code` is Node's or OpenSSL's where there is one for the case. docs/errors.md lists
 * them with what to do.
 *
 * Not of this class are wrong arguments, a `TypeError`: `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`, `ERR_INVALID_URL`,
 * `ERR_INVALID_PROTOCOL` (a URL that is not `https:`), `ERR_INVALID_CHAR` (in a header's value),
 * `ERR_HTTP_CONTENT_LENGTH_MISMATCH` (a `content-length` that is not the body's), `ERR_INVALID_STATE` (the client has been
 * closed, or a body used already); an addon that does not load, `ERR_DLOPEN_FAILED`, at `require` or `import`; and what is
 * the caller's own: the reason of a signal or of `destroy`, and the error of a body that is being sent. What broke off
 * without one is `ERR_REQUEST_BODY_FAILED`.
 *
 * About a response's frame: `HPE_…` for what is not valid HTTP/1.1, among it a length beside a transfer coding (RFC 9112,
 * 6.3: `HPE_INVALID_TRANSFER_ENCODING`); `ERR_HTTP2_STREAM_ERROR` for a stream that was reset, with whatever code;
 * `ERR_HTTP_UPGRADE_REFUSED` for `101 Switching Protocols`, which is never asked for. Other informational responses (1xx)
 * are passed over.
 */
export class TlsPinningError extends Error {
  protected constructor()
  /** Stable. docs/errors.md lists them. */
  readonly code: string
  /** When it happened. */
  readonly phase?: Phase
  /** The host that was connected to, or the proxy where `phase` is `proxy`. */
  readonly host?: string
  /** Its port. */
  readonly port?: number
  /** The system call that failed, as in Node. */
  readonly syscall?: string
  /** The address whose answer redirected to the one that failed, without its query and fragment. */
  readonly redirectedFrom?: string
  /** The certificate that has expired (`CERT_HAS_EXPIRED`) or been revoked (`CERT_REVOKED`), where it was found. */
  readonly certificate?: PathCertificate
  /** The pin that this certificate matches, null for none. */
  readonly pinned?: string | null
}

/**
 * `ERR_TLS_PIN_MISMATCH`: a path to the server was verified, and nothing on it matches the pins. The message prints the
 * path with a pin for each certificate, then the pins: what one needs to set the pin up, or to see the attack.
 */
export class PinMismatchError extends TlsPinningError {
  /** The code. */
  readonly code: 'ERR_TLS_PIN_MISMATCH'
  /** The pattern of the entry that decided; null for a bare list. */
  readonly pattern: string | null
  /** The pins that one certificate would have had to match, in canonical form. */
  readonly expected: string[]
  /** The verified path, from the server's certificate to the trust anchor. */
  readonly path: PathCertificate[]
  /** DER of the certificates as the server sent them, its own first. Not enumerable. */
  readonly chain: Buffer[]
}

/**
 * `ERR_TLS_PIN_UNLISTED`: the policy has no entry for the host. `ERR_TLS_PIN_EXPIRED`: its entry has expired.
 * `ERR_TLS_PIN_UNSAFE`: options that would switch pinning off.
 */
export class PinPolicyError extends TlsPinningError {
  /** The code. */
  readonly code: 'ERR_TLS_PIN_UNLISTED' | 'ERR_TLS_PIN_EXPIRED' | 'ERR_TLS_PIN_UNSAFE'
}

/** `ERR_TLS_PIN_INVALID`: a pin, pattern or policy is malformed. */
export class PinInvalidError extends TlsPinningError {
  /** The code. */
  readonly code: 'ERR_TLS_PIN_INVALID'
  /** Where, such as `hosts["api.example.com"].pins[2]`. */
  readonly place: string
}

// What a TypeScript program writes. It is compiled, never run: `tsc` fails where the declarations do not allow it.

import { createPublicKey, X509Certificate } from 'node:crypto'
import { lookup } from 'node:dns'
import http2 from 'node:http2'
import https from 'node:https'
import tls from 'node:tls'
import tlsPinning, {
  checkServerIdentity,
  createCheckServerIdentity,
  createPinnedFetch,
  createReporter,
  type IdentityCheck,
  inspect,
  PinMismatchError,
  PinnedAgent,
  PinnedClient,
  type PinnedFetch,
  type PinnedResponse,
  PinSet,
  type Policy,
  parsePin,
  pinnedConnector,
  pinnedRequest,
  pinOf,
  TlsPinningError,
  tlsOptions,
  verifyChain
} from 'tls-pinning'
import { pins as ofProcess } from 'tls-pinning/register'
import { assertPinned, type TestServer } from 'tls-pinning/testing'
import { ProxyAgent, Agent as UndiciAgent } from 'undici'

const policy: Policy = {
  version: 1,
  unlisted: 'deny',
  hosts: {
    'api.example.com': { pins: ['sha256/…'], leaf: 'sha256/…', expires: new Date(), mode: 'report' },
    '*.example.com': ['sha256/…', { publicKey: new X509Certificate('') }, createPublicKey('')]
  }
}

export async function sources(): Promise<PinSet[]> {
  using file = PinSet.fromFile(new URL('file:///policy.json'), { watch: { debounce: 10, interval: 0 } })
  file.on('loadError', ({ code, source, message }) => [code, source, message].map(text => text.trim()))
  const loaded = await PinSet.fromLoader(async ({ signal }) => (signal.aborted ? '{}' : policy), { interval: 1000 })
  const signed = await PinSet.fromSigned({
    source: async ({ signal }) => (signal.aborted ? '' : new Uint8Array()),
    publicKeys: ['MCow…', createPublicKey('')],
    cacheFile: '/var/lib/app/policy.json',
    clock: () => new Date(),
    jitter: 0.5
  })
  // @ts-expect-error No keys.
  await PinSet.fromSigned({ source: 'policy.json' })
  // @ts-expect-error A misspelled option.
  PinSet.fromEnv('TLS_PINS', { wacth: true })
  signed.close()
  return [PinSet.fromEnv('TLS_PINS', { watch: true }), loaded, signed]
}

export async function use(): Promise<PinnedResponse> {
  const pins = new PinSet(policy)
  pins.on('report', report => report.path[0]?.spkiPin.toUpperCase())
  pins.on('refused', ({ error, chain, path }) => [error.code, chain[0]?.byteLength, path[0]?.raw?.byteLength])
  pins.on('expiring', ({ pattern, expires, expired }) => (expired ? pattern?.length : expires.getTime()))
  pins.warnBefore = 86_400_000
  pins.replace({ 'api.example.com': ['sha256/…'] })
  await using client = new PinnedClient({ pins, trust: 'pin-only', connections: 2 })
  const response = await client.request(new URL('https://api.example.com'), {
    method: 'POST',
    headers: { accept: 'text/plain', 'x-list': ['a', 'b'], 'x-number': 1 },
    body: (async function* () {
      yield 'piece'
    })(),
    signal: AbortSignal.timeout(1000)
  })
  const names: string[] = response.headers.getSetCookie()
  const matched: string | null = response.tls.matched
  const bytes: Uint8Array<ArrayBuffer> = await response.bytes()
  await crypto.subtle.digest('SHA-256', bytes)
  try {
    await pinnedRequest('https://api.example.com', { pins: 'sha256/…' })
  } catch (error) {
    if (error instanceof PinMismatchError) console.log(error.expected, error.path, names, matched)
    if (error instanceof TlsPinningError && error.code === 'ECONNREFUSED')
      console.log(error.phase, error.redirectedFrom)
  }
  const { chain } = await inspect('api.example.com:8443', { ca: [''] })
  verifyChain({ chain: chain.map(({ pem }) => pem), hostname: 'api.example.com', pins, time: new Date() })
  console.log(String(parsePin('sha256/…')), pinOf('', { target: 'certificate' }).digest, tlsPinning.pinOf)

  const proxy = { url: new URL('https://proxy.example'), pins: ['sha256/…'], noProxy: '10.0.0.0/8' }
  await pinnedRequest('https://api.example.com', { pins, proxy, lookup })
  await inspect('api.example.com', { proxy: 'env' })
  // @ts-expect-error It says where it is.
  new PinnedClient({ pins, proxy: {} })

  // @ts-expect-error A client without pins is not made.
  new PinnedClient({})
  // @ts-expect-error Verification cannot be switched off.
  new PinnedClient({ pins, rejectUnauthorized: false })
  // @ts-expect-error Errors are made by the package.
  new TlsPinningError()
  return response
}

export async function told(client: PinnedClient) {
  client.replaceCrl('-----BEGIN X509 CRL-----')
  new PinnedClient({ pins: policy, crl: { files: ['crl.pem'], interval: 60_000 } })
  await using reporter = createReporter(client, { url: 'https://reports.example.com/', format: 'trustkit', limit: 10 })
  reporter.on('drop', ({ reason, report, count }) => [reason.length, report.host, count.toFixed()])
  createReporter(ofProcess, {
    url: new URL('https://reports.example.com/'),
    filter: ({ reason }) => reason === 'mismatch'
  })
  // @ts-expect-error There is nowhere to post to.
  createReporter(client, {})
  // @ts-expect-error A policy decides nothing by itself.
  createReporter(policy, { url: 'https://reports.example.com/' })
  return reporter.stats().sent
}

const ofClient: PinnedFetch = new PinnedClient({ pins: policy }).fetch
const body = new ReadableStream()
console.log(ofClient.client.stats(), ofClient('https://api.example.com', { method: 'POST', body, duplex: 'half' }))
const pinnedFetch: PinnedFetch = createPinnedFetch({ pins: policy, connectTimeout: 1000 })
const asPlatform: typeof fetch = pinnedFetch
const fetched = await pinnedFetch(new URL('https://api.example.com'), { method: 'POST', body: 'x', redirect: 'manual' })
console.log(fetched.tls.matched, fetched.clone().tls.path, fetched.headers.get('a'), asPlatform)
await pinnedFetch.client.close()
await pinnedFetch.client.request('https://api.example.com', { redirect: 'error', maxRedirections: 3 })
// @ts-expect-error It is one of three.
pinnedFetch.client.request('https://api.example.com', { redirect: 'never' })
// @ts-expect-error A fetch without pins is not made.
createPinnedFetch({})

const agent = new PinnedAgent(policy, { keepAlive: true, trust: 'pin-only', proxyAgent: new https.Agent() })
agent.pins.replace(['sha256/…'])
https.get('https://api.example.com/', { agent }, response => response.resume())
https.get('https://api.example.com/', { ...tlsOptions(policy, { host: 'api.example.com', ca: 'PEM' }), agent: false })
tls.connect({ host: 'api.example.com', port: 443, ...tlsOptions(policy, { minVersion: 'TLSv1.3', port: 443 }) })
http2.connect('https://api.example.com/', tlsOptions(policy, { trust: 'pin-only' }))
// @ts-expect-error The pins need a verified path.
tlsOptions(policy, { trust: 'none' })

const check: IdentityCheck = createCheckServerIdentity(policy, { verifyHostname: tls.checkServerIdentity })
https.get('https://api.example.com/', { checkServerIdentity: check })
tls.connect({ checkServerIdentity })

new UndiciAgent({ connect: pinnedConnector(policy, { timeout: 1000, allowH2: true }) })
new ProxyAgent({ uri: 'http://proxy.example', requestTls: pinnedConnector(policy) })

const outcome: Promise<void> = assertPinned(({ url, ca, pins }: TestServer) => pinnedRequest(url, { ca, pins }), {
  versions: ['TLSv1.3']
})
outcome.then(() => {})

'use strict'
// The way to a server through a proxy: what the option says, checked.

const binding = require('./native.js')
const { argumentError, isPlain, own, unsafe, unwrapObject } = require('./errors.js')
const { TOKEN } = require('./headers.js')
const { handleOf } = require('./policy.js')
const { kind } = require('./trust.js')

/** Ports where the URL names none; WHATWG URLs know them for the first two. */
const PORTS = { 'http:': 80, 'https:': 443, 'socks5:': 1080, 'socks5h:': 1080 }
/** What else an object may say; all others are about TLS with the proxy. */
const PLAIN = ['url', 'headers', 'noProxy']
const TLS = ['pins', 'ca', 'crl', 'cert', 'key', 'passphrase', 'pfx', 'servername', 'minVersion', 'maxVersion', 'trust']
const HINT = "write it as 'http://host:port'"
/** Headers of CONNECT that are not for a user to give. */
const FORBIDDEN = ['host', 'connection', 'content-length', 'transfer-encoding', 'upgrade', 'expect', 'te', 'trailer']

/**
 * The option in one form, with what the environment says in the place of `'env'`; `undefined` where it says nothing.
 * @param {unknown} proxy
 * @returns {Record<string, any> | undefined}
 */
function proxyGiven(proxy) {
  if (proxy === undefined || proxy === null) return undefined
  const given = own(typeof proxy === 'string' || proxy instanceof URL ? { url: proxy } : plain(proxy))
  for (const name of Object.keys(given)) {
    if (![...PLAIN, ...TLS].includes(name)) throw wrong(`unknown option proxy.${name}`)
  }
  if (given.url !== 'env') return given
  const url = variable('https_proxy')
  if (!url) return undefined
  // As curl takes it.
  const complete = url.includes('://') ? url : `http://${url}`
  // What is said of TLS is for a proxy that speaks it: the program cannot know which one an environment names.
  const isSecure = URL.canParse(complete) && new URL(complete).protocol === 'https:'
  const rest = Object.entries(given).filter(([name]) => isSecure || PLAIN.includes(name))
  return own({ ...Object.fromEntries(rest), url: complete, noProxy: given.noProxy ?? variable('no_proxy') })
}

/** @param {any} proxy */
function plain(proxy) {
  if (typeof proxy === 'object' && proxy !== null && isPlain(proxy) && !Array.isArray(proxy)) return proxy
  throw argumentError('ERR_INVALID_ARG_TYPE', `proxy must be a URL, 'env' or a plain object, not ${kind(proxy)}`)
}

/** The lower-case name wins, as in curl. @param {string} name */
function variable(name) {
  return process.env[name] ?? process.env[name.toUpperCase()]
}

/**
 * The native proxy that an option means, and its pins where it has any.
 * @param {unknown} proxy
 * @param {(tls: Record<string, any>) => import('./options.js').ClientParts} clientOptions
 */
function proxyOf(proxy, clientOptions) {
  const given = proxyGiven(proxy)
  if (!given) return undefined
  const { noProxy = '', headers, url, ...tls } = given
  if (typeof noProxy !== 'string') {
    throw argumentError('ERR_INVALID_ARG_TYPE', `proxy.noProxy must be a string, not ${kind(noProxy)}`)
  }
  const { scheme, ...place } = parse(url)
  const isSocks = scheme.startsWith('socks')
  if (isSocks && headers !== undefined) throw wrong('proxy.headers are for http: and https: proxies')
  const native = { scheme, ...place, noProxy, headers: isSocks ? [] : headerList(headers) }
  const secured = Object.keys(tls).filter(name => tls[name] !== undefined)
  if (scheme !== 'https') {
    if (secured.length > 0) {
      throw unsafe(`proxy.${secured[0]} is about TLS, which an ${scheme}: proxy does not speak; write an https: URL`)
    }
    return { native: unwrapObject(binding.proxy(native)) }
  }
  if (tls.pins === undefined) {
    throw unsafe("an https: proxy needs pins of its own; write proxy: { url, pins: ['sha256/…'] }")
  }
  const { pins, trust, native: options, crlFiles } = clientOptions({ ...tls, allowH2: false })
  if (crlFiles) throw wrong('proxy.crl must be the lists themselves: files are watched for the client alone')
  return { native: unwrapObject(binding.proxy(native, options, handleOf(pins), trust)), pins }
}

/**
 * No message shows the URL: it may hold a password.
 * @param {unknown} url
 */
function parse(url) {
  if (typeof url !== 'string' && !(url instanceof URL)) {
    throw argumentError('ERR_INVALID_ARG_TYPE', `proxy.url must be a string or a URL, not ${kind(url)}`)
  }
  // Not the error of `new URL`, which holds the text.
  if (!URL.canParse(String(url))) throw argumentError('ERR_INVALID_URL', `the URL of the proxy is not a URL; ${HINT}`)
  const { protocol, hostname, port, pathname, search, hash, username, password } = new URL(url)
  if (!Object.hasOwn(PORTS, protocol)) {
    throw argumentError('ERR_INVALID_PROTOCOL', `a proxy is an http:, https:, socks5: or socks5h: URL; ${HINT}`)
  }
  if (hostname === '' || !['', '/'].includes(pathname) || search || hash) {
    throw argumentError('ERR_INVALID_URL', 'the URL of a proxy has a host and a port, and no path')
  }
  const hasUser = username !== '' || password !== ''
  return {
    scheme: protocol.slice(0, -1),
    host: hostname,
    port: port === '' ? PORTS[/** @type {keyof typeof PORTS} */ (protocol)] : Number(port),
    ...(hasUser && { username: decode(username), password: decode(password) })
  }
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text)
  } catch {
    throw argumentError('ERR_INVALID_URL', 'the credentials in the URL of the proxy are not percent-encoded UTF-8')
  }
}

/** @param {unknown} headers */
function headerList(headers = {}) {
  if (typeof headers !== 'object' || headers === null || !isPlain(headers) || Array.isArray(headers)) {
    throw argumentError('ERR_INVALID_ARG_TYPE', `proxy.headers must be a plain object, not ${kind(headers)}`)
  }
  return Object.entries(headers).flatMap(([name, value]) => {
    if (!TOKEN.test(name)) throw wrong(`the name of a header in proxy.headers is not a token: ${JSON.stringify(name)}`)
    if (FORBIDDEN.includes(name.toLowerCase())) throw wrong(`the header ${name} of CONNECT is not for you to give`)
    if (typeof value !== 'string') {
      throw argumentError('ERR_INVALID_ARG_TYPE', `proxy.headers.${name} must be a string, not ${kind(value)}`)
    }
    return [name, value]
  })
}

/** @param {string} message */
function wrong(message) {
  return argumentError('ERR_INVALID_ARG_VALUE', message)
}

module.exports = { proxyGiven, proxyOf }

'use strict'
// What the adapters have in common.

const fs = require('node:fs')
const { createRequire } = require('node:module')
const path = require('node:path')

/** @param {AsyncIterable<Uint8Array> | null} body */
async function count(body) {
  let bytes = 0
  for await (const chunk of body ?? []) bytes += chunk.length
  return bytes
}

/**
 * By events, which is the quickest way that a stream of Node's has.
 * @param {import('node:stream').Readable} response
 * @returns {Promise<Buffer>}
 */
function whole(response) {
  return new Promise((resolve, reject) => {
    /** @type {Buffer[]} */
    const chunks = []
    response.on('data', chunk => chunks.push(chunk))
    response.on('end', () => resolve(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)))
    response.on('error', reject)
  })
}

/**
 * Node's own check of the name, then the pin of the leaf. It answers with an error and never throws.
 * @param {string} pin
 */
function checkPin(pin) {
  const crypto = require('node:crypto')
  const tls = require('node:tls')
  /** @param {string} hostname @param {import('node:tls').PeerCertificate} certificate */
  return (hostname, certificate) => {
    try {
      const wrongName = tls.checkServerIdentity(hostname, certificate)
      if (wrongName) return wrongName
      const spki = new crypto.X509Certificate(certificate.raw).publicKey.export({ type: 'spki', format: 'der' })
      if (`sha256/${crypto.createHash('sha256').update(spki).digest('base64')}` === pin) return undefined
      return Object.assign(new Error('no pin matches'), { code: 'ERR_TLS_PIN_MISMATCH' })
    } catch (error) {
      return /** @type {Error} */ (error)
    }
  }
}

/**
 * What a client built on `https` is given. A resumed session skips the check of its pin.
 * @param {import('./index.js').Options} options
 */
function pinnedAgent({ ca, pin, resume }) {
  const https = require('node:https')
  const sessions = resume ? {} : { maxCachedSessions: 0 }
  return new https.Agent({ keepAlive: true, ca, checkServerIdentity: checkPin(pin), ...sessions })
}

/**
 * Where a package is installed: in this folder in the first place, else among the package's own. The newest undici is for
 * newer versions of Node alone; the older ones get the newest that is for them.
 * @param {string} name
 * @returns {string | undefined}
 */
function folderOf(name) {
  const folders = [path.join(__dirname, '..'), path.join(__dirname, '../..')].map(root =>
    path.join(root, 'node_modules', name)
  )
  return folders.find(folder => {
    const file = path.join(folder, 'package.json')
    if (!fs.existsSync(file)) return false
    const { engines } = JSON.parse(fs.readFileSync(file, 'utf8'))
    return isNewEnough(/>=\s*([\d.]+)/.exec(engines?.node ?? '')?.[1])
  })
}

/** @param {string | undefined} least */
function isNewEnough(least) {
  const [major = 0, minor = 0] = (least ?? '0').split('.').map(Number)
  const [ours, oursMinor] = process.versions.node.split('.').map(Number)
  return ours > major || (ours === major && oursMinor >= minor)
}

/** @param {string} name @returns {Promise<any>} */
async function load(name) {
  const folder = folderOf(name)
  if (!folder) throw new Error(`${name} is not installed, or not for this Node`)
  const require = createRequire(path.join(path.dirname(folder), 'index.js'))
  // By the package's own name, for its `exports` to be seen.
  return import(require('node:url').pathToFileURL(require.resolve(name)).href)
}

module.exports = { checkPin, count, folderOf, load, pinnedAgent, whole }

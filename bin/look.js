'use strict'
// A look at a server that is about to be pinned: what does not verify is refused.

const { inspect } = require('../lib/inspect.js')
const { CliError, EXIT } = require('./errors.js')
const { parseHost } = require('./hosts.js')
const { inspectOptions } = require('./inspect/options.js')

/** How to connect, for every command that pins what it sees. */
const OPTIONS = /** @type {const} */ ({
  ca: { type: 'string' },
  proxy: { type: 'string' },
  servername: { type: 'string' },
  starttls: { type: 'string' },
  timeout: { type: 'string' }
})

/** What their help says of them. */
const HELP = `  --ca FILE                trust the authorities in this file instead of the usual ones
  --proxy URL              connect through this proxy: http, https or socks5; env for the one in the environment
  --servername NAME        expect and pin this name instead of the host's
  --starttls PROTOCOL      speak smtp, imap, pop3, ftp, postgres, mysql, ldap or xmpp before TLS
  --timeout SECONDS        for the connection, and for the handshake; 10 where it is not given`

const UNTRUSTED =
  'its pins could be those of somebody in between; for a private authority give its certificate with --ca FILE'
const MISNAMED = 'give the host by a name that the certificate carries, or that name with --servername NAME'
const INCOMPLETE =
  'so it has not proved that the key is its own; give the pins of its certificate file with tls-pinning add'

/**
 * @typedef {object} Seen
 * @property {string} host The name that the policy, SNI and the certificate check use.
 * @property {number} port
 * @property {string} label As a policy has it.
 * @property {import('../index.js').PathCertificate[]} path Verified, the leaf first.
 * @property {string[]} chain PEM, as presented.
 */

/**
 * @param {string} target
 * @param {Record<string, any>} options
 * @returns {Promise<Seen>}
 */
async function look(target, options) {
  parseHost(target) // what is no host is told so in the words of the command line
  const { host, port, path, chain, untrusted, incomplete } = await inspect(target, inspectOptions(options))
  const { label } = parseHost(host, port)
  if (!path || untrusted) {
    const isMisnamed = untrusted?.code === 'ERR_TLS_CERT_ALTNAME_INVALID'
    throw refused(label, 'does not verify', untrusted, isMisnamed ? MISNAMED : UNTRUSTED)
  }
  if (incomplete) throw refused(label, 'does not finish the handshake', incomplete, INCOMPLETE)
  return { host, port, label, path, chain: chain.flatMap((/** @type {{ pem?: string }} */ { pem }) => pem ?? []) }
}

/**
 * @param {string} label
 * @param {string} problem
 * @param {any} reason
 * @param {string} hint
 */
function refused(label, problem, reason, hint) {
  const [line] = (reason?.message ?? 'no path to a trusted authority').split('\n')
  // Native messages begin with the host that is named here already.
  const message = line.replace(/^(\S+): /, (/** @type {string} */ all, /** @type {string} */ name) =>
    name.startsWith(label.replace(/:\d+$/, '')) ? '' : all
  )
  const more = { exit: EXIT.FINDING, hint, code: reason?.code, cause: reason }
  return new CliError(`${label} ${problem}: ${message}`, more)
}

module.exports = { HELP, OPTIONS, look }

'use strict'
// What ends a command: an exit code, a sentence, and what to do next.

const { TlsPinningError } = require('../lib/errors.js')

/** Stable: scripts match on them. */
const EXIT = /** @type {const} */ ({ OK: 0, FINDING: 1, USAGE: 2, NETWORK: 3 })

class CliError extends Error {
  /**
   * @param {string} message
   * @param {{ exit: number, hint: string, code?: string, cause?: unknown }} more `hint`: what to do next.
   */
  constructor(message, { exit, hint, code, cause }) {
    super(message, cause === undefined ? undefined : { cause })
    this.exit = exit
    this.hint = hint
    this.code = code
  }
}

/**
 * @param {string} message
 * @param {string} hint
 */
function usageError(message, hint) {
  return new CliError(message, { exit: EXIT.USAGE, hint, code: 'ERR_USAGE' })
}

/** The phases of a failure in which the server, or the way to it, is at fault. */
const ON_THE_WAY = ['dns', 'connect', 'proxy', 'handshake', 'request', 'body']

/** What to do about a code, where there is more to say than its message does. @type {Record<string, string>} */
const HINTS = {
  ENOTFOUND: 'check the spelling of the name, and whether this machine can look it up',
  ECONNREFUSED: 'check the port; nothing listens there',
  ETIMEDOUT: 'check whether a firewall is in between, or give a longer --timeout',
  ENOENT: 'check the path',
  EACCES: 'check the permissions of the file',
  ERR_STARTTLS_REFUSED: 'check the port and the protocol of --starttls, and whether TLS is switched on at the server',
  ERR_STARTTLS_INJECTION: 'do not trust this connection; try another network, and ask whoever runs the server',
  ERR_TLS_HANDSHAKE_TIMEOUT:
    'check that the port is the right one (it may want --starttls), or give a longer --timeout',
  ERR_SSL_WRONG_VERSION_NUMBER:
    'the server does not begin with TLS; for SMTP, IMAP, PostgreSQL and others give --starttls',
  ERR_TLS_PIN_MISMATCH:
    'ask whoever runs the server, by another way, whether the new keys are theirs; if so: tls-pinning rotate --help'
}

/**
 * An error as it is told: its exit code, code, message and hint.
 * @param {any} error
 * @returns {{ exit: number, code: string | undefined, message: string, hint: string }}
 */
function explain(error) {
  const { code, message = String(error) } = error ?? {}
  if (error instanceof CliError) return { exit: error.exit, code, message, hint: error.hint }
  const hint = HINTS[code]
  if (error instanceof TlsPinningError) {
    const exit = /^ERR_TLS_PIN_(MISMATCH|UNLISTED|EXPIRED)$/.test(code)
      ? EXIT.FINDING
      : ON_THE_WAY.includes(error.phase ?? '')
        ? EXIT.NETWORK
        : EXIT.USAGE
    return { exit, code, message, hint: hint ?? 'docs/errors.md says what each code means' }
  }
  if (typeof error?.syscall === 'string' || error instanceof TypeError) {
    return { exit: EXIT.USAGE, code, message, hint: hint ?? 'tls-pinning --help lists the commands and their options' }
  }
  // A defect of this program: with its stack, so that it can be reported.
  return { exit: EXIT.USAGE, code, message: error?.stack ?? message, hint: 'please report this as a defect' }
}

module.exports = { CliError, EXIT, explain, usageError }

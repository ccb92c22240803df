'use strict'
// Names that are looked up by a function of the user's, as Node's `lookup` option has it.

/** @typedef {(hostname: string, options: object, callback: (error: any, address: any, family?: number) => void) => void} Lookup */

/**
 * By client. A client is kept by its requests, and nobody asks but for one of those.
 * @type {Map<number, WeakRef<{ lookup: Lookup }>>}
 */
const lookups = new Map()

/**
 * Asks a client's function and answers the native side: once, whatever the function does.
 * @param {import('../binding.js').Port} port
 * @param {number} client
 * @param {number} id
 * @param {number} family
 * @param {string} hostname
 */
function lookUp(port, client, id, family, hostname) {
  let answered = false
  /** @param {any} error @param {any} [address] */
  const answer = (error, address) => {
    if (answered) return
    answered = true
    try {
      if (error) port.resolved(id, [], codeOf(error), `${hostname} could not be looked up (${textOf(error)})`)
      else port.resolved(id, addressesOf(address))
    } catch (thrown) {
      // Somebody's own object that throws when it is looked at.
      port.resolved(id, [], FAILED, `${hostname} could not be looked up (${textOf(thrown)})`)
    }
  }
  const lookup = lookups.get(client)?.deref()?.lookup
  if (!lookup) return answer(new Error('the client is gone'))
  try {
    lookup(hostname, { family, hints: 0, all: true }, answer)
  } catch (error) {
    answer(error ?? new Error('lookup threw nothing'))
  }
}

const FAILED = 'ERR_OPERATION_FAILED'

/** @param {any} address */
function addressesOf(address) {
  const list = Array.isArray(address) ? address : [{ address }]
  // What is no text is no address, which native code says.
  return list.map(entry => String(entry?.address))
}

/** @param {any} error */
function codeOf(error) {
  return typeof error.code === 'string' && error.code !== '' ? error.code : FAILED
}

/** @param {any} error */
function textOf(error) {
  try {
    return String(error?.message ?? error)
  } catch {
    return 'an error that cannot be shown'
  }
}

module.exports = { lookUp, lookups }

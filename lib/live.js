'use strict'
// Connections of Node's own TLS that are open. Node asks about a server once; when the policy changes they are asked about
// again.

/** What to do when the policy of a connection has changed, by pin set. @type {WeakMap<object, Set<() => void>>} */
const connections = new WeakMap()

/**
 * Calls back whenever the policy has been replaced, until the socket has closed.
 * @param {object} pins
 * @param {import('node:net').Socket} socket
 * @param {() => void} onReplaced
 */
function watch(pins, socket, onReplaced) {
  const open = connections.get(pins) ?? new Set()
  connections.set(pins, open.add(onReplaced))
  socket.once('close', () => open.delete(onReplaced))
}

/** @param {object} pins */
function recheck(pins) {
  numbers.delete(pins)
  for (const onReplaced of [...(connections.get(pins) ?? [])]) onReplaced()
}

let last = 0
/** @type {WeakMap<object, number>} */
const numbers = new WeakMap()

/**
 * A number that no other policy has: neither another pin set's nor that of this one once it has been replaced.
 * @param {object} pins
 */
function policyNumber(pins) {
  const number = numbers.get(pins) ?? ++last
  numbers.set(pins, number)
  return number
}

module.exports = { policyNumber, recheck, watch }

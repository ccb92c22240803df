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
  for (const onReplaced of [...(connections.get(pins) ?? [])]) onReplaced()
}

module.exports = { recheck, watch }

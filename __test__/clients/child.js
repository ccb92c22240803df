'use strict'
// The process that a case runs in: `node [--import tls-pinning/register] child.js CASE`. Does what it is sent, tells what came
// of it.

const path = require('node:path')

const DEPTH = 5

const subject = require(path.join(__dirname, 'cases', String(process.argv[2])))

process.on('message', async (/** @type {{ trap: number | null, context: any }} */ { trap, context }) => {
  const operate = trap === null ? subject.operate : subject.traps[trap].operate
  try {
    await operate(context)
    process.send?.({ accepted: true })
  } catch (error) {
    process.send?.({ accepted: false, errors: [...tell(error)] })
  }
})
process.send?.('ready')

/**
 * An error and all that it holds, each with the way there.
 *
 * @param {any} error
 * @param {string} [where]
 * @param {number} [depth]
 * @returns {Iterable<{ where: string, code: string, message: string }>}
 */
function* tell(error, where = 'error', depth = 0) {
  if (typeof error === 'string') yield { where, code: '', message: error }
  if (!(typeof error === 'object' && error !== null) || depth > DEPTH) return
  yield { where, code: String(error.code ?? ''), message: String(error.message ?? '') }
  const inner = Object.getOwnPropertyNames(error).filter(name => !['stack', 'message', 'code'].includes(name))
  for (const name of inner) {
    const value = error[name]
    if (value instanceof Error) yield* tell(value, `${where}.${name}`, depth + 1)
    else if (Array.isArray(value) || value instanceof Map) {
      for (const item of value.values()) if (item instanceof Error) yield* tell(item, `${where}.${name}[]`, depth + 1)
    }
  }
}

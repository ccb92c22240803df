'use strict'
// The soak of the native client: many requests with faults, then long bodies with a slow other side. Each part runs in a
// process of its own, which has to end by itself, without a word on standard error.
//
// node scripts/soak.js [--requests 200000] [--gib 10] [--seed N] [--driver threads] [--no-memory]

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')
const { parseArgs } = require('node:util')

/** How long a process may take to end once it has said that all is well. */
const END = 10_000

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '200000' },
    gib: { type: 'string', default: '10' },
    seed: { type: 'string' },
    driver: { type: 'string' },
    'no-memory': { type: 'boolean', default: false }
  }
})

main()

async function main() {
  const seed = values.seed ? ['--seed', values.seed] : []
  const memory = values['no-memory'] ? ['--no-memory'] : []
  const passed = await part('run.js', ['--requests', values.requests, ...seed, ...memory])
  if (!passed || Number(values.gib) === 0) return
  await part('slow-reader.js', ['--gib', values.gib])
}

/**
 * @param {string} name
 * @param {string[]} args
 */
async function part(name, args) {
  const file = path.join(__dirname, '..', '__test__', 'soak', name)
  const env = { ...process.env, ...(values.driver && { TLS_PINNING_DRIVER: values.driver }) }
  const child = spawn(process.execPath, ['--expose-gc', file, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let errors = ''
  let isStuck = false
  child.stdout.on('data', chunk => {
    process.stdout.write(chunk)
    if (!String(chunk).includes(': ok\n')) return
    setTimeout(() => {
      isStuck = true
      child.kill()
    }, END).unref()
  })
  child.stderr.on('data', chunk => {
    errors += chunk
    process.stderr.write(chunk)
  })
  const [code] = await once(child, 'close')
  if (isStuck) console.error(`${name} does not end by itself`)
  else if (code !== 0) console.error(`${name} failed: exit code ${code}`)
  else if (errors !== '') console.error(`${name} wrote to standard error`)
  else return true
  process.exitCode = 1
  return false
}

'use strict'
// The promise: whatever client a program uses, a server with another key gets no byte from it, be the pins given where the
// client takes them or to the whole process.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
const { setTimeout } = require('node:timers/promises')
const { Client } = require('./client')
const { makeCertificates } = require('./certificates')
const { front } = require('./front')

const VERSIONS = /** @type {const} */ (['TLSv1.2', 'TLSv1.3'])
const LIMIT = { timeout: 120_000 }
const CLOSING = 10_000

/** @typedef {import('./client').Version} Version */
/** @typedef {import('./client').Outcome} Outcome */
/** @typedef {import('./front').Front} Front */
/** @typedef {Awaited<ReturnType<typeof makeCertificates>>} Certificates */

const wanted = process.env.CLIENTS?.split(',')
const cases = fs
  .readdirSync(path.join(__dirname, 'cases'))
  .filter(file => file.endsWith('.js'))
  .map(file => file.slice(0, -'.js'.length))
  .filter(name => !wanted || wanted.some(word => name.startsWith(word)))
  .map(name => ({
    host: 'localhost',
    hook: true,
    traps: [],
    ...require(path.join(__dirname, 'cases', name)),
    file: name
  }))

/** @type {Certificates} */
let certificates
/** @type {Map<string, Promise<{ port: number, close: () => Promise<void> }>>} */
const servers = new Map()
/** What has passed, and where errors carry the code, for the document. @type {Record<string, Record<string, string[]>>} */
const seen = Object.fromEntries(cases.map(({ file }) => [file, { passed: [], code: [] }]))

before(async () => {
  certificates = await makeCertificates()
})

after(async () => {
  await Promise.all(Array.from(servers.values(), async server => (await server).close()))
  if (process.env.CLIENTS_RESULTS) fs.writeFileSync(process.env.CLIENTS_RESULTS, JSON.stringify(seen, null, 2))
})

it('has cases', () => assert.ok(cases.length > 0, `there is no case '${process.env.CLIENTS}'`))

describe('clients', { concurrency: os.availableParallelism() }, () => {
  for (const subject of cases) {
    describe(subject.file, { concurrency: 1 }, () => {
      for (const version of VERSIONS) {
        it(`sends to the attackers without pins, over ${version}`, LIMIT, async () => {
          await unpinned(subject, version)
        })
        if (subject.hook) {
          it(`is pinned by its hook, over ${version}`, LIMIT, async () => {
            await hooked(subject, version)
            note(subject, 'passed', `hook ${version}`)
          })
        }
        it(`is pinned by register alone, over ${version}`, LIMIT, async () => {
          await registered(subject, version)
          note(subject, 'passed', `register ${version}`)
        })
      }
      for (const [index, { text }] of subject.traps.entries()) {
        it(`falls into the trap, and not under register: ${text}`, LIMIT, async () => {
          await trapped(subject, index)
          note(subject, 'passed', `trap ${index}`)
        })
      }
    })
  }
})

/** Proof that the attacks are such, and that the front sees what a client sends. */
async function unpinned(subject, version) {
  for (const kind of /** @type {const} */ (['stranger', 'rogue'])) {
    await withClient(subject, version, undefined, client => loses(client, subject, kind, { hook: false, version }))
  }
}

async function hooked(subject, version) {
  const { pins } = certificates
  await withClient(subject, version, undefined, async client => {
    await accepted(client, subject, { hook: true, pins: pins.leaf, version })
    await accepted(client, subject, { hook: true, pins: pins.issuer, version })
    await refused(client, subject, 'real', { hook: true, pins: pins.wrong, version })
    await refused(client, subject, 'stranger', { hook: true, pins: pins.leaf, version })
    await refused(client, subject, 'stranger', { hook: true, pins: pins.issuer, version })
    await refused(client, subject, 'rogue', { hook: true, pins: pins.issuer, version })
  })
}

async function registered(subject, version) {
  const { pins } = certificates
  await withClient(subject, version, pins.issuer, async client => {
    await accepted(client, subject, { hook: false, version })
    await refused(client, subject, 'stranger', { hook: false, version })
    await refused(client, subject, 'rogue', { hook: false, version })
  })
  await withClient(subject, version, pins.wrong, client => refused(client, subject, 'real', { hook: false, version }))
}

async function trapped(subject, index) {
  const { closed } = subject.traps[index]
  const pins = certificates.pins.issuer
  const version = 'TLSv1.3'
  await withClient(subject, version, undefined, client =>
    loses(client, subject, 'stranger', { hook: true, pins, version }, index)
  )
  await withClient(subject, version, pins, client =>
    refused(client, subject, 'stranger', { hook: true, pins, version }, index, closed)
  )
}

/** The real server does what it is asked for. */
async function accepted(client, subject, context) {
  const { port } = await realServer(subject)
  const outcome = await client.operate(complete(subject, port, context))
  assert.ok(outcome.accepted, `the real server was refused: ${describeErrors(outcome)}`)
}

/** No byte reaches a server of this kind, and the error says why. */
async function refused(client, subject, kind, context, trap = null, closed = undefined) {
  await withFront(subject, kind, async server => {
    const lost = server.firstByte.then(() => undefined)
    const outcome = await Promise.race([client.operate(complete(subject, server.port, context), trap), lost])
    assert.ok(outcome, `${kind}: the server received ${JSON.stringify(server.observed())}`)
    assert.ok(!outcome.accepted, `${kind}: the client was satisfied`)
    await settled(server)
    const { appBytes, plainBytes, protocols, errors } = server.observed()
    assert.equal(appBytes, 0, `${kind}: ${appBytes} bytes reached the server`)
    assert.equal(plainBytes, 0, `${kind}: ${plainBytes} bytes reached the server in plain text`)
    const reason = closed === undefined ? /ERR_TLS_PIN_MISMATCH/ : new RegExp(closed)
    const carrier = outcome.errors?.find(({ code, message }) => reason.test(code) || reason.test(message))
    assert.ok(carrier, `${kind}: refused for another reason: ${describeErrors(outcome)}`)
    if (closed !== undefined) return
    if (subject.native && context.hook && context.version === 'TLSv1.2') {
      // It refuses the certificate itself, before keys are agreed on: its alert is what the server sees.
      assert.ok(errors.length > 0, `${kind}: nothing reached the server`)
      for (const error of errors) assert.match(error, /ALERT_CERTIFICATE_UNKNOWN/)
    } else {
      assert.deepEqual([...new Set(protocols)], [context.version], `${kind}: the client did not get to TLS: ${errors}`)
    }
    if (trap === null && kind !== 'rogue') {
      note(subject, 'code', `${carrier.where}.${reason.test(carrier.code) ? 'code' : 'message'}`)
    }
  })
}

/** A byte reaches a server of this kind. */
async function loses(client, subject, kind, context, trap = null) {
  await withFront(subject, kind, async server => {
    const outcome = client.operate(complete(subject, server.port, context), trap)
    const ended = outcome.then(result => {
      if (server.observed().appBytes + server.observed().plainBytes > 0) return
      throw new Error(`the client sent nothing: ${describeErrors(result)}`)
    })
    ended.catch(() => {})
    await Promise.race([server.firstByte, ended])
  })
}

/** @param {Front} server */
async function settled(server) {
  const abort = new AbortController()
  const late = setTimeout(CLOSING, undefined, { signal: abort.signal }).then(() => {
    throw new Error(`the client keeps a refused connection open: ${JSON.stringify(server.observed())}`)
  })
  late.catch(() => {})
  await Promise.race([server.settled(), late]).finally(() => abort.abort())
}

/**
 * @param {any} subject
 * @param {Version} version
 * @param {string[] | undefined} pins for the whole process
 * @param {(client: Client) => Promise<void>} use
 */
async function withClient(subject, version, pins, use) {
  const policy = pins && { version: 1, hosts: { [subject.host]: pins } }
  const client = await Client.start(subject.file, version, policy)
  try {
    await use(client)
  } finally {
    await client.close()
  }
}

/**
 * @param {any} subject
 * @param {'real' | 'stranger' | 'rogue'} kind
 * @param {(server: Front) => Promise<void>} use
 */
async function withFront(subject, kind, use) {
  const { preamble, greeting } = subject
  const { port } = await realServer(subject)
  const server = await front({ ...certificates[kind], preamble, greeting, upstream: port })
  try {
    await use(server)
  } finally {
    await server.close()
  }
}

/** One for all cases that need it. */
function realServer({ server }) {
  const running = servers.get(server) ?? require(path.join(__dirname, 'servers', server)).start(certificates.real)
  servers.set(server, running)
  return running
}

function complete({ host }, port, context) {
  return { host, port, ca: certificates.ca, ...context }
}

/** @param {any} subject @param {'passed' | 'code'} kind @param {string} what */
function note({ file }, kind, what) {
  if (!seen[file][kind].includes(what)) seen[file][kind].push(what)
}

/** @param {Outcome} outcome */
function describeErrors({ errors = [] }) {
  return errors.map(({ where, code, message }) => `${where}: ${code} ${message}`).join('\n') || 'no error'
}

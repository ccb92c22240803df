'use strict'
// The promise: the drill tells of each connection of a program whether a man in the middle could read it, who made it and
// why it was refused; what it could not try it says it could not; and the program is what it is without it.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const net = require('node:net')
const { once } = require('node:events')
const os = require('node:os')
const path = require('node:path')
const { after, before, describe, it } = require('node:test')
const { cli } = require('./helpers/cli')
const { ca, leaf } = require('./helpers/pki')
const { connectProxy } = require('./helpers/proxies')
const { httpsServer } = require('./helpers/servers')

const LIMIT = { timeout: 60_000 }
const APP = path.join(__dirname, 'fixtures', 'drill-app.js')
const RUN = ['--', process.execPath, APP]

/** @type {string} */
let folder
/** @type {any} */
let server
/** @type {any} */
let other
/** @type {net.Server} */
let plain
/** @type {Record<string, any>} */
let servers

before(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tls-pinning-drill-test-'))
  const root = await ca({ name: 'Root' })
  const cert = await leaf({ issuer: root, names: ['localhost', '127.0.0.1', 'localhost.example', 'a.example'] })
  server = await httpsServer({ cert })
  other = await httpsServer({ cert })
  plain = net.createServer(socket => socket.on('error', () => {}).end('hello')).listen(0, '127.0.0.1')
  await once(plain, 'listening')
  fs.writeFileSync(path.join(folder, 'ca.pem'), root.pem)
  const { port } = /** @type {net.AddressInfo} */ (plain.address())
  servers = {
    url: `https://localhost:${server.port}`,
    other: `https://localhost:${other.port}`,
    port: server.port,
    plain: port,
    pin: cert.pin,
    ca: root.pem
  }
})

after(async () => {
  await server.close()
  await other.close()
  plain.close()
  fs.rmSync(folder, { recursive: true, force: true })
})

/**
 * @param {string} steps
 * @param {string[]} [args]
 * @param {Record<string, any>} [options]
 */
async function drill(steps, args = [], { env = {}, run = RUN, ...options } = {}) {
  return cli(['drill', ...args, ...run], {
    cwd: path.join(__dirname, 'fixtures'),
    env: {
      NODE_EXTRA_CA_CERTS: path.join(folder, 'ca.pem'),
      DRILL_SERVERS: JSON.stringify(servers),
      DRILL_STEPS: steps,
      ...env
    },
    ...options
  })
}

/** @param {string} steps @param {string[]} [args] @param {Record<string, any>} [options] */
async function report(steps, args = [], options = {}) {
  const { status, stdout, stderr } = await drill(steps, ['--json', ...args], options)
  assert.doesNotThrow(() => JSON.parse(stdout), `${stdout}${stderr}`)
  return { status, stderr, ...JSON.parse(stdout) }
}

/** With what varies replaced. @param {string} text */
function golden(text) {
  return text
    .replaceAll(String(server.port), '1111')
    .replaceAll(String(other.port), '2222')
    .replaceAll(String(servers.plain), '3333')
    .replace(/drill-app\.js:\d+/g, 'drill-app.js:N')
    .replace(/\b\d+ bytes/g, 'N bytes')
    .replace(/ {2,}/g, '  ')
}

describe('each way to a server', LIMIT, () => {
  /** @type {[step: string, verdict: string, client: string, reason: RegExp | null][]} */
  const WAYS = [
    ['https', 'intercepted', 'node:https', null],
    ['fetch', 'intercepted', 'fetch', null],
    ['undici', 'intercepted', 'undici', null],
    ['client', 'intercepted', 'tls-pinning', null],
    ['client with a lookup', 'intercepted', 'tls-pinning', null],
    ['lookup of its own', 'intercepted', 'node:https', null],
    ['pinned agent', 'pins', 'node:https', /^ERR_TLS_PIN_MISMATCH$/],
    ['pinned client', 'pins', 'tls-pinning', /^mismatch$/],
    ['pinned connector', 'pins', 'undici', /^ERR_TLS_PIN_MISMATCH$/],
    ['pinned options', 'pins', 'node:https', /^ERR_TLS_PIN_MISMATCH$/],
    ['own check', 'check', 'node:https', /^this is not our server$/],
    ['own authority', 'untrusted', 'node:https', /^SELF_SIGNED_CERT_IN_CHAIN$/],
    ['late check', 'refused', 'node:tls', /^not ours$/],
    ['child process', 'intercepted', 'node:https', null],
    ['synchronous child', 'intercepted', 'node:https', null],
    ['thread', 'intercepted', 'node:https', null],
    ['module thread', 'intercepted', 'node:https', null],
    ['stranger', 'intercepted', 'another program', null]
  ]
  for (const [step, verdict, client, reason] of WAYS) {
    it(`${step}: ${verdict}`, LIMIT, async () => {
      const { status, connections, runs } = await report(step)
      assert.equal(connections.length, 1, JSON.stringify(connections))
      const [found] = connections
      assert.deepEqual([found.verdict, found.client], [verdict, client])
      assert.equal(found.leaked !== null, verdict === 'intercepted')
      if (reason) assert.match(found.reason, reason)
      assert.equal(status, verdict === 'intercepted' ? 1 : 0)
      assert.equal(runs, 2)
    })
  }

  it('through a proxy of its own is attacked inside of the tunnel', LIMIT, async () => {
    const proxy = await connectProxy()
    try {
      const env = { DRILL_SERVERS: JSON.stringify({ ...servers, proxy: proxy.url }) }
      const { connections } = await report('proxy of its own', [], { env })
      assert.equal(connections.length, 1, JSON.stringify(connections))
      const [{ host, via, verdict, leaked }] = connections
      assert.deepEqual({ host, via, verdict }, { host: 'localhost', via: null, verdict: 'intercepted' })
      assert.equal(leaked.first, 'GET / HTTP/1.1')
      assert.match(proxy.heads.at(-1), /^CONNECT localhost:/)
    } finally {
      await proxy.close()
    }
  })

  it('that asks a proxy for it in plain text is read, whatever is attacked', LIMIT, async () => {
    const { status, connections, runs } = await report('proxy in plain text')
    const [{ host, via, verdict, protocol, leaked }, ...others] = connections
    assert.deepEqual(
      { host, via, verdict, protocol },
      { host: 'api.example', via: `localhost:${servers.plain}`, verdict: 'intercepted', protocol: null }
    )
    assert.equal(leaked.first, 'GET https://…/v1?… HTTP/1.1')
    assert.deepEqual([status, others, runs], [1, [], 2])
    const { stdout } = await drill('proxy in plain text')
    assert.match(stdout, /^api\.example via localhost:\d+ .* INTERCEPTED +\d+ bytes in plain text: GET https/)
    const elsewhere = await drill('proxy in plain text', ['--host', 'other.example'])
    assert.equal(elsewhere.status, 3)
  })

  it('all that is refused reaches the server with no byte', LIMIT, async () => {
    const steps = WAYS.filter(([, verdict]) => verdict !== 'intercepted').map(([step]) => step)
    await server.settled()
    const before = server.requests.length
    const { status, counts } = await report(steps.join())
    assert.equal(status, 0)
    assert.equal(counts.pins, 4)
    assert.deepEqual([counts.check, counts.untrusted, counts.refused], [1, 1, 1])
    await server.settled()
    // Once each, in the baseline.
    assert.equal(server.requests.length - before, steps.length)
  })
})

describe('the report', LIMIT, () => {
  const STEPS = 'https,pinned agent,fetch,plain text'
  const TEXT = `localhost:1111  node:https (drill-app.js:N ← drill-app.js:N)  INTERCEPTED  N bytes: GET /path?… HTTP/1.1
localhost:2222  fetch (drill-app.js:N ← drill-app.js:N)  INTERCEPTED  N bytes: GET /path?… HTTP/1.1
localhost:1111  node:https (drill-app.js:N ← drill-app.js:N)  refused by pins  ERR_TLS_PIN_MISMATCH
localhost:3333  node:net (drill-app.js:N ← drill-app.js:N)  no TLS

2 of 3 gave what it sent to a man in the middle.
`

  it('in a pipe', LIMIT, async () => {
    const { status, stdout, stderr } = await drill(STEPS)
    // By the servers' ports, which differ from run to run.
    assert.deepEqual(golden(stdout).split('\n').sort(), TEXT.split('\n').sort())
    assert.equal(stderr, '')
    assert.equal(status, 1)
  })

  it('in a terminal, with colours and what is being done', LIMIT, async () => {
    const { status, stdout } = await drill(STEPS, [], { pty: true })
    assert.match(stdout, /run 1: whom the program connects to …/)
    assert.match(stdout, /\x1b\[1m\x1b\[31mINTERCEPTED/)
    assert.equal(status, 1)
  })

  it('as a page, in which everything is escaped', LIMIT, async () => {
    const file = path.join(folder, 'report.html')
    const { status } = await drill('own check', ['--html', file], { env: { DRILL_MARK: '<b>' }, run: [...RUN, '<b>&'] })
    assert.equal(status, 0)
    const page = fs.readFileSync(file, 'utf8')
    assert.match(page, /drill-app\.js &#60;b&#62;&#38;/)
    assert.match(page, /<tr class="check"><td>localhost:\d+<td>node:https .*refused by its own check/)
    assert.doesNotMatch(page, /<b>|<script|src=|href=|https?:/)
  })
})

describe('what an earlier failure stops', LIMIT, () => {
  it('is attacked alone', LIMIT, async () => {
    const { connections, runs, status } = await report('pinned agent,stop,https,pinned client')
    assert.deepEqual(
      connections.map((/** @type {any} */ { verdict, client }) => [verdict, client]),
      [
        ['intercepted', 'node:https'],
        ['pins', 'node:https'],
        ['pins', 'tls-pinning']
      ]
    )
    assert.equal(runs, 4)
    assert.equal(status, 1)
  })

  it('is so from the start with --each', LIMIT, async () => {
    const { counts, runs, status } = await report('pinned agent,stop,pinned client', ['--each'])
    assert.equal(counts.pins, 2)
    assert.equal(runs, 3)
    assert.equal(status, 0)
  })

  it('and is not made again even then, is no proof', LIMIT, async () => {
    const marker = path.join(folder, 'once')
    const program = `
      const fs = require('fs')
      const steps = fs.existsSync(${JSON.stringify(marker)}) ? 'pinned agent' : 'pinned agent,https'
      fs.writeFileSync(${JSON.stringify(marker)}, '')
      process.env.DRILL_STEPS = steps
      require(${JSON.stringify(APP)})`
    const { status, stdout } = await drill('', [], { run: ['--', process.execPath, '-e', program] })
    assert.match(stdout, /node:https \(.*\)\s+not reached/)
    assert.match(stdout, /\nNothing was intercepted, but 1 of 2 could not be put to the proof\.\n$/)
    assert.equal(status, 3)
  })
})

describe('a program', LIMIT, () => {
  it('that does not end is stopped, with what it has started', LIMIT, async () => {
    const { connections, status } = await report('https,silent', ['--timeout', '2'])
    assert.deepEqual(
      connections.map((/** @type {any} */ { verdict, client }) => [verdict, client]),
      [
        ['intercepted', 'node:https'],
        ['undecided', 'node:tls']
      ]
    )
    assert.equal(status, 1)
  })

  it('that is over with a connection open has refused nothing', LIMIT, async () => {
    const { connections, status } = await report('exit with it open')
    assert.deepEqual(
      connections.map((/** @type {any} */ { verdict, client }) => [verdict, client]),
      [['undecided', 'node:tls']]
    )
    assert.equal(status, 3)
  })

  it('is attacked at the hosts that are named, and nowhere else', LIMIT, async () => {
    const { connections, status } = await report('https,fetch,pinned client', ['--host', `localhost:${other.port}`])
    assert.equal(connections.length, 1)
    assert.equal(connections[0].port, other.port)
    assert.equal(status, 1)
  })

  it('sees a server that is not there as it is', LIMIT, async () => {
    const { stdout, stderr, status } = await drill('nobody there,pinned agent', ['--verbose'])
    assert.match(stderr, /^nobody there ECONNREFUSED connect ECONNREFUSED localhost:1$/m)
    // It is not known what that client would have done.
    assert.match(stdout, /^localhost:1 +not there$/m)
    assert.match(stdout, /1 could not be tried: the server was not there/)
    assert.equal(status, 3)
  })

  it('keeps the variables for proxies that it knows, and finds none of ours', LIMIT, async () => {
    const program = `console.log(JSON.stringify([process.env.HTTPS_PROXY, process.env.NO_PROXY])); require(${JSON.stringify(APP)})`
    const run = ['--', process.execPath, '-e', program]
    const own = await drill('pinned agent', ['--verbose'], { run, env: { HTTPS_PROXY: 'http://proxy.invalid:1' } })
    assert.match(own.stderr, /^\["http:\/\/proxy.invalid:1",null\]$/m)
    const none = await drill('pinned agent', ['--verbose'], { run })
    assert.match(none.stderr, /^\[null,null\]$/m)
  })

  it('that makes no connection proves nothing', LIMIT, async () => {
    const nothing = await drill('', [], { run: ['--', process.execPath, '-e', 'console.log("said"); process.exit(7)'] })
    assert.equal(nothing.status, 3)
    assert.match(
      nothing.stderr,
      /made no TLS connection that could be seen, so nothing is proved\. It ended with exit code 7\nsaid\n/
    )
    const clear = await drill('plain text')
    assert.equal(clear.status, 3)
    assert.match(clear.stderr, /could be seen but in plain text, so nothing is proved/)
    const lost = await drill('nobody there', ['--json'])
    assert.equal(lost.status, 3)
    assert.match(JSON.parse(lost.stdout).error.message, /not there: localhost:1/)
  })

  it('that cannot be run', LIMIT, async () => {
    const { status, stderr } = await drill('', [], { run: ['--', './no-such-program'] })
    assert.equal(status, 3)
    assert.match(stderr, /^error: \.\/no-such-program cannot be run: .*ENOENT\ncheck the spelling/)
  })
})

describe('wrong usage', LIMIT, () => {
  for (const [args, message] of /** @type {[string[], RegExp][]} */ ([
    [[], /the command to run is missing/],
    [['node', 'app.js'], /the command to run is missing/],
    [['--timeout', 'x', '--', 'node'], /--timeout x is not a number of seconds/],
    [['--host', 'https://a.example', '--', 'node'], /is a URL/],
    [['--hots', 'a.example', '--', 'node'], /--hots/]
  ])) {
    it(args.join(' ') || 'nothing', LIMIT, async () => {
      const { status, stderr } = await cli(['drill', ...args])
      assert.equal(status, 2)
      assert.match(stderr, message)
    })
  }

  it('--help begins with examples', LIMIT, async () => {
    const { status, stdout } = await cli(['drill', '--help'])
    assert.equal(status, 0)
    assert.match(stdout, /^usage: tls-pinning drill .*-- COMMAND …\n\ntls-pinning drill -- node app\.js\n/)
  })
})

'use strict'
// The promise: each recipe of docs/rotation.md, step by step, with a program in the field that goes on asking: the genuine
// server is reached at every moment, and who pretends to be it gets not one byte at any.

const assert = require('node:assert/strict')
const { EventEmitter, once } = require('node:events')
const https = require('node:https')
const net = require('node:net')
const { before, describe, test } = require('node:test')
const { PinnedAgent, PinnedClient, PinSet } = require('..')
const { ca, crl, daysFromNow, keyPair, leaf } = require('./helpers/pki')
const { httpsServer } = require('./helpers/servers')
const { TrackedServer } = require('./helpers/tracked')

const BOUNDED = { timeout: 30_000 }
const MISMATCH = 'ERR_TLS_PIN_MISMATCH'
const SECRET = { method: 'POST', body: 'secret', headers: { authorization: 'Bearer secret' } }

/** @typedef {import('./helpers/pki').Certificate} Certificate */
/** @typedef {Awaited<ReturnType<typeof serve>>} Server */

/** @type {Certificate} */ let root
/** @type {Certificate} */ let issuer
/** Trusted by every client as well. @type {Certificate} */ let rogue
/** Another CA's certificate for the same host. @type {Certificate} */ let impostor

before(async () => {
  root = await ca({ name: 'Root' })
  issuer = await ca({ name: 'Issuer', issuer: root })
  rogue = await ca({ name: 'Rogue' })
  impostor = await leaf({ issuer: rogue })
})

describe('a planned renewal with the same key', BOUNDED, () => {
  test('the pins stay as they are', BOUNDED, async t => {
    const key = await keyPair()
    const current = await leaf({ issuer, keyPair: key })
    const backup = await leaf({ issuer })
    const field = await inTheField(t, [current.pin, backup.pin])
    const old = await serve(t, current)
    const thief = await serve(t, impostor, [])
    await field.goesOnAt(old)
    await field.refuses(thief)

    const renewed = await leaf({ issuer, keyPair: key, notAfter: daysFromNow(90) })
    assert.equal(renewed.pin, current.pin, 'the step before the server gets its new certificate')
    const next = await serve(t, renewed)
    // While there are servers with the old and with the new certificate.
    await field.reaches(old, next)
    await field.goesOnAt(next)
    await field.refuses(thief)
    await field.hadNoGap()
  })

  test('a certificate pin does not survive it', BOUNDED, async t => {
    const key = await keyPair()
    const current = await leaf({ issuer, keyPair: key })
    const field = await inTheField(t, current.certPin)
    await field.reaches(await serve(t, current))
    await field.refuses(await serve(t, await leaf({ issuer, keyPair: key })))
  })
})

describe('a planned renewal with a new key', BOUNDED, () => {
  test('first the server moves to the backup, then the policy to a new backup', BOUNDED, async t => {
    const [current, backup, next] = await Promise.all([leaf({ issuer }), leaf({ issuer }), leaf({ issuer })])
    const field = await inTheField(t, [current.pin, backup.pin])
    const straggler = await inTheField(t, [current.pin, backup.pin])
    const thief = await serve(t, impostor, [])
    const first = await serve(t, current)
    await field.goesOnAt(first)
    await straggler.goesOnAt(first)
    await field.refuses(thief)

    // The server's part: some machines have the backup key, some the current one.
    const second = await serve(t, backup)
    await field.reaches(first, second)
    await field.refuses(thief)
    await field.goesOnAt(second)
    await straggler.goesOnAt(second)

    // The program's part, once the last machine has it: the old key goes, a new backup comes.
    field.pins.replace([backup.pin, next.pin])
    await field.reaches(second)
    await field.refuses(thief)
    // Who has found the old key in a drawer has nothing of it.
    await field.refuses(first)
    // Programs that have not been updated lose nothing.
    await straggler.reaches(second)
    await straggler.refuses(thief)

    // And the next time.
    const third = await serve(t, next)
    await field.goesOnAt(third)
    await field.hadNoGap()
    await straggler.hadNoGap()
    await straggler.refuses(third)
  })
})

describe('a change of the CA', BOUNDED, () => {
  test('both CAs are pinned while servers move from one to the other', BOUNDED, async t => {
    const other = await ca({ name: 'Other Root' })
    const field = await inTheField(t, { localhost: { ca: root.pin } }, { ca: [root.pem, rogue.pem, other.pem] })
    const thief = await serve(t, impostor, [])
    const old = await serve(t, await leaf({ issuer }))
    const moved = await serve(t, await leaf({ issuer: other }), [])
    await field.goesOnAt(old)
    await field.refuses(thief, moved)

    field.pins.replace({ localhost: { ca: [root.pin, other.pin] } })
    await field.reaches(old, moved)
    await field.refuses(thief)
    await field.goesOnAt(moved)

    field.pins.replace({ localhost: { ca: other.pin } })
    await field.reaches(moved)
    await field.refuses(thief, old)
    await field.hadNoGap()
  })

  test('a server whose own key is pinned changes its CA without anybody', BOUNDED, async t => {
    const other = await ca({ name: 'Other Root' })
    const key = await keyPair()
    const [old, moved] = [await leaf({ issuer, keyPair: key }), await leaf({ issuer: other, keyPair: key })]
    const backup = await leaf({ issuer })
    const field = await inTheField(t, [old.pin, backup.pin], { ca: [root.pem, rogue.pem, other.pem] })
    await field.goesOnAt(await serve(t, old))
    await field.goesOnAt(await serve(t, moved, []))
    await field.refuses(await serve(t, impostor, []), await serve(t, await leaf({ issuer: other }), []))
    await field.hadNoGap()
  })
})

describe('a key is compromised', BOUNDED, () => {
  test('the server moves to the backup, the pin goes, and connections to the thief are cut', BOUNDED, async t => {
    const [stolen, backup, next] = await Promise.all([leaf({ issuer }), leaf({ issuer }), leaf({ issuer })])
    const field = await inTheField(t, [stolen.pin, backup.pin])
    const genuine = await serve(t, stolen)
    await field.goesOnAt(genuine)
    // With the key and the certificate, nothing tells the thief from the server: this is what the recipe is to end.
    const thief = await serve(t, stolen, [issuer], { keepOpen: true })
    await field.reaches(thief)
    const caught = thief.appBytes

    // 1. The server: at once, for its backup is known in the field already.
    const moved = await serve(t, backup)
    await field.goesOnAt(moved)

    // 2. The policy. A connection to the thief is open, and in the middle of an upload.
    const upload = await field.uploadTo(thief)
    field.pins.replace([backup.pin, next.pin])
    await upload.isCut(MISMATCH)
    await thief.settled()
    assert.ok(thief.appBytes > caught)
    const leaked = thief.appBytes
    await field.refuses(thief, await serve(t, impostor, []))
    assert.equal(thief.appBytes, leaked, 'not one byte after the policy')
    await field.reaches(moved)
    await field.hadNoGap()
  })

  test('where the policy cannot be changed at once, a revocation list ends it', BOUNDED, async t => {
    const [stolen, backup] = await Promise.all([leaf({ issuer }), leaf({ issuer })])
    const lists = [await crl({ issuer: root }), await crl({ issuer })]
    const field = await inTheField(t, [stolen.pin, backup.pin], { crl: lists })
    const thief = await serve(t, stolen)
    const moved = await serve(t, backup)
    await field.goesOnAt(moved)
    const upload = await field.uploadTo(thief)
    field.client.replaceCrl([lists[0], await crl({ issuer, revoked: [stolen], number: 2 })])
    await upload.isCut('CERT_REVOKED')
    await thief.settled()
    const leaked = thief.appBytes
    await assert.rejects(field.client.request(field.to(thief), SECRET), (/** @type {any} */ error) => {
      assert.equal(error.pinned, stolen.pin)
      assert.match(error.message, /take that pin out of the policy/)
      return error.code === 'CERT_REVOKED'
    })
    await thief.settled()
    assert.equal(thief.appBytes, leaked)
    await field.hadNoGap()
  })

  test('Node’s own TLS takes new lists for its next connections', BOUNDED, async t => {
    const [stolen, backup] = await Promise.all([leaf({ issuer }), leaf({ issuer })])
    const [ofRoot, clean] = [await crl({ issuer: root }), await crl({ issuer })]
    const options = { ca: [root.pem, rogue.pem], crl: [ofRoot, clean], keepAlive: true }
    const agent = new PinnedAgent([stolen.pin, backup.pin], options)
    t.after(() => agent.destroy())
    const thief = await serve(t, stolen, [issuer], { keepOpen: true })
    assert.equal(await ask(agent, thief.url), 200)
    agent.options.crl = [ofRoot, await crl({ issuer, revoked: [stolen], number: 2 })]
    const { appBytes } = thief
    await assert.rejects(ask(agent, thief.url), { code: 'CERT_REVOKED' })
    assert.equal(thief.appBytes, appBytes)
    assert.equal(await ask(agent, (await serve(t, backup)).url), 200)
  })
})

describe('an intermediate expires', BOUNDED, () => {
  /** The same CA, with the same key and in date. @param {Certificate} old @param {any} [options] */
  const again = (old, options) => ca({ name: 'Issuer', issuer: root, keyPair: old.keyPair, ...options })

  test(
    'the server sends the new one before that; pins of the leaf, the root and its own key stay',
    BOUNDED,
    async t => {
      const old = await ca({ name: 'Issuer', issuer: root, notAfter: daysFromNow(1) })
      const renewed = await again(old)
      const cert = await leaf({ issuer: old })
      for (const pins of [cert.pin, root.pin, old.pin, { localhost: { ca: old.pin } }]) {
        const field = await inTheField(t, pins)
        const thief = await serve(t, impostor, [])
        await field.goesOnAt(await serve(t, cert, [old]))
        await field.refuses(thief)
        await field.reaches(await serve(t, cert, [renewed, old]))
        await field.goesOnAt(await serve(t, cert, [renewed]))
        await field.refuses(thief)
        await field.hadNoGap()
      }
    }
  )

  test(
    'if it has expired: refused by everybody, the error says that the pins are right, and the server mends it',
    BOUNDED,
    async t => {
      const old = await ca({ name: 'Issuer', issuer: root, notBefore: daysFromNow(-30), notAfter: daysFromNow(-1) })
      const cert = await leaf({ issuer: old })
      const field = await inTheField(t, [cert.pin, impostor.certPin])
      const late = await serve(t, cert, [old])
      await assert.rejects(field.client.request(field.to(late), SECRET), (/** @type {any} */ error) => {
        assert.equal(error.certificate.fingerprint256, old.fingerprint256)
        assert.match(error.message, /CN=localhost, presented with it, matches .* the pins stay as they are/)
        return error.code === 'CERT_HAS_EXPIRED'
      })
      await late.settled()
      assert.equal(late.appBytes, 0)
      await field.reaches(await serve(t, cert, [await again(old)]))
    }
  )

  test('a new one with a new key is pinned before, where intermediates are', BOUNDED, async t => {
    const [old, next] = [issuer, await ca({ name: 'Issuer 2', issuer: root })]
    const field = await inTheField(t, { localhost: { ca: old.pin } })
    const [before, after] = [
      await serve(t, await leaf({ issuer: old })),
      await serve(t, await leaf({ issuer: next }), [next])
    ]
    await field.goesOnAt(before)
    await field.refuses(after)
    field.pins.replace({ localhost: { ca: [old.pin, next.pin] } })
    await field.reaches(before, after)
    await field.goesOnAt(after)
    field.pins.replace({ localhost: { ca: next.pin } })
    await field.refuses(before, await serve(t, impostor, []))
    await field.hadNoGap()
  })
})

describe('a lock-out', BOUNDED, () => {
  test('by the backup: nothing has to reach the field', BOUNDED, async t => {
    const [lost, backup] = await Promise.all([leaf({ issuer }), leaf({ issuer })])
    const field = await inTheField(t, [lost.pin, backup.pin])
    await field.reaches(await serve(t, lost))
    // The key is lost, and a new one was made in a hurry: everybody is locked out.
    await field.refuses(await serve(t, await leaf({ issuer })))
    await field.reaches(await serve(t, backup))
    await field.refuses(await serve(t, impostor, []))
  })

  test(
    'by an expiry that allows: until then refused, from then on let through, unpinned and told',
    BOUNDED,
    async t => {
      const [lost, fresh] = await Promise.all([leaf({ issuer }), leaf({ issuer })])
      const expires = new Date(Math.ceil(Date.now() / 1000) * 1000 + 2_000)
      const field = await inTheField(t, { localhost: { pins: lost.pin, expires, onExpiry: 'allow' } })
      const [genuine, thief] = [await serve(t, fresh), await serve(t, impostor, [])]
      const stranger = await serve(t, await leaf({ issuer: await ca({ name: 'Nobody' }) }), [])
      await field.refuses(genuine, thief)
      assert.ok(Date.now() < expires.getTime(), 'the machine is fast enough for this test')

      const told = once(field.pins, 'report')
      await until(expires)
      await field.reaches(genuine)
      const [{ reason, chain }] = await told
      assert.deepEqual([reason, chain[0]], ['expired', fresh.der])
      // What is left is what every program has: a CA that it trusts. Whoever has a certificate of one is let in.
      await field.refuses(stranger, { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' })
    }
  )

  test('by a second way: another host with pins of its own brings the policy', BOUNDED, async t => {
    const [lost, fresh, second] = await Promise.all([leaf({ issuer }), leaf({ issuer }), leaf({ issuer })])
    const backup = await leaf({ issuer })
    const field = await inTheField(t, { localhost: [lost.pin] })
    const [genuine, thief] = [await serve(t, fresh), await serve(t, impostor, [])]
    await field.refuses(genuine, thief)

    const policy = JSON.stringify({ hosts: { localhost: [fresh.pin, backup.pin] } })
    const bearer = await serve(t, second, [issuer], { body: policy })
    const way = new PinnedClient({ pins: second.pin, ca: [root.pem, rogue.pem] })
    t.after(() => way.destroy())
    // Who takes the place of the second host brings nothing.
    await assert.rejects(way.request(thief.url), { code: MISMATCH })
    const response = await way.request(bearer.url)
    field.pins.replace(await response.json())
    await field.reaches(genuine)
    await field.refuses(thief)
  })

  test('by a signed policy: neither the way nor the host of it needs trust', BOUNDED, async t => {
    const fromSigned = /** @type {any} */ (PinSet).fromSigned
    if (typeof fromSigned !== 'function') return t.skip('there are no signed policies in this build')
    const { seal } = require('../lib/sources/envelope.js')
    const { generateKeyPairSync } = require('node:crypto')
    const signer = generateKeyPairSync('ed25519')
    const [lost, fresh, backup] = await Promise.all([leaf({ issuer }), leaf({ issuer }), leaf({ issuer })])
    const at = (/** @type {number} */ days) => daysFromNow(days).toISOString().replace('.000', '')
    const sealed = (/** @type {number} */ version, /** @type {string[]} */ pins) => {
      const payload = { version, notBefore: at(-1), expires: at(30), policy: { hosts: { localhost: pins } } }
      return seal(JSON.stringify(payload), signer.privateKey)
    }
    let envelope = sealed(1, [lost.pin])
    const options = { source: () => envelope, publicKeys: [signer.publicKey], interval: 20 }
    const pins = await fromSigned.call(PinSet, options)
    t.after(() => pins.close())
    const field = await inTheField(t, pins)
    const [genuine, thief] = [await serve(t, fresh), await serve(t, impostor, [])]
    await field.refuses(genuine, thief)
    const changed = once(pins, 'change')
    const alive = setInterval(() => {}, 1_000)
    t.after(() => clearInterval(alive))
    envelope = sealed(2, [fresh.pin, backup.pin])
    await changed
    await field.reaches(genuine)
    await field.refuses(thief)
  })
})

/**
 * A server for localhost, which closes each connection after its answer: every request is decided about anew.
 * @param {any} t
 * @param {Certificate} cert
 * @param {Certificate[]} [chain]
 * @param {{ keepOpen?: boolean, body?: string }} [options]
 */
async function serve(t, cert, chain = [issuer], { keepOpen = false, body = 'ok' } = {}) {
  const arrived = new EventEmitter()
  const handler = (/** @type {any} */ request, /** @type {any} */ response) => {
    request.on('error', () => {})
    request.on('data', () => arrived.emit('data'))
    request.on('end', () => {
      if (!keepOpen) response.setHeader('connection', 'close')
      response.end(body)
    })
  }
  const server = await httpsServer({ cert, chain, handler })
  t.after(() => server.close())
  return Object.assign(server, { arrived })
}

/**
 * Programs in the field, by the native client and by Node's own TLS, with one pin set. They know one address, and what is
 * behind it is what the test says. One of them asks and asks.
 * @param {any} t
 * @param {any} given
 * @param {any} [options]
 */
async function inTheField(t, given, options = {}) {
  const pins = given instanceof PinSet ? given : new PinSet(given)
  const all = { ca: [root.pem, rogue.pem], ...options }
  const client = new PinnedClient({ pins, ...all })
  const steady = new PinnedClient({ pins, ...all })
  const agent = new PinnedAgent(pins, { keepAlive: true, ...all })
  const [road, steadyRoad] = [await roadFor(t), await roadFor(t)]
  t.after(() => Promise.all([client.destroy(), steady.destroy(), agent.destroy()]))

  /** @type {{ asked: number, failures: any[], stopped: boolean, done?: Promise<void> }} */
  const traffic = { asked: 0, failures: [], stopped: false }
  t.after(() => {
    traffic.stopped = true
    return traffic.done
  })
  const answered = new EventEmitter()
  const askOn = async () => {
    while (!traffic.stopped) {
      try {
        const response = await steady.request(steadyRoad.url)
        await response.text()
        traffic.asked++
      } catch (error) {
        if (!traffic.stopped) traffic.failures.push(error)
        await new Promise(resolve => setImmediate(resolve))
      }
      answered.emit('answer')
    }
  }

  /** @param {Server} server */
  const to = server => {
    road.to = server.port
    return road.url
  }
  /** @param {Server} server @returns {(() => Promise<unknown>)[]} */
  const attempts = server => [
    async () => {
      const response = await client.request(to(server), SECRET)
      assert.equal(response.status, 200)
      await response.text()
    },
    async () => assert.equal(await ask(agent, to(server)), 200)
  ]

  return {
    pins,
    client,
    to,
    /** Each is reached. @param {...Server} servers */
    async reaches(...servers) {
      for (const server of servers) for (const attempt of attempts(server)) await attempt()
    },
    /** Each is refused, and gets nothing. @param {...any} servers The last may be what to expect instead of a mismatch. */
    async refuses(...servers) {
      const { code } = 'code' in servers.at(-1) ? servers.pop() : { code: MISMATCH }
      for (const server of servers) {
        const { appBytes } = server
        for (const attempt of attempts(server)) await assert.rejects(attempt(), { code })
        await server.settled()
        assert.equal(server.appBytes, appBytes)
      }
    },
    /** From now on the steady program is led to this server, and is answered by it several times. @param {Server} server */
    async goesOnAt(server) {
      steadyRoad.to = server.port
      traffic.done ??= askOn()
      const { length } = server.requests
      while (server.requests.length < length + 3) await once(answered, 'answer')
      await this.reaches(server)
      // Whatever was begun before with another server is over.
      const { asked } = traffic
      while (traffic.asked < asked + 2) await once(answered, 'answer')
    },
    async hadNoGap() {
      traffic.stopped = true
      await traffic.done
      assert.ok(traffic.asked > 0)
      assert.deepEqual(traffic.failures, [])
    },
    /** An upload that has begun. @param {Server} server */
    async uploadTo(server) {
      let isOver = false
      const more = new EventEmitter()
      async function* source() {
        yield Buffer.alloc(1_000, 'x')
        while (!isOver) {
          await once(more, 'more')
          for (let left = 100; left > 0; left--) yield Buffer.alloc(1_000, 'x')
        }
      }
      const first = once(server.arrived, 'data')
      const request = client.request(to(server), { method: 'POST', body: source() })
      request.catch(() => {})
      await first
      // Of HTTP/2 the acknowledged settings would count as well, but it is not spoken here.
      const { appBytes } = server
      return {
        /** @param {string} code */
        async isCut(code) {
          more.emit('more')
          await assert.rejects(request, { code })
          isOver = true
          more.emit('more')
          await server.settled()
          assert.equal(server.appBytes, appBytes)
        }
      }
    }
  }
}

/** An address, and a way from it that the test can turn. @param {any} t */
async function roadFor(t) {
  const listening = new TrackedServer(
    net.createServer(socket => {
      const onwards = net.connect(road.to, '127.0.0.1')
      onwards.on('error', () => socket.destroy())
      onwards.on('close', () => socket.destroy())
      socket.on('close', () => onwards.destroy())
      socket.pipe(onwards).pipe(socket)
    })
  )
  const { port } = await listening.listen()
  t.after(() => listening.close())
  const road = { to: 0, url: `https://localhost:${port}` }
  return road
}

/**
 * @param {https.Agent} agent
 * @param {string} url
 */
function ask(agent, url) {
  return new Promise((resolve, reject) => {
    const request = https.request(url, { agent, method: 'POST' }, response => {
      response.resume().on('end', () => resolve(response.statusCode))
      response.on('error', reject)
    })
    request.on('error', reject).end('secret')
  })
}

/** @param {Date} date */
function until(date) {
  return new Promise(resolve => setTimeout(resolve, date.getTime() - Date.now() + 20))
}

'use strict'
// What the runs prove of each connection of a program: who was given a certificate of the man in the middle, and what they
// did with it.

/** @typedef {import('./run.js').Seen} Seen */
/** @typedef {import('./run.js').Note} Note */
/** @typedef {import('./run.js').Run} Run */
/** @typedef {import('./run.js').Aim} Aim */

/**
 * - `intercepted`: it sent something to the man in the middle, or a request for an `https:` URL in plain text
 * - `pins`: refused, and the client said that it was for pins of this package
 * - `check`: refused by a `checkServerIdentity` of the program's: pins of another kind, or another check
 * - `untrusted`: refused because it does not trust the CA of the drill: it has a list of its own, and whether it has pins
 *   besides is not known
 * - `refused`: ended before anything was sent, for another reason, or for one that nobody told
 * - `undecided`: it was attacked, and did neither
 * - `unreached`: it was there in the baseline and never came under attack
 * @typedef {'intercepted' | 'pins' | 'check' | 'untrusted' | 'refused' | 'undecided' | 'unreached'} Verdict
 */

/**
 * @typedef {object} Finding
 * @property {string} host Whom TLS is with.
 * @property {number} port
 * @property {string | null} via Whom the connection is made to, where that is another, such as a proxy.
 * @property {string} client
 * @property {string | null} place
 * @property {Verdict} verdict
 * @property {string | null} reason
 * @property {string | null} protocol
 * @property {{ bytes: number, first: string } | null} leaked
 * @property {number} made Connections in the baseline.
 * @property {number} attacked Those that the verdict is about.
 */

/** @typedef {Pick<Finding, 'verdict' | 'reason' | 'protocol' | 'leaked'>} Judgement */

/** In the order in which one counts more than another, of connections of one client to one server. */
const GRAVITY = /** @type {Verdict[]} */ ([
  'intercepted',
  'undecided',
  'refused',
  'untrusted',
  'check',
  'pins',
  'unreached'
])

/** OpenSSL's codes for a path that does not end at a trusted authority, as Node tells them. */
const UNTRUSTED = [
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_UNTRUSTED',
  'INVALID_CA'
]

/**
 * The connections of a run, each with who made it.
 * @param {Run} run
 */
function connectionsOf({ seen, notes }) {
  const made = new Map(notes.filter(({ type }) => type === 'connect' || type === 'client').map(note => [note.id, note]))
  // In the order in which the program made them; they are told of when they end.
  const order = [...made.keys()]
  const place = (/** @type {Seen} */ { id }) => (made.has(id ?? '') ? order.indexOf(id ?? '') : order.length)
  const ordered = [...seen].sort((a, b) => place(a) - place(b))
  return ordered.map(one => {
    const by = made.get(one.id ?? '')
    const asked = { host: by?.host ?? one.host, port: one.port }
    const aim = { ...asked, client: by?.client ?? 'another program', place: by?.place ?? null, stack: by?.stack ?? '' }
    // Of a native client only the host tells its connections apart.
    const isNative = by?.type === 'client'
    const host = one.servername ?? asked.host
    const via = host === asked.host ? null : `${asked.host}:${asked.port}`
    const key = [host, one.port, via, aim.client, aim.stack].join(' ')
    return { ...one, host, via, aim, isNative, key, hasStack: by !== undefined }
  })
}

/** @typedef {ReturnType<typeof connectionsOf>[number]} Connection */

/**
 * What one connection under attack proves; nothing where it was not attacked, or never got as far as TLS.
 * @param {Connection} connection
 * @param {Note[]} notes
 * @returns {Judgement | undefined}
 */
function judge(connection, notes) {
  const { outcome, reason, protocol, bytes, first } = connection
  const verdict = (/** @type {Verdict} */ name, /** @type {string | null} */ why = null) => ({
    verdict: name,
    reason: why,
    protocol,
    leaked: null
  })
  switch (outcome) {
    case 'intercepted':
      return { verdict: 'intercepted', reason: null, protocol, leaked: { bytes, first: first ?? 'binary' } }
    case 'silent':
      return verdict('undecided', reason ?? 'it sent nothing, and did not leave either')
    case 'failed':
      return verdict('undecided', reason)
    case 'refused':
      return verdict(...refusal(connection, notes))
    default:
      return undefined
  }
}

/**
 * Why a client has left, as far as anybody told.
 * @param {Connection} connection
 * @param {Note[]} notes
 * @returns {[Verdict, string | null]}
 */
function refusal({ id, host, port, reason, isNative, hasStack }, notes) {
  const ends = notes.filter(note => note.type === 'end' && note.id === id)
  const told = ends.find(note => note.error)
  if (isNative) {
    const pins = notes.find(note => note.type === 'pins' && note.host === host && note.port === port)
    if (pins) return ['pins', pins.reason]
  }
  // A process that is over leaves its connections; that is no refusal.
  const knowsEnds = hasStack && !isNative
  if (reason === null && !(knowsEnds && ends.length > 0))
    return ['undecided', 'the client was gone before it sent anything']
  const code = told?.code ?? /\bERR_TLS_PIN_\w+/.exec(told?.message ?? '')?.[0]
  if (/^ERR_TLS_PIN_(MISMATCH|UNLISTED|EXPIRED)$/.test(code ?? '')) return ['pins', code ?? null]
  if (UNTRUSTED.includes(code ?? '') || reason === 'unknown_ca') return ['untrusted', code ?? reason]
  if (told?.checked && code !== 'ERR_TLS_CERT_ALTNAME_INVALID') return ['check', told.message ?? code]
  const why = told ? (told.code ?? told.message) : reason && `alert ${reason}`
  return ['refused', why ?? 'closed before it sent anything']
}

/**
 * What is known of every TLS connection of the program.
 * @param {Run} baseline
 * @param {Run[]} attacks
 * @param {(connection: Connection) => boolean} isMeant
 * @returns {Map<string, { finding: Finding, connection: Connection }>}
 */
function findings(baseline, attacks, isMeant) {
  /** @type {Map<string, { finding: Finding, connection: Connection }>} */
  const all = new Map()
  for (const connection of connectionsOf(baseline)) {
    const { outcome } = connection
    if ((outcome !== 'relayed' && outcome !== 'intercepted') || !isMeant(connection)) continue
    const nothing = { verdict: /** @type {Verdict} */ ('unreached'), reason: null, protocol: null, leaked: null }
    // What is sent in plain text needs no attack.
    const judgement = judge(connection, baseline.notes) ?? nothing
    const known = all.get(connection.key)?.finding ?? { ...describe(connection, judgement), made: 0, attacked: 0 }
    known.made++
    all.set(connection.key, { finding: known, connection })
  }
  for (const attack of attacks) {
    for (const [key, now] of worst(attack, isMeant)) {
      const known = all.get(key)
      if (!known || replaces(now.finding.verdict, known.finding.verdict)) {
        const made = known?.finding.made ?? 0
        all.set(key, { finding: { ...now.finding, made }, connection: known?.connection ?? now.connection })
      }
    }
  }
  return all
}

/**
 * Of one run the gravest of each, since a client that was intercepted once is one that can be.
 * @param {Run} attack
 * @param {(connection: Connection) => boolean} isMeant
 */
function worst(attack, isMeant) {
  /** @type {Map<string, { finding: Finding, connection: Connection }>} */
  const all = new Map()
  for (const connection of connectionsOf(attack)) {
    const outcome = isMeant(connection) ? judge(connection, attack.notes) : undefined
    if (!outcome) continue
    const known = all.get(connection.key)?.finding
    const attacked = (known?.attacked ?? 0) + 1
    if (known?.leaked && outcome.leaked) known.leaked.bytes += outcome.leaked.bytes
    if (known && GRAVITY.indexOf(known.verdict) <= GRAVITY.indexOf(outcome.verdict)) known.attacked = attacked
    else all.set(connection.key, { finding: { ...describe(connection, outcome), made: 0, attacked }, connection })
  }
  return all
}

/**
 * Whether what a later run says takes the place of what is known: always where nothing was.
 * @param {Verdict} later
 * @param {Verdict} known
 */
function replaces(later, known) {
  if (known === 'unreached' || known === 'undecided') return later !== known
  return later !== 'undecided' && GRAVITY.indexOf(later) < GRAVITY.indexOf(known)
}

/**
 * @param {Connection} connection
 * @param {Judgement} outcome
 */
function describe({ host, port, via, aim: { client, place } }, outcome) {
  return { host, port, via, client, place, ...outcome }
}

module.exports = { connectionsOf, findings }

'use strict'
// What a drill has found, for a terminal and as a page.

const { printable, table } = require('../ui.js')

/** @typedef {import('./judge.js').Finding} Finding */
/** @typedef {import('./judge.js').Verdict} Verdict */
/**
 * @typedef {object} Report
 * @property {string[]} command
 * @property {number} runs
 * @property {Finding[]} connections
 * @property {{ host: string, port: number, client: string, place: string | null }[]} plain Without TLS.
 * @property {{ host: string, port: number }[]} missing Asked for and not there.
 * @property {Record<Verdict, number>} counts
 */

/** What a verdict says, and its style on a terminal. @type {Record<Verdict, { text: string, style: any, means: string }>} */
const VERDICTS = {
  intercepted: {
    text: 'INTERCEPTED',
    style: ['bold', 'red'],
    means: 'it sent something to a man in the middle, or in plain text what was to be encrypted'
  },
  undecided: { text: 'undecided', style: 'yellow', means: 'it was attacked, and neither sent anything nor left' },
  unreached: { text: 'not reached', style: 'yellow', means: 'it was not made again in any run that attacked it' },
  refused: { text: 'refused', style: 'green', means: 'ended before anything was sent; whether for pins, nobody told' },
  untrusted: {
    text: 'refused, no trust',
    style: 'green',
    means: 'it has a list of authorities of its own, in which the drill is not; whether it has pins is not known'
  },
  check: { text: 'refused by its own check', style: 'green', means: 'a checkServerIdentity of the program said no' },
  pins: { text: 'refused by pins', style: 'green', means: 'it said that it was for pins' }
}

/** @param {{ host: string, port: number }} at */
function address({ host, port }) {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/**
 * @param {Finding} finding
 * @returns {[host: string, by: string, verdict: string, detail: string]}
 */
function cells({ via, client, place, verdict, reason, protocol, leaked, made, attacked, ...at }) {
  // The port inside of a tunnel is told to the proxy alone.
  const host = via ? `${at.host} via ${via}` : address(at)
  // Of several by the same client and from the same place, an earlier failure may have stopped the later ones.
  const some = attacked > 0 && attacked < made && !leaked ? ` (${attacked} of ${made} connections)` : ''
  const clear = protocol ? '' : ' in plain text'
  const detail = leaked
    ? `${leaked.bytes} ${leaked.bytes === 1 ? 'byte' : 'bytes'}${clear}: ${leaked.first}`
    : (reason ?? '') + some
  return [host, place ? `${client} (${place})` : client, VERDICTS[verdict].text, detail]
}

/** One sentence. @param {Report} report */
function summary({ connections, counts, missing }) {
  const { intercepted, undecided, unreached } = counts
  const all = connections.length
  const open = undecided + unreached
  if (intercepted > 0) return `${intercepted} of ${all} gave what it sent to a man in the middle.`
  if (open > 0) return `Nothing was intercepted, but ${open} of ${all} could not be put to the proof.`
  if (missing.length > 0) {
    return `Nothing was intercepted of ${all}, but ${missing.length} could not be tried: the server was not there.`
  }
  const pinned = counts.pins === all ? 'all by pins' : `${counts.pins} by pins`
  return `All ${all} refused, ${pinned}.`
}

/**
 * @param {Report} report
 * @param {InstanceType<typeof import('../ui.js').Ui>} ui
 */
function text(report, ui) {
  const rows = report.connections.map(finding => {
    const [host, by, verdict, detail] = cells(finding)
    return [printable(host), printable(by), ui.style(VERDICTS[finding.verdict].style, verdict), printable(detail)]
  })
  const plain = report.plain.map(({ client, place, ...at }) => [
    printable(address(at)),
    printable(place ? `${client} (${place})` : client),
    ui.style('dim', 'no TLS'),
    ''
  ])
  const missing = report.missing.map(at => [printable(address(at)), '', ui.style('yellow', 'not there'), ''])
  return `${table([...rows, ...plain, ...missing])}\n${summary(report)}\n`
}

/**
 * One file, with nothing from elsewhere.
 * @param {Report} report
 */
function html(report) {
  const rows = report.connections.map(finding => {
    const [host, by, verdict, detail] = cells(finding).map(escaped)
    const { means } = VERDICTS[finding.verdict]
    return `<tr class="${finding.verdict}"><td>${host}<td>${by}<td title="${escaped(means)}">${verdict}<td>${detail}`
  })
  const plain = report.plain.map(({ client, place, ...at }) => {
    const by = place ? `${client} (${place})` : client
    return `<tr class="plain"><td>${escaped(address(at))}<td>${escaped(by)}<td>no TLS<td>`
  })
  const missing = report.missing.map(at => `<tr class="unreached"><td>${escaped(address(at))}<td><td>not there<td>`)
  const legend = Object.values(VERDICTS).map(({ text, means }) => `<dt>${escaped(text)}<dd>${escaped(means)}`)
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>tls-pinning drill</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222; background: #fff }
code, td { font-family: ui-monospace, monospace; font-size: 0.875rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: 0.4rem 0.8rem 0.4rem 0; border-bottom: 1px solid #ddd; vertical-align: top; overflow-wrap: anywhere }
.intercepted td:nth-child(3) { color: #b00020; font-weight: bold }
.undecided td:nth-child(3), .unreached td:nth-child(3) { color: #8a5a00 }
.refused td:nth-child(3), .untrusted td:nth-child(3), .check td:nth-child(3), .pins td:nth-child(3) { color: #1b6e2d }
dt { font-family: ui-monospace, monospace; font-size: 0.875rem }
</style>
<h1>A man in the middle of <code>${escaped(report.command.join(' '))}</code></h1>
<p>${escaped(summary(report))} ${report.runs} ${report.runs === 1 ? 'run' : 'runs'}.</p>
<table>
<tr><th>server<th>client<th>verdict<th>what it gave away, or why it refused
${[...rows, ...plain, ...missing].join('\n')}
</table>
<h2>What the verdicts mean</h2>
<dl>
${legend.join('\n')}
</dl>
</html>
`
}

/** @param {string} value */
function escaped(value) {
  return value.replace(
    /[&<>"'\x00-\x08\x0b-\x1f\x7f]/g,
    letter => `&#${letter.charCodeAt(0) < 32 ? 65533 : letter.charCodeAt(0)};`
  )
}

module.exports = { html, text }

'use strict'
// What is measured, in which plan, with whom, and what of it is shown.

const OURS = 'tls-pinning'

/**
 * `action` is what each client does again and again, `inFlight` times at once; `first` and `size` have runners of their own.
 *
 * @typedef {object} Workload
 * @property {string} id Its name in targets.js and of its chart.
 * @property {string} name
 * @property {'keepAlive' | 'handshake' | 'resumed' | 'download' | 'upload' | 'medium' | 'first' | 'size'} action
 * @property {number} inFlight
 * @property {'keepAlive' | 'close' | 'closeRsa' | 'resume' | 'http2'} port Of the server's: what it does with connections.
 * @property {string[]} columns Those of METRICS to show.
 * @property {string} ours
 * @property {string} base The peer that all are compared with in the chart.
 * @property {string[]} peers Measured in each round, `base` among them.
 * @property {string[]} others For orientation: measured in the first rounds only.
 * @property {boolean} quick Also with `--quick`.
 */

const SMALL = ['rate', 'p50', 'p99', 'cpu', 'main']
const LARGE = ['throughput', 'cpu', 'main', 'memory']
const NODE = ['https', 'undici']
const CLIENTS = ['undici fetch', 'got', 'axios', 'node-fetch', 'wreq-js', 'impit', 'limit']

/** What most have in common. */
const COMMON = {
  inFlight: 1,
  port: 'keepAlive',
  ours: OURS,
  base: 'undici',
  peers: NODE,
  others: ['limit'],
  quick: false
}
const HANDSHAKE = { ...COMMON, action: 'handshake', columns: SMALL }
const CLOSE = { ...HANDSHAKE, port: 'close' }
const RSA = { ...HANDSHAKE, port: 'closeRsa' }
const GET = { ...COMMON, action: 'keepAlive', columns: SMALL, others: CLIENTS, quick: true }
const FETCH = { ours: 'tls-pinning fetch', base: 'undici fetch', peers: ['undici fetch'], others: [] }

const WORKLOADS = /** @type {Workload[]} */ ([
  { ...GET, id: 'keep-alive-1', name: 'keep-alive GET, 1 in flight' },
  { ...GET, id: 'keep-alive-64', name: 'keep-alive GET, 64 in flight', inFlight: 64 },
  { ...CLOSE, id: 'handshake-p256-1', name: 'full handshake per request, P-256, 1 in flight', quick: true },
  {
    ...CLOSE,
    id: 'handshake-p256-16',
    name: 'full handshake per request, P-256, 16 in flight',
    inFlight: 16,
    others: ['wreq-js', 'impit', 'limit'],
    quick: true
  },
  { ...RSA, id: 'handshake-rsa-1', name: 'full handshake per request, RSA-2048, 1 in flight' },
  { ...RSA, id: 'handshake-rsa-16', name: 'full handshake per request, RSA-2048, 16 in flight', inFlight: 16 },
  {
    ...COMMON,
    id: 'resumed',
    name: 'resumed handshake per request, 1 in flight',
    action: 'resumed',
    port: 'resume',
    columns: [...SMALL, 'resumed']
  },
  { ...COMMON, id: 'download', name: 'download of 100 MiB', action: 'download', columns: LARGE, quick: true },
  { ...COMMON, id: 'upload', name: 'upload of 100 MiB', action: 'upload', columns: LARGE },
  {
    ...COMMON,
    id: 'medium',
    name: 'download of 1 MiB, 64 in flight',
    action: 'medium',
    inFlight: 64,
    columns: ['throughput', 'cpu', 'main', 'delay', 'memory']
  },
  {
    ...GET,
    id: 'http2',
    name: 'HTTP/2 GET, 64 in flight',
    inFlight: 64,
    port: 'http2',
    peers: ['undici', 'node:http2'],
    others: ['limit'],
    quick: false
  },
  { ...GET, ...FETCH, id: 'fetch', name: 'fetch, keep-alive GET, 64 in flight', inFlight: 64, quick: false },
  {
    ...COMMON,
    id: 'first',
    name: 'load the package to first response',
    action: 'first',
    port: 'close',
    columns: ['time', 'cpu'],
    others: ['got', 'axios', 'node-fetch', 'wreq-js', 'impit'],
    quick: true
  },
  {
    ...COMMON,
    id: 'size',
    name: 'installed size',
    action: 'size',
    columns: ['size'],
    peers: ['undici'],
    others: ['wreq-js', 'impit'],
    quick: true
  }
])

/**
 * How a figure is headed and printed. Of all but the rates less is better; `resumed` is only shown.
 * @type {Record<string, { title: string, print: (value: number) => string, moreIsBetter?: true, shown?: true }>}
 */
const METRICS = {
  rate: { title: 'requests/s', print: value => value.toFixed(0), moreIsBetter: true },
  throughput: { title: 'GB/s', print: value => (value / 1e9).toFixed(2), moreIsBetter: true },
  time: { title: 'time', print: time },
  p50: { title: 'p50', print: time },
  p99: { title: 'p99', print: time },
  cpu: { title: 'CPU/request', print: time },
  main: { title: 'main/request', print: time },
  delay: { title: 'loop delay p99', print: time },
  memory: { title: 'peak MiB', print: mebibytes },
  size: { title: 'MiB', print: mebibytes },
  resumed: { title: 'resumed', print: value => `${(value * 100).toFixed(0)} %`, shown: true }
}

/** @param {number} seconds */
function time(seconds) {
  return seconds < 0.001 ? `${(seconds * 1e6).toFixed(1)} µs` : `${(seconds * 1e3).toFixed(2)} ms`
}

/** @param {number} bytes */
function mebibytes(bytes) {
  return (bytes / 2 ** 20).toFixed(1)
}

module.exports = { METRICS, OURS, WORKLOADS }

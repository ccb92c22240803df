/**
 * Pins every TLS client connection of a process:
 *
 * ```sh
 * TLS_PINNING_POLICY=policy.json node --import tls-pinning/register app.js
 * ```
 *
 * The file holds a policy (see `Policy` of `tls-pinning`) as JSON. It is read once, at start; one that cannot be used stops the
 * process with exit code 1. Every `tls.connect`, in every thread, to a host that the policy lists has to satisfy its pins,
 * whatever options it is made with: a `checkServerIdentity` of the client runs besides, a `session` is left out, and
 * `rejectUnauthorized: false` is an error (`ERR_TLS_PIN_UNSAFE`). `unlisted` decides about other hosts; `report` lists each of them
 * once, as a warning of the process and on the channel `tls-pinning:report`, with the pins that it would need.
 *
 * Load it before anything else: who has taken `tls.connect` out of its module before keeps the old one. It does not reach
 * other native TLS clients, and child processes unless it stands in `NODE_OPTIONS`.
 *
 * @module tls-pinning/register
 */
import type { PinSet } from './index.js'

/** The policy in force in this thread: for `createReporter(pins, …)` and for its events. */
export const pins: PinSet

// A device with a self-signed certificate: the pin is the only trust, and no CA is asked.
//
//   node examples/device.mjs https://192.0.2.7/ printer.local sha256/OF-ITS-KEY…
//
// The name is that in the device's certificate (`npx tls-pinning inspect 192.0.2.7` shows it, and the pin: compare it with the
// device's own display, or look over a cable). Its certificate still has to be in date.

import { pinnedRequest } from 'tls-pinning'

const [url, servername, ...pins] = process.argv.slice(2)
if (pins.length === 0) throw new Error('usage: device.mjs URL NAME PIN…')

// Never `rejectUnauthorized: false`: that accepts everybody. This accepts one key.
const response = await pinnedRequest(url, { pins, trust: 'pin-only', servername })
console.log(response.status, await response.text())

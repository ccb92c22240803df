// A program that knows nothing of pins. Its whole process is pinned from outside:
//
//   TLS_PINNING_POLICY=policy.json node --import tls-pinning/register examples/unaware.mjs https://api.example.com/
//
// The policy is a file such as { "hosts": { "api.example.com": ["sha256/CURRENT…", "sha256/BACKUP…"] } }. It holds for
// every connection of Node's own TLS, in every module and thread, whatever options it is made with. To see first what the
// program connects to, add "unlisted": "report": hosts without pins are let through and listed, with the pins that they need.

const [url] = process.argv.slice(2)
if (!url) throw new Error('usage: unaware.mjs URL')

const response = await fetch(url)
console.log(response.status, await response.text())

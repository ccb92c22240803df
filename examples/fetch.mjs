// A pinned `fetch`, for code and libraries that take one (openai, Octokit, ky).
//
//   node examples/fetch.mjs https://api.example.com/ sha256/CURRENT… sha256/BACKUP…

import { createPinnedFetch } from 'tls-pinning'

const [url, ...pins] = process.argv.slice(2)
if (pins.length === 0) throw new Error('usage: fetch.mjs URL PIN…')

// Make it once and keep it: its connections are reused. With hosts, a redirect to another host is refused unless it is
// listed, too.
const fetch = createPinnedFetch({ pins: { [new URL(url).hostname]: pins } })

const response = await fetch(url, { headers: { accept: 'application/json' } })
console.log(response.status, await response.text())
console.log('matched', response.tls.matched)

await fetch.client.close()

'use strict'
// An https.Agent with pins: for `https`, and for every client that takes an agent.
//
//   node examples/https-agent.js https://api.example.com/ sha256/CURRENT… sha256/BACKUP…
//
//   axios.get(url, { httpsAgent: agent })
//   got(url, { agent: { https: agent } })
//   nodeFetch(url, { agent })                    and superagent, request, the AWS SDK …

const https = require('node:https')
const { PinnedAgent } = require('tls-pinning')

const [url, ...pins] = process.argv.slice(2)
if (pins.length === 0) throw new Error('usage: https-agent.js URL PIN…')

const agent = new PinnedAgent(pins, { keepAlive: true })

const request = https.get(url, { agent }, response => {
  console.log(response.statusCode)
  response.pipe(process.stdout)
  response.on('end', () => agent.destroy())
})
// Nothing of the request has been sent when the server does not match.
request.on('error', error => {
  console.error(error.message)
  process.exitCode = 1
})

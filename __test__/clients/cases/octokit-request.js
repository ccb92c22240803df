'use strict'
const assert = require('node:assert/strict')
const { fetchFor } = require('../shared/fetch')

module.exports = {
  package: '@octokit/request',
  server: 'api',
  native: true,
  where: '`request.defaults({ request: { fetch: createPinnedFetch({ pins }) } })`',

  async operate(context) {
    const { request } = await import('@octokit/request')
    const { fetch, close } = fetchFor(context)
    try {
      const client = request.defaults({ baseUrl: `https://${context.host}:${context.port}`, request: { fetch } })
      const { status, data } = await client('POST /repos/{owner}/{repo}/issues', { owner: 'a', repo: 'b', title: 'c' })
      assert.equal(status, 200)
      assert.deepEqual(data, { greeting: 'hello', asked: { title: 'c' } })
    } finally {
      await close()
    }
  }
}

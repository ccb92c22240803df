'use strict'
const assert = require('node:assert/strict')
const { fetchFor } = require('../shared/fetch')

module.exports = {
  package: 'ky',
  server: 'api',
  native: true,
  where: '`ky.create({ fetch: createPinnedFetch({ pins }) })`',

  async operate(context) {
    const { default: ky } = await import('ky')
    const { fetch, close } = fetchFor(context)
    try {
      const client = ky.create({ fetch, retry: 0 })
      const url = `https://${context.host}:${context.port}/`
      assert.deepEqual(await client.post(url, { json: { a: 1 } }).json(), { greeting: 'hello', asked: { a: 1 } })
    } finally {
      await close()
    }
  }
}

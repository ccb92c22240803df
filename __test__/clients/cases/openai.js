'use strict'
const assert = require('node:assert/strict')
const { fetchFor } = require('../shared/fetch')

module.exports = {
  package: 'openai',
  server: 'api',
  native: true,
  where: '`new OpenAI({ fetch: createPinnedFetch({ pins }) })`',

  async operate(context) {
    const { default: OpenAI } = await import('openai')
    const { fetch, close } = fetchFor(context)
    const baseURL = `https://${context.host}:${context.port}/v1`
    const client = new OpenAI({ apiKey: 'key', baseURL, fetch, maxRetries: 0 })
    try {
      const messages = [{ role: /** @type {const} */ ('user'), content: 'hello' }]
      const chunks = await client.chat.completions.create({ model: 'm', messages, stream: true })
      let text = ''
      for await (const chunk of chunks) text += chunk.choices[0]?.delta.content
      assert.equal(text, 'hello over SSE')
    } finally {
      await close()
    }
  }
}

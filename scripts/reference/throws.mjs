// A plugin of typedoc: `@throws {Class} when` keeps its class, which the Markdown theme leaves out.
// @ts-nocheck: typedoc is installed where this runs, and nowhere else.

import { Converter } from 'typedoc'

/** @param {import('typedoc').Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, context => {
    for (const { comment } of Object.values(context.project.reflections)) {
      for (const { tag, typeAnnotation, content } of comment?.blockTags ?? []) {
        const className = typeAnnotation?.replace(/[{}]/g, '')
        if (tag !== '@throws' || !className) continue
        const isOurs = context.project.getChildByName(['tls-pinning', className]) !== undefined
        content.unshift(
          isOurs ? { kind: 'inline-tag', tag: '@link', text: className } : { kind: 'code', text: `\`${className}\`` },
          { kind: 'text', text: ' ' }
        )
      }
    }
  })
}

'use strict'
// Programs run by Bun and Deno, out of a folder that npm filled and as each finds packages itself.

/** @type {import('../../rehearse.js').Journey[]} */
module.exports = [
  {
    name: 'bun run, installed by npm',
    async run({ user, service }) {
      await user.npm(['install', 'tls-pinning'])
      user.write('app.mjs', service.esm)
      user.write('app.cjs', service.cjs)
      user.write('app.ts', service.ts)
      for (const file of ['app.mjs', 'app.cjs', 'app.ts']) await service.talk(() => user.tool('bun', ['run', file]))
    }
  },
  {
    name: 'deno run, installed by npm',
    async run({ user, service }) {
      await user.npm(['install', 'tls-pinning'])
      user.write('app.mjs', service.esm)
      user.write('app.cjs', service.cjs)
      user.write('app.ts', service.ts)
      const args = ['run', '--allow-all', '--node-modules-dir=manual']
      for (const file of ['app.mjs', 'app.cjs', 'app.ts']) await service.talk(() => user.tool('deno', [...args, file]))
    }
  },
  {
    name: 'deno run, npm:tls-pinning',
    async run({ user, service }) {
      user.write('app.mjs', service.esm.replace("'tls-pinning'", "'npm:tls-pinning@^0.1.0'"))
      const env = { NPM_CONFIG_REGISTRY: user.registry.url, DENO_DIR: user.path('../deno') }
      // The packages were published this minute; Deno takes none younger than a day.
      const args = ['run', '--allow-all', '--no-config', '--quiet', '--minimum-dependency-age=0']
      await service.talk(() => user.tool('deno', [...args, 'app.mjs'], { env }))
    }
  }
]

'use strict'
// verdaccio, in a process of its own because it needs a newer Node than the package. Tells its parent the port.
//
//   node registry-server.js STORAGE

const { createRequire } = require('node:module')
const path = require('node:path')

const { runServer } = createRequire(path.join(__dirname, 'tools', 'package.json'))('verdaccio')
const [storage] = process.argv.slice(2)

process.once('disconnect', () => process.exit())
start()

async function start() {
  const everyone = { access: '$all', publish: '$all', unpublish: '$all' }
  const app = await runServer({
    storage,
    self_path: storage,
    configPath: path.join(storage, 'config.yaml'),
    // No uplinks: what is not published here does not exist.
    uplinks: {},
    packages: { '@*/*': everyone, '**': everyone },
    max_body_size: '100mb',
    log: { type: 'stdout', format: 'pretty', level: 'warn' }
  })
  const server = app.listen(0, '127.0.0.1', () => process.send?.({ port: server.address().port }))
}

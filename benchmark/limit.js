'use strict'
// Builds and runs the small Rust client in `limit/`: what there is to win without Node.

const { spawn, spawnSync } = require('node:child_process')
const path = require('node:path')

const FOLDER = path.join(__dirname, 'limit')
const PROGRAM = path.join(FOLDER, 'target', 'release', process.platform === 'win32' ? 'limit.exe' : 'limit')

/** Whether it can run. Where there is a cargo, it is built when it is missing or old. */
function buildLimit() {
  const built = spawnSync('cargo', ['build', '--release', '--locked', '--quiet'], {
    cwd: FOLDER,
    stdio: ['ignore', 'ignore', 'inherit'],
    // Its own folder, whatever that of the package is.
    env: { ...process.env, CARGO_TARGET_DIR: path.join(FOLDER, 'target') }
  })
  return built.status === 0
}

/**
 * @param {any} task As for `measure.js`.
 * @returns {Promise<any>}
 */
function runLimit(task) {
  return new Promise((resolve, reject) => {
    const child = spawn(PROGRAM, { stdio: ['pipe', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', text => {
      output += text
    })
    child.once('error', reject)
    child.once('close', code => {
      if (code === 0) resolve(JSON.parse(output))
      else reject(new Error(`limit failed: ${task.name ?? 'the checks before the measurement'}`))
    })
    child.stdin.end(JSON.stringify({ ...task, action: task.action === 'resumed' ? 'handshake' : task.action }))
  })
}

module.exports = { buildLimit, runLimit }

'use strict'
// A user: an empty folder, and programs that run in it with nothing of this machine but what a user has.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

/** Of a user's system; no compiler, no linker, no make, no Python. */
const PROGRAMS = [
  'sh',
  'env',
  'uname',
  'ldd',
  'cat',
  'dirname',
  'basename',
  'sed',
  'which',
  'ls',
  'mkdir',
  'rm',
  'cp',
  'ln',
  'readlink',
  'realpath'
]
/** After that long a program is hung. */
const MINUTES = 5

/** @typedef {{ PINNED_URL: string, PINNED_CA: string, PINNED_PIN: string, PINNED_WRONG: string }} Place */

/**
 * Makes the folder that is a user's whole PATH.
 * @param {string} folder
 */
function userPath(folder) {
  fs.mkdirSync(folder, { recursive: true })
  const places = String(process.env.PATH).split(path.delimiter)
  for (const name of PROGRAMS) {
    const found = places.map(place => path.join(place, name)).find(file => fs.existsSync(file))
    if (found) fs.symlinkSync(found, path.join(folder, name))
  }
  const node = path.dirname(fs.realpathSync(process.execPath))
  fs.symlinkSync(process.execPath, path.join(folder, 'node'))
  // npm and npx are scripts beside their own modules.
  for (const name of ['npm', 'npx']) {
    const found = [node, ...places].map(place => path.join(place, name)).find(file => fs.existsSync(file))
    if (!found) throw new Error(`there is no ${name} on the PATH`)
    fs.symlinkSync(fs.realpathSync(found), path.join(folder, name))
  }
  return folder
}

class User {
  /**
   * @param {string} folder
   * @param {{ path: string, registry: string, place: Place, folders: string[] }} world
   */
  constructor(folder, world) {
    fs.mkdirSync(folder, { recursive: true })
    this.folder = folder
    this.world = world
    this.log = ''
  }

  /** @param {Record<string, string | object>} files by their names; objects as JSON */
  write(files) {
    for (const [name, content] of Object.entries(files)) {
      const file = path.join(this.folder, name)
      fs.mkdirSync(path.dirname(file), { recursive: true })
      fs.writeFileSync(file, typeof content === 'string' ? content : `${JSON.stringify(content, null, 2)}\n`)
    }
  }

  /** @param {string} name */
  read(name) {
    return fs.readFileSync(path.join(this.folder, name), 'utf8')
  }

  /**
   * Runs a program; it must end as expected.
   * @param {string} program
   * @param {string[]} args
   * @param {{ env?: Record<string, string>, fails?: boolean, cwd?: string }} [options]
   * @returns {Promise<string>} what it printed, on both ways
   */
  run(program, args, { env = {}, fails = false, cwd = '.' } = {}) {
    const { path: PATH, registry, place } = this.world
    const home = path.join(this.folder, '.home')
    fs.mkdirSync(home, { recursive: true })
    const child = spawn(program, args, {
      cwd: path.join(this.folder, cwd),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: MINUTES * 60_000,
      env: {
        PATH,
        HOME: home,
        TMPDIR: this.folder,
        NO_COLOR: '1',
        CI: 'true',
        npm_config_registry: registry,
        npm_config_cache: path.join(this.folder, '.home', 'npm'),
        npm_config_audit: 'false',
        npm_config_fund: 'false',
        npm_config_update_notifier: 'false',
        ...place,
        ...env
      }
    })
    let text = ''
    child.stdout.on('data', data => (text += data))
    child.stderr.on('data', data => (text += data))
    return new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (status, signal) => {
        this.log += `$ ${program} ${args.join(' ')}\n${text}\n`
        if ((status !== 0) === fails) resolve(text)
        else
          reject(new Error(`${path.basename(program)} ${args.join(' ')}: ${signal ?? `exit code ${status}`}\n${text}`))
      })
    })
  }

  /** @param {string[]} args @param {Parameters<User['run']>[2]} [options] */
  npm(args, options) {
    return this.run('npm', args, options)
  }
}

module.exports = { User, userPath }

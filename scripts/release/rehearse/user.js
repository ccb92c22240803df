'use strict'
// Somebody who uses the package: an empty folder, a home, a PATH without any compiler, and the registry.

const fs = require('node:fs')
const path = require('node:path')
const { TOOLS, execute } = require('./tools.js')

/** @typedef {import('./tools.js').Result} Result */

/** What package managers and their shims call; nothing that could build an addon. */
const COMMANDS = 'sh env cat cp ln ls mkdir mv rm basename dirname readlink realpath uname sed chmod id tr grep'.split(' ')

/**
 * A folder for the PATH, with node, npm and npx.
 * @param {string} folder
 */
function makePath(folder) {
  fs.mkdirSync(folder, { recursive: true })
  const link = (/** @type {string} */ target, /** @type {string} */ name) =>
    fs.symlinkSync(fs.realpathSync(target), path.join(folder, name))
  for (const name of COMMANDS) fs.symlinkSync(which(name), path.join(folder, name))
  link(process.execPath, 'node')
  link(which('npm'), 'npm')
  link(which('npx'), 'npx')
}

/** @param {string} name */
function which(name) {
  for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
    const file = path.join(folder, name)
    if (fs.existsSync(file)) return file
  }
  throw new Error(`${name} is not on the PATH`)
}

class User {
  /**
   * @param {string} home
   * @param {string} bin the only folder of the PATH
   * @param {import('./registry.js').Registry} registry
   */
  constructor(home, bin, registry) {
    this.registry = registry
    this.home = home
    this.folder = path.join(home, 'project')
    fs.mkdirSync(this.folder, { recursive: true })
    fs.writeFileSync(path.join(home, '.npmrc'), registry.npmrc)
    /** @type {Record<string, string>} */
    this.env = {
      PATH: bin,
      HOME: home,
      TMPDIR: home,
      LANG: 'C.UTF-8',
      NO_COLOR: '1',
      CI: '1',
      npm_config_cache: path.join(path.dirname(bin), 'npm-cache'),
      npm_config_globalconfig: path.join(home, 'global.npmrc'),
      npm_config_audit: 'false',
      npm_config_fund: 'false',
      npm_config_update_notifier: 'false'
    }
    this.write('package.json', `${JSON.stringify({ name: 'app', version: '1.0.0', private: true })}\n`)
  }

  /**
   * @param {string} file
   * @param {string} text
   */
  write(file, text) {
    const place = this.path(file)
    fs.mkdirSync(path.dirname(place), { recursive: true })
    fs.writeFileSync(place, text)
    return place
  }

  /** @param {string} file */
  path(file) {
    return path.join(this.folder, file)
  }

  /**
   * @param {string} program
   * @param {string[]} args
   * @param {{ env?: Record<string, string>, cwd?: string, fails?: boolean }} [options]
   */
  run(program, args, { env = {}, cwd = this.folder, fails = false } = {}) {
    const file = path.isAbsolute(program) ? program : path.join(this.env.PATH, program)
    return execute(file, args, { cwd, env: { ...this.env, ...env }, fails })
  }

  /**
   * @param {string[]} args
   * @param {{ env?: Record<string, string>, cwd?: string, fails?: boolean }} [options]
   */
  npm(args, options) {
    return this.run('npm', args, options)
  }

  /**
   * A program of `tools/`.
   * @param {string} name
   * @param {string[]} args
   * @param {{ env?: Record<string, string>, cwd?: string, fails?: boolean }} [options]
   */
  tool(name, args, options) {
    return this.run(tool(name), args, options)
  }
}

/** @param {string} name */
function tool(name) {
  return path.join(TOOLS, 'node_modules', '.bin', name)
}

module.exports = { User, makePath, tool }

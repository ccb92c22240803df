'use strict'
// Runs the command line as a user does: in a pipe, or in a pseudo-terminal.

const { spawn } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')

const BIN = path.join(__dirname, '..', '..', 'bin', 'tls-pinning.js')

/** Gives the program a terminal of 100 columns; the terminal's one stream is written to standard output. */
const PTY = `
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 100, 0, 0))
while True:
    try:
        data = os.read(fd, 65536)
    except OSError:
        break
    if not data:
        break
    os.write(1, data)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`

/**
 * @param {string[]} args
 * @param {{ pty?: boolean, stdin?: string | Buffer, env?: Record<string, string>, cwd?: string }} [options]
 * @returns {Promise<{ status: number, stdout: string, stderr: string }>} In a terminal all output is `stdout`.
 */
async function cli(args, { pty = false, stdin = '', env = {}, cwd } = {}) {
  const command = [process.execPath, BIN, ...args]
  const [program, ...rest] = pty ? ['python3', '-c', PTY, ...command] : command
  // Whatever the machine that runs the tests has set: a program in a pipe has no colours, one in a terminal has.
  const { NO_COLOR, FORCE_COLOR, NODE_DISABLE_COLORS, NODE_OPTIONS, CI, ...inherited } = process.env
  const child = spawn(program, rest, { cwd, env: { ...inherited, TERM: 'xterm-256color', ...env } })
  /** @type {Buffer[]} */
  const out = []
  /** @type {Buffer[]} */
  const err = []
  child.stdout.on('data', data => out.push(data))
  child.stderr.on('data', data => err.push(data))
  child.stdin.on('error', () => {}) // it need not read
  child.stdin.end(stdin)
  const [status] = await once(child, 'close')
  return { status, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }
}

module.exports = { BIN, cli }

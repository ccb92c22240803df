'use strict'
const { execFileSync } = require('node:child_process')
const path = require('node:path')
const { account, certificateFiles, freePort, launch, temporaryFolder, versionOf } = require('./process')

/** Debian's account for it. */
const USER = 'mysql'

// A user with a password who may come over TLS alone: what a client sends to log in must be worth something.
const SETUP = `
  FLUSH PRIVILEGES;
  CREATE USER 'app'@'%' IDENTIFIED BY 'correct horse' REQUIRE SSL;
  CREATE DATABASE app;
  GRANT ALL ON app.* TO 'app'@'%';
`

/** @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity */
async function start(identity) {
  const folder = temporaryFolder('mariadb', { ...certificateFiles(identity), 'setup.sql': SETUP }, USER)
  const data = path.join(folder, 'data')
  const port = await freePort()
  execFileSync(
    'mariadb-install-db',
    ['--no-defaults', `--datadir=${data}`, '--auth-root-authentication-method=normal', '--skip-test-db'],
    { cwd: folder, stdio: 'pipe', ...account(USER) }
  )
  const args = [
    '--no-defaults',
    `--datadir=${data}`,
    `--port=${port}`,
    '--bind-address=127.0.0.1',
    '--skip-name-resolve',
    `--socket=${path.join(folder, 'socket')}`,
    `--pid-file=${path.join(folder, 'pid')}`,
    `--tmpdir=${folder}`,
    `--ssl-cert=${path.join(folder, 'server.crt')}`,
    `--ssl-key=${path.join(folder, 'server.key')}`,
    '--tls-version=TLSv1.2,TLSv1.3',
    `--init-file=${path.join(folder, 'setup.sql')}`,
    '--innodb-buffer-pool-size=8M',
    '--innodb-log-file-size=4M',
    '--skip-log-bin'
  ]
  return launch({ command: '/usr/sbin/mariadbd', args, folder, user: USER, port })
}

module.exports = {
  debian: ['mariadb-server'],
  product: 'MariaDB',
  version: () => versionOf('/usr/sbin/mariadbd', ['--version']),
  start
}

'use strict'
// RabbitMQ over AMQPS, with its default user `guest`.

const fs = require('node:fs')
const path = require('node:path')
const { certificateFiles, freePort, launch, temporaryFolder } = require('./process')

const USER = 'rabbitmq'
const INSTALLED = '/usr/lib/rabbitmq'

/** @param {{ folder: string, port: number }} options */
const config = ({ folder, port }) => `
listeners.tcp = none
listeners.ssl.1 = 127.0.0.1:${port}
ssl_options.certfile = ${folder}/server.crt
ssl_options.keyfile = ${folder}/server.key
ssl_options.verify = verify_none
ssl_options.versions.1 = tlsv1.3
ssl_options.versions.2 = tlsv1.2
log.file = false
log.console = true
`

/** @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity */
async function start(identity) {
  // Erlang's register of nodes: started here, since one that the broker starts would outlive it.
  const register = await launchRegister()
  try {
    const broker = await launchBroker(identity, register.port)
    const close = async () => {
      await broker.close()
      await register.close()
    }
    return { port: broker.port, close }
  } catch (error) {
    await register.close()
    throw error
  }
}

async function launchRegister() {
  const port = await freePort()
  const folder = temporaryFolder('epmd', {}, USER)
  return launch({ command: 'epmd', args: ['-port', `${port}`, '-address', '127.0.0.1'], folder, user: USER, port })
}

/**
 * @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity
 * @param {number} register
 */
async function launchBroker(identity, register) {
  const folder = temporaryFolder('amqp', certificateFiles(identity), USER)
  const port = await freePort()
  const inFolder = (/** @type {string} */ name) => path.join(folder, name)
  fs.writeFileSync(inFolder('rabbitmq.conf'), config({ folder, port }))
  const env = {
    HOME: folder,
    ERL_EPMD_ADDRESS: '127.0.0.1',
    ERL_EPMD_PORT: String(register),
    RABBITMQ_NODENAME: 'tls-pinning@localhost',
    RABBITMQ_DIST_PORT: String(await freePort()),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
    RABBITMQ_CONFIG_FILE: inFolder('rabbitmq.conf'),
    RABBITMQ_GENERATED_CONFIG_DIR: inFolder('generated'),
    RABBITMQ_SCHEMA_DIR: inFolder('schema'),
    RABBITMQ_MNESIA_BASE: inFolder('mnesia'),
    RABBITMQ_LOG_BASE: inFolder('log'),
    RABBITMQ_PID_FILE: inFolder('pid'),
    RABBITMQ_ENABLED_PLUGINS_FILE: inFolder('plugins'),
    RABBITMQ_FEATURE_FLAGS_FILE: inFolder('feature_flags'),
    // Its script then becomes the broker instead of waiting for it, so that a signal reaches the right process.
    RUNNING_UNDER_SYSTEMD: 'true'
  }
  const command = `${INSTALLED}/bin/rabbitmq-server`
  return launch({ command, args: [], folder, user: USER, port, signal: 'SIGKILL', env })
}

/** Of the folder that it is installed in: to ask the program takes a second and a node of Erlang. */
function version() {
  const [installed = ''] = fs.readdirSync(`${INSTALLED}/lib`).filter(name => name.startsWith('rabbitmq_server-'))
  return /(\d+\.\d+)/.exec(installed)?.[1] ?? 'unknown'
}

module.exports = { debian: ['rabbitmq-server'], product: 'RabbitMQ', version, start }

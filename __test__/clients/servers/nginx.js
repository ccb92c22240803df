'use strict'
const fs = require('node:fs')
const path = require('node:path')
const { certificateFiles, freePort, launch, temporaryFolder, versionOf } = require('./process')

/** @param {number} port */
const config = port => `
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  keepalive_timeout 5s;
  server {
    listen 127.0.0.1:${port} ssl http2;
    server_name localhost;
    ssl_certificate server.crt;
    ssl_certificate_key server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    location / { default_type text/plain; return 200 "hello over $server_protocol"; }
  }
}
`

/** @param {{ cert: { pem: string, key: string }, chain: { pem: string }[] }} identity */
async function start(identity) {
  const port = await freePort()
  const files = { ...certificateFiles(identity), 'nginx.conf': config(port) }
  const folder = temporaryFolder('nginx', files, 'www-data')
  const args = ['-e', 'stderr', '-p', `${folder}/`, '-c', path.join(fs.realpathSync(folder), 'nginx.conf')]
  return launch({ command: '/usr/sbin/nginx', args, folder, user: 'www-data', port })
}

module.exports = {
  debian: ['nginx'],
  product: 'nginx',
  version: () => versionOf('/usr/sbin/nginx', ['-v']),
  start
}

'use strict'
// How nginx is set up.

const { LARGE_BYTES, SMALL_BODY } = require('./bodies.js')

/**
 * An upload is answered when all of it is there: the proxy waits for the body, and does not pass it on.
 * @param {import('./server.js').Ports} ports
 */
function nginxConf(ports) {
  const locations = `
    location = /small   { default_type application/json; return 200 '${SMALL_BODY}'; }
    location = /session { default_type text/plain; return 200 '$ssl_session_reused'; }
    location = /medium  { }
    location = /large   { }
    location = /upload  {
      client_max_body_size 0;
      client_body_buffer_size ${LARGE_BYTES};
      proxy_pass http://unix:upload.sock:/;
      proxy_pass_request_body off;
      proxy_set_header Content-Length '';
    }`
  /** @param {number} port @param {string} options @param {string} [listen] */
  const server = (port, options, listen = '') => `
  server {
    listen 127.0.0.1:${port} ssl ${listen} backlog=1024;
    ${options}
    ${locations}
  }`
  const rsa = 'ssl_certificate rsa.pem; ssl_certificate_key rsa.key;'
  const resume = 'ssl_session_cache shared:sessions:10m; ssl_session_tickets on;'
  return `
daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off;
  root .;
  keepalive_requests 1000000000;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;

  ssl_certificate p256.pem;
  ssl_certificate_key p256.key;
  ssl_protocols TLSv1.3;
  ssl_session_cache off;
  ssl_session_tickets off;
${server(ports.keepAlive, 'keepalive_timeout 1h;')}
${server(ports.close, 'keepalive_timeout 0;')}
${server(ports.closeRsa, `keepalive_timeout 0; ${rsa}`)}
${server(ports.resume, `keepalive_timeout 0; ${resume}`)}
${server(ports.http2, 'keepalive_timeout 1h;', 'http2')}
  server {
    listen unix:upload.sock;
    default_type application/json;
    return 200 '${SMALL_BODY}';
  }
}
`
}

module.exports = { nginxConf }

const { parsePin } = require('tls-pinning'); console.log(typeof parsePin)

'use strict'
// Keys and certificates of `node:crypto`. That module is loaded by need: it takes longer than this package, whose pins are
// mostly text.

const { isPlain } = require('./errors.js')

function nodeCrypto() {
  return require('node:crypto')
}

/** Whether a value may be an object of a class of Node's. @param {any} value */
function isInstance(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isPlain(value)
}

/** @param {any} value @returns {value is import('node:crypto').KeyObject} */
function isKeyObject(value) {
  return isInstance(value) && value instanceof nodeCrypto().KeyObject
}

/** @param {any} value @returns {value is import('node:crypto').X509Certificate} */
function isCertificate(value) {
  return isInstance(value) && value instanceof nodeCrypto().X509Certificate
}

module.exports = { isCertificate, isKeyObject, nodeCrypto }

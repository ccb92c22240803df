'use strict'

/** @type {import('../../rehearse.js').Journey[]} */
module.exports = []

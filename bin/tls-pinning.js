#!/usr/bin/env node
'use strict'
require('./main.js').main(process.argv.slice(2))

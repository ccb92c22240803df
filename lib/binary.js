'use strict'
// What a binary file is made for, by its header. The system's own message for one of another architecture is, on Linux,
// "No such file or directory".

const fs = require('node:fs')

/** The numbers of architectures, by Node's names. */
const ELF = { 3: 'ia32', 21: 'ppc64', 22: 's390x', 40: 'arm', 62: 'x64', 183: 'arm64', 243: 'riscv64', 258: 'loong64' }
const MACH_O = { 16777223: 'x64', 16777228: 'arm64' }
const PE = { 332: 'ia32', 34404: 'x64', 43620: 'arm64' }

/**
 * @typedef {object} Made
 * @property {'ELF' | 'Mach-O' | 'PE'} format
 * @property {string} cpu as `process.arch`
 */

/**
 * @param {string} file
 * @returns {Made | undefined} undefined if it is no such file
 * @throws if the file may not be read
 */
function madeFor(file) {
  const { header } = read(file, 4096)
  if (header.readUInt32BE(0) === 0x7f454c46) {
    const machine = header[5] === 2 ? header.readUInt16BE(18) : header.readUInt16LE(18)
    return made('ELF', ELF, machine)
  }
  if (header.readUInt32LE(0) === 0xfeedfacf) return made('Mach-O', MACH_O, header.readUInt32LE(4))
  if (header.toString('latin1', 0, 2) === 'MZ') {
    const start = header.readUInt32LE(0x3c)
    if (start + 6 > header.length || header.toString('latin1', start, start + 4) !== 'PE\0\0') return undefined
    return made('PE', PE, header.readUInt16LE(start + 4))
  }
  return undefined
}

/** Whether an ELF file ends before its table of sections, which linkers write last. @param {string} file */
function isCutOff(file) {
  const { header, size } = read(file, 64)
  if (header.readUInt32BE(0) !== 0x7f454c46) return false
  const wide = header[4] === 2
  const start = wide ? Number(header.readBigUInt64LE(40)) : header.readUInt32LE(32)
  return size < start + header.readUInt16LE(wide ? 58 : 46) * header.readUInt16LE(wide ? 60 : 48)
}

/** @param {string} file @param {number} length */
function read(file, length) {
  const header = Buffer.alloc(length)
  const handle = fs.openSync(file, 'r')
  try {
    fs.readSync(handle, header)
    return { header, size: fs.fstatSync(handle).size }
  } finally {
    fs.closeSync(handle)
  }
}

/** @param {Made['format']} format @param {Record<number, string>} cpus @param {number} number @returns {Made} */
function made(format, cpus, number) {
  return { format, cpu: cpus[number] ?? `architecture ${number}` }
}

module.exports = { isCutOff, madeFor }

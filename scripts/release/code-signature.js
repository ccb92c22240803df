'use strict'
// macOS on ARM kills a process that loads a library without a signature, or with one that is not that of its bytes. The
// linker signs ad hoc; what a tool changes after that breaks it, and no tool on Linux tells. The format is XNU's cs_blobs.h.

const { createHash } = require('node:crypto')

const SUPERBLOB = 0xfade0cc0
const CODE_DIRECTORY = 0xfade0c02
const SHA256 = 2

/**
 * What is wrong with the signature of a Mach-O file.
 * @param {Buffer} bytes
 * @param {number} at where LC_CODE_SIGNATURE says that it begins
 * @returns {string | undefined}
 */
function signatureProblem(bytes, at) {
  const blob = bytes.subarray(at)
  if (blob.length < 12 || blob.readUInt32BE(0) !== SUPERBLOB) return 'its signature is malformed'
  const directory = directoryOf(blob)
  if (directory === undefined) return 'its signature has no code directory'
  const hashes = directory.readUInt32BE(16)
  const pages = directory.readUInt32BE(28)
  const end = directory.readUInt32BE(32)
  const size = 1 << directory.readUInt8(39)
  if (directory.readUInt8(37) !== SHA256) return 'its signature is not by SHA-256'
  if (end !== at || pages !== Math.ceil(end / size)) return `its signature is over ${end} bytes, not ${at}`
  for (let page = 0; page < pages; page += 1) {
    const actual = createHash('sha256').update(bytes.subarray(page * size, Math.min((page + 1) * size, end)))
    const signed = directory.subarray(hashes + page * 32, hashes + (page + 1) * 32)
    if (!actual.digest().equals(signed)) return `its signature is not that of page ${page}`
  }
  return undefined
}

/** @param {Buffer} blob */
function directoryOf(blob) {
  for (let entry = 0; entry < blob.readUInt32BE(8) && 20 + entry * 8 <= blob.length; entry += 1) {
    const directory = blob.subarray(blob.readUInt32BE(16 + entry * 8))
    if (directory.length >= 40 && directory.readUInt32BE(0) === CODE_DIRECTORY) return directory
  }
  return undefined
}

module.exports = { signatureProblem }

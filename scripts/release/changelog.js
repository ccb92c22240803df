'use strict'
// CHANGELOG.md: one heading of the first level for each version, newest first, and `# Unreleased` on top.

const HEADING = /^# (.+)$/gm

/**
 * What stands under a version's heading, or under `Unreleased`.
 * @param {string} text
 * @param {string} version
 * @returns {string | undefined}
 */
function sectionOf(text, version) {
  const headings = [...text.matchAll(HEADING)]
  const index = headings.findIndex(([, title]) => title.split(' ')[0] === version)
  if (index === -1) return undefined
  const heading = headings[index]
  return text.slice(heading.index + heading[0].length, headings[index + 1]?.index).trim()
}

/**
 * What was unreleased becomes the version's.
 * @param {string} text
 * @param {string} version
 * @param {string} date as 2026-01-31
 */
function released(text, version, date) {
  if (!sectionOf(text, 'Unreleased')) throw new Error('CHANGELOG.md has nothing under "# Unreleased"')
  if (sectionOf(text, version) !== undefined) throw new Error(`CHANGELOG.md has a section ${version} already`)
  return text.replace(/^# Unreleased$/m, `# Unreleased\n\n# ${version} (${date})`)
}

module.exports = { released, sectionOf }

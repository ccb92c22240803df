'use strict'
// Promise: the workflows run what there is, with no more rights than they need, and no action that can change under its name.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { describe, it } = require('node:test')
const { parse } = require('yaml')
const { TARGETS } = require('../scripts/release/targets')
const { scripts } = require('../package.json')

const ROOT = path.join(__dirname, '..')
const FOLDER = path.join(ROOT, '.github', 'workflows')
const FILES = ['ci.yml', 'release.yml']
/** Whoever is in this list can change what is released: it is short. */
const ACTIONS = ['actions/checkout', 'actions/download-artifact', 'actions/setup-node', 'actions/upload-artifact']

/** What a job may do beyond reading, and where. */
const RIGHTS = { 'release.yml publish': { 'id-token': 'write' }, 'release.yml release': { contents: 'write' } }

it('all are looked at here', () => {
  assert.deepEqual(fs.readdirSync(FOLDER).sort(), FILES)
})

for (const file of FILES) {
  describe(file, () => {
    const text = fs.readFileSync(path.join(FOLDER, file), 'utf8')
    const workflow = parse(text)
    const jobs = /** @type {[string, any][]} */ (Object.entries(workflow.jobs))
    const steps = jobs.flatMap(([, job]) => job.steps)
    const commands = steps.flatMap(({ run }) => (run ? [run] : []))

    it('pins actions to a commit, and says which version that is', () => {
      const uses = [...text.matchAll(/uses: (.*)/g)].map(([, use]) => use)
      assert.ok(uses.length > 0)
      for (const use of uses) {
        const [, action] = use.match(/^([\w-]+\/[\w-]+)@[0-9a-f]{40} # v\d+\.\d+\.\d+$/) ?? assert.fail(use)
        assert.ok(ACTIONS.includes(action), action)
      }
      // One commit for each, in all workflows.
      const all = FILES.map(name => fs.readFileSync(path.join(FOLDER, name), 'utf8')).join('\n')
      const commits = new Set([...all.matchAll(/uses: (.*)/g)].map(([, use]) => use))
      assert.equal(commits.size, new Set([...commits].map(use => use.split('@')[0])).size)
      for (const { container } of workflow.jobs ? Object.values(workflow.jobs) : []) {
        if (container) assert.match(container, /@sha256:[0-9a-f]{64}$/)
      }
    })

    it('gives each job the rights it needs', () => {
      assert.deepEqual(workflow.permissions, {})
      assert.ok(!('pull_request_target' in workflow.on))
      for (const [name, job] of jobs) {
        const more = RIGHTS[/** @type {keyof typeof RIGHTS} */ (`${file} ${name}`)] ?? {}
        assert.deepEqual(job.permissions, { contents: 'read', ...more }, name)
        assert.ok(job['timeout-minutes'] > 0, name)
        // A job that may publish is one that somebody approves.
        if (job.permissions['id-token']) assert.equal(job.environment, 'npm')
      }
      for (const { uses, with: inputs } of steps) {
        if (uses?.startsWith('actions/checkout@')) assert.equal(inputs?.['persist-credentials'], false)
      }
      assert.ok(!/secrets\./.test(text))
    })

    it('puts nothing into a command that others can write', () => {
      for (const command of commands) assert.ok(!command.includes('${{'), command)
    })

    it('is of systems and versions that are supported', () => {
      for (const [, { strategy }] of jobs) {
        const { node = [], include = [] } = strategy?.matrix ?? {}
        if (node.length > 0) assert.deepEqual(node, [20, 22, 24, 26])
        for (const { platform } of include)
          assert.ok(
            TARGETS.some(target => target.platform === platform),
            platform
          )
      }
    })

    it('runs scripts that exist', () => {
      for (const command of commands) {
        for (const [, script] of command.matchAll(/npm run ([\w:-]+)/g)) assert.ok(script in scripts, script)
        for (const [, script] of command.matchAll(/node (\S+\.js)/g)) {
          assert.ok(fs.existsSync(path.join(ROOT, script)), script)
        }
      }
      assert.ok(commands.length > 4)
    })
  })
}

it('a release waits for all that went before it', () => {
  const { jobs } = parse(fs.readFileSync(path.join(FOLDER, 'release.yml'), 'utf8'))
  const order = Object.entries(jobs).map(([name, { needs }]) => [name, needs])
  assert.deepEqual(order, [
    ['build', undefined],
    ['stage', 'build'],
    ['test', 'stage'],
    ['rehearse', 'stage'],
    ['publish', ['test', 'rehearse']],
    ['release', 'publish']
  ])
  assert.ok(!Object.values(jobs).some(job => 'if' in job || 'continue-on-error' in job))
})

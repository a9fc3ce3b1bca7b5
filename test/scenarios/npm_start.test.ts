// `npm start` as a supervisor has it: what it tells npm, the agent does.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { root } from '../../native/paths.ts'
import { atEnd } from '../ending.ts'
import { requires } from '../requires.ts'
import { until } from '../until.ts'

test('SIGTERM to npm ends the agent, and well', requires('root', 'addon'), async (t) => {
  const args = ['start', '--', '--set', 'exporters.prometheus.endpoint=localhost:0']
  const npm = spawn('npm', args, { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] })
  atEnd(t, () => npm.kill('SIGKILL'))
  let said = ''
  npm.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  await until('the agent is ready', () => /Everything is ready/.test(said) || npm.exitCode !== null, {
    deadlineMs: 90_000,
  })
  const children = readFileSync(`/proc/${npm.pid}/task/${npm.pid}/children`, 'latin1').trim().split(' ')
  assert.equal(children.length, 1, 'there is the agent and nothing in between')
  const agent = Number(children[0])
  atEnd(t, () => {
    try {
      process.kill(agent, 'SIGKILL')
    } catch {
      // It has ended.
    }
  })
  npm.kill('SIGTERM')
  await until('both have ended', () => npm.exitCode !== null && !existsSync(`/proc/${agent}`))
  assert.match(said, /Shutdown complete/)
  assert.equal(npm.exitCode, 0)
})

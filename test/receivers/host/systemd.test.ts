// What systemctl prints → what kind of unit it is; asked once, many at a time, with a deadline, and bounded.
import assert from 'node:assert/strict'
import { appendFileSync, chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parseUnits, systemdSource, unitSource } from '../../../receivers/host/systemd.ts'
import { randomFrom } from '../../random.ts'

/** As systemctl 252 prints them. */
const SHOWN = `Type=notify
Id=docker.service
TriggeredBy=docker.socket
LoadState=loaded

Type=oneshot
Id=logrotate.service
TriggeredBy=logrotate.timer
LoadState=loaded

Id=nosuch.service
LoadState=not-found

Type=simple
Id=getty@tty1.service
TriggeredBy=
LoadState=loaded
`

test('units are told by their ids, those that are not there are missing', () => {
  assert.deepEqual(
    [...parseUnits(SHOWN)],
    [
      ['docker.service', { type: 'notify', triggeredBy: 'docker.socket' }],
      ['logrotate.service', { type: 'oneshot', triggeredBy: 'logrotate.timer' }],
      ['getty@tty1.service', { type: 'simple', triggeredBy: '' }],
    ],
  )
  assert.deepEqual([...parseUnits('')], [])
})

test('damaged output gives fewer units, never an exception', () => {
  const next = randomFrom(3)
  for (let i = 0; i < 20_000; i++) {
    const at = next(SHOWN.length)
    const damaged = SHOWN.slice(0, at) + String.fromCharCode(next(256)) + SHOWN.slice(at + next(20))
    for (const [id, { type, triggeredBy }] of parseUnits(damaged.slice(0, next(4) === 0 ? at : undefined))) {
      assert.ok(id !== '' && typeof type === 'string' && typeof triggeredBy === 'string')
    }
  }
})

/** A program in the place of systemctl that writes down what it was asked; `answer` is shell. */
function systemctl(t: TestContext, answer: string) {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-systemctl-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const [command, log] = [join(folder, 'systemctl'), join(folder, 'asked')]
  appendFileSync(log, '')
  writeFileSync(command, `#!/bin/sh\necho "$*" >> ${log}\nwhile [ "$1" != -- ]; do shift; done; shift\n${answer}\n`)
  chmodSync(command, 0o755)
  const questions = () => readFileSync(log, 'utf8').split('\n').filter(Boolean)
  return { command, questions }
}
const ALL = `for unit; do printf 'Id=%s\\nType=simple\\nTriggeredBy=\\nLoadState=loaded\\n\\n' "$unit"; done`

test('many units are one question, and each is asked about once', async (t) => {
  const { command, questions } = systemctl(t, ALL)
  const source = unitSource({ timeoutMs: 5000, negativeMs: 60_000, command })
  const units = Array.from({ length: 500 }, (_, i) => `web@${i}.service`)
  for (const unit of units) assert.deepEqual(source.ask(unit), { state: 'pending' })
  for (const unit of units) assert.deepEqual(source.ask(unit), { state: 'pending' })
  await source.settled()
  for (const unit of units) assert.equal(source.ask(unit).state, 'known')
  assert.equal(questions().length, 3, 'two hundred at a time')
})

test('what systemd does not know is not asked again for a while, then it is', async (t) => {
  const { command, questions } = systemctl(t, 'exit 1')
  const source = unitSource({ timeoutMs: 5000, negativeMs: 300, command })
  const ask = async () => {
    const { state } = source.ask('gone.service')
    await source.settled()
    return state
  }
  assert.deepEqual([await ask(), await ask(), await ask()], ['pending', 'unknown', 'unknown'])
  assert.equal(questions().length, 1)
  await new Promise((resolve) => setTimeout(resolve, 350))
  assert.equal(await ask(), 'pending')
  assert.equal(questions().length, 2)
})

test('a systemctl that hangs, or is not there, is no answer, and in time', async (t) => {
  for (const command of [systemctl(t, 'exec sleep 60').command, '/nowhere/systemctl', 'no\0name']) {
    const startMs = performance.now()
    const source = unitSource({ timeoutMs: 300, negativeMs: 60_000, command })
    source.ask('a.service')
    await source.settled()
    assert.equal(source.ask('a.service').state, 'unknown')
    assert.ok(performance.now() - startMs < 5000)
  }
})

test('names that never come again are not kept for ever', async (t) => {
  const { command } = systemctl(t, ALL)
  const source = unitSource({ timeoutMs: 20_000, negativeMs: 60_000, command })
  const unit = (i: number) => `run-${i}.service`
  for (let i = 0; i < 5000; i++) source.ask(unit(i))
  await source.settled()
  assert.equal(source.ask(unit(4999)).state, 'known')
  assert.equal(source.ask(unit(0)).state, 'pending', 'the oldest is asked about anew')
  await source.settled()
})

test('in a container with the root of a host around it nobody is asked', async () => {
  const source = systemdSource({ rootPath: '/host', timeoutMs: 1, negativeMs: 1, command: '/nowhere/systemctl' })
  assert.equal(source.ask('a.service').state, 'unknown')
  await source.settled()
})

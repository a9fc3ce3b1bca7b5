// One log through everything that is done to its files while it is followed; each line has to come once.
import assert from 'node:assert/strict'
import { appendFileSync, copyFileSync, renameSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../../until.ts'
import { setUp } from './one_log.ts'
import { compress, copyAndTruncate, shift } from './rotating.ts'

test('renamed, also with lines that come later into the old file', async (t) => {
  const log = setUp(t)
  log.write(10)
  await log.read()
  log.write(5)
  shift(log.path, 1)
  await log.read()
  appendFileSync(`${log.path}.1`, 'line 16\n')
  writeFileSync(log.path, '')
  await log.read()
  assert.equal(log.lines.length, 16)
  appendFileSync(log.path, 'line 17\n')
  const { counts } = await log.read()
  assert.equal(log.lines.at(-1), 'line 17')
  assert.deepEqual([counts.rotations, counts.gaps], [1, 0])
})

test('renamed three times between two looks, the oldest compressed', async (t) => {
  const log = setUp(t)
  log.write(10)
  await log.read()
  for (let old = 1; old <= 3; old++) {
    log.write(10)
    shift(log.path, old)
  }
  compress(`${log.path}.3`)
  log.write(10)
  const { counts } = await log.read(200)
  log.check()
  assert.equal(counts.gaps, 0)
})

test('copied and truncated, with lines that nobody had read before', async (t) => {
  const log = setUp(t)
  log.write(10)
  await log.read()
  log.write(10)
  copyAndTruncate(log.path)
  log.write(30)
  const { counts } = await log.read(200)
  log.check()
  assert.deepEqual([counts.truncations, counts.gaps], [1, 0])
})

test('truncated again before anything of it was read', async (t) => {
  const log = setUp(t)
  log.write(10)
  const follower = await log.read()
  shift(log.path, 1)
  log.write(20)
  follower.poll(Date.now()) // sees the rotation, and opens what is there
  await sleep(50)
  renameSync(`${log.path}.1`, `${log.path}.2`)
  copyAndTruncate(log.path)
  log.write(5)
  await log.read(200)
  log.check()
})

test('copied, truncated and written to the same size again between two looks', async (t) => {
  const log = setUp(t)
  log.write(4)
  await log.read()
  copyFileSync(log.path, `${log.path}.1`)
  await sleep(20) // the kernel's clock goes by ticks
  truncateSync(log.path)
  log.write(4)
  assert.equal(statSync(log.path).size, statSync(`${log.path}.1`).size)
  await log.read()
  log.check()
})

test('copied and truncated before anything was read, and longer again than it was', async (t) => {
  const log = setUp(t)
  log.write(10)
  const follower = await log.look()
  await until('it is open', () => follower.begun)
  copyAndTruncate(log.path)
  log.write(100)
  await log.read()
  log.check()
})

test('empty when it was opened, then filled, copied, truncated and filled again between two looks', async (t) => {
  const log = setUp(t)
  log.write(10)
  await log.read()
  copyAndTruncate(log.path)
  await log.read()
  log.write(10)
  renameSync(`${log.path}.1`, `${log.path}.2`)
  copyAndTruncate(log.path)
  log.write(20)
  const { counts } = await log.read()
  log.check()
  assert.equal(counts.gaps, 0)
})

test('copied and truncated twice, and what stands before the place is the same each time', async (t) => {
  const log = setUp(t)
  const content = (n: number, more: number) => `content ${n}\n${'the same line\n'.repeat(10 + more)}`
  appendFileSync(log.path, content(1, 0))
  await log.read()
  appendFileSync(log.path, 'the same line\n')
  copyAndTruncate(log.path, '.2')
  appendFileSync(log.path, content(2, 5))
  copyAndTruncate(log.path)
  appendFileSync(log.path, content(3, 5))
  const { counts } = await log.read(200)
  assert.equal(`${log.lines.join('\n')}\n`, content(1, 1) + content(2, 5) + content(3, 5))
  assert.equal(counts.gaps, 0)
})

test('what is seen to have been there before a truncation without a copy is counted', async (t) => {
  const log = setUp(t)
  log.limits.flushMs = 60_000
  log.write(10)
  await log.read()
  const unfinished = 'a line without its end'
  appendFileSync(log.path, unfinished)
  await log.read(20)
  truncateSync(log.path)
  appendFileSync(log.path, 'line 11\n')
  const { counts } = await log.read()
  assert.deepEqual([counts.truncations, counts.gaps, counts.skippedBytes], [1, 1, unfinished.length])
  assert.equal(log.lines.at(-1), 'line 11')
})

test('truncated without a copy is a gap, and reading goes on', async (t) => {
  const log = setUp(t)
  log.write(10)
  await log.read()
  truncateSync(log.path)
  log.write(3)
  const { counts } = await log.read()
  log.check()
  assert.deepEqual([counts.truncations, counts.gaps], [1, 1])
})

test('an open line waits for its end, then for as long as is set', async (t) => {
  const log = setUp(t)
  log.limits.flushMs = 60_000
  appendFileSync(log.path, 'open')
  await log.read(100)
  assert.deepEqual(log.lines, [])
  appendFileSync(log.path, ' and shut\nnext')
  await log.read(100)
  assert.deepEqual(log.lines, ['open and shut'])
  log.limits.flushMs = 200
  await log.read(400)
  assert.deepEqual(log.lines, ['open and shut', 'next'])
})

test('too far behind: the oldest is skipped and counted', async (t) => {
  const log = setUp(t)
  log.write(1)
  await log.read()
  log.limits.maxLagBytes = 10_000
  log.write(10_000)
  const { counts } = await log.read()
  assert.ok(counts.skippedBytes > 90_000, String(counts.skippedBytes))
  assert.equal(log.lines.at(-1), 'line 10001')
  assert.match(log.lines[1] ?? '', /^line \d+$/)
})

// Where reading of a log begins: for an agent that was there before, whatever was done to the files meanwhile, after the
// last line that it handed on; for a new one at the end, or at a time.
import assert from 'node:assert/strict'
import { appendFileSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { jsonFile } from '../../../receivers/container_logs/formats/json_file.ts'
import { setUp } from './one_log.ts'
import { compress, copyAndTruncate, shift } from './rotating.ts'

/** As Docker writes them. */
const record = (text: string, stream = 'stdout') => `${JSON.stringify({ log: text, stream, time: '' })}\n`
const piece = 'p'.repeat(16 << 10)

for (const [when, copied] of Object.entries({ begun: 0, 'half done': 0.5, done: 1 })) {
  test(`a new agent comes while a copy is ${when} and the log not truncated yet`, async (t) => {
    const log = setUp(t)
    log.write(10)
    await log.read()
    log.end()
    log.write(10)
    copyAndTruncate(log.path)
    log.write(100)
    renameSync(`${log.path}.1`, `${log.path}.2`)
    const bytes = readFileSync(log.path)
    writeFileSync(`${log.path}.1`, bytes.subarray(0, Math.floor(bytes.length * copied)))
    await log.read()
    writeFileSync(`${log.path}.1`, bytes)
    await log.read()
    truncateSync(log.path)
    await log.read()
    log.write(200)
    await log.read()
    log.check()
  })
}

test('an old file that cannot be unpacked is told', async (t) => {
  const log = setUp(t)
  log.write(10)
  await log.read()
  log.write(10)
  const packed = gzipSync(readFileSync(log.path))
  rmSync(log.path)
  writeFileSync(`${log.path}.1.gz`, packed.subarray(0, packed.length / 2))
  log.write(5)
  log.end()
  await log.read()
  assert.match(log.told.join(), /^cannot unpack .*app\.log\.1\.gz: .+ · fix: /)
  assert.equal(log.lines.at(-1), 'line 25')
})

for (const [how, change] of Object.entries({
  nothing: () => {},
  'a rename': (path: string) => shift(path, 1),
  'a rename and compression': (path: string) => {
    shift(path, 1)
    compress(`${path}.1`)
  },
  'a copy and truncation': copyAndTruncate,
})) {
  test(`${how} while no agent was there`, async (t) => {
    const log = setUp(t)
    log.write(10)
    await log.read()
    log.end()
    log.write(10)
    change(log.path)
    log.write(10)
    const { counts } = await log.read(200)
    log.check()
    assert.equal(counts.gaps, 0)
    log.end()
    await log.read()
    log.check()
  })
}

test('two renames while no agent was there', async (t) => {
  const log = setUp(t)
  log.write(100)
  await log.read()
  log.end()
  log.write(10)
  shift(log.path, 1)
  log.write(10)
  shift(log.path, 2)
  log.write(10)
  await log.read(200)
  log.check()
})

test('two files are half read when the agent ends, and both are compressed then', async (t) => {
  const log = setUp(t)
  log.write(10)
  await log.read()
  shift(log.path, 1)
  log.write(10)
  await log.read()
  log.end()
  log.write(10)
  shift(log.path, 2)
  for (const old of ['.1', '.2']) compress(`${log.path}${old}`)
  log.write(10)
  await log.read(200)
  log.check()
})

test('a line in pieces is whole after a restart, and nothing between them comes twice', async (t) => {
  const log = setUp(t, { format: jsonFile })
  log.limits.flushMs = 60_000
  appendFileSync(log.path, record('first\n') + record(piece) + record('err\n', 'stderr'))
  await log.read()
  log.end()
  appendFileSync(log.path, record('end\n'))
  await log.read()
  assert.deepEqual(log.lines, ['first', `${piece}end`])
})

test('a line whose pieces are in two files is whole after two restarts', async (t) => {
  const log = setUp(t, { format: jsonFile })
  log.limits.flushMs = 60_000
  appendFileSync(log.path, record('first\n') + record(piece))
  await log.read()
  shift(log.path, 1)
  appendFileSync(log.path, record('err\n', 'stderr'))
  await log.read()
  for (const more of ['one\n', 'two\n']) {
    log.end()
    appendFileSync(log.path, record(more, 'stderr'))
    await log.read()
  }
  log.end()
  appendFileSync(log.path, record('end\n'))
  await log.read()
  assert.deepEqual(log.lines, ['first', `${piece}end`])
})

test('from the end: what is there is left alone', async (t) => {
  const log = setUp(t, { start: { at: 'end' } })
  log.write(1000)
  await log.read()
  assert.deepEqual(log.lines, [])
  appendFileSync(log.path, 'new\n')
  await log.read()
  assert.deepEqual(log.lines, ['new'])
})

test('since a time: what is older is left alone, to the line', async (t) => {
  const sinceMs = Date.parse('2026-01-01T00:10:00Z')
  const log = setUp(t, { format: jsonFile, start: { at: 'time', sinceMs, whole: false } })
  for (let i = 0; i < 5000; i++) {
    const time = new Date(sinceMs + (i - 4000) * 100).toISOString()
    appendFileSync(log.path, `${JSON.stringify({ log: `${i}\n`, stream: 'stdout', time })}\n`)
  }
  await log.read()
  assert.equal(log.lines[0], '4000')
  assert.equal(log.lines.length, 1000)
})

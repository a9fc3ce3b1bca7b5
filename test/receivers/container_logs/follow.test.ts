// One log through everything that is done to log files; each line has to come once, also over restarts.
import assert from 'node:assert/strict'
import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { decodeSlot, openCheckpoints, type Saved } from '../../../receivers/container_logs/checkpoints.ts'
import { type Follower, follow } from '../../../receivers/container_logs/follow.ts'
import { jsonFile } from '../../../receivers/container_logs/formats/json_file.ts'
import { text } from '../../../receivers/container_logs/formats/text.ts'
import type { Start } from '../../../receivers/container_logs/start.ts'
import { until } from '../../until.ts'

function setUp(t: TestContext, { format = text, start = { at: 'time', sinceMs: 0, whole: true } as Start } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-follow-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'app.log')
  const lines: string[] = []
  const told: string[] = []
  const limits = { maxLineBytes: 1 << 20, maxLagBytes: 1 << 30, flushMs: 200 }
  let saved: Saved | undefined
  let follower: Follower | undefined
  let n = 0
  const open = () =>
    follow({
      path,
      format: format(limits),
      chain: { scratchDirectory: folder, mostUnpackedBytes: 1 << 24, failed: ({ message }) => void told.push(message) },
      limits,
      start,
      saved,
      deliver({ stdout }) {
        if (stdout.count === 0) return
        const told = stdout.bytes.toString('latin1', 0, stdout.length)
        assert.ok(told.endsWith('\n'))
        lines.push(...told.slice(0, -1).split('\n'))
      },
      save: (now) => {
        saved = now
      },
      failed: (error) => assert.fail(error),
    })
  return {
    path,
    limits,
    lines,
    told,
    /** Appends lines `1`, `2` … */
    write(count: number) {
      let out = ''
      for (let i = 0; i < count; i++) out += `line ${++n}\n`
      appendFileSync(path, out)
    },
    /** Looks for a while, and reads what is there. */
    async read(forMs = 60) {
      follower ??= open()
      // Some turns of the event loop at least, because what is slow here is the machine.
      for (let turns = 0, endMs = Date.now() + forMs; turns < 25 || Date.now() < endMs; turns++) {
        await sleep(5)
        if (follower.poll(Date.now())) while (follower.readShare());
      }
      return follower
    },
    /** Looks once, and reads nothing. */
    async look() {
      follower ??= open()
      follower.poll(Date.now())
      return follower
    },
    /** Lets the agent end; the next `read` is another one's. */
    end() {
      follower?.close()
      follower = undefined
    },
    check() {
      assert.deepEqual(
        lines,
        Array.from({ length: n }, (_, i) => `line ${i + 1}`),
      )
      assert.deepEqual(told, [])
    },
  }
}

/** As logrotate names them: .1, .2 … */
function shift(path: string, old: number): void {
  for (let i = old; i > 0; i--) renameSync(i === 1 ? path : `${path}.${i - 1}`, `${path}.${i}`)
}

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
  writeFileSync(`${log.path}.3.gz`, gzipSync(readFileSync(`${log.path}.3`)))
  rmSync(`${log.path}.3`)
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
  copyFileSync(log.path, `${log.path}.1`)
  truncateSync(log.path)
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
  copyFileSync(log.path, `${log.path}.1`)
  truncateSync(log.path)
  log.write(5)
  await log.read(200)
  log.check()
})

for (const [when, copied] of Object.entries({ begun: 0, 'half done': 0.5, done: 1 })) {
  test(`a new agent comes while a copy is ${when} and the log not truncated yet`, async (t) => {
    const log = setUp(t)
    log.write(10)
    await log.read()
    log.end()
    log.write(10)
    copyFileSync(log.path, `${log.path}.1`)
    truncateSync(log.path)
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
  copyFileSync(log.path, `${log.path}.1`)
  truncateSync(log.path)
  log.write(100)
  await log.read()
  log.check()
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

for (const [how, change] of Object.entries({
  nothing: () => {},
  'a rename': (path: string) => shift(path, 1),
  'a rename and compression': (path: string) => {
    writeFileSync(`${path}.1.gz`, gzipSync(readFileSync(path)))
    rmSync(path)
  },
  'a copy and truncation': (path: string) => {
    copyFileSync(path, `${path}.1`)
    truncateSync(path)
  },
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
  for (const old of ['.1', '.2']) {
    writeFileSync(`${log.path}${old}.gz`, gzipSync(readFileSync(`${log.path}${old}`)))
    rmSync(`${log.path}${old}`)
  }
  log.write(10)
  await log.read(200)
  log.check()
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

test('a line in pieces is whole after a restart, and nothing between them comes twice', async (t) => {
  const log = setUp(t, { format: jsonFile })
  log.limits.flushMs = 60_000
  const record = (text: string, stream = 'stdout') => `${JSON.stringify({ log: text, stream, time: '' })}\n`
  const piece = 'p'.repeat(16 << 10)
  appendFileSync(log.path, record('first\n') + record(piece) + record('err\n', 'stderr'))
  await log.read()
  log.end()
  appendFileSync(log.path, record('end\n'))
  await log.read()
  assert.ok(log.lines.length === 2 && log.lines[1] === `${piece}end`)
})

test('a line whose pieces are in two files is whole after two restarts', async (t) => {
  const log = setUp(t, { format: jsonFile })
  log.limits.flushMs = 60_000
  const record = (text: string, stream = 'stdout') => `${JSON.stringify({ log: text, stream, time: '' })}\n`
  const piece = 'p'.repeat(16 << 10)
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

test('offsets survive, damaged ones are not believed, and two agents do not share a file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-offsets-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'offsets')
  const saved = { files: [{ dev: '1', ino: '2', offset: 3, tail: 'YWJj' }], modifiedMs: 4 }
  const first = await openCheckpoints(path)
  for (let i = 0; i < 100; i++) first.write(`log ${i}`, saved)
  await assert.rejects(openCheckpoints(path), /fix: /)
  first.close()
  assert.equal(statSync(path).size, 101 * 1024)

  const bytes = readFileSync(path)
  bytes[5 * 1024 + 20] = (bytes[5 * 1024 + 20] ?? 0) ^ 1
  writeFileSync(path, bytes.subarray(0, 100 * 1024 + 50))
  const second = await openCheckpoints(path)
  assert.deepEqual(second.read('log 0'), saved)
  assert.equal(second.read('log 4'), undefined)
  assert.equal(second.read('log 99'), undefined)
  assert.equal(second.damaged, 2)
  second.remove('log 0')
  second.close()
  const third = await openCheckpoints(path)
  assert.equal(third.read('log 0'), undefined)
  third.close()

  writeFileSync(path, 'somebody else has this file')
  await assert.rejects(openCheckpoints(path), /fix: /)
  assert.equal(readFileSync(path, 'utf8'), 'somebody else has this file')
  assert.equal(decodeSlot(Buffer.alloc(1024)), undefined)
})

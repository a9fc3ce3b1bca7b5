// Logs that are no logs, and lines that are no lines: nothing is read that is not the log's, nothing stops.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openCheckpoints } from '../../../receivers/container_logs/checkpoints.ts'
import { startRounds } from '../../../receivers/container_logs/rounds.ts'
import { atEnd } from '../../ending.ts'
import { requires } from '../../requires.ts'
import { setUp } from './one_log.ts'

for (const [what, put] of Object.entries({
  'a directory': (path: string) => mkdirSync(path),
  'a link to another file': (path: string) => {
    writeFileSync(`${path}-secret`, 'secret\n')
    symlinkSync(`${path}-secret`, path)
  },
  'a FIFO': (path: string) => execFileSync('mkfifo', [path]),
  'a link to a device': (path: string) => symlinkSync('/dev/zero', path),
  'a link to itself': (path: string) => symlinkSync(path, path),
})) {
  test(`${what} in the log's place is not read, and reading goes on when the log is back`, async (t) => {
    const log = setUp(t)
    log.write(5)
    await log.read()
    renameSync(log.path, `${log.path}.1`)
    put(log.path)
    await log.read()
    if (what === 'a directory') rmdirSync(log.path)
    else rmSync(log.path)
    log.write(5)
    await log.read()
    log.check()
  })
}

test('a line of 40 MB is cut where the longest lines end, and the next one is whole', async (t) => {
  const log = setUp(t)
  const megabyte = Buffer.alloc(1 << 20, 'x')
  appendFileSync(log.path, '')
  await log.read()
  for (let i = 0; i < 40; i++) appendFileSync(log.path, megabyte)
  await log.read()
  appendFileSync(log.path, '\nnext\n')
  const { counts } = await log.read()
  assert.deepEqual(
    log.lines.map(({ length }) => length),
    [log.limits.maxLineBytes, 4],
  )
  assert.ok(Math.abs(counts.cutBytes - 39 * megabyte.length) <= 1, `${counts.cutBytes} bytes cut`)
})

test('bytes that are no UTF-8 come as they are', async (t) => {
  const log = setUp(t)
  const bytes = Buffer.from([0xff, 0xfe, 0x00, 0x80, 0xc3, 0x0a, 0xed, 0xa0, 0x80, 0x0a])
  appendFileSync(log.path, bytes)
  await log.read()
  assert.equal(`${log.lines.join('\n')}\n`, bytes.toString('latin1'))
})

test(
  'while the disk is full offsets are not noted, which is told, and noted again when there is room',
  requires('root'),
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'leadline-full-'))
    atEnd(t, () => rmSync(folder, { recursive: true, force: true }))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'none', folder])
    atEnd(t, () => execFileSync('umount', ['--lazy', folder]))
    const told: string[] = []
    const checkpoints = await openCheckpoints(join(folder, 'offsets'), ({ message }) => void told.push(message))
    const fill = openSync(join(folder, 'fill'), 'w')
    assert.throws(() => {
      for (let i = 0; i < 100; i++) writeSync(fill, Buffer.alloc(4096))
    }, /ENOSPC/)
    const saved = (offset: number) => ({ files: [{ dev: '1', ino: '2', offset, tail: '' }], modifiedMs: 4 })
    for (let i = 0; i < 20; i++) checkpoints.write(`log ${i}`, saved(1))
    assert.match(told.join(), /^cannot note offsets in .*ENOSPC.* · fix: /)
    rmSync(join(folder, 'fill'))
    execFileSync('truncate', ['-s', '0', `/proc/${process.pid}/fd/${fill}`])
    for (let i = 0; i < 10; i++) checkpoints.write(`log ${i}`, saved(2))
    checkpoints.close()
    const next = await openCheckpoints(join(folder, 'offsets'), assert.fail)
    assert.equal(next.read('log 9')?.files[0]?.offset, 2)
    next.close()
  },
)

test('a thousand logs with news at once leave turns to others', async (t) => {
  const { promise: allRead, resolve } = Promise.withResolvers<void>()
  let left = 1000
  let atOnce = 0
  let most = 0
  const rounds = startRounds(assert.fail)
  t.after(() => rounds.stop())
  for (let i = 0; i < left; i++) {
    let hasNews = true
    rounds.add({
      poll: () => hasNews,
      readShare() {
        for (const endMs = performance.now() + 2; performance.now() < endMs; );
        if (hasNews && --left === 0) resolve()
        hasNews = false
        most = Math.max(most, ++atOnce)
        return false
      },
      watch: () => undefined,
      finished: false,
      young: false,
    })
  }
  const others = setInterval(() => {
    atOnce = 0
  }, 1)
  t.after(() => clearInterval(others))
  await allRead
  // Six milliseconds, and one share that begins within them.
  assert.ok(most <= 8, `${most} shares of 2 ms before anybody else had a turn`)
})

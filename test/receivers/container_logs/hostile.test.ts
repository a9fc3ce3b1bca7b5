// Logs that are no logs, and lines that are no lines: nothing is read that is not the log's, nothing stops.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdirSync, renameSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { startRounds } from '../../../receivers/container_logs/rounds.ts'
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

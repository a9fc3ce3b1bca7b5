// Rotated logs that were compressed: nothing of what is unpacked stays on disk, however the agent ends.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { filesSince } from '../../../receivers/container_logs/chain.ts'
import { closeLogFile } from '../../../receivers/container_logs/log_file.ts'
import { removeAbandoned } from '../../../receivers/container_logs/unpacked.ts'
import { until } from '../../until.ts'

const CHAIN = new URL('../../../receivers/container_logs/chain.ts', import.meta.url).href
const MINUTE_MS = 60_000

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'leadline-unpacked-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** A log whose older file is compressed, and large enough that unpacking takes many turns. */
function rotatedLog(t: TestContext) {
  const directory = folder(t)
  const scratch = join(directory, 'scratch')
  mkdirSync(scratch)
  const path = join(directory, 'app.log')
  writeFileSync(path, 'the last line\n')
  const text = `${randomBytes(1 << 16).toString('hex')}\n`.repeat(64)
  writeFileSync(`${path}.1.gz`, gzipSync(text, { level: 1 }))
  return { path, scratch, bytes: text.length }
}

test('an agent that is killed in the middle of unpacking leaves no file', (t) => {
  const { path, scratch } = rotatedLog(t)
  // It ends when it sees among its own descriptors what is being unpacked.
  const agent = `
    import { readdirSync, readlinkSync } from 'node:fs'
    import { setImmediate as nextTurn } from 'node:timers/promises'
    import { filesSince } from ${JSON.stringify(CHAIN)}
    const link = (fd) => { try { return readlinkSync('/proc/self/fd/' + fd) } catch { return '' } }
    const options = { scratchDirectory: ${JSON.stringify(scratch)}, mostUnpackedBytes: 2 ** 30, failed: console.error }
    void filesSince(${JSON.stringify(path)}, 0, options).then(() => process.exit(3))
    for (;;) {
      if (readdirSync('/proc/self/fd').some((fd) => link(fd).includes('/unpacked-'))) process.kill(process.pid, 'SIGKILL')
      await nextTurn()
    }`
  const { signal, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', agent], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  assert.equal(signal, 'SIGKILL', stderr)
  assert.deepEqual(readdirSync(scratch), [])
})

test('what was unpacked is read as it was, and is as old as its file', async (t) => {
  const { path, scratch, bytes } = rotatedLog(t)
  const options = { scratchDirectory: scratch, mostUnpackedBytes: 2 ** 30, failed: assert.fail }
  const files = await filesSince(path, 0, options)
  assert.deepEqual(
    files.map(({ size }) => size),
    [bytes, statSync(path).size],
  )
  assert.equal(Math.floor(files[0]?.modifiedMs ?? 0), Math.floor(statSync(`${path}.1.gz`).mtimeMs))
  assert.deepEqual(readdirSync(scratch), [])
  for (const file of files) closeLogFile(file)
})

test('where nothing can be unpacked to, or it is too large, that is told and no descriptor stays open', async (t) => {
  const { path, scratch, bytes } = rotatedLog(t)
  const told: string[] = []
  const failed = ({ message }: Error) => void told.push(message)
  const open = () => readdirSync('/proc/self/fd').length
  const openBefore = open()
  for (const options of [
    { scratchDirectory: join(scratch, 'nowhere'), mostUnpackedBytes: 2 ** 30, failed },
    { scratchDirectory: scratch, mostUnpackedBytes: bytes - 1, failed },
  ]) {
    const files = await filesSince(path, 0, options)
    assert.equal(files.length, 1)
    for (const file of files) closeLogFile(file)
  }
  assert.match(told[0] ?? '', /^cannot unpack .*app\.log\.1\.gz: ENOENT.* · fix: /)
  assert.match(told[1] ?? '', /^cannot unpack .*app\.log\.1\.gz: larger than \d+ bytes · fix: /)
  assert.equal(told.length, 2)
  // Streams close theirs a moment later.
  await until('as many descriptors are open as before', () => open() === openBefore)
})

test('what older versions left is removed at the start, but not what somebody may be writing', (t) => {
  const directory = folder(t)
  const kept = ['container_logs.offsets', 'unpacked-notes', 'unpacked-0123456789abc']
  for (const name of [...kept, 'unpacked-0123456789ab', 'unpacked-ba9876543210']) {
    writeFileSync(join(directory, name), '12345')
  }
  symlinkSync(join(directory, 'container_logs.offsets'), join(directory, 'unpacked-aaaaaaaaaaaa'))
  mkdirSync(join(directory, 'unpacked-bbbbbbbbbbbb'))
  assert.deepEqual(removeAbandoned(directory), { files: 0, bytes: 0 })
  assert.equal(readdirSync(directory).length, 7)
  assert.deepEqual(removeAbandoned(directory, Date.now() + 2 * MINUTE_MS), { files: 2, bytes: 10 })
  assert.deepEqual(readdirSync(directory).sort(), [...kept, 'unpacked-aaaaaaaaaaaa', 'unpacked-bbbbbbbbbbbb'].sort())
})

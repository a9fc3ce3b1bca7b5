// The file of offsets: what is noted is there after a restart, what is damaged is not believed, and no two agents share it.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { decodeSlot, openCheckpoints } from '../../../receivers/container_logs/checkpoints.ts'
import { atEnd } from '../../ending.ts'
import { requires } from '../../requires.ts'

test('offsets survive, damaged ones are not believed, and two agents do not share a file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'leadline-offsets-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'offsets')
  const saved = { files: [{ dev: '1', ino: '2', offset: 3, tail: 'YWJj' }], modifiedMs: 4 }
  const first = await openCheckpoints(path, assert.fail)
  for (let i = 0; i < 100; i++) first.write(`log ${i}`, saved)
  await assert.rejects(openCheckpoints(path, assert.fail), /fix: /)
  first.close()
  assert.equal(statSync(path).size, 101 * 1024)

  const bytes = readFileSync(path)
  bytes[5 * 1024 + 20] = (bytes[5 * 1024 + 20] ?? 0) ^ 1
  writeFileSync(path, bytes.subarray(0, 100 * 1024 + 50))
  const second = await openCheckpoints(path, assert.fail)
  assert.deepEqual(second.read('log 0'), saved)
  assert.equal(second.read('log 4'), undefined)
  assert.equal(second.read('log 99'), undefined)
  assert.equal(second.damaged, 2)
  second.remove('log 0')
  second.close()
  const third = await openCheckpoints(path, assert.fail)
  assert.equal(third.read('log 0'), undefined)
  third.close()

  writeFileSync(path, 'somebody else has this file')
  await assert.rejects(openCheckpoints(path, assert.fail), /fix: /)
  assert.equal(readFileSync(path, 'utf8'), 'somebody else has this file')
  assert.equal(decodeSlot(Buffer.alloc(1024)), undefined)
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

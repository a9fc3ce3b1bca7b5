// struct taskstats of this kernel as it came, the layouts of all versions, and damaged bytes.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  countedBy,
  decodeExit,
  decodeTaskStats,
  splitAnswers,
  splitExits,
} from '../../../receivers/delay_accounting/decode.ts'
import { delayNames } from '../../../receivers/delay_accounting/delays.ts'
import { randomFrom } from '../../random.ts'

/** Datagrams of Linux 6.18 (taskstats version 16): netlink header of 16 bytes, generic netlink header of 4, attributes. */
const captured = (name: string) => readFileSync(join(import.meta.dirname, '../../fixtures/netlink', name)).subarray(20)
const EXIT = captured('taskstats-exit-6.18.bin')

/** The sums of include/uapi/linux/taskstats.h by version: [first version, byte offset, offset in version 15]. */
const HEADER: readonly (readonly [number, number, number])[] = [
  [1, 24, 24],
  [1, 40, 56],
  [1, 56, 88],
  [7, 320, 368],
  [9, 336, 400],
  [11, 360, 440],
  [13, 408, 504],
  [14, 424, 536],
]
/** sizeof(struct taskstats). */
const SIZES: Readonly<Record<number, number>> = {
  ...{ 7: 328, 8: 328, 9: 344, 10: 352, 11: 368, 12: 400, 13: 416, 14: 432, 15: 560, 16: 560 },
}

/** A struct in which each sum is a number of its own. */
function built(version: number, size = SIZES[version] ?? 600): Buffer {
  const bytes = Buffer.alloc(size)
  bytes.writeUInt16LE(version)
  for (const [i, [first, at, at15]] of HEADER.entries()) {
    const offset = version === 15 ? at15 : at
    if (version >= first && offset + 8 <= size) bytes.writeBigUInt64LE(1_000_000_000_000n * BigInt(i + 1), offset)
  }
  return bytes
}

test('an exit of this kernel tells of the task, and of its group when it was the last of several', () => {
  const exit = decodeExit(EXIT)
  assert.ok(exit)
  assert.equal(exit.task.version, 16)
  assert.equal(exit.task.ns.length, delayNames.length)
  assert.ok([...exit.task.ns].every((ns) => Number.isSafeInteger(ns) && ns >= 0 && ns < 1e12))
  assert.ok(exit.pid > 0 && exit.task.ppid > 0)
  if (exit.group) {
    assert.equal(exit.group.tgid, exit.task.tgid)
    assert.equal(exit.group.stats.version, 16, 'the kernel sends it without a version')
    assert.ok((exit.group.stats.ns[0] ?? 0) >= (exit.task.ns[0] ?? 0))
  }
})

for (const version of Object.keys(SIZES).map(Number)) {
  test(`version ${version} has its sums where the header has them`, () => {
    const stats = decodeTaskStats(built(version))
    assert.ok(stats)
    const expected = HEADER.map(([first], i) => (version >= first ? 1e12 * (i + 1) : 0))
    assert.deepEqual([...stats.ns], expected)
    assert.deepEqual(
      countedBy(version, SIZES[version] ?? 0),
      HEADER.map(([first]) => version >= first),
    )
    assert.equal(stats.tgid === undefined, version < 12)
    assert.equal(stats.last === undefined, version < 12)
    assert.equal(stats.wpcopyCount === undefined, version < 13)
  })
}

test('what is longer, or newer, has only more at its end', () => {
  for (const version of [16, 17, 40]) {
    assert.deepEqual(decodeTaskStats(built(version, 2000))?.ns, decodeTaskStats(built(16))?.ns)
  }
  assert.deepEqual(countedBy(16, 432), countedBy(14, 432))
})

test('what is cut short is not guessed at', () => {
  for (const [version, size] of Object.entries(SIZES).map(([v, s]) => [Number(v), s] as const)) {
    const whole = built(version)
    for (let length = 0; length < size; length++) {
      const stats = decodeTaskStats(whole.subarray(0, length))
      if (length < 328 || (version === 15 && length < 560)) assert.equal(stats, undefined)
      else for (const ns of stats?.ns ?? []) assert.ok(ns % 1e12 === 0, `${ns} of version ${version}, ${length} bytes`)
    }
  }
})

test('a version that never was is none, unless another message told it', () => {
  for (const version of [0, 1, 6]) {
    const bytes = built(16)
    bytes.writeUInt16LE(version)
    assert.equal(decodeTaskStats(bytes), undefined)
  }
  const unversioned = built(16)
  unversioned.writeUInt16LE(0)
  assert.deepEqual(decodeTaskStats(unversioned, 16)?.ns, decodeTaskStats(built(16))?.ns)
})

test('answers and exits are split by their lengths, and what is cut short ends them', () => {
  const header = (tgid: number, length: number) => {
    const bytes = Buffer.alloc(8)
    bytes.writeUInt32LE(tgid)
    bytes.writeUInt32LE(length, 4)
    return bytes
  }
  const one = built(16)
  const both = Buffer.concat([header(1, one.length), one, header(2, one.length), one])
  assert.deepEqual(
    [...splitAnswers(both)].map(({ tgid }) => tgid),
    [1, 2],
  )
  for (let cut = 0; cut < both.length; cut++) {
    const expected = cut < both.length / 2 ? 0 : 1
    assert.equal([...splitAnswers(both.subarray(0, cut))].length, expected)
  }
  const message = Buffer.concat([header(EXIT.length, 0).subarray(0, 4), EXIT])
  const exits = Buffer.concat([message, message])
  assert.deepEqual([...splitExits(exits)].map(Boolean), [true, true])
  assert.deepEqual([...splitExits(exits.subarray(0, -1))].map(Boolean), [true, false])
  const huge = Buffer.from(message)
  huge.writeUInt32LE(0xffffffff)
  assert.deepEqual([...splitExits(huge)], [undefined])
})

test('a million damaged messages are answered in time, and what they hold are numbers', () => {
  const next = randomFrom(11)
  const startMs = performance.now()
  let decoded = 0
  for (let i = 0; i < 1_000_000; i++) {
    // One in ten is cut or replaced as a whole, the others have one to three bytes wrong.
    const undo: [number, number][] = []
    for (let wrong = next(3); wrong >= 0; wrong--) {
      const at = next(4) === 0 ? next(64) : next(EXIT.length)
      undo.push([at, EXIT[at] ?? 0])
      EXIT[at] = next(256)
    }
    const exit = decodeExit(next(10) === 0 ? EXIT.subarray(next(40), next(EXIT.length)) : EXIT)
    if (exit !== undefined) {
      decoded++
      if (!Number.isInteger(exit.pid) || exit.task.ns.some((ns) => !(ns >= 0 && ns < 2 ** 64))) assert.fail(`${i}`)
    }
    for (const [at, was] of undo.toReversed()) EXIT[at] = was
  }
  assert.ok(decoded > 100_000, `${decoded} were still readable`)
  assert.ok(performance.now() - startMs < 60_000)
})

test('random bytes are no message', () => {
  const next = randomFrom(13)
  for (let i = 0; i < 20_000; i++) {
    const bytes = Buffer.from(Array.from({ length: next(200) }, () => next(256)))
    decodeExit(bytes)
    ;[...splitExits(bytes)]
    ;[...splitAnswers(bytes)]
    decodeTaskStats(bytes)
  }
})

// What the kernel program keeps, byte for byte as bpf/delay_accounting.bpf.c lays it out.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeCounters, decodeTotals, TOTALS_SIZE } from '../../../receivers/delay_accounting/totals.ts'
import { randomFrom } from '../../random.ts'

const PASS = 7

/** Maps of the kernel: u64 cgroup → eight u64 of nanoseconds, u64 pass, u64 unmeasured, u64 unmeasured that ended. */
function map(...entries: { cgroup: bigint; ns?: bigint; pass?: number; unmeasured?: number; ended?: number }[]) {
  const keys = Buffer.alloc(entries.length * 8)
  const values = Buffer.alloc(entries.length * 88)
  for (const [i, { cgroup, ns = 0n, pass = PASS, unmeasured = 0, ended = 0 }] of entries.entries()) {
    keys.writeBigUInt64LE(cgroup, i * 8)
    for (let delay = 0; delay < 8; delay++) values.writeBigUInt64LE(ns + BigInt(delay), i * 88 + delay * 8)
    for (const [at, value] of [pass, unmeasured, ended].entries()) {
      values.writeBigUInt64LE(BigInt(value), i * 88 + 64 + at * 8)
    }
  }
  return { count: entries.length, keySize: 8, valueSize: 88, keys, values }
}

test('each control group has its sums', () => {
  assert.equal(TOTALS_SIZE, 88)
  const content = map({ cgroup: 4711n, ns: 5_000_000_000n, unmeasured: 2, ended: 3 }, { cgroup: 0n })
  const [first, none, ...rest] = decodeTotals(content, PASS)
  assert.deepEqual(first, {
    cgroup: 4711,
    ns: Float64Array.from({ length: 8 }, (_, i) => 5e9 + i),
    unmeasured: 2,
    unmeasuredEnded: 3,
  })
  assert.equal(none?.cgroup, 0)
  assert.deepEqual(rest, [])
})

test('the count of the living is of this pass only, that of the ended is for ever', () => {
  const [totals] = decodeTotals(map({ cgroup: 1n, pass: PASS - 1, unmeasured: 2, ended: 3 }), PASS)
  assert.deepEqual([totals?.unmeasured, totals?.unmeasuredEnded], [0, 3])
})

test('an object of another version is said to be one, with the remedy', () => {
  for (const wrong of [{ keySize: 4 }, { valueSize: 80 }, { valueSize: 96 }]) {
    assert.throws(() => decodeTotals({ ...map({ cgroup: 1n }), ...wrong }, PASS), /another version.* · fix: build it/)
  }
})

test('what is cut short is left out, and random bytes are numbers', () => {
  const next = randomFrom(17)
  for (let i = 0; i < 5000; i++) {
    const keys = Buffer.from(Array.from({ length: next(40) }, () => next(256)))
    const values = Buffer.from(Array.from({ length: next(300) }, () => next(256)))
    const all = decodeTotals({ count: next(100), keySize: 8, valueSize: 88, keys, values }, PASS)
    assert.ok(all.length <= Math.min(keys.length / 8, values.length / 88))
    for (const { ns } of all) assert.ok(Array.from(ns).every((value) => value >= 0))
  }
})

test('the counters tell what was lost and what this kernel counts', () => {
  const bytes = Buffer.alloc(24)
  bytes.writeBigUInt64LE(3n)
  bytes.writeBigUInt64LE(4n, 8)
  bytes.writeUInt32LE(0b00000101, 16)
  const counted = [true, false, true, false, false, false, false, false]
  assert.deepEqual(decodeCounters(bytes), { refused: 3, noStorage: 4, counted })
  assert.deepEqual(decodeCounters(Buffer.concat([bytes, bytes])), { refused: 3, noStorage: 4, counted })
  for (let length = 0; length < 24; length++) assert.equal(decodeCounters(bytes.subarray(0, length)), undefined)
  assert.equal(decodeCounters(undefined), undefined)
})

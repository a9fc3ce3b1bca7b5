// What the kernel's map holds, decoded and added up as differences.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  activeOf,
  addDifference,
  BUCKETS,
  bucketOf,
  CONNECTS,
  decodeKey,
  FAILED,
  KEY_SIZE,
  keyText,
  minRttOf,
  NUMBERS,
  nothingSeen,
  RETRANSMITS,
  RTTS,
  SENT,
  VALUE_SIZE,
} from '../../../receivers/tcp_connections/totals.ts'

/** struct key as the kernel writes it. */
function key(kind: number, address: string): Buffer {
  const bytes = Buffer.alloc(KEY_SIZE)
  bytes.writeBigUInt64LE(4711n, 0)
  bytes.set(Buffer.from(address, 'hex'), 8)
  bytes.writeUInt32LE(4026531840, 24)
  bytes.writeUInt16LE(443, 28)
  bytes[30] = kind
  return bytes
}

const V4 = '00000000000000000000ffff0a4d0202'
const V6 = '20010db8000000000000000000000001'

test('a key is an address that was dialled, or one that listens, or what was one too many', () => {
  const direct = decodeKey(key(1, V4))
  assert.deepEqual(direct, {
    cgroup: 4711,
    netns: 4026531840,
    address: '10.77.2.2',
    port: 443,
    incoming: false,
    state: 'direct',
  })
  assert.equal(direct && keyText(direct), '10.77.2.2:443')
  const unresolved = decodeKey(key(2, V6))
  assert.equal(unresolved?.state, 'unresolved')
  assert.equal(unresolved && keyText(unresolved), '[2001:db8::1]:443')
  assert.deepEqual([decodeKey(key(4, V4))?.incoming, decodeKey(key(5, V4))?.incoming], [true, true])
  assert.equal(decodeKey(key(3, V4))?.address, '')
})

test('what is no key is not guessed at', () => {
  assert.equal(decodeKey(key(0, V4)), undefined)
  assert.equal(decodeKey(key(6, V4)), undefined)
  assert.equal(decodeKey(key(1, V4).subarray(0, KEY_SIZE - 1)), undefined)
})

test('numbers are added as differences, and those of 32 bits may wrap', () => {
  const seen = nothingSeen()
  const sums = new Float64Array(NUMBERS)
  const value = Buffer.alloc(VALUE_SIZE)
  value.writeBigUInt64LE(2n ** 40n, 0)
  value.writeUInt32LE(0xfffffff0, 32)
  value.writeInt32LE(-2, 40)
  assert.equal(addDifference(value, seen, sums), true)
  assert.deepEqual([sums[SENT], sums[CONNECTS], activeOf(seen)], [2 ** 40, 0xfffffff0, -2])
  assert.equal(addDifference(value, seen, sums), false)
  value.writeBigUInt64LE(2n ** 40n + 5n, 0)
  value.writeUInt32LE(0x10, 32)
  value.writeUInt32LE(3, 44)
  value.writeUInt32LE(7, 64)
  value.writeUInt32LE(9, VALUE_SIZE - 4)
  addDifference(value, seen, sums)
  assert.deepEqual([sums[SENT], sums[CONNECTS]], [2 ** 40 + 5, 0xfffffff0 + 0x20])
  assert.deepEqual([sums[RETRANSMITS], sums[FAILED], sums[RTTS + BUCKETS - 1]], [3, 7, 9])
})

test('the smallest round trip counts for the pass it was measured in, and not when it is none', () => {
  const seen = nothingSeen()
  seen[14] = 250
  seen[15] = 3
  assert.equal(minRttOf(seen, 3), 250)
  assert.equal(minRttOf(seen, 4), undefined)
  seen[14] = 0xffffffff
  assert.equal(minRttOf(seen, 3), undefined)
})

test('a bucket holds what is at most its bound', () => {
  assert.deepEqual([0, 500, 501, 2000, 1_000_000, 1_000_001].map(bucketOf), [0, 0, 1, 1, 5, 6])
})

// What the last probes say, and what all of them add up to.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { failureOf, failureOfSend } from '../../../receivers/icmp_latency/failures.ts'
import {
  addAnswered,
  addRoundTrip,
  addUnanswered,
  BOUNDS,
  jitterS,
  latencyS,
  newRecent,
  newStatistics,
} from '../../../receivers/icmp_latency/statistics.ts'

test('the latency is the median of the last five probes, and absent when none was answered', () => {
  const recent = newRecent()
  assert.equal(latencyS(recent), undefined)
  for (const seconds of [9, 9, 1, 2, 3, 4, 5]) addAnswered(recent, seconds)
  assert.equal(latencyS(recent), 3)
  addUnanswered(recent)
  assert.equal(latencyS(recent), 3.5, 'of 2, 3, 4 and 5')
  for (let i = 0; i < 3; i++) addUnanswered(recent)
  assert.equal(latencyS(recent), 5)
  addUnanswered(recent)
  assert.equal(latencyS(recent), undefined)
  assert.equal(jitterS(recent), undefined, 'nor is there a jitter of what does not answer')
})

test('jitter follows the differences as RFC 3550 smooths them', () => {
  const recent = newRecent()
  addAnswered(recent, 1)
  assert.equal(jitterS(recent), undefined)
  addAnswered(recent, 1.5)
  assert.equal(jitterS(recent), 0.5)
  addAnswered(recent, 1.5)
  assert.equal(jitterS(recent), 0.5 - 0.5 / 16)
})

test('a bound belongs to its bucket, and what is beyond the last has one of its own', () => {
  const statistics = newStatistics()
  for (const seconds of [0, ...BOUNDS, 7]) addRoundTrip(statistics, seconds, 0)
  assert.deepEqual([...statistics.buckets], [2, ...BOUNDS.slice(1).map(() => 1), 1])
})

test('errors have the kinds that RFC 792, 1812 and 4443 give them', () => {
  const [local, icmp, icmpv6] = [1, 2, 3]
  assert.equal(failureOf({ origin: icmp, type: 3, code: 1 }), 'unreachable')
  assert.equal(failureOf({ origin: icmp, type: 3, code: 13 }), 'prohibited')
  assert.equal(failureOf({ origin: icmp, type: 11, code: 0 }), 'time_exceeded')
  assert.equal(failureOf({ origin: icmpv6, type: 1, code: 0 }), 'unreachable')
  assert.equal(failureOf({ origin: icmpv6, type: 1, code: 1 }), 'prohibited')
  assert.equal(failureOf({ origin: icmpv6, type: 3, code: 0 }), 'time_exceeded')
  assert.equal(failureOf({ origin: local, type: 0, code: 0 }), 'other')
  assert.deepEqual([101, 1, 13, 105].map(failureOfSend), ['unreachable', 'not_permitted', 'prohibited', 'other'])
})

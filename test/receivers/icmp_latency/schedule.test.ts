// When who is asked: spread, within the budgets, fairly, and the silent more rarely.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../../receivers/icmp_latency/addresses.ts'
import { createSchedule, intervalOf, type ScheduleSettings } from '../../../receivers/icmp_latency/schedule.ts'
import { createTarget, type Target } from '../../../receivers/icmp_latency/target.ts'
import { random } from '../../processors/given.ts'

function target(netns: number, text: string, dueMs = 0): Target {
  const address = parseAddress(text)
  assert.ok(address)
  return createTarget(netns, address, dueMs)
}

/** Plans second after second; returns each probe with the time at which it is sent. */
function run(targets: readonly Target[], settings: Partial<ScheduleSettings>, seconds: number, lateMs = 0) {
  const schedule = createSchedule({ intervalMs: 5000, perSecond: 500, perSecondAndAddress: 10, ...settings }, random(1))
  const sent: { target: Target; atMs: number }[] = []
  for (let nowMs = 0; nowMs < seconds * 1000; nowMs += 1000 + lateMs) {
    for (const { target, afterMs } of schedule.plan(targets, nowMs, nowMs + 1500)) {
      assert.ok(afterMs >= 0 && afterMs < 1500)
      sent.push({ target, atMs: nowMs + afterMs })
    }
  }
  return { sent: sent.sort((a, b) => a.atMs - b.atMs), schedule }
}

const different = (count: number) =>
  Array.from({ length: count }, (_, i) => target(1, `10.0.${i >> 8}.${i & 255}`.replace(/\.0$/, '.254')))

test('each is asked once in its interval, and they are spread over it', () => {
  const targets = different(200)
  const { sent } = run(targets, {}, 100)
  for (const one of targets) {
    const own = sent.filter(({ target }) => target === one)
    assert.ok(own.length >= 18 && own.length <= 23, `${own.length} times in 100 s`)
  }
  // After the first round, which comes at once.
  const perSecond = Array.from(
    { length: 90 },
    (_, second) => sent.filter(({ atMs }) => Math.floor(atMs / 1000) === second + 10).length,
  )
  assert.ok(
    Math.max(...perSecond) <= 43 && Math.min(...perSecond) >= 37,
    `${Math.min(...perSecond)} to ${Math.max(...perSecond)} a second`,
  )
})

test('ten thousand are spread evenly over their interval, however together they came', () => {
  const shared = Array.from({ length: 10_000 }, (_, i) => target(Math.floor(i / 50), `10.0.0.${1 + (i % 50)}`))
  for (const { targets, settings, perSecond } of [
    { targets: different(10_000), settings: { perSecond: 2000 }, perSecond: 10_000 / 15 },
    // 200 namespaces × 50 addresses by the settings that are the default.
    { targets: shared, settings: {}, perSecond: 500 },
  ]) {
    const { sent } = run(targets, { intervalMs: 15_000, ...settings }, 70)
    // The first round is as fast as the budget allows.
    const counts = Array.from({ length: 200 }, () => 0)
    for (const { atMs } of sent) {
      const at = Math.floor((atMs - 25_000) / 200)
      if (at >= 0 && at < counts.length) counts[at] = (counts[at] ?? 0) + 1
    }
    const mean = counts.reduce((all, one) => all + one) / counts.length
    const deviation = Math.sqrt(counts.reduce((all, one) => all + (one - mean) ** 2, 0) / counts.length)
    assert.ok(Math.abs(mean * 5 - perSecond) < perSecond / 100, `${mean} in 200 ms`)
    assert.ok(deviation < 2, `± ${deviation}; by chance it would be ± ${Math.sqrt(mean)}`)
  }
})

test('one alone is asked at times that nobody can foresee, in its interval on average', () => {
  const { sent } = run([target(1, '10.0.0.1')], { intervalMs: 5000 }, 1000)
  const gaps = sent.slice(2).map(({ atMs }, i) => atMs - (sent[i + 1]?.atMs ?? 0))
  const mean = gaps.reduce((all, one) => all + one) / gaps.length
  assert.ok(Math.abs(mean - 5000) < 100, `${mean} ms`)
  assert.ok(Math.min(...gaps) > 4400 && Math.max(...gaps) < 5600)
  assert.ok(Math.max(...gaps) - Math.min(...gaps) > 500)
})

test('those that are new do not wait for the others', () => {
  const targets = different(3000)
  const { sent } = run(targets, { intervalMs: 15_000, perSecond: 1000 }, 60)
  const late = target(1, '10.1.0.1', 60_200)
  const schedule = createSchedule({ intervalMs: 15_000, perSecond: 1000, perSecondAndAddress: 10 }, random(2))
  const [first] = schedule.plan([...targets, late], 60_000, 61_500).filter((one) => one.target === late)
  assert.ok(first && first.afterMs < 210, `${first?.afterMs} ms`)
  assert.ok(sent.length > 0)
})

test('the budget holds in every second, and everybody gets his turn', () => {
  const targets = different(3000)
  const { sent, schedule } = run(targets, { perSecond: 100 }, 90)
  for (let second = 0; second < 89; second++) {
    const count = sent.filter(({ atMs }) => atMs >= second * 1000 && atMs < (second + 1) * 1000).length
    assert.ok(count <= 101, `${count} in second ${second}`)
  }
  const times = new Map<Target, number>()
  for (const { target } of sent) times.set(target, (times.get(target) ?? 0) + 1)
  assert.equal(times.size, 3000)
  assert.ok(Math.max(...times.values()) - Math.min(...times.values()) <= 1)
  assert.ok(schedule.behindMs > 10_000, 'and it says that it is behind')
  schedule.plan([], 90_000, 91_500)
  assert.equal(schedule.behindMs, 0, 'with nobody to ask it is not')
})

test('many who ask one address ask it no more often than it may be asked, in turn', () => {
  const targets = Array.from({ length: 200 }, (_, netns) => target(netns, '10.0.0.1'))
  const { sent } = run(targets, { perSecondAndAddress: 10 }, 60)
  for (const [i, { atMs }] of sent.entries()) assert.ok(i === 0 || atMs - (sent[i - 1]?.atMs ?? 0) > 99)
  const asked = new Set(sent.map(({ target }) => target))
  assert.equal(asked.size, 200)
  assert.ok(sent.length >= 590)
})

test('an interval below the tick is kept, also when ticks come late', () => {
  for (const lateMs of [0, 400]) {
    const { sent } = run([target(1, '10.0.0.1')], { intervalMs: 200, perSecondAndAddress: 50 }, 20, lateMs)
    assert.ok(sent.length > 90 && sent.length < 110, `${sent.length} in 20 s`)
    for (const [i, { atMs }] of sent.entries()) if (i > 1) assert.ok(atMs - (sent[i - 1]?.atMs ?? 0) < 250)
  }
})

test('a pause is not made up for', () => {
  const targets = different(1000)
  const schedule = createSchedule({ intervalMs: 1000, perSecond: 100, perSecondAndAddress: 10 }, random(1))
  schedule.plan(targets, 0, 1500)
  assert.ok(schedule.plan(targets, 60_000, 61_500).length <= 151)
})

test('the silent are asked more and more rarely, down to once in two minutes', () => {
  assert.deepEqual(
    [0, 3, 4, 5, 8, 100].map((silent) => intervalOf(silent, 5000)),
    [5000, 5000, 10_000, 20_000, 120_000, 120_000],
  )
  assert.equal(intervalOf(100, 300_000), 300_000, 'never more often than the others')
})

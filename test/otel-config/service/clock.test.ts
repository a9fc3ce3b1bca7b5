import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startClock } from '../../../otel-config/service/clock.ts'

test('what is due together is called in one turn, and what fell behind is left out', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  let nowMs = 1000
  const calls: string[] = []
  const rhythm = (name: string, intervalMs: number, delayMs = 0) => ({
    intervalMs,
    delayMs,
    tick: () => void calls.push(`${name}@${nowMs}`),
    missed: (ticks: number) => void calls.push(`${name} missed ${ticks}`),
  })
  const stop = startClock([rhythm('a', 100), rhythm('b', 100), rhythm('c', 250, 50)], () => nowMs)
  const advance = (ms: number) => {
    nowMs += ms
    context.mock.timers.tick(ms)
    return calls.splice(0)
  }
  assert.deepEqual(advance(0), ['a@1000', 'b@1000'])
  assert.deepEqual(advance(50), ['c@1050'])
  assert.deepEqual(advance(50), ['a@1100', 'b@1100'])
  // The machine slept for 1.03 s: one turn, back on the grid.
  nowMs += 1030
  context.mock.timers.tick(100)
  assert.deepEqual(calls.splice(0), ['a missed 9', 'a@2130', 'b missed 9', 'b@2130', 'c missed 3', 'c@2130'])
  assert.deepEqual(advance(70), ['a@2200', 'b@2200'])
  stop()
  assert.deepEqual(advance(10_000), [])
})

test('what was done because somebody asked is due an interval later, and a little patience', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  let nowMs = 0
  let lastMs = Number.NEGATIVE_INFINITY
  const ticks: number[] = []
  const tick = () => {
    lastMs = nowMs
    ticks.push(nowMs)
  }
  const rhythm = {
    intervalMs: 15_000,
    delayMs: 0,
    lastMs: () => lastMs,
    tick,
    missed: () => assert.fail('none is missed'),
  }
  const stop = startClock([rhythm], () => nowMs)
  const scrapes = (...times: readonly number[]) => {
    const until = times.at(-1) ?? 0
    for (; nowMs <= until; nowMs += 100) {
      context.mock.timers.tick(nowMs === 0 ? 0 : 100)
      if (times.includes(nowMs)) lastMs = nowMs
    }
    return ticks.splice(0)
  }
  // Nobody asks but at the end: the grid.
  assert.deepEqual(scrapes(46_000), [0, 15_000, 30_000, 45_000])
  // Somebody asks every 15 s, sometimes a second late: the clock has nothing to do.
  assert.deepEqual(scrapes(61_000, 77_000, 92_000, 107_000), [])
  // They ask every 30 s: it does every second one.
  assert.deepEqual(scrapes(137_000, 167_000), [123_500, 153_500])
  // They are gone: the interval again.
  assert.deepEqual(scrapes(215_000), [183_500, 198_500, 213_500])
  stop()
})

test('an interval longer than a timer can wait is waited for', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  let nowMs = 0
  let ticks = 0
  const stop = startClock([{ intervalMs: 2 ** 40, delayMs: 0, tick: () => void ticks++, missed() {} }], () => nowMs)
  for (let hour = 0; hour < 100; hour++) {
    context.mock.timers.tick(3_600_000)
    nowMs += 3_600_000
  }
  assert.equal(ticks, 1)
  stop()
})

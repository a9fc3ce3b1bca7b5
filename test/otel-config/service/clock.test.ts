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

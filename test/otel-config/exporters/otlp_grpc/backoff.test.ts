import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBackoff } from '../../../../otel-config/exporters/otlp_grpc/backoff.ts'

const SETTINGS = { initial_interval: 5000, randomization_factor: 0.5, multiplier: 1.5, max_interval: 30_000 }

test('waits grow by the multiplier up to the longest, and begin anew after a success', () => {
  const backoff = createBackoff(SETTINGS, () => 0.5)
  const waits = Array.from({ length: 8 }, () => backoff.next())
  assert.deepEqual(waits, [5000, 7500, 11_250, 16_875, 25_312.5, 30_000, 30_000, 30_000])
  backoff.reset()
  assert.equal(backoff.next(), 5000)
})

test('the jitter is as wide as the factor says, and never longer than the longest', () => {
  assert.equal(createBackoff(SETTINGS, () => 0).next(), 2500)
  assert.equal(Math.round(createBackoff(SETTINGS, () => 1 - 1e-9).next()), 7500)
  const late = createBackoff({ ...SETTINGS, initial_interval: 30_000 }, () => 1 - 1e-9)
  assert.equal(late.next(), 30_000)
})

test('a server that asks for more patience gets it', () => {
  const backoff = createBackoff(SETTINGS, () => 0.5)
  assert.equal(backoff.next(60_000), 60_000)
  assert.equal(backoff.next(10), 7500)
})

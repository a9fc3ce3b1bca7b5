// Numbers of containers that ended before their runtime had said whose they were.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batch, cgroup, point } from '../given.ts'
import { container, given, machine, started } from './given.ts'

test('the last numbers of a container that lived too short for its runtime to answer are not lost', async () => {
  const { host, runs, set } = machine()
  const top = cgroup(1)
  top.endedMs = 1050
  set(top, { state: 'pending' })
  const { process } = await started(host)
  process(batch([point({ subject: top, value: 0.7 }), point({ subject: top, value: 1, kind: 'gauge' })]))
  assert.deepEqual(process(batch([])).points, [], 'still no answer')
  runs(container('web', top))
  assert.deepEqual(process(batch([], 2000, 'another')).points, [])
  const { points } = process(batch([]))
  assert.deepEqual(
    given(points).map((one) => [one.name, one.value, one.resource?.labels.container_id]),
    [['test.counter', 0.7, '/docker/web']],
  )
  assert.deepEqual(given(process(batch([])).points), [], 'they are said once')
})

test('last numbers that the receiver repeats are not said twice', async () => {
  const { host, runs, set } = machine()
  const top = cgroup(1)
  top.endedMs = 1050
  set(top, { state: 'pending' })
  const { process } = await started(host)
  process(batch([point({ subject: top, value: 1 })]))
  runs(container('web', top))
  const { points } = process(batch([point({ subject: top, value: 1 })]))
  assert.equal(given(points).length, 1)
})

test('last numbers wait five minutes for a name', async () => {
  const { host, runs, set } = machine()
  const { process } = await started(host)
  for (const [id, laterMs, said] of [
    [1, 300_000, 1],
    [2, 300_001, 0],
  ] as const) {
    const top = cgroup(id)
    top.endedMs = 1050
    set(top, { state: 'pending' })
    process(batch([point({ subject: top, value: 1 })]))
    runs(container(`${id}`, top))
    assert.equal(given(process(batch([], top.endedMs + laterMs)).points).length, said)
  }
})

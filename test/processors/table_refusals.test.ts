// Points that the table does not take: each is counted, and what it had goes on.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { byContainer, cgroup, MINUTE_MS, point, resource, tableAt, values } from './given.ts'

test('what is no number is refused and counted, and a counter keeps what it had', () => {
  const { table, report } = tableAt()
  const subject = cgroup(1)
  report([point({ subject, value: 5 })])
  const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1]
  report(bad.map((value) => point({ subject, value })))
  assert.deepEqual(values(table), [5])
  assert.equal(table.refused, 4)
})

test('a full table refuses what is new and goes on with what it has', () => {
  const { table, clock, report } = tableAt(10_000, { maxSeries: 2 })
  const subjects = [1, 2, 3].map((id) => cgroup(id))
  const all = (value: number) =>
    subjects.map((subject) => point({ subject, value, resource: resource(`${subject.id}`) }))
  report(all(1))
  report(all(2))
  assert.deepEqual(byContainer(table), { '/docker/1': 2, '/docker/2': 2 })
  assert.equal(table.refusals.series, 2)

  for (const subject of subjects.slice(0, 1)) subject.endedMs = clock.nowMs
  clock.nowMs += 5 * MINUTE_MS + 1
  table.forget()
  report(all(3))
  assert.deepEqual(byContainer(table), { '/docker/2': 3, '/docker/3': 3 })
})

test('a second number for the same thing in one batch is refused, not taken for a counter that goes down', () => {
  const { table, report } = tableAt()
  const subject = cgroup(1)
  for (let round = 1; round <= 3; round++)
    report([point({ subject, value: 100 * round }), point({ subject, value: 5 })])
  assert.deepEqual(values(table), [300])
  assert.equal(table.refusals.duplicates, 3)
})

test('two receivers that read one counter do not make it count twice', () => {
  const { table, clock, report } = tableAt()
  const subject = cgroup(1)
  report([point({ subject, value: 100 })], 'cgroup/a')
  report([point({ subject, value: 99 })], 'cgroup/b')
  report([point({ subject, value: 110 })], 'cgroup/a')
  assert.deepEqual(values(table), [110])
  assert.equal(table.refusals.duplicates, 1)

  clock.nowMs += 6 * MINUTE_MS
  report([point({ subject, value: 120 })], 'cgroup/b')
  assert.deepEqual(values(table), [120], 'the one that is silent gives way')
})

test('a name keeps the kind it came with first', () => {
  const { table, report } = tableAt()
  report([point({ subject: cgroup(1), value: 1, name: 'x' })])
  report([point({ subject: cgroup(2), value: 2, name: 'x', kind: 'gauge' })], 'other')
  assert.deepEqual(values(table), [1])
  assert.equal(table.refusals.kinds, 1)
})

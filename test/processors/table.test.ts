// What the numbers of many subjects come to: sums, the dead included, and what is told of them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cgroup, HOST, METRIC, MINUTE_MS, point, random, resource, tableAt, values } from './given.ts'

test('a row says all that an exporter needs', () => {
  const { table, report } = tableAt()
  const web = resource('web')
  report([point({ subject: cgroup(1), value: 1.5, resource: web, attributes: { kind: 'some' } })])
  assert.deepEqual(
    [...table.rows()],
    [
      {
        name: 'test.counter',
        metric: METRIC.counter,
        scope: 'cgroup',
        resource: HOST,
        attributes: { container_id: '/docker/web', app_id: '', kind: 'some' },
        value: 1.5,
        counts: undefined,
        startMs: 1000,
        observedMs: 10_000,
      },
    ],
  )
})

test('a counter with one subject comes out exactly as it was reported', () => {
  const { table, report } = tableAt()
  const subject = cgroup(1)
  let value = 0
  for (let round = 0; round < 1000; round++) {
    value += 0.1 + round / 7
    report([point({ subject, value })])
    assert.deepEqual(values(table), [value])
  }
})

test('subjects of one name are added up', () => {
  const { table, report } = tableAt()
  const web = resource('web')
  report([1, 2, 3].map((id) => point({ subject: cgroup(id), value: id * 10, resource: web })))
  assert.deepEqual(values(table), [60])
})

test('what an ended subject counted stays in the sum, also when it speaks once more', () => {
  const { table, clock, report } = tableAt()
  const web = resource('web')
  const [first, second] = [cgroup(1), cgroup(2)]
  report([point({ subject: first, value: 100, resource: web })])
  first.endedMs = clock.nowMs
  report([point({ subject: second, value: 1, resource: web })])
  assert.deepEqual(values(table), [101])
  report([point({ subject: first, value: 105, resource: web }), point({ subject: second, value: 2, resource: web })])
  assert.deepEqual(values(table), [107])
  clock.nowMs += 6 * MINUTE_MS
  assert.equal(table.forget(), 0)
  report([point({ subject: second, value: 3, resource: web })])
  assert.deepEqual(values(table), [108])
  report([point({ subject: first, value: 110, resource: web }), point({ subject: second, value: 4, resource: web })])
  assert.deepEqual(values(table), [109])
})

test('a living subject that misses a collection is not counted twice when it comes back', () => {
  const { table, report } = tableAt()
  const [first, second] = [cgroup(1), cgroup(2)]
  const web = resource('web')
  report([point({ subject: first, value: 10, resource: web }), point({ subject: second, value: 5, resource: web })])
  report([point({ subject: second, value: 6, resource: web })])
  assert.deepEqual(values(table), [16])
  report([point({ subject: first, value: 12, resource: web }), point({ subject: second, value: 7, resource: web })])
  assert.deepEqual(values(table), [19])
})

test('a counter that is not measured any more is not told, and comes back as it should be', () => {
  const { table, report } = tableAt()
  const subject = cgroup(1)
  const other = point({ subject, name: 'other', value: 1 })
  const [told, hidden] = [[1, 5], [1]]
  report([other, point({ subject, value: 5 })])
  assert.deepEqual(values(table), told)
  report([other])
  assert.deepEqual(values(table), told, 'once may be chance')
  report([other])
  assert.deepEqual(values(table), hidden)
  report([other, point({ subject, value: 8 })])
  assert.deepEqual(values(table), [1, 8])
})

test('counters of the dead are told until they are forgotten, and those of a receiver that brings nothing at all', () => {
  const { table, clock, report } = tableAt()
  const [dead, living] = [cgroup(1), cgroup(2)]
  report([point({ subject: dead, value: 5 })], 'one')
  report([point({ subject: living, value: 7, name: 'other' })], 'two')
  dead.endedMs = clock.nowMs
  for (let round = 0; round < 3; round++) report([], 'one')
  assert.deepEqual(values(table), [5, 7])
})

test("a kernel's counter that begins anew goes on from where it was", () => {
  const { table, report } = tableAt()
  const subject = cgroup(1)
  for (const value of [10, 25, 3, 4]) report([point({ subject, value })])
  assert.deepEqual(values(table), [29])
})

test('a gauge that is not reported again is gone at once, a counter is not', () => {
  const { table, report } = tableAt()
  const subject = cgroup(1)
  report([
    point({ subject, value: 1 }),
    point({ subject, value: 2, kind: 'gauge' }),
    point({ subject, value: 3, kind: 'updowncounter' }),
  ])
  assert.equal(table.size, 3)
  report([])
  assert.deepEqual(values(table), [1])
  assert.equal(table.size, 1)
})

test('what one receiver leaves out is no news about what another reported', () => {
  const { table, report } = tableAt()
  report([point({ subject: cgroup(1), value: 2, kind: 'gauge' })], 'cgroup')
  report([], 'delay_accounting')
  assert.deepEqual(values(table), [2])
})

test('an updowncounter is summed over subjects, of a gauge the subject born last speaks', () => {
  const { table, report } = tableAt()
  const [old, young] = [cgroup(1, 1000), cgroup(2, 3000)]
  const both = (kind: 'gauge' | 'updowncounter') => [
    point({ subject: young, value: 7, kind }),
    point({ subject: old, value: 5, kind }),
  ]
  report([...both('gauge'), ...both('updowncounter')])
  assert.deepEqual(values(table), [7, 12])
  const turned = tableAt()
  turned.report([...both('gauge'), ...both('updowncounter')].reverse())
  assert.deepEqual(values(turned.table), [12, 7])
  report([point({ subject: old, value: 5, kind: 'gauge' }), point({ subject: old, value: 5, kind: 'updowncounter' })])
  assert.deepEqual(values(table), [5, 5])
})

test('values may go below zero, except those of counters', () => {
  const { table, report } = tableAt()
  const subject = cgroup(1)
  report([
    point({ subject, value: -1 }),
    point({ subject, value: -2, kind: 'gauge' }),
    point({ subject, value: -3, kind: 'updowncounter' }),
  ])
  assert.deepEqual(values(table), [-2, -3])
  assert.deepEqual(table.refusals, { values: 1, series: 0, kinds: 0, duplicates: 0 })
})

test('a sum of fractions does not go down by a rounding error when it is added up in another order', () => {
  const next = random(7)
  for (let round = 0; round < 200; round++) {
    const { table, clock, report } = tableAt()
    const subjects = Array.from({ length: 5 }, (_, at) => cgroup(at))
    report(subjects.map((subject) => point({ subject, value: next() / 3 })))
    const [before = Number.NaN] = values(table)
    for (const subject of subjects.slice(0, 1 + Math.floor(next() * 4))) subject.endedMs = clock.nowMs
    clock.nowMs += 5 * MINUTE_MS + 1
    table.forget()
    const [after = Number.NaN] = values(table)
    assert.ok(after >= before && after - before < 1e-12, `${before} ${after}`)
  }
})

test('a series starts when its first subject was born, and never in the future', () => {
  const { table, report } = tableAt(10_000)
  report([
    point({ subject: cgroup(1, 9000), value: 1, name: 'two' }),
    point({ subject: cgroup(2, 4000), value: 1, name: 'two' }),
    point({ subject: cgroup(3, 99_000), value: 1, name: 'late' }),
  ])
  assert.deepEqual(
    [...table.rows()].map((row) => row.startMs),
    [4000, 10_000],
  )
})

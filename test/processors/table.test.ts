import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Point } from '../../processors/processor.ts'
import { createTable, type Table, type TableOptions } from '../../processors/table.ts'
import { batch, cgroup, HOST, METRIC, OTEL, PROMETHEUS, point, random, resource } from './given.ts'

const MINUTE_MS = 60_000

function tableAt(startMs = 10_000, options: Partial<TableOptions> = {}) {
  const clock = { nowMs: startMs }
  const table = createTable({ view: PROMETHEUS, now: () => clock.nowMs, ...options })
  return {
    table,
    clock,
    report: (points: Point[], receiver?: string) => table.apply(batch(points, clock.nowMs, receiver)),
  }
}

const values = (table: Table) => [...table.rows()].map((row) => row.value)
const byContainer = (table: Table) =>
  Object.fromEntries([...table.rows()].map((row) => [row.attributes.container_id ?? '', row.value]))

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

test('what is no number is refused and counted, and a counter keeps what it had', () => {
  const { table, report } = tableAt()
  const subject = cgroup(1)
  report([point({ subject, value: 5 })])
  const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1]
  report(bad.map((value) => point({ subject, value })))
  assert.deepEqual(values(table), [5])
  assert.equal(table.refused, 4)
})

test('a rename takes the series along, without a jump', () => {
  const { table, report } = tableAt()
  const subject = cgroup(1)
  report([point({ subject, value: 10, resource: resource('web') })])
  report([point({ subject, value: 12, resource: resource('shop') })])
  assert.deepEqual(byContainer(table), { '/docker/shop': 12 })
})

test('a subject that moves to a series that others feed brings nothing along but what comes after', () => {
  const { table, clock, report } = tableAt()
  const [mover, stayer] = [cgroup(1), cgroup(2)]
  const [web, shop] = [resource('web'), resource('shop')]
  report([point({ subject: mover, value: 100, resource: web }), point({ subject: stayer, value: 5, resource: shop })])
  report([point({ subject: mover, value: 103, resource: shop }), point({ subject: stayer, value: 6, resource: shop })])
  assert.deepEqual(byContainer(table), { '/docker/web': 100, '/docker/shop': 9 })

  clock.nowMs += 6 * MINUTE_MS
  assert.equal(table.forget(), 1)
  assert.deepEqual(byContainer(table), { '/docker/shop': 9 })
})

test('a subject that leaves a series which others feed counts from zero in its new one', () => {
  const { table, report } = tableAt()
  const [mover, stayer] = [cgroup(1), cgroup(2)]
  const [web, shop] = [resource('web'), resource('shop')]
  report([point({ subject: mover, value: 100, resource: web }), point({ subject: stayer, value: 5, resource: web })])
  report([point({ subject: mover, value: 103, resource: shop }), point({ subject: stayer, value: 6, resource: web })])
  assert.deepEqual(byContainer(table), { '/docker/web': 106, '/docker/shop': 3 })
  const moved = [...table.rows()].find((row) => row.attributes.container_id === '/docker/shop')
  assert.equal(moved?.startMs, 10_000, 'it did not count before it was there')
})

test('a gauge whose subject moves is found under its new name only', () => {
  const { table, report } = tableAt()
  const subject = cgroup(1)
  report([point({ subject, value: 10, kind: 'gauge', resource: resource('web') })])
  report([point({ subject, value: 12, kind: 'gauge', resource: resource('shop') })])
  assert.deepEqual(byContainer(table), { '/docker/shop': 12 })
})

test('an updowncounter that two receivers feed is added up anew when one of them moves on', () => {
  const { table, report } = tableAt()
  const [web, shop] = [resource('web'), resource('shop')]
  const say = (id: number, given: typeof web) => [
    point({ subject: cgroup(id), value: id, kind: 'updowncounter', resource: given }),
  ]
  report(say(10, web), 'one')
  report(say(7, web), 'two')
  assert.deepEqual(byContainer(table), { '/docker/web': 17 })
  report(say(7, shop), 'two')
  assert.deepEqual(byContainer(table), { '/docker/web': 10, '/docker/shop': 7 })
  report(say(7, web), 'two')
  report([], 'one')
  assert.deepEqual(byContainer(table), { '/docker/web': 7 })
})

test('the dead leave a sum that goes on without them', () => {
  const { table, clock, report } = tableAt()
  const dead = cgroup(1)
  const web = resource('web')
  report([point({ subject: dead, value: 5, kind: 'updowncounter', resource: web })], 'silent')
  report([point({ subject: cgroup(2), value: 7, kind: 'updowncounter', resource: web })])
  dead.endedMs = clock.nowMs
  clock.nowMs += 5 * MINUTE_MS + 1
  table.forget()
  assert.deepEqual(values(table), [7])
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

test('a container that comes back after it was forgotten is described as it is now', () => {
  const { table, clock, report } = tableAt(10_000, { view: OTEL })
  const subject = cgroup(1)
  for (const name of ['one', 'two']) report([point({ subject, name, value: 1, resource: resource('web') })])
  subject.endedMs = clock.nowMs
  clock.nowMs += 5 * MINUTE_MS + 1
  table.forget()
  const again = resource('web')
  report([point({ subject: cgroup(2), value: 1, resource: again })])
  assert.equal([...table.rows()][0]?.resource, again)
})

test('two equal descriptions of one container are one container', () => {
  const { table, report } = tableAt(10_000, { view: OTEL })
  const subject = cgroup(1)
  report([point({ subject, value: 10, resource: resource('web') })])
  const [before] = table.rows()
  report([point({ subject, value: 12, resource: resource('web') })])
  const [after, ...others] = table.rows()
  assert.deepEqual(others, [])
  assert.equal(after?.resource, before?.resource)
  assert.equal(after?.attributes, before?.attributes)
})

test('attributes are one object for all series that have them, and stay it', () => {
  const { table, report } = tableAt()
  const subject = cgroup(1)
  const web = resource('web')
  const both = () => [
    point({ subject, value: 1, name: 'a', resource: web }),
    point({ subject, value: 2, name: 'b', resource: web }),
  ]
  report(both())
  const [first, second] = [...table.rows()].map((row) => row.attributes)
  report(both())
  assert.equal(first, second)
  assert.equal([...table.rows()][0]?.attributes, first)
})

test('an object that a receiver fills anew for each point is read anew', () => {
  const { table, report } = tableAt()
  const subject = cgroup(1)
  const scratch = { device: 'sda' }
  report([point({ subject, value: 1, attributes: scratch })])
  scratch.device = 'sdb'
  report([point({ subject, value: 2, attributes: scratch })])
  assert.deepEqual(
    [...table.rows()].map((row) => [row.attributes.device, row.value]),
    [
      ['sda', 1],
      ['sdb', 2],
    ],
  )
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

test('a series leaves five minutes after its last subject ended, and does not come back', () => {
  const { table, clock, report } = tableAt()
  const [first, second] = [cgroup(1), cgroup(2)]
  const web = resource('web')
  const both = () => [first, second].map((subject) => point({ subject, value: 10, resource: web }))
  report(both())
  first.endedMs = clock.nowMs
  clock.nowMs += MINUTE_MS
  second.endedMs = clock.nowMs
  clock.nowMs += 5 * MINUTE_MS
  assert.equal(table.forget(), 0)
  assert.deepEqual(values(table), [20])
  clock.nowMs += 1
  assert.equal(table.forget(), 1)
  assert.equal(table.size, 0)
  report(both())
  assert.deepEqual(values(table), [])
  assert.equal(table.refused, 0, 'old news is passed over, not refused')
})

test('gauges of a dead subject whose receiver is silent leave too', () => {
  const { table, clock, report } = tableAt()
  const subject = cgroup(1)
  report([point({ subject, value: 10, kind: 'gauge' })])
  subject.endedMs = clock.nowMs
  clock.nowMs += 5 * MINUTE_MS + 1
  assert.equal(table.forget(), 1)
  assert.equal(table.size, 0)
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

test('a subject that would move into a full table stays where it is', () => {
  const { table, report } = tableAt(10_000, { maxSeries: 2 })
  const [first, second] = [cgroup(1), cgroup(2)]
  report([first, second].map((subject) => point({ subject, value: 10, resource: resource(`${subject.id}`) })))
  report([point({ subject: first, value: 11, resource: resource('new') })])
  assert.deepEqual(byContainer(table), { '/docker/1': 10, '/docker/2': 10 })
  assert.equal(table.refusals.series, 1)
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

test('a cgroup that the host describes by a new object is still the same cgroup', () => {
  const { table, report } = tableAt()
  report([point({ subject: cgroup(1), value: 10 })])
  report([point({ subject: cgroup(1), value: 11 })])
  assert.deepEqual(values(table), [11])
})

test('bad labels are made good once, and counted once', () => {
  const { table, report } = tableAt()
  const subject = cgroup(1)
  const attributes = Object.freeze({ 'a.b': 'x\ud800', ok: 'y'.repeat(5000) })
  for (let round = 0; round < 3; round++) report([point({ subject, value: round, attributes })])
  const [row] = table.rows()
  assert.deepEqual(row?.attributes, { a_b: 'x\ufffd', ok: 'y'.repeat(1024) })
  assert.equal(table.cleaned, 3)
})

test('labels that are equal once they are cut feed one series', () => {
  const { table, report } = tableAt()
  const subject = cgroup(1)
  const long = (end: string) => ({ sample: 'y'.repeat(2000) + end })
  report([point({ subject, value: 1, attributes: long('a') }), point({ subject, value: 2, attributes: long('b') })])
  assert.deepEqual(values(table), [3])
})

test('resources are made good as well', () => {
  const { table, report } = tableAt(10_000, { view: OTEL })
  report([point({ subject: cgroup(1), value: 1, resource: resource('x\udfff') })])
  const [row] = table.rows()
  assert.equal(row?.resource.attributes['container.name'], 'x\ufffd')
})

test('nothing is kept of a thousand containers that came and went', () => {
  const { table, clock, report } = tableAt()
  for (let round = 0; round < 100; round++) {
    const subjects = Array.from({ length: 10 }, (_, at) => cgroup(round * 10 + at))
    report(
      subjects.flatMap((subject) => [
        point({ subject, value: 1, resource: resource(`${subject.id}`), attributes: { device: `${subject.id}` } }),
        point({ subject, value: 1, kind: 'gauge', resource: resource(`${subject.id}`) }),
      ]),
    )
    for (const subject of subjects) subject.endedMs = clock.nowMs
    clock.nowMs += MINUTE_MS
    table.forget()
    assert.ok(table.size <= 60, `${table.size} series`)
  }
  clock.nowMs += 5 * MINUTE_MS
  report([])
  table.forget()
  assert.equal(table.size, 0)
  assert.deepEqual(values(table), [])
})

test('a series that is waited for stays beyond its time until it is delivered', () => {
  let nowMs = 10_000
  const table = createTable({ view: OTEL, forgetAfterMs: 1000, now: () => nowMs, maxHeld: () => 1 })
  const dead = [cgroup(1), cgroup(2)]
  table.apply(batch(dead.map((subject) => point({ subject, value: 5, attributes: { id: String(subject.id) } }))))
  for (const subject of dead) subject.endedMs = nowMs
  nowMs += 2000
  assert.equal(table.forget(), 1)
  assert.equal(table.lost, 1)
  const [left, ...others] = table.undelivered()
  assert.equal(others.length, 0)
  assert.equal(left?.value, 5)
  table.deliver([left?.slot ?? -1], table.generation)
  assert.deepEqual([...table.undelivered()], [])
  assert.equal(table.forget(), 1)
  assert.equal(table.size, 0)
})

test('a number that came while the one before was on its way is undelivered', () => {
  const table = createTable({ view: OTEL, now: () => 10_000 })
  const subject = cgroup(1)
  table.apply(batch([point({ subject, value: 1 })]))
  const [row] = table.undelivered()
  const { generation } = table
  table.apply(batch([point({ subject, value: 2 })]))
  table.deliver([row?.slot ?? -1], generation)
  assert.deepEqual(
    [...table.undelivered()].map(({ value }) => value),
    [2],
  )
})

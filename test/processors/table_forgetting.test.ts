// When a series leaves the table: its subjects have ended long ago, and its last number has arrived where it is sent.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTable } from '../../processors/table.ts'
import { batch, cgroup, MINUTE_MS, OTEL, point, resource, tableAt, values } from './given.ts'

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

// A container gets another name, or its name comes late: what its series keep, and where it counts on.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { byContainer, cgroup, MINUTE_MS, point, resource, tableAt } from './given.ts'

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

test('a subject that would move into a full table stays where it is', () => {
  const { table, report } = tableAt(10_000, { maxSeries: 2 })
  const [first, second] = [cgroup(1), cgroup(2)]
  report([first, second].map((subject) => point({ subject, value: 10, resource: resource(`${subject.id}`) })))
  report([point({ subject: first, value: 11, resource: resource('new') })])
  assert.deepEqual(byContainer(table), { '/docker/1': 10, '/docker/2': 10 })
  assert.equal(table.refusals.series, 1)
})

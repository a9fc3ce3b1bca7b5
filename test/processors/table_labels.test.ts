// Which points are of one series: subjects, labels and resources that are the same, and those that are made good.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cgroup, OTEL, point, resource, tableAt, values } from './given.ts'

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

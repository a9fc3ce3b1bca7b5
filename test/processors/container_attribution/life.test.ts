// What the processor adds by itself: container.info, and how often a container was started anew under its name.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Point } from '../../../processors/processor.ts'
import { createTable } from '../../../processors/table.ts'
import type { Cgroup, Node } from '../../../receivers/host/host.ts'
import { batch, cgroup, type LivingCgroup, PROMETHEUS, point } from '../given.ts'
import { container, machine, NODE, started } from './given.ts'

const named = (points: readonly Point[], name: string) => points.filter((one) => one.name === name)
const restarts = (points: readonly Point[]) =>
  named(points, 'container.restarts').map((one) => [one.resource?.labels.container_id, one.value])

test('container.info says the image, or how systemd starts the unit, and nothing where neither is known', async () => {
  const { host, runs } = machine()
  const [web, unit, plain] = [cgroup(1), cgroup(2), cgroup(3)]
  runs(container('web', web))
  runs(container('unit', unit, { image: '', systemd: { type: 'oneshot', triggeredBy: 'backup.timer' } }))
  runs(container('plain', plain, { image: '' }))
  const { process } = await started(host)
  const infos = named(
    process(batch([web, unit, plain].map((subject) => point({ subject, value: 1 })))).points,
    'container.info',
  )
  assert.deepEqual(
    infos.map((one) => [one.resource?.labels.container_id, one.value, one.attributes]),
    [
      ['/docker/web', 1, { image: 'nginx:1', systemd_triggered_by: '', systemd_type: '' }],
      ['/docker/unit', 1, { image: '', systemd_triggered_by: 'backup.timer', systemd_type: 'oneshot' }],
    ],
  )
  assert.ok(infos.every((one) => one.metric.unit === '{container}'))
})

test('two lives of one name at the same moment have one container.info', async () => {
  const { host, runs } = machine()
  runs(container('web', cgroup(1, 1000), { image: 'nginx:1' }))
  const young = cgroup(2, 2000)
  runs(container('web', young, { image: 'nginx:2' }))
  const { process } = await started(host)
  const infos = named(process(batch([point({ subject: young, value: 1 })])).points, 'container.info')
  assert.deepEqual(
    infos.map((one) => one.attributes.image),
    ['nginx:2'],
  )
})

test('the batches of one receiver carry what we add, until it falls silent', async () => {
  const { host, runs } = machine()
  const top = cgroup(1)
  runs(container('web', top))
  const { process } = await started(host)
  const carries = (receiver: string, atMs: number, subject: LivingCgroup | Node = top) =>
    process(batch([point({ subject, value: 1 })], atMs, receiver)).points.length === 3
  assert.equal(carries('node', 1000, NODE), false, 'it has nothing to say of containers')
  assert.equal(carries('cgroup', 2000), true)
  assert.equal(carries('delay_accounting', 2000), false)
  assert.equal(carries('cgroup', 12_000), true)
  assert.equal(carries('delay_accounting', 12_000 + 300_000), false)
  assert.equal(carries('delay_accounting', 12_000 + 300_001), true)
  assert.equal(carries('cgroup', 12_000 + 300_002), false)
})

test('a container started anew under its name was restarted, a first one was not', async () => {
  const { host, runs } = machine()
  const { process } = await started(host)
  const [first, second] = [cgroup(1, 1000), cgroup(2, 2000)]
  runs(container('web', first))
  runs(container('db', cgroup(9)))
  assert.deepEqual(restarts(process(batch([point({ subject: first, value: 1 })])).points), [
    ['/docker/web', 0],
    ['/docker/db', 0],
  ])
  first.endedMs = 1900
  runs(container('web', second))
  assert.deepEqual(restarts(process(batch([point({ subject: second, value: 1 })])).points), [
    ['/docker/db', 0],
    ['/docker/web', 1],
  ])
})

test('in the table restarts add up, also those of lives that no collection saw', async () => {
  const { host, runs } = machine()
  const clock = { nowMs: 0 }
  const table = createTable({ view: PROMETHEUS, now: () => clock.nowMs })
  const { process } = await started(host)
  const LIVES = 40
  let last: LivingCgroup | undefined
  for (let life = 1; life <= LIVES; life++) {
    clock.nowMs = life * 60_000
    last = cgroup(life, clock.nowMs)
    runs(container('web', last))
    // Every other one is over before the collection, and only its last numbers are seen.
    if (life % 2 === 0) last.endedMs = clock.nowMs + 50
    table.apply(process(batch([point({ subject: last, value: 1 })], clock.nowMs + 10_000)))
    table.forget()
    const [row] = [...table.rows()].filter(({ name }) => name === 'container.restarts')
    assert.equal(row?.value, life - 1)
    last.endedMs ??= clock.nowMs + 20_000
  }
  assert.equal(table.refused, 0)
})

test('a rename is no restart', async () => {
  const { host, runs } = machine()
  const { process } = await started(host)
  const top = cgroup(1)
  const say = () => restarts(process(batch([point({ subject: top, value: 1 })])).points)
  runs(container('web', top))
  assert.deepEqual(say(), [['/docker/web', 0]])
  runs(container('shop', top))
  assert.deepEqual(say(), [['/docker/shop', 0]])
  runs(container('web', cgroup(2)))
  assert.deepEqual(say(), [
    ['/docker/shop', 0],
    ['/docker/web', 0],
  ])
})

test('that an old life is forgotten does not make a name new that still lives', async () => {
  const { host, runs } = machine()
  const { process } = await started(host)
  const [first, second, third] = [cgroup(1), cgroup(2), cgroup(3)]
  const say = (subject: Cgroup, atMs: number) => restarts(process(batch([point({ subject, value: 1 })], atMs)).points)
  runs(container('web', first))
  say(first, 1000)
  first.endedMs = 2000
  runs(container('web', second))
  for (let hour = 1; hour < 9; hour++) say(second, hour * 3_600_000)
  second.endedMs = 9 * 3_600_000
  runs(container('web', third))
  assert.deepEqual(say(third, second.endedMs + 1000), [['/docker/web', 1]])
})

test('a name is forgotten an hour after its last container ended', async () => {
  const { host, runs } = machine()
  const { process } = await started(host)
  const say = (subject: Cgroup, atMs: number) =>
    restarts(process(batch([point({ subject, value: 1 })], atMs)).points).map(([, value]) => value)
  const lives = [cgroup(1), cgroup(2), cgroup(3)]
  const stranger = cgroup(99)
  const startsMs = [0, 3_600_000, 7_300_000]
  const values = lives.map((life, at) => {
    const startMs = startsMs[at] ?? 0
    runs(container('web', life))
    const value = say(life, startMs + 1000)
    life.endedMs = startMs + 2000
    if (at === 1) say(stranger, life.endedMs + 3_600_001)
    return value
  })
  assert.deepEqual(values, [[0], [1], [0]])
})

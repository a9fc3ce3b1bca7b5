import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import * as z from 'zod/mini'
import definition from '../../../processors/container_attribution/index.ts'
import { metrics } from '../../../processors/container_attribution/life.ts'
import type { Batch, Point } from '../../../processors/processor.ts'
import { createTable } from '../../../processors/table.ts'
import type { Attribution, Cgroup, Container, Host, HostIdentity, Node } from '../../../receivers/host/host.ts'
import type { Logger } from '../../../receivers/receiver.ts'
import { batch, cgroup, type LivingCgroup, PROMETHEUS, point } from '../given.ts'

const IDENTITY: HostIdentity = {
  machineId: 'b7fd4e2d',
  systemUuid: '4C4C4544',
  hostname: 'box',
  kernelVersion: '6.18.5',
  arch: 'x64',
}
const NODE: Node = { kind: 'node', bornMs: 1, endedMs: undefined }
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

const container = (name: string, top: Cgroup, more: Partial<Container> = {}): Container => ({
  containerId: `/docker/${name}`,
  appId: '',
  runtime: 'docker',
  top,
  resource: { 'container.name': name, 'container.runtime.name': 'docker' },
  image: 'nginx:1',
  ...more,
})

/** A machine whose cgroups a test names; whatever else one could ask it is not asked here. */
function machine() {
  const attributions = new Map<Cgroup, Attribution>()
  const host = {
    identity: IDENTITY,
    node: NODE,
    attribution: (of: Cgroup) => attributions.get(of) ?? { state: 'none' },
    *containers() {
      for (const attribution of attributions.values()) {
        if (attribution.state === 'container' && attribution.container.top.endedMs === undefined)
          yield attribution.container
      }
    },
  } as unknown as Host
  return {
    host,
    runs(one: Container, ...nested: Cgroup[]) {
      for (const each of [one.top, ...nested]) attributions.set(each, { state: 'container', container: one })
    },
    set: (of: Cgroup, attribution: Attribution) => attributions.set(of, attribution),
  }
}

async function started(host: Host, settings: unknown = {}) {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: 3_600_000,
    exportTimeoutMillis: 1000,
  })
  const provider = new MeterProvider({ readers: [reader] })
  const context = { host, log: silent, meter: provider.getMeter('test'), id: 'container_attribution/a' }
  const processor = await definition.start(z.parse(definition.config, settings), context)
  return {
    process: (given: Batch) => processor.process(given),
    /** Our own counter, by outcome. */
    async outcomes(): Promise<Record<string, number>> {
      await reader.forceFlush()
      const metric = exporter.getMetrics().at(-1)?.scopeMetrics[0]?.metrics[0]
      await provider.shutdown()
      assert.equal(metric?.descriptor.name, 'otelcol_processor_container_attribution_points')
      return Object.fromEntries(
        (metric?.dataPoints ?? []).map(({ attributes, value }) => {
          assert.equal(attributes.processor, 'container_attribution/a')
          return [String(attributes.outcome), Number(value)]
        }),
      )
    },
  }
}

/** Without the two metrics that the processor adds. */
const given = (points: readonly Point[]) => points.filter(({ name }) => !(name in metrics))
const named = (points: readonly Point[], name: string) => points.filter((one) => one.name === name)
const restarts = (points: readonly Point[]) =>
  named(points, 'container.restarts').map((one) => [one.resource?.labels.container_id, one.value])

test('a point of a container says whose it is, and on which machine', async () => {
  const { host, runs } = machine()
  const top = cgroup(1)
  runs(container('web', top, { appId: '/k8s/shop/web' }))
  const { process, outcomes } = await started(host)
  const { points } = process(batch([point({ subject: top, value: 5 })]))
  assert.deepEqual(given(points)[0]?.resource, {
    attributes: {
      'host.name': 'box',
      'host.id': 'b7fd4e2d',
      'host.arch': 'amd64',
      'os.type': 'linux',
      'os.version': '6.18.5',
      'container.name': 'web',
      'container.runtime.name': 'docker',
    },
    labels: { container_id: '/docker/web', app_id: '/k8s/shop/web' },
  })
  assert.deepEqual(await outcomes(), { attributed: 1 })
})

test('all points of one container carry one object, in every batch and pipeline', async () => {
  const { host, runs } = machine()
  const top = cgroup(1)
  const nested = cgroup(2)
  runs(container('web', top), nested)
  const [one, other] = [await started(host), await started(host)]
  const subjects = [top, nested].map((subject) => point({ subject, value: 5 }))
  const resources = [
    one.process(batch(subjects)),
    one.process(batch(subjects)),
    other.process(batch(subjects)),
  ].flatMap(({ points }) => points.map((each) => each.resource))
  assert.equal(new Set(resources).size, 1)
})

test('the node is attributed to the machine', async () => {
  const { process } = await started(machine().host)
  const [one] = process(batch([point({ subject: NODE, value: 1 })])).points
  assert.equal(one?.resource?.attributes['host.name'], 'box')
  assert.deepEqual(one?.resource?.labels, {})
})

test('a cgroup of no container is left out and counted', async () => {
  const { process, outcomes } = await started(machine().host)
  assert.deepEqual(process(batch([point({ subject: cgroup(1), value: 1 })])).points, [])
  assert.deepEqual(await outcomes(), { unattributed: 1 })
})

test('a point whose runtime has not answered waits for the next collection', async () => {
  const { host, runs, set } = machine()
  const top = cgroup(1)
  set(top, { state: 'pending' })
  const { process, outcomes } = await started(host)
  const points = () => [point({ subject: top, value: 1 })]
  assert.deepEqual(process(batch(points())).points, [])
  runs(container('web', top))
  assert.equal(given(process(batch(points())).points).length, 1)
  assert.deepEqual(await outcomes(), { pending: 1, attributed: 1 })
})

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

test('the batch that came in is left as it was', async () => {
  const { process } = await started(machine().host)
  const before = batch([point({ subject: cgroup(1), value: 1 })])
  process(before)
  assert.equal(before.points.length, 1)
})

test('deny wins over allow, and both look at the container_id', async () => {
  const { host, runs } = machine()
  const subjects = ['web', 'web-canary', 'db'].map((name, id) => {
    const top = cgroup(id)
    runs(container(name, top))
    return point({ subject: top, value: 1 })
  })
  const { process, outcomes } = await started(host, {
    container_allowlist: ['^/docker/web', '^/k8s/'],
    container_denylist: ['canary$'],
  })
  const { points } = process(batch(subjects))
  assert.deepEqual([...new Set(points.map((one) => one.resource?.labels.container_id))], ['/docker/web'])
  assert.deepEqual(await outcomes(), { attributed: 1, denied: 2 })
})

test('a pattern that is none is told in the check of the configuration', () => {
  const { error } = z.safeParse(definition.config, { container_denylist: ['ok', '('] })
  assert.deepEqual(
    error?.issues.map((issue) => [issue.path.join('::'), issue.message]),
    [['container_denylist::1', 'expected a regular expression, got "("']],
  )
})

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

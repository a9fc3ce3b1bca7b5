// The graph: who is started when, who gets which batch, and whom a failure concerns.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Batch } from '../../../processors/processor.ts'
import { type Line, type Notes, processor, receiver, recorder, start, until } from './given.ts'

const ONE = `receivers: {a: {collection_interval: 1h}}
exporters: {x: }
service: {pipelines: {metrics: {receivers: [a], exporters: [x]}}}`

test('starts from the exporters to the receivers, and stops the other way round', async () => {
  const notes: Notes = []
  const yaml = `receivers: {a: , b: }
processors: {p: , q: }
exporters: {x: , y: }
service: {pipelines: {metrics: {receivers: [a, b], processors: [p, q], exporters: [x, y]}}}`
  const parts = {
    receivers: [receiver('a', { notes }), receiver('b', { notes })],
    processors: [processor('p', notes), processor('q', notes)],
    exporters: [recorder('x', notes), recorder('y', notes)],
  }
  const { service } = await start(yaml, parts, notes)
  const order = ['host', 'telemetry', 'x', 'y', 'p', 'q', 'a', 'b']
  assert.deepEqual(
    notes.splice(0),
    order.map((name) => `start ${name}`),
  )
  assert.equal(await service.stop(5000), true)
  assert.deepEqual(
    notes,
    order.reverse().map((name) => `stop ${name}`),
  )
})

test('what is in no pipeline is not started', async () => {
  const notes: Notes = []
  const yaml = ONE.replace('{a: ', '{b: , a: ').replace('{x: }', '{x: , y: }')
  const parts = {
    receivers: [receiver('a', { notes }), receiver('b', { notes })],
    exporters: [recorder('x', notes), recorder('y', notes)],
  }
  const { service } = await start(yaml, parts)
  await service.stop(5000)
  assert.deepEqual(notes, ['start x', 'start a', 'stop a', 'stop x'])
})

test('a receiver in two pipelines is one, a processor one for each, and neither sees the changes of the other', async () => {
  const notes: Notes = []
  const yaml = `receivers: {a: {collection_interval: 1h}}
processors: {twice: }
exporters: {x: , y: , z: }
service:
  pipelines:
    metrics/1: {receivers: [a], processors: [twice], exporters: [x, z]}
    metrics/2: {receivers: [a], processors: [twice], exporters: [y, z]}
    metrics/3: {receivers: [a], exporters: [z]}`
  const twice = processor('twice', notes, (batch) => {
    for (const point of batch.points) point.value *= 2
    return batch
  })
  const [x, y, z] = [recorder('x', notes), recorder('y', notes), recorder('z', notes)]
  const { service } = await start(yaml, {
    receivers: [receiver('a', { notes })],
    processors: [twice],
    exporters: [x, y, z],
  })
  const values = ({ batches }: { batches: Batch[] }) => batches.map(({ points }) => points.map(({ value }) => value))
  await until(() => z.batches.length === 3, 'the first collection')
  assert.deepEqual([values(x), values(y), values(z)], [[[2]], [[2]], [[2], [2], [1]]])
  await service.stop(5000)
  assert.deepEqual(notes.filter((note) => note.startsWith('start')).sort(), [
    'start a',
    'start twice',
    'start twice',
    'start x',
    'start y',
    'start z',
  ])
})

test('the same type under two ids is two', async () => {
  const yaml = ONE.replace('a: {collection_interval: 1h}', 'a: , a/other: ').replace('[a]', '[a, a/other]')
  const x = recorder('x')
  const { service } = await start(yaml, { receivers: [receiver('a')], exporters: [x] })
  await until(() => x.batches.length >= 2, 'both collections')
  assert.deepEqual(
    x.batches.slice(0, 2).map((batch) => batch.receiver),
    ['a', 'a/other'],
  )
  await service.stop(5000)
})

test('a receiver that cannot start costs only itself, and is said once with what would help', async () => {
  const need = { name: 'CAP_BPF', why: 'for BPF', degrades: 'all of it', fix: 'run as root', check: () => false }
  const broken = receiver('b', {
    needs: [need],
    start() {
      throw new Error('operation not permitted')
    },
  })
  const x = recorder('x')
  const yaml = ONE.replace('{a: ', '{b: , a: ').replace('[a]', '[b, a]')
  const { service, lines } = await start(yaml, { receivers: [receiver('a'), broken], exporters: [x] })
  assert.deepEqual(service.receivers, ['a'])
  assert.deepEqual(
    lines.filter(({ level }) => level === 'error').map(({ msg }) => msg),
    ['cannot start receiver "b": operation not permitted · fix: run as root'],
  )
  await until(() => x.batches.length > 0, 'a batch of the other')
  await service.stop(5000)
})

test('a receiver with an unmet need that starts nevertheless says what is missing', async () => {
  const need = {
    name: 'switch=1',
    why: 'it counts',
    degrades: 'disk delays',
    fix: 'sysctl -w switch=1',
    check: () => false,
  }
  const { service, lines } = await start(ONE, {
    receivers: [receiver('a', { needs: [need] })],
    exporters: [recorder('x')],
  })
  await service.stop(5000)
  // The machine may have something to say as well.
  const own = lines.filter((line) => line.level === 'warn' && line['otelcol.component.id'] === 'a')
  const said = own.map(({ msg, missing, fix }) => ({ msg, missing, fix }))
  assert.deepEqual(said, [{ msg: 'a started, partly', missing: 'disk delays', fix: 'sysctl -w switch=1' }])
})

test('when no receiver can start nothing does, and everything is stopped again', async () => {
  const notes: Notes = []
  const broken = receiver('a', {
    start() {
      throw new Error('no kernel')
    },
  })
  await assert.rejects(start(ONE, { receivers: [broken], exporters: [recorder('x', notes)] }, notes), {
    message: 'cannot start pipelines: no receiver could start (a: no kernel)',
  })
  assert.deepEqual(notes, ['start host', 'start telemetry', 'start x', 'stop x', 'stop telemetry', 'stop host'])
})

test('an exporter that cannot start ends the start, with its reason', async () => {
  const notes: Notes = []
  const broken = recorder('y', notes, () => {
    throw new Error('port 9464 is in use')
  })
  const yaml = ONE.replace('{x: }', '{x: , y: }').replace('[x]', '[x, y]')
  await assert.rejects(
    start(yaml, { receivers: [receiver('a', { notes })], exporters: [recorder('x', notes), broken] }, notes),
    {
      message: 'cannot start pipelines: failed to start "y" exporter: port 9464 is in use',
    },
  )
  assert.deepEqual(notes, [
    'start host',
    'start telemetry',
    'start x',
    'stop y',
    'stop x',
    'stop telemetry',
    'stop host',
  ])
})

test('metrics are off when the definition or the configuration says so', async () => {
  const both = receiver('a', {
    collect(out) {
      out.record({ kind: 'node', bornMs: 0, endedMs: undefined }, 'test.points', 1)
      out.record({ kind: 'node', bornMs: 0, endedMs: undefined }, 'test.more', 2)
    },
  })
  const namesWith = async (metrics: string) => {
    const x = recorder('x')
    const yaml = ONE.replace('{collection_interval: 1h}', `{collection_interval: 1h, metrics: ${metrics}}`)
    const { service } = await start(yaml, { receivers: [both], exporters: [x] })
    await until(() => x.batches.length > 0, 'a batch')
    await service.stop(5000)
    return x.batches[0]?.points.map(({ name }) => name)
  }
  assert.deepEqual(await namesWith('{}'), ['test.points'])
  assert.deepEqual(await namesWith('{test.more: {enabled: true}}'), ['test.points', 'test.more'])
  assert.deepEqual(await namesWith('{test.points: {enabled: false}}'), [])
})

test('stopping collects a last time, so that nothing is lost since the last tick', async () => {
  const x = recorder('x')
  const { service } = await start(ONE, { receivers: [receiver('a')], exporters: [x] })
  await until(() => x.batches.length === 1, 'the first batch')
  await service.stop(5000)
  assert.equal(x.batches.length, 2)
})

test('what does not stop in time is said, and the rest is stopped', async () => {
  const notes: Notes = []
  const stuck = receiver('a', { notes, collect: () => new Promise(() => {}) })
  const settings = '{collection_interval: 1h, timeout: 100ms}'
  const hung = {
    ...recorder('y', notes),
    create: () => ({ start() {}, consume() {}, stop: () => new Promise<void>(() => {}) }),
  }
  const lines: Line[] = []
  const yaml = ONE.replace('{collection_interval: 1h}', settings)
    .replace('{x: }', '{x: , y: }')
    .replace('[x]', '[x, y]')
  const { service } = await start(yaml, { receivers: [stuck], exporters: [recorder('x', notes), hung] }, notes, lines)
  const startMs = performance.now()
  assert.equal(await service.stop(400), false)
  assert.ok(performance.now() - startMs < 5000)
  assert.deepEqual(
    lines.filter(({ msg }) => msg === 'Could not stop cleanly').map(({ component }) => component),
    ['exporter y'],
  )
  assert.deepEqual(notes.slice(-4), ['stop a', 'stop x', 'stop telemetry', 'stop host'])
})

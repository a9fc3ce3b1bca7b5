// When receivers are collected, and what becomes of collections that fail, hang or are asked for twice.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Output } from '../../../receivers/receiver.ts'
import { type Line, receiver, recorder, start, until } from './given.ts'

const NODE = { kind: 'node', bornMs: 0, endedMs: undefined } as const
const point = (out: Output) => out.record(NODE, 'test.points', 1)

const yaml = (settings: string, receivers = 'a') => `receivers: {${receivers
  .split(' ')
  .map((id) => `${id}: {${settings}}`)
  .join(', ')}}
exporters: {x: }
service: {pipelines: {metrics: {receivers: [${receivers.replaceAll(' ', ', ')}], exporters: [x]}}}`

test('collects at once, and then in the interval', async () => {
  const x = recorder('x')
  const beforeMs = Date.now()
  const { service } = await start(yaml('collection_interval: 50ms'), { receivers: [receiver('a')], exporters: [x] })
  await until(() => x.batches.length >= 5, 'five collections')
  await service.stop(5000)
  const times = x.batches.slice(0, -1).map(({ collectedMs }) => collectedMs)
  // On a grid: single ticks may be late, but none is early.
  for (const [at, timeMs] of times.entries()) assert.ok(timeMs - beforeMs >= at * 50 - 2, times.join(' '))
})

test('waits for initial_delay', async () => {
  const x = recorder('x')
  const settings = 'collection_interval: 1h, initial_delay: 300ms'
  const beforeMs = Date.now()
  const { service } = await start(yaml(settings), { receivers: [receiver('a')], exporters: [x] })
  await until(() => x.batches.length > 0, 'a collection')
  assert.ok((x.batches[0]?.collectedMs ?? 0) - beforeMs >= 299)
  await service.stop(5000)
})

test('is never collected twice at once: ticks during a long collection are left out', async () => {
  let atOnce = 0
  let most = 0
  const slow = receiver('a', {
    async collect(out) {
      most = Math.max(most, ++atOnce)
      await new Promise((resolve) => setTimeout(resolve, 120))
      atOnce--
      point(out)
    },
  })
  const x = recorder('x')
  const { service } = await start(yaml('collection_interval: 10ms'), { receivers: [slow], exporters: [x] })
  await until(() => x.batches.length >= 3, 'three collections')
  await service.stop(5000)
  assert.equal(most, 1)
})

test('a collection that takes too long has failed, and what it brings later is dropped', async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>()
  let ended = 0
  const slow = receiver('a', {
    async collect(out) {
      await gate
      point(out)
      ended++
    },
  })
  const x = recorder('x')
  const { service, lines } = await start(yaml('collection_interval: 1h, timeout: 30ms'), {
    receivers: [slow],
    exporters: [x],
  })
  await until(() => lines.some(({ level }) => level === 'error'), 'the failure')
  assert.equal(lines.find(({ level }) => level === 'error')?.error, 'took longer than 30 ms')
  await assert.rejects(x.collect(0), /no receiver could be collected: a: the collection before has not ended yet/)
  open()
  await until(() => ended === 1, 'its end')
  assert.equal(x.batches.length, 0)
  await x.collect(0)
  assert.equal(x.batches.length, 1)
  await service.stop(5000)
})

test('a receiver that fails says so once, and once when it works again; the others go on', async () => {
  let isBroken = true
  let tries = 0
  const moody = receiver('a', {
    collect(out) {
      tries++
      if (isBroken) throw new Error('no such device')
      point(out)
    },
  })
  const lines: Line[] = []
  const x = recorder('x')
  const { service } = await start(
    yaml('collection_interval: 10ms', 'a b'),
    { receivers: [moody, receiver('b')], exporters: [x] },
    [],
    lines,
  )
  await until(() => tries >= 5 && x.batches.length >= 5, 'five failures')
  isBroken = false
  await until(() => x.batches.some((batch) => batch.receiver === 'a'), 'a success')
  await service.stop(5000)
  const said = lines
    .filter((line) => line['otelcol.component.id'] === 'a')
    .map(({ msg, error }) => (error === undefined ? msg : `${msg}: ${error}`))
  assert.deepEqual(said, ['a started', 'Error scraping metrics: no such device', 'Scraping works again'])
})

test('what could be read is kept when something could not', async () => {
  const partly = receiver('a', {
    collect(out) {
      point(out)
      out.failed(new Error('one of two'))
    },
  })
  const x = recorder('x')
  const { service, lines } = await start(yaml('collection_interval: 1h'), { receivers: [partly], exporters: [x] })
  await until(() => x.batches.length === 1, 'a batch')
  assert.equal(x.batches[0]?.points.length, 1)
  await until(() => lines.some(({ msg }) => msg === 'Could not read everything'), 'the warning')
  await x.collect(0)
  await service.stop(5000)
  assert.equal(lines.filter(({ level }) => level === 'warn').length, 1)
})

test('exporters that ask at the same time share one collection', async () => {
  let collections = 0
  const counting = receiver('a', {
    async collect(out) {
      collections++
      await new Promise((resolve) => setTimeout(resolve, 30))
      point(out)
    },
  })
  const x = recorder('x')
  const { service } = await start(yaml('collection_interval: 1h, initial_delay: 1h'), {
    receivers: [counting],
    exporters: [x],
  })
  await Promise.all([x.collect(0), x.collect(0), x.collect(1000)])
  assert.equal(collections, 1)
  assert.equal(x.batches.length, 1)
  await x.collect(60_000)
  assert.equal(collections, 1)
  await x.collect(0)
  assert.equal(collections, 2)
  await service.stop(5000)
})

test('an exporter that asks is refused only when nobody could be collected', async () => {
  let isBroken = true
  const moody = receiver('a', {
    collect(out) {
      if (isBroken) throw new Error('gone')
      point(out)
    },
  })
  const x = recorder('x')
  const settings = 'collection_interval: 1h, initial_delay: 1h'
  const { service } = await start(yaml(settings, 'a b'), { receivers: [moody, receiver('b')], exporters: [x] })
  await x.collect(0)
  await service.stop(5000)

  const alone = recorder('x')
  const { service: other } = await start(yaml(settings), { receivers: [moody], exporters: [alone] })
  await assert.rejects(alone.collect(0), { message: 'no receiver could be collected: a: gone' })
  await assert.rejects(alone.collect(60_000), /a: gone/, 'what failed a moment ago has not become true since')
  isBroken = false
  await alone.collect(0)
  await other.stop(5000)
})

test('an exporter that asks while the agent starts is answered when it has started', async () => {
  const x = recorder('x')
  let early: Promise<void> | undefined
  const slow = receiver('a', {
    start() {
      early = x.collect(0)
    },
  })
  const { service } = await start(yaml('collection_interval: 1h, initial_delay: 1h'), {
    receivers: [slow],
    exporters: [x],
  })
  await early
  assert.equal(x.batches.length, 1)
  await service.stop(5000)
})

test('an exporter or processor that throws costs the other exporters nothing', async () => {
  const x = recorder('x')
  const broken = {
    ...recorder('y'),
    create: () => ({
      start() {},
      async stop() {},
      consume() {
        throw new Error('full')
      },
    }),
  }
  const text = yaml('collection_interval: 10ms').replace('{x: }', '{y: , x: }').replace('[x]', '[y, x]')
  const { service, lines } = await start(text, { receivers: [receiver('a')], exporters: [broken, x] })
  await until(() => x.batches.length >= 3, 'three batches')
  await service.stop(5000)
  assert.equal(lines.filter(({ msg }) => msg === 'The pipeline failed').length, 1)
})

// The processor as the pipeline drives it: chunks in, points out, and nothing lost on the way.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import * as z from 'zod/mini'
import attribution from '../../../processors/container_attribution/index.ts'
import definition from '../../../processors/log_fingerprint/index.ts'
import { promName } from '../../../processors/naming.ts'
import type { Point } from '../../../processors/processor.ts'
import { createTable } from '../../../processors/table.ts'
import type { Container, Host } from '../../../receivers/host/host.ts'
import type { LogStream } from '../../../receivers/logs.ts'
import type { Logger } from '../../../receivers/receiver.ts'
import { batch, cgroup, PROMETHEUS, random } from '../given.ts'
import { chunks } from './given.ts'

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }
const top = cgroup(7)
const container: Container = {
  containerId: '/docker/web',
  appId: '',
  runtime: 'docker',
  top,
  resource: { 'container.name': 'web' },
  image: 'web:1',
}
const host = {
  identity: { machineId: 'b7fd', systemUuid: '', hostname: 'box', kernelVersion: '6.18', arch: 'x64' },
  attribution: () => ({ state: 'container', container }),
  *containers() {
    yield container
  },
} as unknown as Host

const stream = (more: Partial<LogStream> = {}): LogStream => ({ subject: top, source: 'stdout/stderr', ...more })

/** One object for as long as the stream is followed. */
const STDOUT = stream()

async function started(settings: object = {}) {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
  const provider = new MeterProvider({ readers: [reader] })
  const parsed = z.parse(definition.config, { flush_after: '0s', ...settings })
  const processor = await definition.start(parsed, {
    host,
    log: silent,
    meter: provider.getMeter('test'),
    id: 'log_fingerprint',
  })
  return {
    write(text: string | Buffer, to: LogStream = STDOUT, more: object = {}) {
      processor.consumeLogs?.('container_logs', [{ stream: to, bytes: Buffer.from(text), ...more }])
    },
    points: (receiver = 'container_logs') => processor.process(batch([], 2000, receiver)).points,
    processor,
    async own(): Promise<Record<string, number>> {
      await reader.forceFlush()
      const metrics = exporter.getMetrics().at(-1)?.scopeMetrics[0]?.metrics ?? []
      await provider.shutdown()
      return Object.fromEntries(
        metrics.map(({ descriptor, dataPoints }) => [
          descriptor.name.replace('otelcol_processor_log_fingerprint_', ''),
          dataPoints.reduce((sum, { value }) => sum + Number(value), 0),
        ]),
      )
    },
  }
}

const total = (points: readonly Point[]) => points.reduce((sum, { value }) => sum + value, 0)
const by = (points: readonly Point[], label: string) => {
  const sums: Record<string, number> = {}
  for (const { attributes, value } of points) {
    const key = attributes[label] ?? ''
    sums[key] = (sums[key] ?? 0) + value
  }
  return sums
}

test('messages are counted by source, level and pattern, under the names of the peer', async () => {
  const { write, points } = await started()
  write('2024-05-02 11:20:31 ERROR cannot reach 10.0.0.1\n2024-05-02 11:20:32 ERROR cannot reach 10.0.0.2\n')
  write('2024-05-02 11:20:33 INFO ready\n', stream({ source: '/var/log/app.log' }))
  const found = points()
  assert.deepEqual(
    found.map(({ attributes, value }) => [attributes.source, attributes.level, attributes.sample, value]),
    [
      ['stdout/stderr', 'error', '2024-05-02 11:20:31 ERROR cannot reach 10.0.0.1', 2],
      ['/var/log/app.log', 'info', '2024-05-02 11:20:33 INFO ready', 1],
    ],
  )
  assert.match(found[0]?.attributes.pattern_hash ?? '', /^[0-9a-f]{16}$/)
  const [first] = found
  assert.equal(promName(first?.name ?? '', first?.metric.unit ?? '', 'counter'), 'container_log_messages_total')
})

test('container_attribution names the series when it stands behind', async () => {
  const { write, points } = await started()
  const settings = z.parse(attribution.config, {})
  const meter = new MeterProvider().getMeter('test')
  const names = await attribution.start(settings, { host, log: silent, meter, id: 'container_attribution' })
  write('ERROR boom\n')
  const table = createTable({ view: PROMETHEUS })
  table.apply(names.process(batch(points(), 2000, 'container_logs')))
  const row = [...table.rows()].find(({ name }) => name === 'container.log.messages')
  assert.equal(row?.attributes.container_id, '/docker/web')
  assert.equal(row?.value, 1)
})

test('only the batches of the receiver that brought the lines carry the counts', async () => {
  const { write, points } = await started()
  write('one\n')
  assert.deepEqual(points('cgroup'), [])
  assert.equal(total(points()), 1)
})

test('the same objects stand for the same series each time', async () => {
  const { write, points } = await started()
  write('one 1\n')
  const [first] = points()
  write('one 2\n')
  const [second] = points()
  assert.equal(second?.attributes, first?.attributes)
  assert.ok(Object.isFrozen(first?.attributes))
  assert.deepEqual([first?.value, second?.value], [1, 2])
})

test('what exceeds the limit is counted in one series per level, and counts add up', async () => {
  const { write, points, own } = await started({ max_patterns: 5 })
  const next = random(3)
  const word = () => Array.from({ length: 9 }, () => String.fromCharCode(97 + Math.floor(next() * 26))).join('')
  const lines = Array.from({ length: 500 }, (_, i) => `${i % 2 === 0 ? 'ERROR' : 'INFO'} ${word()} ${word()}`)
  write(`${lines.join('\n')}\n`)
  const found = points()
  assert.equal(total(found), 500)
  assert.equal(found.length, 12)
  const overflow = found.filter(({ attributes }) => /^0+$/.test(attributes.pattern_hash ?? ''))
  assert.deepEqual(
    overflow.map(({ attributes, value }) => [attributes.level, value]),
    [
      ['info', 245],
      ['error', 245],
    ],
  )
  assert.deepEqual(await own(), {
    lines: 500,
    bytes: Buffer.byteLength(lines.join('\n')) + 1,
    messages: 500,
    overflow_messages: 490,
    patterns: 10,
  })
})

test('the limit of all containers holds, too', async () => {
  const { write, points } = await started({ max_patterns_total: 3 })
  for (let id = 1; id <= 4; id++) {
    write('alpha alpha one\nbeta two\nfirst gamma\n', stream({ subject: cgroup(id) }))
  }
  const found = points()
  assert.equal(total(found), 12)
  assert.equal(found.filter(({ attributes }) => !/^0+$/.test(attributes.pattern_hash ?? '')).length, 3)
})

test('below the level that is set, messages are only counted', async () => {
  const { write, points } = await started({ min_level: 'warning' })
  write('INFO a\nINFO b\nERROR c\nplain text\n')
  assert.deepEqual(
    points().map(({ attributes, value }) => [
      attributes.level,
      attributes.pattern_hash === '',
      attributes.sample,
      value,
    ]),
    [
      ['unknown', true, '', 1],
      ['info', true, '', 2],
      ['error', false, 'ERROR c', 1],
    ],
  )
})

test('the runtime knows the level where the text does not', async () => {
  const { write, points } = await started()
  write('no level here\nERROR the text wins\nno level here\n', stream({ source: 'journald' }), {
    severities: Uint8Array.of(4, 6, 255),
  })
  assert.deepEqual(by(points(), 'level'), { unknown: 1, warning: 1, error: 1 })
})

test('stdout and stderr are read apart and counted together', async () => {
  const { write, points } = await started()
  const out = stream({ output: 'stdout' })
  const err = stream({ output: 'stderr' })
  write('2024-05-02 11:20:31 ERROR failed\n', err)
  write('2024-05-02 11:20:31 INFO heartbeat\n', out)
  write('java.lang.IllegalStateException: x\n\tat a.B.c(B.java:1)\n', err)
  assert.deepEqual(by(points(), 'level'), { info: 1, error: 1 })
})

test('an open message waits for its silence, not longer', async () => {
  const { write, points } = await started({ flush_after: '1h' })
  write('ERROR one\nERROR two\n')
  assert.equal(total(points()), 1)
  write('ERROR three\n')
  assert.equal(total(points()), 2)
})

test('a file that was replaced ends the message that was open in the old one', async () => {
  const { write, points } = await started({ flush_after: '1h' })
  write('2024-05-02 11:20:31 ERROR old\n', stream({ source: '/var/log/a.log' }))
  write('  indented\n2024-05-02 11:20:31 INFO new\n', stream({ source: '/var/log/a.log' }))
  assert.equal(total(points()), 2)
})

test('a cgroup id that the kernel gave again is another container', async () => {
  const { write, points } = await started()
  write('ERROR a\n', stream({ subject: cgroup(7, 1000) }))
  assert.equal(total(points()), 1)
  write('ERROR a\n', stream({ subject: cgroup(7, 5000) }))
  assert.equal(total(points()), 1)
})

test('what ended long ago is forgotten', async () => {
  const { write, points } = await started()
  const ended = { ...cgroup(9), endedMs: Date.now() - 3_600_000 }
  write('ERROR a\n', stream({ subject: ended }))
  assert.equal(total(points()), 1)
  assert.deepEqual(points(), [])
})

test('a container that makes up sources does not grow memory', async () => {
  const { write, points } = await started()
  for (let i = 0; i < 200; i++) write('ERROR a\n', stream({ source: `/var/log/${i}.log` }))
  const found = points()
  assert.equal(total(found), 200)
  assert.equal(Object.keys(by(found, 'source')).length, 65)
})

const SECRET = 'Zq7mXw2kLp9vRt4y'

test('a secret in a log appears nowhere in what leaves, unless raw samples are asked for', async () => {
  const log = [
    `2024-05-02 11:20:31 ERROR login failed password=${SECRET}`,
    `{"level":"error","msg":"denied for bob@example.org","token":"${SECRET}"}`,
    `time=x level=warn msg="bad header" authorization="Bearer ${SECRET}"`,
    `GET /x?key=${SECRET} HTTP/1.1`,
    `Traceback (most recent call last):\n  File "/a.py", line 3\nKeyError: 'api_key=${SECRET}'`,
    `${'x'.repeat(2040)} password=${SECRET}`,
  ].join('\n')
  for (const settings of [{}, { pattern: true }, { max_sample_bytes: 64 }, { sample: 'off', pattern: true }]) {
    const { write, points } = await started(settings)
    write(`${log}\n`)
    const said = JSON.stringify(points().map(({ attributes }) => attributes))
    assert.ok(!said.includes(SECRET), said)
    assert.ok(!said.includes('bob@example'), said)
  }
  const { write, points } = await started({ sample: 'raw' })
  write(`${log}\n`)
  assert.ok(JSON.stringify(points().map(({ attributes }) => attributes)).includes(SECRET))
})

test('the template is there on demand', async () => {
  const { write, points } = await started({ pattern: true, sample: 'off' })
  write('2024-05-02 11:20:31 ERROR cannot reach 10.0.0.1 after 12 ms\n')
  assert.equal(points()[0]?.attributes.pattern, 'cannot reach <*> after <*>')
  assert.equal(points()[0]?.attributes.sample, '')
})

test('samples are whole messages, cut between characters', async () => {
  const { write, points } = await started({ max_sample_bytes: 64 })
  write('2024-05-02 11:20:31 ERROR a\n')
  write('  ééééééééééééééééééééééééééééé\n')
  const sample = points()[0]?.attributes.sample ?? ''
  assert.match(sample, /^2024-05-02 11:20:31 ERROR a\n {2}é+$/)
  assert.ok(Buffer.byteLength(sample) <= 64)
})

test('wherever chunks are cut, the counts are the same', async () => {
  const next = random(11)
  const kinds = [
    '2024-05-02 11:20:31 ERROR a b',
    '  at x.y(z.js:1)',
    '{"level":"info","msg":"m"}',
    'plain words here',
    '',
    'I0502 11:20:31.1 1 a.go:1] k',
  ]
  const lines = Array.from({ length: 2000 }, () => kinds[Math.floor(next() * kinds.length)] ?? '')
  const bytes = Buffer.from(`${lines.join('\n')}\n`)
  let whole: unknown
  for (const cuts of [[], [1, 2, 3], Array.from({ length: 400 }, () => Math.floor(next() * 2000))]) {
    const { write, points } = await started()
    for (const chunk of chunks(bytes, cuts)) write(chunk)
    const found = points().map(({ attributes, value }) => ({ ...attributes, sample: '', value }))
    whole ??= found
    assert.deepEqual(found, whole)
  }
})

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { JsonMetricsSerializer, ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import { promName } from '../../processors/naming.ts'
import type { Point } from '../../processors/processor.ts'
import { type ProducerOptions, resourceMetrics, tableProducer } from '../../processors/producer.ts'
import { createTable, type Table } from '../../processors/table.ts'
import { requires } from '../requires.ts'
import { batch, cgroup, HOST, METRIC, OTEL, PROMETHEUS, point, random, resource } from './given.ts'

const AS_PROMETHEUS: ProducerOptions = { name: (name, metric) => promName(name, metric.unit, metric.kind) }

class Reader extends MetricReader {
  protected override async onForceFlush() {}
  protected override async onShutdown() {}
}

/** The Prometheus page as the SDK writes it, through a reader of the SDK. */
async function page(table: Table): Promise<string> {
  const reader = new Reader({ metricProducers: [tableProducer(table, AS_PROMETHEUS)] })
  const provider = new MeterProvider({ resource: resourceFromAttributes(HOST.attributes), readers: [reader] })
  const { resourceMetrics: collected, errors } = await reader.collect()
  await provider.shutdown()
  assert.deepEqual(errors, [])
  return new PrometheusSerializer('', false, undefined, true, true).serialize(collected)
}

function tableOf(points: Point[], view = PROMETHEUS): Table {
  const table = createTable({ view, now: () => 10_000 })
  table.apply(batch(points, 10_000))
  return table
}

/** What `promtool check metrics` finds, apart from its taste in label names, which here are meant to be bad. */
function promtoolSays(text: string): string {
  const { stdout, stderr, status } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
  const taste = /'snake_case' not 'camelCase'|should not have "le" label/
  const found = `${stdout}${stderr}`.split('\n').filter((line) => line !== '' && !taste.test(line))
  const LINT = 3
  if (status !== 0 && status !== LINT) found.push(`exit ${status}`)
  return found.join('\n')
}

test('the page has the official names, and a family is told once', async () => {
  const subject = cgroup(1)
  const text = await page(
    tableOf([
      point({ subject, name: 'container.resources.cpu.usage', value: 1.25, resource: resource('web') }),
      point({
        subject,
        name: 'container.resources.memory.rss',
        value: 4096,
        kind: 'updowncounter',
        resource: resource('web'),
      }),
      point({ subject: cgroup(2), name: 'container.resources.cpu.usage', value: 3, resource: resource('db') }),
      point({
        subject,
        name: 'container.resources.cpu.limit_cores',
        value: 0.5,
        kind: 'gauge',
        resource: resource('web'),
      }),
    ]),
  )
  assert.equal(
    text,
    `# HELP container_resources_cpu_usage_seconds_total A counter.
# TYPE container_resources_cpu_usage_seconds_total counter
container_resources_cpu_usage_seconds_total{container_id="/docker/web",app_id=""} 1.25
container_resources_cpu_usage_seconds_total{container_id="/docker/db",app_id=""} 3
# HELP container_resources_memory_rss_bytes A updowncounter.
# TYPE container_resources_memory_rss_bytes gauge
container_resources_memory_rss_bytes{container_id="/docker/web",app_id=""} 4096
# HELP container_resources_cpu_limit_cores A gauge.
# TYPE container_resources_cpu_limit_cores gauge
container_resources_cpu_limit_cores{container_id="/docker/web",app_id=""} 0.5
`,
  )
})

test('families of two receivers are one family on the page', async () => {
  const table = createTable({ view: PROMETHEUS, now: () => 10_000 })
  table.apply(batch([point({ subject: cgroup(1), value: 1, resource: resource('web') })], 10_000, 'one'))
  table.apply(batch([point({ subject: cgroup(2), value: 2, resource: resource('db') })], 10_000, 'two'))
  const text = await page(table)
  assert.equal(text.match(/^# TYPE/gm)?.length, 1)
  assert.equal(text.match(/^test_counter_seconds_total/gm)?.length, 2)
})

test('OTLP gets one resource per container, one scope per receiver, and the OTel names', () => {
  const table = createTable({ view: OTEL, now: () => 10_000 })
  const web = resource('web')
  table.apply(batch([point({ subject: cgroup(1, 1500), value: 1.5, resource: web })], 9000, 'cgroup'))
  table.apply(
    batch(
      [
        point({
          subject: cgroup(1),
          name: 'other',
          value: 2,
          kind: 'gauge',
          resource: web,
          attributes: { 'a.b': 'x' },
        }),
        point({ subject: cgroup(2), value: 3, kind: 'updowncounter' }),
      ],
      9500,
      'delay_accounting',
    ),
  )
  const all = resourceMetrics(table, { version: '0.1.0' }).map((one) => {
    const json = JSON.parse(Buffer.from(JsonMetricsSerializer.serializeRequest(one) ?? []).toString())
    return json.resourceMetrics[0]
  })
  assert.deepEqual(
    all.map((one) => one.resource.attributes),
    [
      [
        { key: 'host.name', value: { stringValue: 'box' } },
        { key: 'container.name', value: { stringValue: 'web' } },
      ],
      [{ key: 'host.name', value: { stringValue: 'box' } }],
    ],
  )
  const [cgroupScope, delayScope] = all[0].scopeMetrics
  assert.deepEqual(cgroupScope.scope, { name: 'cgroup', version: '0.1.0' })
  assert.deepEqual(cgroupScope.metrics, [
    {
      name: 'test.counter',
      description: METRIC.counter.description,
      unit: 's',
      sum: {
        aggregationTemporality: 2,
        isMonotonic: true,
        dataPoints: [{ attributes: [], startTimeUnixNano: '1500000000', timeUnixNano: '9000000000', asDouble: 1.5 }],
      },
    },
  ])
  assert.deepEqual(delayScope.metrics[0].gauge.dataPoints[0].attributes, [{ key: 'a.b', value: { stringValue: 'x' } }])
  const sum = all[1].scopeMetrics[0].metrics[0].sum
  assert.equal(sum.isMonotonic, false)
})

test('a metric that two receivers report is in the scope of each', async () => {
  const table = createTable({ view: PROMETHEUS, now: () => 10_000 })
  table.apply(batch([point({ subject: cgroup(1), value: 1, resource: resource('web') })], 10_000, 'one'))
  table.apply(batch([point({ subject: cgroup(2), value: 2, resource: resource('db') })], 10_000, 'two'))
  const { resourceMetrics: collected } = await tableProducer(table).collect()
  assert.deepEqual(
    collected.scopeMetrics.map(({ scope, metrics: [metric] }) => [
      scope.name,
      metric?.dataPoints.map(({ value }) => value),
    ]),
    [
      ['one', [1]],
      ['two', [2]],
    ],
  )
})

test('series of the dead are not on the next page', async () => {
  const clock = { nowMs: 10_000 }
  const table = createTable({ view: PROMETHEUS, now: () => clock.nowMs })
  const subject = cgroup(1)
  table.apply(batch([point({ subject, value: 1 })]))
  subject.endedMs = clock.nowMs
  assert.match(await page(table), /^test_counter_seconds_total 1$/m)
  clock.nowMs += 300_001
  assert.equal(await page(table), '# no registered metrics')
})

test('times are right to the microsecond, also late in the century', () => {
  const table = createTable({ view: OTEL })
  const startMs = 4_000_000_000_123.25
  table.apply(batch([point({ subject: cgroup(1, startMs), value: 1 })], startMs + 0.5))
  const [one] = resourceMetrics(table)
  const dataPoint = one?.scopeMetrics[0]?.metrics[0]?.dataPoints[0]
  assert.deepEqual(dataPoint?.startTime, [4_000_000_000, 123_250_000])
  assert.deepEqual(dataPoint?.endTime, [4_000_000_000, 123_750_000])
})

const NASTY: readonly string[] = [
  '',
  '"',
  '\\',
  '\\"',
  '\n',
  '\r\n',
  '\t',
  '\0',
  '\u2028',
  '\ufeff',
  '\ud800',
  '\udfff\ud800',
  '😀',
  '}',
  '{a="b"} 1\n# TYPE x counter\nx 2',
  '"} NaN\n',
  ',',
  '# HELP x',
  'x'.repeat(4096),
  '😀'.repeat(4096),
  '"'.repeat(4096),
  '\\'.repeat(4097),
  '\n'.repeat(4096),
  '\ud83d'.repeat(4096),
  '日本語のコンテナ',
  'ＦＵＬＬ',
  '../../etc/passwd',
  '$(reboot)',
  '%s%n',
  '\x1b[31mred',
  '__name__',
  'le',
]

/** A reading of the text format, written from its specification: label values of every sample. */
function readPage(text: string): Record<string, string>[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const sample = /^[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{(?<labels>.*)\})? \S+$/s.exec(line)
      assert.ok(sample, line)
      const labels: Record<string, string> = {}
      let rest = sample.groups?.labels ?? ''
      while (rest !== '') {
        const label = /^(?<name>[a-zA-Z_][a-zA-Z0-9_]*)="(?<value>(?:[^"\\\n]|\\["\\n])*)"(?:,|$)/.exec(rest)
        assert.ok(label?.groups?.name !== undefined && label.groups.value !== undefined, rest.slice(0, 80))
        assert.ok(!(label.groups.name in labels), `${label.groups.name} twice`)
        labels[label.groups.name] = label.groups.value.replace(/\\(.)/gs, (_, one) => (one === 'n' ? '\n' : one))
        rest = rest.slice(label[0].length)
      }
      return labels
    })
}

test(
  'every nasty name is a label value that comes back as it was, as far as it fits',
  requires('promtool'),
  async () => {
    for (const [at, nasty] of NASTY.entries()) {
      const text = await page(
        tableOf([point({ subject: cgroup(at), name: 'test.time', value: 1, resource: resource(nasty) })]),
      )
      assert.equal(promtoolSays(text), '', JSON.stringify(nasty.slice(0, 40)))
      const [labels] = readPage(text)
      const whole = `/docker/${nasty.toWellFormed()}`
      const kept = labels?.container_id ?? ''
      assert.ok(whole.startsWith(kept) && kept.isWellFormed())
      assert.ok(kept === whole || Buffer.byteLength(kept) > 1020, JSON.stringify(nasty.slice(0, 40)))
    }
  },
)

test('every nasty name is a label name that does no harm', requires('promtool'), async () => {
  for (const [at, nasty] of NASTY.entries()) {
    const attributes = { [nasty]: 'x', ok: 'y' }
    const text = await page(tableOf([point({ subject: cgroup(at), name: 'test.time', value: 1, attributes })]))
    assert.equal(promtoolSays(text), '', JSON.stringify(nasty.slice(0, 40)))
    assert.equal(readPage(text)[0]?.ok, 'y')
  }
})

test(
  'all nasty names at once, as names and values, leave a page that promtool has nothing to say about',
  requires('promtool'),
  async () => {
    const next = random(3)
    const any = () => NASTY[Math.floor(next() * NASTY.length)] ?? ''
    const noise = () =>
      String.fromCharCode(...Array.from({ length: Math.floor(next() * 20) }, () => Math.floor(next() * 0x10000)))
    for (let round = 0; round < 12; round++) {
      const points = Array.from({ length: 200 }, (_, id) => {
        // Unlike others it has no lint against camel case in the names of labels.
        const name = `${any()}${noise()}`.replace(/[A-Z]/g, '')
        const attributes = {
          [name]: any() + noise(),
          [name.replace('_', '.')]: noise(),
          [`${name}.`]: any(),
          id: `${id}`,
        }
        return point({
          subject: cgroup(id),
          name: 'test.time',
          value: id,
          attributes,
          resource: resource(any() + noise()),
        })
      })
      const table = tableOf(points)
      const text = await page(table)
      assert.equal(promtoolSays(text), '')
      assert.equal(readPage(text).length, table.size)
    }
  },
)

test('nasty names are harmless over OTLP as well', () => {
  const points = NASTY.map((nasty, id) =>
    point({ subject: cgroup(id), value: 1, resource: resource(nasty), attributes: { [nasty]: nasty } }),
  )
  for (const one of resourceMetrics(tableOf(points, OTEL))) {
    const bytes = ProtobufMetricsSerializer.serializeRequest(one)
    assert.ok(bytes !== undefined && bytes.length < 8192)
    const name = Buffer.from(String(one.resource.attributes['container.name'] ?? ''))
    assert.ok(Buffer.from(bytes).includes(name))
  }
})

// Histograms through the table and the SDK: buckets, sum and count, from several subjects, judged by promtool.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { JsonMetricsSerializer } from '@opentelemetry/otlp-transformer'
import { promName } from '../../processors/naming.ts'
import type { Point } from '../../processors/processor.ts'
import { resourceMetrics } from '../../processors/producer.ts'
import { createTable, type Table, type View } from '../../processors/table.ts'
import { requires } from '../requires.ts'
import { batch, cgroup, OTEL, PROMETHEUS, point, resource } from './given.ts'

const web = resource('web')
const first = cgroup(1)
const second = cgroup(2)

const histogram = (subject: typeof first, sum: number, counts: readonly number[]): Point =>
  point({
    subject,
    name: 'round.trip',
    kind: 'histogram',
    value: sum,
    counts: Float64Array.from(counts),
    resource: web,
  })

function given(view: View = PROMETHEUS) {
  const clock = { nowMs: 10_000 }
  const table = createTable({ view, now: () => clock.nowMs, forgetAfterMs: 1000 })
  const told = () => Array.from(table.rows(), ({ value, counts }) => [value, [...(counts ?? [])]])
  return { table, told, clock, report: (...points: Point[]) => table.apply(batch(points, clock.nowMs)) }
}

function page(table: Table): string {
  const [metrics] = resourceMetrics(table, { name: (name, metric) => promName(name, metric.unit, metric.kind) })
  assert.ok(metrics)
  return new PrometheusSerializer('', false, undefined, true, true).serialize(metrics)
}

test('the page has cumulative buckets, sum and count', requires('promtool'), () => {
  const { table, report } = given()
  report(histogram(first, 7.25, [3, 0, 1]))
  const text = page(table)
  assert.equal(
    text,
    `# HELP round_trip_seconds A histogram.
# TYPE round_trip_seconds histogram
round_trip_seconds_count{container_id="/docker/web",app_id=""} 4
round_trip_seconds_sum{container_id="/docker/web",app_id=""} 7.25
round_trip_seconds_bucket{container_id="/docker/web",app_id="",le="0.5"} 3
round_trip_seconds_bucket{container_id="/docker/web",app_id="",le="2"} 3
round_trip_seconds_bucket{container_id="/docker/web",app_id="",le="+Inf"} 4
`,
  )
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
  assert.equal(status, 0, `${stdout}${stderr}`)
})

test('OTLP has the buckets as they were reported', () => {
  const { table, report } = given(OTEL)
  report(histogram(first, 7.25, [3, 0, 1]))
  const [metrics] = resourceMetrics(table)
  assert.ok(metrics)
  const json = JSON.parse(Buffer.from(JsonMetricsSerializer.serializeRequest(metrics) ?? []).toString())
  const [told] = json.resourceMetrics[0].scopeMetrics[0].metrics
  assert.equal(told.histogram.aggregationTemporality, 2)
  const { explicitBounds, bucketCounts, sum, count } = told.histogram.dataPoints[0]
  assert.deepEqual(explicitBounds, [0.5, 2])
  assert.deepEqual(bucketCounts.map(Number), [3, 0, 1])
  assert.deepEqual([sum, Number(count)], [7.25, 4])
})

test('subjects add up, and what the dead measured stays', () => {
  const { report, table, told, clock } = given()
  const dying = { ...second }
  report(histogram(first, 1, [1, 0, 0]), histogram(dying, 4, [0, 2, 0]))
  assert.deepEqual(told(), [[5, [1, 2, 0]]])
  dying.endedMs = clock.nowMs
  clock.nowMs += 5000
  table.forget()
  report(histogram(first, 9, [1, 0, 2]))
  assert.deepEqual(told(), [[13, [1, 2, 2]]])
})

test('one that began anew goes on from where it was, also when only a bucket shows it', () => {
  const { report, told } = given()
  report(histogram(first, 1, [4, 0, 0]))
  report(histogram(first, 1.5, [1, 1, 0]))
  assert.deepEqual(told(), [[2.5, [5, 1, 0]]])
})

test('what does not fit its buckets is refused and counted', () => {
  const { report, table, told } = given()
  report(histogram(first, 1, [4, 0]))
  report(histogram(first, 1, [4, -1, 0]))
  report(histogram(first, 1, [4, Number.NaN, 0]))
  report(point({ subject: first, kind: 'histogram', value: 1, resource: web }))
  assert.deepEqual(told(), [])
  assert.equal(table.refusals.values, 4)
})

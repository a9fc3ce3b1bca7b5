// What the table and the SDK's serializers over it cost, by number of series.
import { PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import { ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer'
import { promName } from '../../processors/naming.ts'
import type { Batch, Point, Resource } from '../../processors/processor.ts'
import { resourceMetrics, tableProducer } from '../../processors/producer.ts'
import { createTable, type View } from '../../processors/table.ts'
import type { Attributes, Metric } from '../../receivers/receiver.ts'

import type { Row } from './index.ts'

const METRICS = 25
const ATTRIBUTES: readonly Attributes[] = [Object.freeze({}), Object.freeze({ kind: 'some' })]
export const SERIES_PER_CONTAINER = METRICS * ATTRIBUTES.length
const ROUNDS = 9

const host: Resource = { attributes: { 'host.name': 'bench' }, labels: {} }
const prometheus: View = {
  names: 'prometheus',
  resource: () => host,
  attributes: (point) => ({ machine_id: 'b7fd', system_uuid: '4c4c', ...point.resource?.labels, ...point.attributes }),
}
const otel: View = {
  names: 'otel',
  resource: (point) => point.resource ?? host,
  attributes: (point) => point.attributes,
}

/** One row per number of series; times are medians in milliseconds. */
export async function run(): Promise<Row[]> {
  const rows: Row[] = []
  for (const series of [1000, 10_000, 100_000]) rows.push(await measure(series))
  return rows
}

async function measure(series: number): Promise<Row> {
  const batchOf = containers(series / SERIES_PER_CONTAINER)
  const before = heapBytes()
  const table = createTable({ view: prometheus })
  const otelTable = createTable({ view: otel })
  const first = timed(() => table.apply(batchOf(0)))
  otelTable.apply(batchOf(0))
  const heapMiB = (heapBytes() - before) / 2 / 2 ** 20

  const apply: number[] = []
  const walk: number[] = []
  const forget: number[] = []
  const text: number[] = []
  const protobuf: number[] = []
  const serializer = new PrometheusSerializer('', false, undefined, true, true)
  const producer = tableProducer(table, { name: (name, metric) => promName(name, metric.unit, metric.kind) })
  for (let round = 1; round <= ROUNDS; round++) {
    const batch = batchOf(round)
    apply.push(timed(() => table.apply(batch)))
    otelTable.apply(batch)
    forget.push(timed(() => table.forget()))
    walk.push(timed(() => [...table.rows()].length))
    const { resourceMetrics: collected } = await producer.collect()
    text.push(timed(() => serializer.serialize(collected)))
    protobuf.push(
      timed(() => {
        for (const one of resourceMetrics(otelTable)) ProtobufMetricsSerializer.serializeRequest(one)
      }),
    )
  }
  return {
    series,
    'first apply ms': round2(first),
    'apply ms': round2(median(apply)),
    'forget ms': round2(median(forget)),
    'rows ms': round2(median(walk)),
    'SDK text ms': round2(median(text)),
    'SDK protobuf ms': round2(median(protobuf)),
    'heap MiB': round2(heapMiB),
  }
}

/** Batches of the same series, whose counters have grown by the round. */
export function containers(count: number): (round: number) => Batch {
  const metrics = Array.from({ length: METRICS }, (_, at): [string, Metric] => [
    `container.resources.metric_${at}`,
    { kind: at % 5 === 0 ? 'updowncounter' : 'counter', unit: 's', description: 'Bench.' },
  ])
  const subjects = Array.from({ length: count }, (_, at) => {
    const name = `/docker/container-${at}`
    const resource: Resource = {
      attributes: {
        'container.name': `container-${at}`,
        'container.id': `${at}`.padStart(64, '0'),
        'host.name': 'bench',
      },
      labels: { container_id: name, app_id: '' },
    }
    return { subject: { kind: 'cgroup' as const, id: at, path: name, bornMs: 1, endedMs: undefined }, resource }
  })
  return (round) => {
    const points: Point[] = []
    for (const { subject, resource } of subjects) {
      for (const [name, metric] of metrics) {
        for (const attributes of ATTRIBUTES) {
          points.push({ subject, name, metric, value: round * 1.25 + subject.id, attributes, resource })
        }
      }
    }
    return { receiver: 'cgroup', points, collectedMs: 1000 + round }
  }
}

function timed(work: () => unknown): number {
  const start = performance.now()
  work()
  return performance.now() - start
}

function heapBytes(): number {
  globalThis.gc?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
const round2 = (value: number) => Math.round(value * 100) / 100

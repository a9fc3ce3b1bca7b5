// What tests of processors are given: subjects, points and batches, made as the pipeline makes them, and tables.
import type { Batch, Point, Resource } from '../../processors/processor.ts'
import { createTable, type Table, type TableOptions, type View } from '../../processors/table.ts'
import type { Attributes, Metric, MetricKind, Subject } from '../../receivers/receiver.ts'

export type LivingCgroup = Extract<Subject, { kind: 'cgroup' }>

export const cgroup = (id: number, bornMs = 1000): LivingCgroup => ({
  kind: 'cgroup',
  id,
  path: `/docker/${id}`,
  bornMs,
  endedMs: undefined,
})

const ofKind = (kind: MetricKind, unit: string): Metric => ({ kind, unit, description: `A ${kind}.` })

/** By kind: the table asks nothing else of a metric. */
export const METRIC = {
  counter: ofKind('counter', 's'),
  updowncounter: ofKind('updowncounter', 'By'),
  gauge: ofKind('gauge', '{cpu}'),
  histogram: { ...ofKind('histogram', 's'), bounds: [0.5, 2] },
} as const

export const HOST: Resource = { attributes: { 'host.name': 'box' }, labels: {} }

export const resource = (name: string): Resource => ({
  attributes: { 'host.name': 'box', 'container.name': name },
  labels: { container_id: `/docker/${name}`, app_id: '' },
})

type Given = Partial<Point> & Pick<Point, 'subject' | 'value'> & { kind?: MetricKind }

export function point({ kind = 'counter', ...given }: Given): Point {
  const attributes: Attributes = {}
  return { name: `test.${kind}`, metric: METRIC[kind], attributes, resource: undefined, ...given }
}

export const batch = (points: Point[], collectedMs = 2000, receiver = 'cgroup'): Batch => ({
  receiver,
  points,
  collectedMs,
})

/** Every series has all labels, as on the Prometheus page. */
export const PROMETHEUS: View = {
  names: 'prometheus',
  resource: () => HOST,
  attributes: (given) => ({ ...given.resource?.labels, ...given.attributes }),
}

/** Series by resource, as OTLP has them. */
export const OTEL: View = {
  names: 'otel',
  resource: (given) => given.resource ?? HOST,
  attributes: (given) => given.attributes,
}

export const MINUTE_MS = 60_000

/** A table, the clock it goes by, and what brings it points at that time. */
export function tableAt(startMs = 10_000, options: Partial<TableOptions> = {}) {
  const clock = { nowMs: startMs }
  const table = createTable({ view: PROMETHEUS, now: () => clock.nowMs, ...options })
  return {
    table,
    clock,
    report: (points: Point[], receiver?: string) => table.apply(batch(points, clock.nowMs, receiver)),
  }
}

/** Of all rows. */
export const values = (table: Table) => [...table.rows()].map((row) => row.value)
export const byContainer = (table: Table) =>
  Object.fromEntries([...table.rows()].map((row) => [row.attributes.container_id ?? '', row.value]))

/** The same numbers for the same seed, in [0, 1). (mulberry32, in the public domain.) */
export function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

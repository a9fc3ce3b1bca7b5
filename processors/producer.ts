// Tables as the OpenTelemetry SDK takes them: its readers, serializers and exporters do the rest.
import { type HrTime, ValueType } from '@opentelemetry/api'
import { emptyResource, resourceFromAttributes, type Resource as SdkResource } from '@opentelemetry/resources'
import {
  AggregationTemporality,
  type DataPoint,
  DataPointType,
  type Histogram,
  type MetricData,
  type MetricProducer,
  type ResourceMetrics,
  type ScopeMetrics,
} from '@opentelemetry/sdk-metrics'
import type { Metric } from '../receivers/receiver.ts'
import type { Resource } from './processor.ts'
import type { Row, Table } from './table.ts'

export type ProducerOptions = {
  /**
   * The name under which a metric leaves, `promName` for one. Its unit is then left out, because the name says it.
   * The OTel name and unit when absent.
   */
  readonly name?: (name: string, metric: Metric) => string
  /** Version of the instrumentation scopes. */
  readonly version?: string
}

/**
 * The table for one reader. All rows are collected under one resource, which is the reader's own (the SDK ignores a
 * producer's); so the view of the table has to make every series different by its attributes.
 */
export function tableProducer(table: Table, options: ProducerOptions = {}): MetricProducer {
  return {
    async collect() {
      table.forget()
      const scopes = createScopes(options)
      for (const row of table.rows()) scopes.add(row)
      return { resourceMetrics: { resource: emptyResource(), scopeMetrics: scopes.metrics() }, errors: [] }
    },
  }
}

/** One for each Resource of the table, with one scope for each receiver. */
export function resourceMetrics(table: Table, options: ProducerOptions = {}): ResourceMetrics[] {
  table.forget()
  return resourceMetricsOf(table.rows(), options)
}

/** The same of some rows. */
export function resourceMetricsOf(rows: Iterable<Row>, options: ProducerOptions = {}): ResourceMetrics[] {
  const byResource = new Map<Resource, Scopes>()
  for (const row of rows) {
    let scopes = byResource.get(row.resource)
    if (scopes === undefined) {
      scopes = createScopes(options)
      byResource.set(row.resource, scopes)
    }
    scopes.add(row)
  }
  return [...byResource].map(([resource, scopes]) => ({
    resource: sdkResource(resource),
    scopeMetrics: scopes.metrics(),
  }))
}

const sdkResources = new WeakMap<Resource, SdkResource>()

function sdkResource(resource: Resource): SdkResource {
  let made = sdkResources.get(resource)
  if (made === undefined) {
    made = resourceFromAttributes({ ...resource.attributes })
    sdkResources.set(resource, made)
  }
  return made
}

/** Of one metric all are numbers, or all are histograms. */
type Points = DataPoint<number | Histogram>[]

type Scopes = ReturnType<typeof createScopes>

function createScopes({ name, version }: ProducerOptions) {
  const scopes = new Map<string, { metrics: ScopeMetrics; points: Map<string, Points> }>()
  const times = new Map<number, HrTime>()
  let lastName: string | undefined
  let lastScope: string | undefined
  let lastPoints: Points = []

  // Rows of one metric follow one another, so nearly every row goes where the one before it went.
  function pointsFor(row: Row): Points {
    if (row.name === lastName && row.scope === lastScope) return lastPoints
    let scope = scopes.get(row.scope)
    if (scope === undefined) {
      const about = version === undefined ? { name: row.scope } : { name: row.scope, version }
      scope = { metrics: { scope: about, metrics: [] }, points: new Map() }
      scopes.set(row.scope, scope)
    }
    let points = scope.points.get(row.name)
    if (points === undefined) {
      points = []
      scope.points.set(row.name, points)
      scope.metrics.metrics.push(metricData(row, points, name))
    }
    lastName = row.name
    lastScope = row.scope
    lastPoints = points
    return points
  }

  // Few moments recur often: a collection has one, and so has a container.
  function time(ms: number): HrTime {
    let hrTime = times.get(ms)
    if (hrTime === undefined) {
      const seconds = Math.floor(ms / 1000)
      hrTime = [seconds, Math.floor((ms - seconds * 1000) * 1e6)]
      times.set(ms, hrTime)
    }
    return hrTime
  }

  return {
    add(row: Row) {
      pointsFor(row).push({
        startTime: time(row.startMs),
        endTime: time(row.observedMs),
        attributes: row.attributes,
        value: row.metric.kind === 'histogram' ? histogram(row) : row.value,
      })
    },
    metrics: (): ScopeMetrics[] => [...scopes.values()].map((scope) => scope.metrics),
  }
}

function histogram({ value, counts = new Float64Array(), metric }: Row): Histogram {
  return {
    sum: value,
    count: counts.reduce((all, count) => all + count, 0),
    buckets: { boundaries: [...(metric.bounds ?? [])], counts: [...counts] },
  }
}

function metricData(row: Row, points: Points, name: ProducerOptions['name']): MetricData {
  const { kind, unit, description } = row.metric
  const common = {
    descriptor: {
      name: name?.(row.name, row.metric) ?? row.name,
      unit: name === undefined ? unit : '',
      description,
      // Doubles hold every whole number below 2^53, and a series must not change its type when a value has a fraction.
      valueType: ValueType.DOUBLE,
    },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  }
  if (kind === 'histogram') {
    return { ...common, dataPointType: DataPointType.HISTOGRAM, dataPoints: points as DataPoint<Histogram>[] }
  }
  const dataPoints = points as DataPoint<number>[]
  return kind === 'gauge'
    ? { ...common, dataPoints, dataPointType: DataPointType.GAUGE }
    : { ...common, dataPoints, dataPointType: DataPointType.SUM, isMonotonic: kind === 'counter' }
}

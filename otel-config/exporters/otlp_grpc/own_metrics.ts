// What the exporter tells of itself, in the Collector's names (exporterhelper's documentation.md).
import type { Meter } from '@opentelemetry/api'

export type Queue = {
  /** Bytes of what waits, by the average size of a point. */
  size(): number
  capacity(): number
  /** Series that are held. */
  series(): number
  /** Points that the table did not take, and series that were lost while they waited, since the start. */
  refused(): number
  lost(): number
}

export function exporterMetrics(meter: Meter, exporter: string, queue: Queue) {
  const labels = { exporter }
  const counter = (name: string, description: string, unit = '{datapoint}') =>
    meter.createCounter(name, { description, unit })
  const observe = (name: string, description: string, unit: string, read: () => number) =>
    meter.createObservableGauge(name, { description, unit }).addCallback((result) => result.observe(read(), labels))
  const count = (name: string, description: string, read: () => number) =>
    meter
      .createObservableCounter(name, { description, unit: '{datapoint}' })
      .addCallback((result) => result.observe(read(), labels))

  observe('otelcol_exporter_queue_size', 'What waits to be sent, in bytes.', 'By', queue.size)
  observe('otelcol_exporter_queue_capacity', 'What may wait after its container ended, in bytes.', 'By', queue.capacity)
  observe('otelcol_exporter_series', 'Series that are held.', '{series}', queue.series)
  count('otelcol_exporter_refused_metric_points', 'Points that the table did not take.', queue.refused)
  count(
    'otelcol_exporter_enqueue_failed_metric_points',
    'Last values of the dead for which the queue had no room.',
    queue.lost,
  )
  const sent = counter('otelcol_exporter_sent_metric_points', 'Points that arrived.')
  const failed = counter('otelcol_exporter_send_failed_metric_points', 'Points that were given up.')
  const retries = counter('otelcol_exporter_retries', 'Attempts that failed and were tried again.', '{attempt}')
  // From the beginning, so that an alert on the first failure has something to compare with.
  for (const one of [sent, failed, retries]) one.add(0, labels)
  return {
    sent: (points: number) => sent.add(points, labels),
    failed: (points: number) => failed.add(points, labels),
    retried: () => retries.add(1, labels),
  }
}

export type ExporterMetrics = ReturnType<typeof exporterMetrics>

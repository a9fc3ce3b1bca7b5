// What the graph tells of itself, in the Collector's names where it has one.
import type { Meter } from '@opentelemetry/api'

export type Outcome = 'success' | 'partial' | 'failure' | 'timeout'

export function ownMetrics(meter: Meter) {
  const counter = (name: string, description: string, unit: string) => meter.createCounter(name, { description, unit })
  return {
    duration: meter.createHistogram('otelcol_receiver_collection_duration', {
      description: 'How long collections took.',
      unit: 's',
      advice: { explicitBucketBoundaries: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
    }),
    collections: counter('otelcol_receiver_collections', 'Collections by outcome.', '{collection}'),
    missed: counter(
      'otelcol_receiver_missed_collections',
      'Ticks left out, the one before was not over.',
      '{collection}',
    ),
    scraped: counter('otelcol_scraper_scraped_metric_points', 'Points that receivers read.', '{datapoint}'),
    errored: counter('otelcol_scraper_errored_metric_points', 'Readings that failed.', '{datapoint}'),
    accepted: counter('otelcol_receiver_accepted_metric_points', 'Points that a pipeline took.', '{datapoint}'),
    refused: counter('otelcol_receiver_refused_metric_points', 'Points that a pipeline failed on.', '{datapoint}'),
    receivers: meter.createUpDownCounter('otelcol_receivers', {
      description:
        'Receivers by state: running; partly, where the log says what is missing; failed, which could not start.',
      unit: '{receiver}',
    }),
  }
}

export type OwnMetrics = ReturnType<typeof ownMetrics>

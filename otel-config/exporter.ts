// What leaves the agent. An exporter is handed batches and keeps what it needs of them in a table of its own naming.
import type { Meter } from '@opentelemetry/api'
import type { MetricReader } from '@opentelemetry/sdk-metrics'
import type * as z from 'zod/mini'
import type { Batch } from '../processors/processor.ts'
import type { Host } from '../receivers/host/host.ts'
import type { Logger, Stability } from '../receivers/receiver.ts'

export type ExporterContext = {
  readonly host: Host
  readonly log: Logger
  readonly id: string
  /**
   * Collects every receiver that feeds this exporter now, if its last collection began more than `maxAgeMs` ago,
   * and resolves when the batches have been consumed. Concurrent calls share one collection.
   * Rejects when no receiver could be collected, with the reasons. While the agent starts it waits: not to be awaited
   * in `start`.
   */
  collect(maxAgeMs: number): Promise<void>
}

/** Made before the agent's own MeterProvider, so that its readers can carry the own telemetry as well. */
export interface Exporter {
  /** SDK readers that also take the agent's own telemetry. */
  readonly readers?: readonly MetricReader[]
  /** Opens what it needs. Throws an error with a remedy when it cannot. */
  start(meter: Meter): void | Promise<void>
  /** Once started: where people can look, `http://localhost:9464/metrics`. Said in the log when everything is ready. */
  url?(): string
  /** Takes one batch. Quick: what takes time goes to a queue. Never throws for bad data. */
  consume(batch: Batch): void
  /** Sends what is still held, within `deadlineMs`, and frees everything. Safe without start. */
  stop(deadlineMs: number): Promise<void>
}

export type ExporterDefinition<Config = unknown> = {
  readonly name: string
  /** The older spelling that still works, with a warning. */
  readonly deprecatedName?: string
  readonly summary: string
  readonly stability: Stability
  readonly config: z.ZodMiniType<Config>
  /** Opens nothing yet. */
  create(config: Config, context: ExporterContext): Exporter
}

export function defineExporter<Config>(definition: ExporterDefinition<Config>): ExporterDefinition<Config> {
  return definition
}

// What stands between receivers and exporters. A processor takes a batch and returns it changed;
// leave one out of a pipeline and only what it adds is missing.
import type { Meter } from '@opentelemetry/api'
import type * as z from 'zod/mini'
import type { Host } from '../receivers/host/host.ts'
import type { LogChunk } from '../receivers/logs.ts'
import type { Attributes, Logger, Metric, Metrics, Stability, Subject } from '../receivers/receiver.ts'

/** An OTel Resource, one object per identity: compare by reference. */
export type Resource = {
  /** Resource attributes as OTLP carries them. */
  readonly attributes: Attributes
  /** Labels that stand on every series of it on the Prometheus page (the peer's `container_id`, `app_id` …). */
  readonly labels: Attributes
}

/** One number on its way out. Mutable, because processors fill it in. */
export type Point = {
  subject: Subject
  /** OTel name. */
  name: string
  metric: Metric
  /** Of a histogram the sum of its measurements. */
  value: number
  /** Of a histogram: measurements in each bucket. */
  counts?: Float64Array
  attributes: Attributes
  /** Undefined until a processor attributed it; exporters then use the host's resource. */
  resource: Resource | undefined
}

/** What one collection of one receiver brought. */
export type Batch = {
  /** Id of the receiver, which is also the instrumentation scope. */
  readonly receiver: string
  readonly points: Point[]
  /** Milliseconds since the epoch at which the collection began. */
  readonly collectedMs: number
}

export type ProcessorContext = {
  readonly host: Host
  readonly log: Logger
  readonly meter: Meter
  readonly id: string
}

export interface RunningProcessor {
  /** Returns the batch to pass on: the same one changed, or another. */
  process(batch: Batch): Batch
  /** Reads what containers wrote. What it counts there it adds to the batches of that receiver in `process`. */
  consumeLogs?(receiver: string, chunks: readonly LogChunk[]): void
  stop?(): void | Promise<void>
}

export type ProcessorDefinition<Config = unknown> = {
  readonly name: string
  readonly summary: string
  readonly stability: Stability
  readonly config: z.ZodMiniType<Config>
  /** Metrics that it adds itself. */
  readonly metrics: Metrics
  start(config: Config, context: ProcessorContext): RunningProcessor | Promise<RunningProcessor>
}

export function defineProcessor<Config>(definition: ProcessorDefinition<Config>): ProcessorDefinition<Config> {
  return definition
}

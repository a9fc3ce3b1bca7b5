// What a receiver is: one literal that says what it measures and needs, and one function that starts it.
// A receiver reports what the kernel said, about kernel identities. Whose container that is, a processor says;
// where the numbers go, an exporter says.
import type { Meter } from '@opentelemetry/api'
import type * as z from 'zod/mini'
import type { Cgroup, Flow, Host, Node } from './host/host.ts'
import type { LogSink } from './logs.ts'
import type { Need } from './needs.ts'

/** OpenTelemetry's stability levels (component-stability.md of the Collector). */
export type Stability = 'development' | 'alpha' | 'beta' | 'stable'

/** Attributes of a data point or a resource. Keys sorted by whoever builds them is not required. */
export type Attributes = Readonly<Record<string, string>>

/**
 * `counter`: monotonic cumulative sum, the absolute value as the kernel counts it for one subject.
 * `updowncounter`: non-monotonic sum (also for info metrics, so that no `_ratio` is appended).
 * `gauge`: a value that must not be added up over subjects.
 * `histogram`: how often a measurement fell into each bucket, and their sum; both cumulative, like a counter.
 */
export type MetricKind = 'counter' | 'updowncounter' | 'gauge' | 'histogram'

/** Kinds whose values only grow, and go on in the series when their subject has ended. */
export const isCumulative = (kind: MetricKind | undefined): boolean => kind === 'counter' || kind === 'histogram'

export type Metric = {
  readonly kind: MetricKind
  /** UCUM, annotations in the singular: `s`, `By`, `{operation}`. */
  readonly unit: string
  readonly description: string
  /** Attribute keys a point may carry. None by default. */
  readonly attributes?: readonly string[]
  /** Of a histogram: upper bounds of the buckets in the metric's unit, ascending, each belonging to its bucket. */
  readonly bounds?: readonly number[]
  /** False for metrics that a user has to switch on. */
  readonly enabled?: false
}

/** OTel name (dotted, no `_total`, no unit suffix) → what it is. */
export type Metrics = Readonly<Record<string, Metric>>

/** What a number is about. Attribution turns it into a resource. */
export type Subject = Cgroup | Flow | Node

export interface Output<Name extends string = string> {
  /**
   * One number about one subject. A metric that could not be read is not recorded: absent is better than zero.
   * Attributes that recur should be one frozen object, so that they are interned by identity.
   */
  record(subject: Subject, metric: Name, value: number, attributes?: Attributes): void
  /**
   * A histogram about one subject, as it stands: the sum of all measurements, and how many fell into each bucket (not
   * cumulative over buckets), one more than the metric has bounds. The array is copied.
   */
  distribution(subject: Subject, metric: Name, sum: number, counts: ArrayLike<number>, attributes?: Attributes): void
  /** Something of this collection could not be read. The rest is kept; the collection counts as partly failed. */
  failed(error: Error): void
}

export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}

export type ReceiverContext = {
  readonly host: Host
  readonly log: Logger
  /** For measurements of ourselves (losses, map fill). Names: `otelcol_receiver_…`. */
  readonly meter: Meter
  /** Hands on what containers wrote, whenever there is something; not bound to `collect`. */
  readonly logs: LogSink
  /** The id in the configuration, `type` or `type/name`. */
  readonly id: string
}

/** A started receiver. `collect` is called by the pipeline's clock, never twice at once. */
export interface RunningReceiver<Name extends string = string> {
  collect(out: Output<Name>): void | Promise<void>
  /**
   * Frees everything that `start` took: descriptors, programs, timers. Safe to call once. `forReload`: the configuration
   * is read again and a receiver of this id may follow, for which `host.kept` takes what should go on meanwhile.
   */
  stop?(forReload?: boolean): void | Promise<void>
}

export type ReceiverDefinition<Config = unknown, Name extends string = string> = {
  /** Folder, config key, doc heading. */
  readonly name: string
  readonly summary: string
  readonly stability: Stability
  /** Settings beyond those that every receiver has (collection_interval, initial_delay, timeout, metrics). */
  readonly config: z.ZodMiniType<Config>
  readonly metrics: Readonly<Record<Name, Metric>>
  readonly needs: readonly Need[]
  /** Throws when the receiver cannot run at all here; the others go on. May say in the log what is missing in part. */
  start(config: Config, context: ReceiverContext): RunningReceiver<Name> | Promise<RunningReceiver<Name>>
}

/** Types the literal and returns it unchanged. */
export function defineReceiver<Config, const Name extends string>(
  definition: ReceiverDefinition<Config, Name>,
): ReceiverDefinition<Config, Name> {
  return definition
}

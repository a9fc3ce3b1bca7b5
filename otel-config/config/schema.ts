// The settings that are the agent's own: those of every receiver, and the section `service`.
import * as z from 'zod/mini'
import type { ReceiverDefinition } from '../../receivers/receiver.ts'
import { duration } from '../../receivers/schema.ts'

const made = new WeakMap<ReceiverDefinition, ReturnType<typeof makeReceiverSettings>>()

/** Keys that every receiver has beside its own. Made once for a type: that takes longer than to check a body by it. */
export function receiverSettings(definition: ReceiverDefinition) {
  const known = made.get(definition) ?? makeReceiverSettings(definition)
  made.set(definition, known)
  return known
}

function makeReceiverSettings(definition: ReceiverDefinition) {
  const metric = z.optional(z.strictObject({ enabled: z.boolean() }))
  const metrics = z.strictObject(Object.fromEntries(Object.keys(definition.metrics).map((name) => [name, metric])))
  return z.strictObject({
    /** How often it is collected. */
    collection_interval: z._default(duration(), 15_000),
    /** How long after the start it is collected first. */
    initial_delay: z._default(duration(), 0),
    /** After this a collection counts as failed and what it brings is dropped. 0: it may take for ever. */
    timeout: z._default(duration(), 10_000),
    /** Switches single metrics on and off. */
    metrics: z._default(metrics, {}),
  })
}

export type ReceiverSettings = {
  readonly collection_interval: number
  readonly initial_delay: number
  readonly timeout: number
  readonly metrics: Readonly<Record<string, { readonly enabled: boolean } | undefined>>
}

const ids = () => z.array(z.string({ error: 'expected the id of a component' }))

export const pipelineSettings = z.strictObject({
  receivers: z._default(ids(), []),
  processors: z._default(ids(), []),
  exporters: z._default(ids(), []),
})

const logs = z.strictObject({
  level: z._default(z.enum(['debug', 'info', 'warn', 'error']), 'info'),
  encoding: z._default(z.enum(['console', 'json']), 'console'),
  /** Paths, `stderr` or `stdout`. */
  output_paths: z._default(z.array(z.string()), ['stderr']),
  /** The Collector's name for it; we write nothing there. */
  error_output_paths: z.optional(z.array(z.string())),
  initial_fields: z._default(z.record(z.string(), z.unknown()), {}),
  /** In each `tick`, of the same message only the first `initial` and then every `thereafter`th is written. */
  sampling: z._default(
    z.strictObject({
      enabled: z._default(z.boolean(), true),
      tick: z._default(duration(), 10_000),
      initial: z._default(z.int().check(z.gte(0)), 10),
      thereafter: z._default(z.int().check(z.gte(0)), 100),
    }),
    { enabled: true, tick: 10_000, initial: 10, thereafter: 100 },
  ),
  /** Accepted so that a Collector's block can be pasted; there is neither caller nor stack trace in our lines. */
  development: z.optional(z.boolean()),
  disable_caller: z.optional(z.boolean()),
  disable_stacktrace: z.optional(z.boolean()),
})

const NO_READERS =
  'is not supported: own metrics (otelcol_…) go out with the exporters of the pipelines; remove it, or set level: none'

const metrics = z.strictObject({
  level: z._default(z.enum(['none', 'basic', 'normal', 'detailed']), 'normal'),
  readers: z.optional(z.never({ error: NO_READERS })),
})

const resourceValue = z.nullable(z.string({ error: 'expected a string' }))

export const telemetrySettings = z.strictObject({
  logs: z.prefault(logs, {}),
  metrics: z.prefault(metrics, {}),
  /** Resource attributes of the agent itself; nothing behind a key removes it. */
  resource: z._default(z.record(z.string(), resourceValue), {}),
})

export type TelemetrySettings = z.infer<typeof telemetrySettings>
export type LogSettings = TelemetrySettings['logs']

// What a configuration is once it is checked: settings that the graph is built from.
import type { ProcessorDefinition } from '../../processors/processor.ts'
import type { ReceiverDefinition } from '../../receivers/receiver.ts'
import type { ExtensionDefinition } from '../components.ts'
import type { ExporterDefinition } from '../exporter.ts'
import type { ReceiverSettings, TelemetrySettings } from './schema.ts'

export type ReceiverConfig = {
  readonly definition: ReceiverDefinition
  readonly settings: ReceiverSettings
  readonly own: unknown
}
export type ProcessorConfig = { readonly definition: ProcessorDefinition; readonly own: unknown }
export type ExporterConfig = { readonly definition: ExporterDefinition; readonly own: unknown }
export type ExtensionConfig = { readonly definition: ExtensionDefinition; readonly own: unknown }

/** Ids of components, each list without repetitions. */
export type Pipeline = {
  readonly receivers: readonly string[]
  readonly processors: readonly string[]
  readonly exporters: readonly string[]
}

export type Config = {
  readonly receivers: ReadonlyMap<string, ReceiverConfig>
  readonly processors: ReadonlyMap<string, ProcessorConfig>
  readonly exporters: ReadonlyMap<string, ExporterConfig>
  readonly extensions: ReadonlyMap<string, ExtensionConfig>
  readonly service: {
    /** In the order of their start. */
    readonly extensions: readonly string[]
    /** By id, `metrics` or `metrics/name`. */
    readonly pipelines: ReadonlyMap<string, Pipeline>
    readonly telemetry: TelemetrySettings
  }
}

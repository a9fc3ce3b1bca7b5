// Everything that a configuration can name.
import type * as z from 'zod/mini'
import { processors } from '../processors/index.ts'
import type { ProcessorDefinition } from '../processors/processor.ts'
import { hostSettings } from '../receivers/host/index.ts'
import { receivers } from '../receivers/index.ts'
import type { ReceiverDefinition, Stability } from '../receivers/receiver.ts'
import type { ExporterDefinition } from './exporter.ts'
import { exporters } from './exporters/index.ts'

/** What is there once for all pipelines. */
export type ExtensionDefinition<Config = unknown> = {
  readonly name: string
  readonly deprecatedName?: string
  readonly summary: string
  readonly stability: Stability
  readonly config: z.ZodMiniType<Config>
}

export type Components = {
  readonly receivers: readonly ReceiverDefinition[]
  readonly processors: readonly ProcessorDefinition[]
  readonly exporters: readonly ExporterDefinition[]
  readonly extensions: readonly ExtensionDefinition[]
}

/** The extension is the shared knowledge of the machine itself: it always runs, this only sets it up. */
const host: ExtensionDefinition = {
  name: 'host',
  summary: 'The machine as all receivers and processors see it: cgroups, containers, identity.',
  stability: 'alpha',
  config: hostSettings,
}

export const components: Components = { receivers, processors, exporters, extensions: [host] }

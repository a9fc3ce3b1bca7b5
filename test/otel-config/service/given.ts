// A service on this very machine, with small receivers and exporters that write down what happens to them.
import * as z from 'zod/mini'
import type { Components } from '../../../otel-config/components.ts'
import { load } from '../../../otel-config/config/load.ts'
import type { LogSettings } from '../../../otel-config/config/schema.ts'
import { defineExporter, type ExporterContext, type ExporterDefinition } from '../../../otel-config/exporter.ts'
import { createLogger } from '../../../otel-config/logger.ts'
import { outside } from '../../../otel-config/service/outside.ts'
import { type Service, startService } from '../../../otel-config/service/service.ts'
import { type Batch, defineProcessor, type ProcessorDefinition } from '../../../processors/processor.ts'
import { hostSettings, startHost } from '../../../receivers/host/index.ts'
import { defineReceiver, type Output, type ReceiverDefinition } from '../../../receivers/receiver.ts'

const LOGS: LogSettings = {
  level: 'debug',
  encoding: 'json',
  output_paths: [],
  initial_fields: {},
  sampling: { enabled: false, tick: 0, initial: 0, thereafter: 0 },
}

export type Line = { level: string; msg: string; [field: string]: unknown }

/** What happened, in its order. */
export type Notes = string[]

type ReceiverParts = {
  notes?: Notes
  start?: () => void | Promise<void>
  collect?: (out: Output) => void | Promise<void>
  needs?: ReceiverDefinition['needs']
}

const METRICS = {
  'test.points': { kind: 'gauge', unit: '1', description: 'One.' },
  'test.more': { kind: 'gauge', unit: '1', description: 'Only on demand.', enabled: false },
} as const

/** Reports one point about the machine, unless told otherwise. */
export function receiver(
  name: string,
  { notes = [], start, collect, needs = [] }: ReceiverParts = {},
): ReceiverDefinition {
  return defineReceiver({
    name,
    summary: 'For tests.',
    stability: 'development',
    config: z.strictObject({}),
    metrics: METRICS,
    needs,
    async start(_config, { host }) {
      await start?.()
      notes.push(`start ${name}`)
      return {
        collect: collect ?? ((out: Output) => out.record(host.node, 'test.points', 1)),
        stop() {
          notes.push(`stop ${name}`)
        },
      }
    },
  }) as unknown as ReceiverDefinition
}

export function processor(name: string, notes: Notes = [], process = (batch: Batch) => batch): ProcessorDefinition {
  return defineProcessor({
    name,
    summary: 'For tests.',
    stability: 'development',
    config: z.strictObject({}),
    metrics: {},
    start() {
      notes.push(`start ${name}`)
      return {
        process,
        stop() {
          notes.push(`stop ${name}`)
        },
      }
    },
  }) as unknown as ProcessorDefinition
}

export type Recorder = ExporterDefinition & {
  readonly batches: Batch[]
  readonly contexts: ExporterContext[]
  /** Of the first instance. */
  collect(maxAgeMs: number): Promise<void>
}

/** Keeps what it is given. */
export function recorder(name: string, notes: Notes = [], start: () => void | Promise<void> = () => {}): Recorder {
  const batches: Batch[] = []
  const contexts: ExporterContext[] = []
  const definition = defineExporter({
    name,
    summary: 'For tests.',
    stability: 'development',
    config: z.strictObject({}),
    create(_config, context) {
      contexts.push(context)
      return {
        async start() {
          await start()
          notes.push(`start ${name}`)
        },
        consume: (batch) => void batches.push(batch),
        async stop() {
          notes.push(`stop ${name}`)
        },
      }
    },
  }) as unknown as ExporterDefinition
  const collect = async (maxAgeMs: number) => contexts[0]?.collect(maxAgeMs)
  return { ...definition, batches, contexts, collect }
}

export type Started = { readonly service: Service; readonly lines: Line[] }

/** Starts what the YAML says. Docker is not asked: these tests are not about names. */
export async function start(
  yaml: string,
  parts: Partial<Components>,
  notes: Notes = [],
  lines: Line[] = [],
): Promise<Started> {
  const components: Components = { receivers: [], processors: [], exporters: [], extensions: [], ...parts }
  const { config } = load({ configs: ['env:FILE'], sets: [], environment: { FILE: yaml } }, components)
  const log = createLogger(LOGS, (line) => void lines.push(JSON.parse(line) as Line))
  const service = await startService(config, {
    log,
    async startHost(_settings, hostLog) {
      const settings = {
        ...hostSettings.parse({}),
        docker: { endpoint: 'unix:///nowhere', timeout: 100, negative_cache: 1 },
      }
      const host = await startHost({ log: hostLog, settings })
      notes.push('start host')
      return {
        ...host,
        async stop() {
          await host.stop()
          notes.push('stop host')
        },
      }
    },
    createTelemetry(...given) {
      const telemetry = outside.createTelemetry(...given)
      notes.push('start telemetry')
      return {
        ...telemetry,
        async stop(deadlineMs) {
          await telemetry.stop(deadlineMs)
          notes.push('stop telemetry')
        },
      }
    },
  })
  return { service, lines }
}

/** Waits until it is so, at most ten seconds. */
export async function until(isSo: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + 10_000
  while (!isSo()) {
    if (performance.now() > endMs) throw new Error(`waited ten seconds for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

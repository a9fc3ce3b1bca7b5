// Every exporter that a configuration can name.
import type { ExporterDefinition } from '../exporter.ts'
import debug from './debug/index.ts'
import otlpGrpc from './otlp_grpc/index.ts'
import prometheus from './prometheus/index.ts'

// Each knows its own configuration; whoever holds the list has checked it by then.
export const exporters = [debug, otlpGrpc, prometheus] as unknown as readonly ExporterDefinition[]
